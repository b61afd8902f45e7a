/** One keep-alive connection that asks for one streamed answer at a time, and one conversation to go with it. */
import type { Socket } from 'bun'
import type { Answered, OnToken } from './answered'
import type { Client } from './client'
import type { Aim } from './job'
import { SseResponse } from './sse-response'

/** A conversation is left for a new one after so many turns, so that its history stays short. */
const TURNS_PER_CONVERSATION = 25

export class ChatClient implements Client {
  #socket: Socket<undefined> | undefined
  #response: SseResponse | undefined
  #settle: ((answered: Answered) => void) | undefined
  #conversation: string | undefined
  #turns = 0

  constructor(readonly aim: Aim) {}

  /** Asks and resolves when the response has ended, cleanly or not; never rejects. */
  async ask(onToken: OnToken): Promise<Answered> {
    const response = new SseResponse(onToken)
    try {
      this.#socket ??= await this.#connect()
    } catch (error) {
      response.answered.error = `connect: ${error instanceof Error ? error.message : String(error)}`
      return response.answered
    }
    this.#response = response
    return new Promise((resolve) => {
      this.#settle = resolve
      this.#write(this.request())
    })
  }

  /** Of the stored answer that is being read. */
  get runId(): string | undefined {
    return this.#response?.answered.runId
  }

  close(): void {
    const socket = this.#socket
    this.#lost('not ended within the time limit')
    socket?.terminate()
  }

  #connect(): Promise<Socket<undefined>> {
    return Bun.connect({
      hostname: '127.0.0.1',
      port: this.aim.port,
      socket: {
        open: (socket) => void socket.setNoDelay(true),
        data: (_socket, bytes) => this.#read(bytes),
        close: (socket) => this.#lost('connection closed', socket),
        error: (socket, error) => this.#lost(error.message, socket),
      },
    })
  }

  #write(request: string): void {
    const sent = this.#socket?.write(request) ?? 0
    if (sent !== request.length) this.#lost('request not written')
  }

  #read(bytes: Buffer): void {
    const response = this.#response
    if (response === undefined) return
    response.feed(bytes.toString('latin1'))
    if (response.complete) this.#end(response)
  }

  #end(response: SseResponse): void {
    this.#response = undefined
    this.#turns++
    this.#conversation = response.answered.conversationId ?? this.#conversation
    const isLong = this.#turns % TURNS_PER_CONVERSATION === 0
    if (isLong && this.aim.shape === 'stored') this.#conversation = undefined
    if (response.answered.closes) {
      this.#socket?.end()
      this.#socket = undefined
    }
    this.#settle?.(response.answered)
  }

  /** Ends the request under way, unless it is another socket that was lost. */
  #lost(why: string, socket = this.#socket): void {
    if (socket !== this.#socket) return
    this.#socket = undefined
    const response = this.#response
    if (response === undefined) return
    this.#response = undefined
    response.answered.error ??= why
    this.#settle?.(response.answered)
  }

  protected request(): string {
    const { model, key, port } = this.aim
    const chat =
      this.aim.shape === 'stateless'
        ? { model, messages: [{ role: 'user', content: 'hi' }], stream: true }
        : { model, message: 'hi', conversation_id: this.#conversation }
    const body = JSON.stringify(chat)
    return [
      'POST /v1/chat/completions HTTP/1.1',
      `host: 127.0.0.1:${port}`,
      'content-type: application/json',
      'accept: text/event-stream',
      `authorization: Bearer ${key}`,
      `content-length: ${body.length}`,
      '',
      body,
    ].join('\r\n')
  }
}

/** Reads the stream of a run again, from its first event: another device, at another server. */
export class RunReader extends ChatClient {
  /** @param read the run's id. */
  constructor(
    aim: Aim,
    readonly read: string,
  ) {
    super(aim)
  }

  protected override request(): string {
    return [
      `GET /v1/runs/${this.read}/stream HTTP/1.1`,
      `host: 127.0.0.1:${this.aim.port}`,
      'accept: text/event-stream',
      `authorization: Bearer ${this.aim.key}`,
      '\r\n',
    ].join('\r\n')
  }
}
