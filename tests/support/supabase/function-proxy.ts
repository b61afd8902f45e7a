/** How the function fails. `lost`: it does its work and nobody hears of it. `hang`: no answer, until the caller gives up. */
export type FunctionFault = 'error' | 'html' | 'refusal' | 'truncated' | 'unauthorized' | 'missing' | 'hang' | 'lost'

export interface FunctionProxy {
  url: string
  /** What was asked so far: `POST /add-message`. */
  calls: string[]
  /** The headers of every call. */
  headers: Record<string, string>[]
  /** Fails for paths that begin so, so many times. */
  fail: (path: string, fault: FunctionFault, times?: number) => void
  /** Nothing fails any more. */
  mend: () => void
  stop: () => Promise<void>
}

/** What rows of a function have that keeps to the documented contract. */
const DOCUMENTED: Record<string, string[]> = {
  conversation: ['id', 'title', 'active_branch_id', 'model', 'created_at', 'updated_at', 'user_id'],
  branches: ['id', 'branch_id', 'conversation_id', 'parent_message_id', 'name', 'created_at'],
  messages: 'id conversation_id branch_id parent_id role content model tokens_count created_at'.split(' '),
}

/**
 * Stands before the shipped function. It can make it fail; and with `older` it takes away what the documented contract does
 * not have: the extension, its header, and the columns of ours. So it looks like the function that others deployed.
 */
export function startFunctionProxy(target: string, { older = false } = {}): FunctionProxy {
  const calls: string[] = []
  const headers: Record<string, string>[] = []
  let faults: { path: string; fault: FunctionFault; times: number }[] = []

  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url)
      const path = pathname.replace('/conversation-manager', '')
      calls.push(`${request.method} ${path}`)
      headers.push(Object.fromEntries(request.headers))
      const failing = faults.find((fault) => path.startsWith(fault.path) && fault.times-- > 0)
      if (failing && failing.fault !== 'lost') return failed(failing.fault, request.signal)
      const sent = await request.text()
      const answer = await fetch(`${target}${path}${search}`, {
        method: request.method,
        headers: request.headers,
        ...(sent ? { body: older ? withoutExtension(sent) : sent } : {}),
      })
      if (failing) return failed('error', request.signal)
      const body = await answer.text()
      const kept = new Headers({ 'content-type': answer.headers.get('content-type') ?? 'application/json' })
      if (older) return new Response(documented(body), { status: answer.status, headers: kept })
      for (const name of ['x-conversation-manager']) kept.set(name, answer.headers.get(name) ?? '')
      return new Response(body, { status: answer.status, headers: kept })
    },
  })

  return {
    url: `http://127.0.0.1:${server.port}/conversation-manager`,
    calls,
    headers,
    fail: (path, fault, times = Number.POSITIVE_INFINITY) => faults.push({ path, fault, times }),
    mend() {
      faults = []
    },
    stop: () => server.stop(true),
  }
}

function failed(fault: FunctionFault, left: AbortSignal): Response | Promise<Response> {
  if (fault === 'hang') {
    return new Promise((resolve) => left.addEventListener('abort', () => resolve(new Response(null, { status: 504 }))))
  }
  const json = (status: number, body: object) => Response.json(body, { status })
  switch (fault) {
    case 'html':
      return new Response('<html><h1>502 Bad Gateway</h1></html>', { headers: { 'content-type': 'text/html' } })
    case 'refusal':
      return json(200, { success: false, error: 'relation "messages" does not exist' })
    case 'truncated':
      return new Response('{"success":true,"data":{"message_', { headers: { 'content-type': 'application/json' } })
    case 'unauthorized':
      return json(401, { success: false, error: 'Invalid token' })
    case 'missing':
      return json(404, { success: false, error: 'Not found' })
    default:
      return json(500, { success: false, error: 'connection to 10.0.0.7 lost' })
  }
}

function withoutExtension(body: string): string {
  const { turn, rev, at, system_prompt, ...rest } = JSON.parse(body)
  return JSON.stringify(rest)
}

function documented(body: string): string {
  const envelope = JSON.parse(body || '{}')
  return JSON.stringify({ ...envelope, data: strip(envelope.data) })
}

function strip(data: Record<string, unknown> | undefined): unknown {
  if (!data || typeof data !== 'object') return data
  if (Array.isArray(data)) return data.map(strip)
  if ('conversation' in data && 'messages' in data) {
    return Object.fromEntries(
      Object.entries(data).map(([name, value]) => [name, name in DOCUMENTED ? strip(value as never) : value]),
    )
  }
  if ('conversations' in data) return { ...data, conversations: strip(data.conversations as never) }
  const kind =
    'role' in data
      ? 'messages'
      : 'title' in data && 'id' in data
        ? 'conversation'
        : 'name' in data
          ? 'branches'
          : undefined
  if (!kind) return data
  return Object.fromEntries(Object.entries(data).filter(([name]) => DOCUMENTED[kind]?.includes(name)))
}
