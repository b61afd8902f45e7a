/**
 * What the fake provider answers: the model name picks a reply (what it says) and a wire (how the bytes of a stream
 * leave). The table of names is in fake-provider.ts.
 */
import type { ServerResponse } from 'node:http'
import { type ChatBody, replyFor } from './fake-replies'
import { encodeCompletion, encodeFrames } from './fake-wire'

export type { ChatBody }

/** In every upstream error text: must never reach a client of ours. */
export const UPSTREAM_SECRET = 'sk-upstream-secret-123'

/** One request being answered; `signal` aborts when its client leaves or the provider stops. */
export type Exchange = {
  response: ServerResponse
  signal: AbortSignal
  cut: boolean
  calls: Map<string, number>
}

/** Bytes to send, or a thing to do to the connection. */
type Step = string | Uint8Array | { wait: number } | 'silence' | 'cut'

const EXAMPLE_MODELS =
  'echo tokens:20 slow:50 flaky:1 tools tool-result reasoning n json length content-filter no-usage'
const FAULTY_MODELS =
  'no-done no-finish bom comments crlf split-utf8 long-line many half-frame cut-after:3 silent silent-after:3 hang ' +
  'error-frame error-after:3 status:429 status:500 html html-502 empty'
export const FAKE_MODELS = `${EXAMPLE_MODELS} ${FAULTY_MODELS}`.split(' ')

const SSE = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
}
const JSON_TYPE = { 'content-type': 'application/json' }
const HTML = '<!doctype html><html><body><h1>Bad gateway</h1></body></html>'
const ERROR_FRAME = `data: ${JSON.stringify(upstreamError(500, 'Upstream broke'))}\n\n`

export async function play(body: ChatBody, exchange: Exchange): Promise<void> {
  const [name = '', ...args] = body.model.split(':')
  const { response, signal } = exchange
  const failure = failureFor(name, args[0], body.model, exchange)
  if (failure) {
    response.writeHead(failure.status, failure.headers).end(failure.text)
    return
  }
  if (name === 'hang') return until(signal)

  const reply = replyFor(name, args, body)
  if (!reply) {
    const error = upstreamError(404, `The model ${body.model} does not exist`, 'model_not_found')
    response.writeHead(404, JSON_TYPE).end(JSON.stringify(error))
    return
  }
  response.writeHead(200, body.stream ? SSE : JSON_TYPE)
  response.flushHeaders()
  const steps = body.stream
    ? streamSteps(name, args, encodeFrames(reply, body), reply.delayMs)
    : bodySteps(name, encodeCompletion(reply, body), reply.delayMs * reply.deltas.length)
  for (const step of steps) {
    if (signal.aborted) return
    if (step === 'silence') return until(signal)
    if (step === 'cut') {
      exchange.cut = true
      response.socket?.destroy()
      return
    }
    if (typeof step === 'object' && 'wait' in step) await pause(step.wait, signal)
    else if (!response.write(step)) await drained(response, signal)
  }
  response.end()
}

type Failure = {
  status: number
  headers: Record<string, string>
  text: string
}

function failureFor(name: string, arg: string | undefined, model: string, exchange: Exchange): Failure | undefined {
  if (name === 'html')
    return {
      status: 200,
      headers: { 'content-type': 'text/html' },
      text: HTML,
    }
  if (name === 'html-502')
    return {
      status: 502,
      headers: { 'content-type': 'text/html' },
      text: HTML,
    }
  if (name === 'empty') return { status: 200, headers: SSE, text: '' }
  const calls = (exchange.calls.get(model) ?? 0) + 1
  exchange.calls.set(model, calls)
  const status = name === 'status' ? Number(arg) : name === 'flaky' && calls <= Number(arg) ? 503 : undefined
  if (status === undefined) return undefined
  const headers = status === 429 ? { ...JSON_TYPE, 'retry-after': '7' } : JSON_TYPE
  return {
    status,
    headers,
    text: JSON.stringify(upstreamError(status, `Refused with ${status}`)),
  }
}

function upstreamError(status: number, message: string, code: string | null = null) {
  const type = status === 429 ? 'rate_limit_error' : status >= 500 ? 'server_error' : 'invalid_request_error'
  return {
    error: {
      message: `${message} (key ${UPSTREAM_SECRET})`,
      type,
      param: null,
      code,
    },
  }
}

/** Frames are: the role, one per delta, the finish of each choice, usage if asked, `[DONE]`. */
function* streamSteps(name: string, args: string[], frames: string[], delayMs: number): Generator<Step> {
  const kept = Number(args[0] ?? 3) + 1
  switch (name) {
    case 'silent':
      return yield 'silence'
    case 'error-frame':
      return yield ERROR_FRAME
    case 'silent-after':
      yield* frames.slice(0, kept)
      return yield 'silence'
    case 'error-after':
      yield* frames.slice(0, kept)
      return yield ERROR_FRAME
    case 'cut-after':
      yield* frames.slice(0, kept)
      // What was written must leave before the reset throws it away.
      yield { wait: 100 }
      return yield 'cut'
    case 'half-frame': {
      yield* frames.slice(0, kept)
      const next = frames[kept] ?? ''
      return yield next.slice(0, next.length / 2)
    }
    case 'bom':
      yield '\ufeff'
      return yield* frames
    case 'comments':
      for (const frame of frames) yield `: keep-alive\n\n${frame}`
      return
    case 'crlf':
      for (const frame of frames) {
        const [head = '', ...rest] = frame.replaceAll('\n', '\r\n').split(/(?<=\r)/)
        yield head
        yield { wait: 1 }
        yield rest.join('')
      }
      return
    case 'split-utf8':
      for (const frame of frames) yield* byteByByte(frame)
      return
  }
  for (const frame of frames) {
    if (delayMs > 0 && frame.includes('"delta":{"content"')) yield { wait: delayMs }
    yield frame
  }
}

/** ASCII runs stay whole; each byte of anything else is a write of its own. */
function* byteByByte(frame: string): Generator<Step> {
  for (const piece of frame.match(/[\x20-\x7e]+|[^\x20-\x7e]/gu) ?? []) {
    for (const byte of /^[\x20-\x7e]/.test(piece) ? [piece] : Array.from(Buffer.from(piece), (b) => Buffer.of(b))) {
      yield byte
      yield { wait: 1 }
    }
  }
}

function* bodySteps(name: string, body: string, delayMs: number): Generator<Step> {
  if (delayMs > 0) yield { wait: delayMs }
  const half = body.slice(0, body.length / 2)
  switch (name) {
    case 'silent':
      return yield 'silence'
    case 'error-frame':
    case 'error-after':
      return yield ERROR_FRAME.slice('data: '.length)
    case 'half-frame':
      return yield half
    case 'silent-after':
      yield half
      return yield 'silence'
    case 'cut-after':
      yield half
      yield { wait: 100 }
      return yield 'cut'
    default:
      yield body
  }
}

const until = (signal: AbortSignal): Promise<void> => pause(2 ** 31 - 1, signal)

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    response.once('drain', resolve)
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
