/**
 * A provider that speaks the Anthropic Messages API on a free loopback port, for tests: POST /v1/messages (streams only)
 * and GET /v1/models. It refuses with 400 what the real one refuses (turns that do not alternate, calls without results,
 * no max_tokens, …). How it answers is chosen by the request's `model`:
 *
 * | model                   | answer                                                                                     |
 * |-------------------------|--------------------------------------------------------------------------------------------|
 * | echo                    | the last user text, word by word                                                           |
 * | tokens:<n>              | `t1 t2 … tn`                                                                               |
 * | slow:<ms>[:<n>]         | 20 (or n) tokens, each after a pause of ms                                                 |
 * | tools[:<k>]             | a sentence, then calls of the first k (1) tools; once their results are there, repeats them |
 * | no-input                | a call without input, whose one piece of JSON is empty                                     |
 * | thinking                | a signed thought, a redacted one, text                                                     |
 * | thinking-tools          | a signed thought, then a call; refuses to go on unless the thought comes back as it was    |
 * | half-frame              | `t1 … t5`, or what is left of it after a beginning; the other fake breaks off in the middle |
 * | stop:<reason>           | text with that `stop_reason`                                                               |
 * | cached                  | counts of cache tokens in `message_start`, the output in `message_delta`                   |
 * | no-usage                | text, no counts anywhere                                                                   |
 * | two-starts, pings       | a second `message_start`; a ping after every event                                         |
 * | unknown                 | events, blocks and deltas of kinds that nobody knows                                       |
 * | huge:<MB>               | one delta of that many MB                                                                  |
 * | no-stop, cut-after:<n>  | no `message_stop`; the socket is destroyed after n tokens                                  |
 * | silent-after:<n>, hang  | n tokens, then nothing; not even headers                                                   |
 * | error-after:<n>[:<type>]| n tokens, then an `error` event (`overloaded_error`, or that type)                         |
 * | status:<code>           | that status and an error that leaks a secret; 429 and 529 add `Retry-After: 7`             |
 * | html, html-502, empty   | a web page with status 200, 502; 200 and an empty body                                     |
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type AnthropicBody, eventsFor, typeOfStatus } from './fake-anthropic-replies'
import { UPSTREAM_SECRET } from './fake-provider'

export interface AnthropicRequest {
  path: string
  headers: Record<string, string>
  body: AnthropicBody
}

export interface FakeAnthropic {
  /** `http://127.0.0.1:PORT`, as `ANTHROPIC_BASE_URL` takes it. */
  url: string
  /** The latest requests, oldest first. */
  requests: AnthropicRequest[]
  /** How many clients left before their answer was complete. */
  aborted(): number
  openStreams(): number
  stop(): Promise<void>
}

const MODELS = ['echo', 'tools', 'thinking', 'half-frame', 'claude-sonnet-4-5']
const HTML = '<!doctype html><html><body><h1>Bad gateway</h1></body></html>'

export function startFakeAnthropic(): FakeAnthropic {
  const requests: AnthropicRequest[] = []
  const open = new Set<AbortController>()
  let aborted = 0
  const server = createServer(async (request, response) => {
    const gone = new AbortController()
    open.add(gone)
    let cut = false
    response.on('close', () => {
      if (!response.writableFinished && !cut) aborted++
      open.delete(gone)
      gone.abort()
    })
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]))
    const path = request.url ?? '/'
    if (path.startsWith('/v1/models')) {
      const data = MODELS.map((id) => ({ type: 'model', id, display_name: id, created_at: '2025-09-29T00:00:00Z' }))
      return json(response, 200, { data, has_more: false })
    }
    const body = JSON.parse(Buffer.concat(chunks).toString() || '{}') as AnthropicBody
    requests.push({ path, headers, body })
    const problem = headers['anthropic-version'] === '2023-06-01' ? problemOf(body) : 'anthropic-version: required'
    if (path !== '/v1/messages' || problem) return json(response, 400, errorBody(400, problem ?? path))
    cut = await play(body, response, gone.signal)
  })
  server.listen(0, '127.0.0.1')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
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

