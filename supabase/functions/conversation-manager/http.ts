const MAX_BODY_BYTES = 10 * 1024 * 1024

const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-headers': 'authorization, x-client-info, apikey, content-type',
  'access-control-allow-methods': 'GET, POST, PATCH, OPTIONS',
  'access-control-expose-headers': 'x-conversation-manager',
}
/** The number is the version of what the function offers beyond the documented contract. */
const HEADERS = {
  ...CORS,
  'x-conversation-manager': '2',
  'content-type': 'application/json',
  'cache-control': 'no-store',
}

/** What a caller may be told. `data` is JSON that goes along; `cause` is for the log only. */
export class Failure extends Error {
  readonly status: number
  readonly data: string | undefined
  readonly allow: string | undefined

  constructor(status: number, message: string, more: { data?: string; allow?: string; cause?: unknown } = {}) {
    super(message, { cause: more.cause })
    this.status = status
    this.data = more.data
    this.allow = more.allow
  }
}

export const answer = (status: number, body: string, headers: Record<string, string> = {}): Response =>
  new Response(body, { status, headers: { ...HEADERS, ...headers } })

export const preflight = (): Response => new Response(null, { status: 204, headers: HEADERS })

export function failed({ status, message, data, allow }: Failure): Response {
  const error = JSON.stringify(message)
  const body = `{"success":false,"error":${error}${data ? `,"data":${data}` : ''}}`
  return answer(status, body, allow ? { allow } : {})
}

/** The JSON object that a request holds; an empty one when it holds nothing. */
export async function readBody(request: Request): Promise<Record<string, unknown>> {
  const text = await readText(request)
  if (!text.trim()) return {}
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw new Failure(400, 'The body is not JSON')
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new Failure(400, 'The body must be a JSON object')
  return body as Record<string, unknown>
}

async function readText(request: Request): Promise<string> {
  if (!request.body) return ''
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for await (const chunk of request.body) {
    bytes += chunk.byteLength
    if (bytes > MAX_BODY_BYTES) throw new Failure(400, `The body is larger than ${MAX_BODY_BYTES} bytes`)
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}
