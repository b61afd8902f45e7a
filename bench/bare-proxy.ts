/**
 * The floor of the runtime: what a proxy costs on Bun when it does nothing else.
 *
 *   PORT=9002 UPSTREAM=http://127.0.0.1:9001 MODE=pass bun bench/bare-proxy.ts
 *
 * MODE=pass hands the upstream's body on untouched. MODE=parse reads every event (eventsource-parser and JSON.parse)
 * and writes it anew with its own id: the least a server must do that has to know the tokens it delivers.
 * With SUPABASE=http://127.0.0.1:9003 every request first makes the two calls a turn needs of an Edge Function there.
 */
import { createParser } from 'eventsource-parser'
import { exitWithParent } from './lib/process'
import { TwoCalls } from './lib/two-calls'

const upstream = process.env.UPSTREAM ?? 'http://127.0.0.1:9001'
const parse = process.env.MODE === 'parse'
const calls = process.env.SUPABASE ? await TwoCalls.open(process.env.SUPABASE) : undefined
const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
}

interface Chunk {
  id?: string
}

async function ask(request: Request): Promise<Response> {
  return fetch(upstream + new URL(request.url).pathname, {
    method: request.method,
    headers: {
      'content-type': 'application/json',
      authorization: request.headers.get('authorization') ?? '',
    },
    body: await request.text(),
    signal: request.signal,
    timeout: false,
  } as RequestInit)
}

/** Every event of `body`, parsed and written again. Pulls only as fast as the reader reads. */
function reemit(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const id = `chatcmpl-${crypto.randomUUID()}`
  const encoder = new TextEncoder()
  const decoder = new TextDecoder()
  const reader = body.getReader()
  let out = ''
  const parser = createParser({
    onEvent({ data }) {
      out +=
        data === '[DONE]' ? 'data: [DONE]\n\n' : `data: ${JSON.stringify({ ...(JSON.parse(data) as Chunk), id })}\n\n`
    },
  })
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      while (out === '') {
        const { done, value } = await reader.read()
        if (done) return controller.close()
        parser.feed(decoder.decode(value, { stream: true }))
      }
      controller.enqueue(encoder.encode(out))
      out = ''
    },
    cancel: (reason) => reader.cancel(reason),
  })
}

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: Number(process.env.PORT ?? 0),
  idleTimeout: 0,
  async fetch(request) {
    if (request.method === 'GET') return new Response('{"ready":true}')
    await calls?.make()
    const response = await ask(request)
    const body = parse && response.body !== null ? reemit(response.body) : response.body
    return new Response(body, { status: response.status, headers: HEADERS })
  },
})

process.stderr.write(`bare proxy (${parse ? 'parse' : 'pass'}${calls ? ', two calls' : ''}) on ${server.url}\n`)
exitWithParent()
