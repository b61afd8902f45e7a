import type { FrameData } from '../support/read-sse'
import { answerTo, keyOf, type Prompt, strangersIn } from './marks'

/** What a client has of one answer, however often its stream was broken and taken up again. */
export class Heard {
  text = ''
  /** The number of the last event. */
  seq = 0
  runId: string | undefined
  conversationId: string | undefined
  messageId: string | undefined
  /** How it ended: the finish reason, or the code of an error. */
  ended: { finish: string } | { error: string } | undefined
  /** Streams that were begun after the first. */
  resumes = 0
  restarts = 0
  readonly faults: string[] = []

  constructor(
    readonly prompt: Prompt,
    /** The client's for this turn: whoever asks again gets the same answer. */
    readonly key: string,
  ) {}

  /** One event, as SSE and WebSocket bring it. */
  hear({ id, event, data }: { id: number | undefined; event?: string | undefined; data: FrameData }): void {
    if (event === 'restart') {
      this.restart(id)
      return
    }
    if (this.ended) this.fault(`event ${id} came after the end`)
    // Numbers are without gaps. Behind a restart, and behind the beginning of what was stored meanwhile, the rest of the answer
    // comes in one piece, with the numbers of its end.
    if (id !== undefined && id > 0) {
      if (this.seq > 1 && id !== this.seq + 1) this.fault(`event ${id} came after ${this.seq}`)
      this.seq = id
    }
    this.runId ??= stringOf(data.run_id)
    this.conversationId ??= stringOf(data.conversation_id)
    this.messageId ??= stringOf(data.message_id)
    const [choice] = data.choices ?? []
    if (typeof choice?.delta.content === 'string') this.say(choice.delta.content)
    if (data.error) this.ended = { error: `${data.error.code}: ${data.error.message}` }
    else if (choice?.finish_reason) this.ended = { finish: String(data.finish_reason ?? choice.finish_reason) }
  }

  /** The server's word that a stream is complete. */
  done(): void {
    if (!this.ended) this.fault('the stream was complete without an end')
  }

  /** All text is void, and so are the numbers, unless it is the model that begins anew. */
  private restart(id: number | undefined): void {
    this.text = ''
    this.restarts++
    this.seq = id ?? 0
  }

  private say(piece: string): void {
    this.text += piece
    const strangers = strangersIn(piece, this.prompt)
    if (strangers.length > 0) this.fault(`it was told ${strangers[0]}, of somebody else`)
    // Cheap: whatever is wrong in the middle is wrong at the end.
    if (this.text.length > answerTo(this.prompt).length) this.fault('the answer is longer than it can be')
  }

  fault(what: string): void {
    if (this.faults.length < 5) this.faults.push(`${keyOf(this.prompt)} (run ${this.runId}): ${what}`)
  }
}

const stringOf = (value: unknown) => (typeof value === 'string' ? value : undefined)
