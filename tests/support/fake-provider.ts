/**
 * An OpenAI-compatible provider on a free loopback port, for tests: POST /v1/chat/completions (stream or not),
 * POST /v1/embeddings (see fake-embeddings.ts), GET /v1/models, GET /v1/slow/<ms> (JSON after that long). How it answers
 * is chosen by the request's `model`:
 *
 * | model                | streaming answer (without `stream`: the same text, or the same fault, as one JSON body) |
 * |----------------------|------------------------------------------------------------------------------------------|
 * | echo                 | the last user text, word by word                                                         |
 * | tokens:<n>           | `t1 t2 … tn`, at once (`many` = tokens:10000)                                            |
 * | slow:<ms>[:<n>]      | 20 (or n) tokens, each after a pause of ms                                               |
 * | flaky:<n>            | 503 to the first n calls, then echo                                                      |
 * | tools[:<k>]          | calls the first k (1) tools in pieces; arguments: the user text if JSON, else a city     |
 * | call:<name>[:<k>]    | calls the tool of that name, k (1) times one after the other; then repeats its last result |
 * | tool-result          | repeats the tool's result; every tool model does that once a tool message comes last     |
 * | reasoning[:<field>]  | `reasoning_content` (or that field) deltas, then text                                    |
 * | n                    | as many choices as `n` asks, their deltas interleaved                                    |
 * | json                 | a JSON object when `response_format` is given, else a sentence                           |
 * | length, content-filter | text cut short with that finish_reason                                                 |
 * | no-usage             | text, no usage even when asked                                                           |
 * | no-done              | finish_reason, but no `[DONE]`                                                           |
 * | no-finish            | text, then a clean end: neither finish_reason nor `[DONE]`                               |
 * | bom, comments, crlf  | a byte order mark first; comment frames between; CRLF line ends, split inside a CRLF      |
 * | split-utf8           | Cyrillic and emoji, every byte of them in a packet of its own                            |
 * | long-line[:<MB>]     | one data line of 10 (or that many) MB                                                    |
 * | half-frame           | three tokens, then half a data line and a clean end                                      |
 * | cut-after:<n>        | n tokens, then the socket is destroyed                                                   |
 * | silent               | status and headers, then nothing                                                         |
 * | silent-after:<n>     | n tokens, then nothing                                                                   |
 * | hang                 | not even headers                                                                         |
 * | error-frame          | 200, then an error frame as the first data                                               |
 * | error-after:<n>      | n tokens, then an error frame                                                            |
 * | status:<code>        | that status and an OpenAI error that leaks a secret; 429 adds `Retry-After: 7`            |
 * | html, html-502       | a web page with status 200, 502                                                          |
 * | empty                | 200 and an empty body                                                                    |
 * | (anything else)      | 404 model_not_found                                                                      |
 *
 * Usage comes in its own last chunk when `stream_options.include_usage` asks: prompt_tokens = words of all messages,
 * completion_tokens = pieces streamed. It runs on node:http, as Bun.serve can neither send headers before a body
 * nor destroy a socket.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type ChatBody, type Exchange, FAKE_MODELS, play, UPSTREAM_SECRET } from './fake-behaviours'
import { answerEmbeddings } from './fake-embeddings'

export { type ChatBody, UPSTREAM_SECRET }

export type RecordedRequest = {
  method: string
  path: string
  headers: Record<string, string>
  body: ChatBody | undefined
  /** The client left before the answer was complete. */
  aborted: boolean
}

export type FakeProvider = {
  /** Base URL, as `http://127.0.0.1:PORT/v1`. */
  url: string
  /** The latest requests, oldest first. */
  requests: RecordedRequest[]
  /** How many clients left before their answer was complete. */
  aborted(): number
  /** How many answers are under way. */
  openStreams(): number
  stop(): Promise<void>
}

const REMEMBERED_REQUESTS = 500

/** @param plays names of models, first in its list, and the model of the table above that each behaves like. */
export function startFakeProvider(plays: Record<string, string> = {}): FakeProvider {
  const requests: RecordedRequest[] = []
  const calls = new Map<string, number>()
  const open = new Set<AbortController>()
  let aborted = 0

  const server = createServer(async (request, response) => {
    const record = newRecord(request)
    requests.push(record)
    if (requests.length > REMEMBERED_REQUESTS) requests.shift()
    const gone = new AbortController()
    const exchange: Exchange = {
      response,
      signal: gone.signal,
      cut: false,
      calls,
    }
    open.add(gone)
    response.on('close', () => {
      if (!response.writableFinished && !exchange.cut) {
        record.aborted = true
        aborted += 1
      }
      open.delete(gone)
      gone.abort()
    })
    try {
      await answer(record, { text: await readBody(request), plays }, exchange)
    } catch (error) {
      if (!gone.signal.aborted) process.stderr.write(`fake provider failed: ${String(error)}\n`)
      response.destroy()
    }
  })
  server.listen(0, '127.0.0.1')

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    aborted: () => aborted,
    openStreams: () => open.size,
    stop: () =>
      new Promise((resolve) => {
        for (const gone of open) gone.abort()
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function newRecord(request: IncomingMessage): RecordedRequest {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(request.headers)) headers[name] = String(value)
  const path = (request.url ?? '/').split('?')[0] ?? '/'
  return {
    method: request.method ?? 'GET',
    path,
    headers,
    body: undefined,
    aborted: false,
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

function parseBody(text: string): ChatBody | undefined {
  try {
    const body = JSON.parse(text) as ChatBody
    return typeof body.model === 'string' && Array.isArray(body.messages) ? body : undefined
  } catch {
    return undefined
  }
}

interface Received {
  text: string
  plays: Record<string, string>
}

async function answer(record: RecordedRequest, { text, plays }: Received, exchange: Exchange): Promise<void> {
  const route = `${record.method} ${record.path}`
  if (route === 'POST /v1/chat/completions') {
    record.body = parseBody(text)
    const { body } = record
    if (body) return play({ ...body, model: plays[body.model] ?? body.model }, exchange)
    const error = {
      message: 'Not a chat request',
      type: 'invalid_request_error',
      param: null,
      code: null,
    }
    return json(exchange.response, 400, { error })
  }
  if (route === 'POST /v1/embeddings') {
    record.body = JSON.parse(text)
    return answerEmbeddings(JSON.parse(text), exchange.response)
  }
  if (route === 'GET /v1/models') {
    const data = [...Object.keys(plays), ...FAKE_MODELS].map((id) => ({
      id,
      object: 'model',
      created: 1_700_000_000,
      owned_by: 'fake',
    }))
    return json(exchange.response, 200, { object: 'list', data })
  }
  const slow = route.match(/^GET \/v1\/slow\/(\d+)$/)
  if (slow) {
    await Bun.sleep(Number(slow[1]))
    return json(exchange.response, 200, { ok: true })
  }
  json(exchange.response, 404, {
    error: { message: `No route ${route}`, type: 'invalid_request_error' },
  })
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
