import type { Choice } from '../store/bank-history'
import { call } from '../support/child'
import { forge, seconds } from '../support/forge'
import { Heard } from './heard'
import type { Prompt } from './marks'
import { socketLine } from './socket-line'
import { type Line, sseLine } from './sse-line'

export interface PersonOptions {
  client: number
  /** Of the account. */
  subject: string
  /** Where the installation is. */
  base: string
  secret: string
  random: Choice
  /** Reads over a thin line, and long answers; only by SSE. Others use either way. */
  slow: boolean
  /** The test is over: nothing is waited for any more. */
  signal: AbortSignal
}

/** Turns of a conversation, at most. */
const TURNS = 6

/** Somebody who asks, reads, is cut off, asks again, and goes on. */
export class Person {
  readonly turns: Heard[] = []
  /** Requests that were refused, by status. */
  readonly refused = new Map<number, number>()
  private readonly token: string
  /** Streams that were begun. */
  readonly streams = { sse: 0, sockets: 0 }
  private readonly lines: Partial<Record<'sockets', Line>> & { sse: Line }
  private conversation: { number: number; turns: number; id: string | undefined } = {
    number: 0,
    turns: 0,
    id: undefined,
  }

  constructor(private readonly options: PersonOptions) {
    this.token = forge({ alg: 'HS256', typ: 'JWT' }, { sub: options.subject, exp: seconds(7200) }, options.secret)
    const way = { base: options.base, token: this.token, signal: options.signal }
    this.lines = { sse: sseLine(way), ...(options.slow ? {} : { sockets: socketLine(way) }) }
  }

  /** Asks one thing after the other while `goesOn`; what was begun is finished. */
  async live(goesOn: () => boolean): Promise<void> {
    const { random, signal } = this.options
    await Bun.sleep(random(1000))
    while (goesOn() && !signal.aborted) {
      await this.turn()
      const { ended } = this.turns.at(-1) ?? {}
      // Who was told that something is wrong looks at it for a moment.
      await Bun.sleep((ended && 'error' in ended ? 1000 : 200) + random(600))
    }
    for (const line of Object.values(this.lines)) line.close()
  }

  private async turn(): Promise<void> {
    const { client, random, signal } = this.options
    const before = this.conversation
    if (before.turns === 0 || before.turns >= 1 + random(TURNS)) {
      this.conversation = { number: before.number + 1, turns: 0, id: undefined }
    }
    const { conversation } = this
    const prompt: Prompt = { client, conversation: conversation.number, turn: conversation.turns++, ...this.size() }
    const heard = new Heard(prompt, crypto.randomUUID())
    this.turns.push(heard)
    const stopAfter = random(20) === 0 ? random(prompt.words * prompt.pause) : undefined
    const stopping = stopAfter === undefined ? undefined : this.stopAfter(heard, stopAfter)
    for (let streams = 0; !heard.ended && !signal.aborted; streams++) {
      if (streams > 0) await Bun.sleep(100 + random(400))
      await this.listen(heard, conversation.id)
      if (streams > 0) heard.resumes++
    }
    conversation.id ??= heard.conversationId
    await stopping
  }

  /** One stream, on either line: whoever was cut off may come back another way. */
  private async listen(heard: Heard, conversationId: string | undefined): Promise<void> {
    const way = this.lines.sockets && this.options.random(2) === 0 ? 'sockets' : 'sse'
    const line = this.lines[way] ?? this.lines.sse
    this.streams[way]++
    const status = await (heard.runId ? line.resume(heard) : line.chat(heard, conversationId))
    if (status === undefined) return
    this.refused.set(status, (this.refused.get(status) ?? 0) + 1)
    // Another server is asked in a moment. All else would be refused again.
    if (!PASSING.has(status)) {
      heard.fault(`it was refused with ${status}`)
      heard.ended = { error: String(status) }
    }
  }

  /** Any server can be asked to stop any answer. Whether it was in time is not known here. */
  private async stopAfter(heard: Heard, ms: number): Promise<void> {
    await Bun.sleep(ms)
    if (!heard.runId || heard.ended) return
    await call({ base: this.options.base }, `/v1/runs/${heard.runId}/stop`, {
      token: this.token,
      method: 'POST',
      signal: AbortSignal.any([this.options.signal, AbortSignal.timeout(15_000)]),
    }).catch(() => {})
  }

  private size() {
    const { random, slow } = this.options
    return slow ? { words: 3000, pause: 0 } : { words: 10 + random(50), pause: 20 + random(40) }
  }
}

/** Somebody else may answer in a moment: the one before is still being written, or the server is away. */
const PASSING = new Set([409, 502, 503, 504])
