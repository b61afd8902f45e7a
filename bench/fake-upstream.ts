/**
 * A fake OpenAI-compatible provider that costs next to nothing: raw sockets, prebuilt frames, one shared ticker.
 *
 *   PORT=9001 bun bench/fake-upstream.ts
 *
 * The model name is the order: `bench:<tokens>x<perSecond>` (0 per second = as fast as the socket takes them) or
 * `bench:idle` (one token, then nothing until `POST /release`). Every token carries the time it was written.
 */
import type { Socket } from 'bun'
import { nowUs, writeStamp } from './lib/clock'
import { completionBody, endChunks, ROLE_CHUNK, STREAM_HEAD, TOKEN_CHUNK, TOKEN_STAMP_AT } from './lib/frames'
import { exitWithParent } from './lib/process'
import { type RawRequest, RequestReader } from './lib/raw-request'
import { type Paced, Wheel } from './lib/wheel'

interface Order {
  readonly tokens: number
  /** Tokens per second; 0 = as fast as possible. */
  readonly perSecond: number
  readonly idle: boolean
  readonly withUsage: boolean
}

const wheel = new Wheel()
const idleAnswers = new Set<Answer>()
const stats = { open: 0, peakOpen: 0, answers: 0, tokens: 0 }

/** One socket and the bytes its reader has not yet taken. */
class Connection {
  readonly reader = new RequestReader()
  #unsent: Uint8Array[] = []
  answer: Answer | undefined
  closed = false

  constructor(readonly socket: Socket<Connection | undefined>) {}

  get blocked(): boolean {
    return this.#unsent.length > 0
  }

  /** Writes now, or keeps a copy of what the socket did not take. `bytes` may be reused by the caller. */
  send(bytes: Uint8Array): void {
    if (this.closed) return
    const sent = this.blocked ? 0 : Math.max(0, this.socket.write(bytes))
    if (sent < bytes.length) this.#unsent.push(bytes.slice(sent))
  }

  drain(): void {
    const unsent = this.#unsent
    this.#unsent = []
    for (const bytes of unsent) this.send(bytes)
    if (!this.blocked) this.answer?.resume()
  }
}

/** One streamed answer. */
class Answer implements Paced {
  due = 0
  readonly periodMs: number
  #sent = 0

  constructor(
    readonly connection: Connection,
    readonly order: Order,
  ) {
    this.periodMs = order.perSecond > 0 ? 1000 / order.perSecond : 0
  }

  begin(): void {
    this.connection.answer = this
    stats.answers++
    stats.peakOpen = Math.max(stats.peakOpen, ++stats.open)
    this.connection.send(Buffer.concat([STREAM_HEAD, ROLE_CHUNK]))
    if (this.order.idle) this.#token()
    if (this.order.idle) idleAnswers.add(this)
    else if (this.order.perSecond === 0) this.resume()
    else if (this.beat()) wheel.add(this)
  }

  /** One paced token; false after the last one. */
  beat(): boolean {
    if (this.connection.closed) return false
    if (this.#sent < this.order.tokens) this.#token()
    if (this.#sent < this.order.tokens) return true
    this.finish()
    return false
  }

  /** As fast as possible: writes until the socket is full or the answer is complete. */
  resume(): void {
    if (this.order.perSecond > 0 || this.order.idle) return
    while (!this.connection.blocked && !this.connection.closed && this.#sent < this.order.tokens) this.#token()
    if (this.#sent >= this.order.tokens) this.finish()
  }

  finish(): void {
    this.connection.answer = undefined
    this.connection.send(endChunks(this.#sent, this.order.withUsage))
    this.forget()
  }

  forget(): void {
    idleAnswers.delete(this)
    stats.open--
  }

  #token(): void {
    this.#sent++
    stats.tokens++
    writeStamp(TOKEN_CHUNK, TOKEN_STAMP_AT, nowUs())
    this.connection.send(TOKEN_CHUNK)
  }
}

interface ChatBody {
  model?: string
  stream?: boolean
  stream_options?: { include_usage?: boolean } | null
}

function orderOf(body: ChatBody): Order {
  const model = body.model ?? ''
  const withUsage = body.stream_options?.include_usage === true
  if (model.endsWith('bench:idle')) return { tokens: 1, perSecond: 0, idle: true, withUsage }
  const [, tokens = '8', perSecond = '0'] = /bench:(\d+)x(\d+)$/.exec(model) ?? []
  return {
    tokens: Number(tokens),
    perSecond: Number(perSecond),
    idle: false,
    withUsage,
  }
}

const routes: Readonly<Record<string, (connection: Connection, request: RawRequest) => void>> = {
  'POST /v1/chat/completions': (connection, request) => chat(connection, JSON.parse(request.body) as ChatBody),
  'POST /release': release,
  'GET /ready': (connection) => json(connection, '{"ready":true}'),
  'GET /stats': (connection) => json(connection, JSON.stringify({ ...stats, worstLagMs: wheel.takeWorstLagMs() })),
  'GET /v1/models': (connection) => json(connection, '{"object":"list","data":[{"id":"bench:16x0","object":"model"}]}'),
}

function notFound(connection: Connection): void {
  json(connection, '{"error":{"message":"no such route"}}', '404 Not Found')
}

function chat(connection: Connection, body: ChatBody): void {
  const order = orderOf(body)
  if (body.stream === true) new Answer(connection, order).begin()
  else json(connection, completionBody(order.tokens))
}

/** Ends every idle answer cleanly. */
function release(connection: Connection): void {
  for (const idle of [...idleAnswers]) idle.finish()
  json(connection, '{"released":true}')
}

function json(connection: Connection, body: string, status = '200 OK'): void {
  const head = `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`
  connection.send(Buffer.from(head + body))
}

const server = Bun.listen<Connection | undefined>({
  hostname: '127.0.0.1',
  port: Number(process.env.PORT ?? 0),
  socket: {
    open(socket) {
      socket.setNoDelay(true)
      socket.data = new Connection(socket)
    },
    data(socket, bytes) {
      const connection = socket.data
      if (connection === undefined) return
      for (const request of connection.reader.feed(bytes)) {
        const handle = routes[`${request.method} ${request.path}`] ?? notFound
        handle(connection, request)
      }
    },
    drain(socket) {
      socket.data?.drain()
    },
    close(socket) {
      if (socket.data === undefined) return
      socket.data.closed = true
      socket.data.answer?.forget()
    },
    error(_socket, error) {
      process.stderr.write(`fake upstream: ${error.message}\n`)
    },
  },
})

process.stderr.write(`fake upstream on http://127.0.0.1:${server.port}\n`)
exitWithParent()
