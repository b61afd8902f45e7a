/**
 * One WebSocket to `/v1/ws` and one chat at a time on it, over a raw socket: ten thousand of Bun's own `WebSocket` would cost the
 * load more than they cost the server.
 */
import type { Socket } from 'bun'
import { type Answered, type OnToken, readChunk, unanswered } from './answered'
import type { Client } from './client'
import type { Aim } from './job'
import { CLOSE, clientFrame, type Frame, FrameReader, PING, PONG, TEXT } from './ws-frames'

interface Asked {
  readonly answered: Answered
  readonly onToken: OnToken
  readonly settle: (answered: Answered) => void
}

/** What is there when the server has said `ready`. */
type Opening = PromiseWithResolvers<void>

export class SocketClient implements Client {
  readonly #frames = new FrameReader()
  readonly #opening: Opening = Promise.withResolvers()
  #socket: Socket<undefined> | undefined
  #head = ''
  #upgraded = false
  #asked: Asked | undefined
  #lostBy: string | undefined

  constructor(readonly aim: Aim) {}

  /** Connects and signs in; the first `ask` does so too. @throws when the server does not say `ready`. */
  open(): Promise<void> {
    if (this.#socket === undefined && this.#lostBy === undefined) void this.#connect()
    return this.#opening.promise
  }

  async ask(onToken: OnToken): Promise<Answered> {
    const answered = unanswered()
    try {
      await this.open()
    } catch (error) {
      answered.error = `socket: ${error instanceof Error ? error.message : String(error)}`
      return answered
    }
    answered.status = 200
    if (this.#lostBy !== undefined) return { ...answered, error: this.#lostBy }
    return new Promise((settle) => {
      this.#asked = { answered, onToken, settle }
      const chat = { type: 'chat', id: '1', model: this.aim.model, message: 'hi' }
      this.#send(clientFrame(TEXT, JSON.stringify(chat)))
    })
  }

  close(): void {
    const socket = this.#socket
    this.#lost('not ended within the time limit')
    socket?.terminate()
  }

  async #connect(): Promise<void> {
    try {
      this.#socket = await Bun.connect({
        hostname: '127.0.0.1',
        port: this.aim.port,
        socket: {
          open: (socket) => {
            socket.setNoDelay(true)
            socket.write(this.#handshake())
          },
          data: (_socket, bytes) => this.#read(bytes),
          close: () => this.#lost('connection closed'),
          error: (_socket, error) => this.#lost(error.message),
        },
      })
    } catch (error) {
      this.#lost(error instanceof Error ? error.message : String(error))
    }
  }

  #handshake(): string {
    return [
      'GET /v1/ws HTTP/1.1',
      `host: 127.0.0.1:${this.aim.port}`,
      'connection: Upgrade',
      'upgrade: websocket',
      'sec-websocket-version: 13',
      'sec-websocket-key: YSBrZXkgZm9yIGJlbmNoLg==',
      `authorization: Bearer ${this.aim.key}`,
      '\r\n',
    ].join('\r\n')
  }

  #read(bytes: Buffer): void {
    if (this.#upgraded) this.#frames.feed(bytes, this.#seen)
    else this.#upgrade(bytes.toString('latin1'))
  }

  #upgrade(text: string): void {
    this.#head += text
    const end = this.#head.indexOf('\r\n\r\n')
    if (end < 0) return
    this.#upgraded = this.#head.startsWith('HTTP/1.1 101')
    if (this.#upgraded) this.#frames.feed(Buffer.from(this.#head.slice(end + 4), 'latin1'), this.#seen)
    else this.#lost(this.#head.slice(0, 300))
  }

  readonly #seen = ({ opcode, payload }: Frame): void => {
    if (opcode === TEXT) this.#message(payload)
    else if (opcode === PING) this.#send(clientFrame(PONG, payload))
    else if (opcode === CLOSE) this.#lost(`closed by the server: ${payload.slice(2)}`)
  }

  #message(text: string): void {
    const type = /^\{"type":"(\w+)"/.exec(text)?.[1]
    if (type === 'ready') this.#opening.resolve()
    if (this.#asked === undefined) return
    const { answered, onToken } = this.#asked
    if (type === 'event') readChunk(text, answered, onToken)
    if (type === 'done') answered.done++
    if (type === 'error') answered.error ??= text.slice(0, 300)
    if (type === 'done' || type === 'error') this.#end()
  }

  #end(): void {
    const asked = this.#asked
    this.#asked = undefined
    asked?.settle(asked.answered)
  }

  #lost(why: string): void {
    this.#lostBy ??= why
    this.#socket = undefined
    this.#opening.reject(new Error(why))
    // Nobody may be waiting for it any more.
    this.#opening.promise.catch(() => {})
    if (this.#asked !== undefined) this.#asked.answered.error ??= why
    this.#end()
  }

  #send(bytes: Buffer): void {
    const sent = this.#socket?.write(bytes) ?? 0
    if (sent !== bytes.length) this.#lost('message not written')
  }
}
