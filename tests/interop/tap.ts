/** Stands between this server and another one: passes everything on, and notes what passes and when. */

/** What happened, in order: `function POST /add-message`, `litellm POST /chat/completions`, `litellm speaks`. */
export type Journal = string[]

export type Tap = {
  url: string
  /** The bearer tokens that came, by method and path. */
  credentials: { call: string; token: string }[]
  /** Does something else instead of passing calls on whose path ends so; undefined passes everything on again. */
  instead(ending: string, act?: (pass: () => Promise<Response>) => Promise<Response>): void
  stop(): Promise<void>
}

export type TapOptions = {
  name: string
  /** What the tap's address leads to. */
  target: string
  journal: Journal
  /** Another bearer token for the one that came. */
  trade?: (token: string) => string
  /** What is made of bodies on their way there, and of answers on their way back. */
  rewrite?: { body: (text: string) => string; answer: (response: Response) => Promise<Response> }
}

const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g
/** A piece of an answer that says something. */
const SPEECH = /"content":\s*"[^"]/

export function startTap({ name, target, journal, trade = (token) => token, rewrite }: TapOptions): Tap {
  const credentials: Tap['credentials'] = []
  const acts = new Map<string, (pass: () => Promise<Response>) => Promise<Response>>()

  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url)
      const { method } = request
      const token = request.headers.get('authorization')?.replace('Bearer ', '') ?? ''
      const call = `${method} ${pathname.replace(UUID, '{id}')}`
      journal.push(`${name} ${call}`)
      credentials.push({ call, token })
      const headers = new Headers(request.headers)
      headers.delete('host')
      headers.set('accept-encoding', 'identity')
      if (token) headers.set('authorization', `Bearer ${trade(token)}`)
      const text = method === 'GET' ? undefined : await request.text()
      const body = text && rewrite ? rewrite.body(text) : text
      headers.delete('content-length')
      const pass = async () => {
        const answer = await fetch(target + pathname + search, {
          method,
          headers,
          ...(body === undefined ? {} : { body }),
        })
        return rewrite ? rewrite.answer(answer) : answer
      }
      const act = [...acts].find(([ending]) => pathname.endsWith(ending))?.[1]
      const response = await (act ? act(pass) : pass())
      if (!/event-stream/.test(response.headers.get('content-type') ?? '')) return response
      return new Response(response.body?.pipeThrough(listener(() => journal.push(`${name} speaks`))) ?? null, response)
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}`,
    credentials,
    instead: (ending, act) => void (act ? acts.set(ending, act) : acts.delete(ending)),
    stop: () => server.stop(true),
  }
}

/** Tells when a body says something for the first time. */
function listener(onSpeech: () => void): TransformStream<Uint8Array, Uint8Array> {
  const decoder = new TextDecoder()
  let heard = ''
  let spoke = false
  return new TransformStream({
    transform(piece, controller) {
      if (!spoke) {
        heard += decoder.decode(piece, { stream: true })
        spoke = SPEECH.test(heard)
        if (spoke) onSpeech()
      }
      controller.enqueue(piece)
    },
  })
}