/** @returns whether it broke the connection itself. */
async function play(body: AnthropicBody, response: ServerResponse, signal: AbortSignal): Promise<boolean> {
  const [name = '', first = '', second] = body.model.split(':')
  const status = name === 'status' ? Number(first) : name === 'html-502' ? 502 : 200
  if (name === 'hang') return gone(signal)
  if (name.startsWith('html')) {
    response.writeHead(status, { 'content-type': 'text/html' }).end(HTML)
    return false
  }
  if (name === 'status') {
    if (status === 429 || status === 529) response.setHeader('retry-after', '7')
    json(response, status, errorBody(status, `Refused with ${status}`))
    return false
  }
  const events = eventsFor(body)
  if (!events) {
    json(response, 404, errorBody(404, `model: ${body.model}`))
    return false
  }
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
  response.flushHeaders()
  let tokens = 0
  for (const event of name === 'empty' ? [] : events) {
    if (signal.aborted) return false
    const isToken = event.type === 'content_block_delta'
    if (isToken && /^(cut|silent|error)-after$/.test(name) && tokens++ === Number(first)) {
      if (name === 'silent-after') return gone(signal)
      if (name === 'error-after') {
        const error = { type: second ?? 'overloaded_error', message: `Overloaded (key ${UPSTREAM_SECRET})` }
        response.end(frame({ type: 'error', error }))
        return false
      }
      // What was written must leave before the reset throws it away.
      await Bun.sleep(100)
      response.socket?.destroy()
      return true
    }
    if (isToken && name === 'slow') await Bun.sleep(Number(first))
    response.write(frame(event))
    if (name === 'pings') response.write(frame({ type: 'ping' }))
  }
  response.end()
  return false
}

export const frame = (event: { type: string; [key: string]: unknown }): string =>
  `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`

const gone = (signal: AbortSignal): Promise<boolean> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(false), { once: true }))

const json = (response: ServerResponse, status: number, body: unknown): void =>
  void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))

const errorBody = (status: number, message: string) => ({
  type: 'error',
  error: { type: typeOfStatus(status), message: `${message} (key ${UPSTREAM_SECRET})` },
  request_id: 'req_1',
})

/** What the real API refuses of a request, as far as our adapter could get it wrong. */
function problemOf({ messages, max_tokens, thinking, temperature }: AnthropicBody): string | undefined {
  if (!Number.isInteger(max_tokens)) return 'max_tokens: required'
  if (messages[0]?.role !== 'user') return 'messages: first message must use the "user" role'
  if (thinking?.type === 'enabled' && !(Number(thinking.budget_tokens) >= 1024))
    return 'thinking.budget_tokens: too small'
  if (thinking?.type === 'enabled' && Number(thinking.budget_tokens) >= max_tokens) return 'max_tokens: too small'
  if (thinking && temperature !== undefined) return 'temperature: not with thinking'
  let calls: unknown[] = []
  for (const [i, { role, content }] of messages.entries()) {
    if (i > 0 && messages[i - 1]?.role === role) return 'messages: roles must alternate'
    const blocks = typeof content === 'string' ? [{ type: 'text', text: content }] : content
    if (blocks.length === 0) return 'messages: content must not be empty'
    if (blocks.some((block) => block.type === 'text' && !String(block.text).trim())) return 'text must not be blank'
    const results = blocks.filter(({ type }) => type === 'tool_result').map((block) => block.tool_use_id)
    if (JSON.stringify(results) !== JSON.stringify(calls)) return 'tool_use without tool_result, or the reverse'
    if (blocks.slice(0, results.length).some(({ type }) => type !== 'tool_result')) return 'tool_result must come first'
    calls = blocks.filter(({ type }) => type === 'tool_use').map((block) => block.id)
  }
  const last = messages.at(-1)
  const text = Array.isArray(last?.content) ? last?.content.at(-1)?.text : last?.content
  if (last?.role === 'assistant' && /\s$/.test(String(text)))
    return 'final assistant content cannot end with whitespace'
  return undefined
}
