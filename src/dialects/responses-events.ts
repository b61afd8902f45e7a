import { type ResponseEvent, sseFrame } from '../lib/sse'

/** Events without frames still have to be something: an empty chunk would end a chunked body. */
const NOTHING = ': -\n\n'

/** Events that carry whole texts, and those that end a response. */
const WHOLE = /\.done$|^response\.(?:completed|incomplete|failed)$|^error$/

/**
 * The events of one response as frames, each with its `sequence_number`. The numbers depend on nothing but what is
 * written, so that whoever writes it again gets the same ones.
 */
export class NumberedEvents {
  private out = ''
  private next = 0
  private wholeOnly = false

  /** @param after the number of the last event that the client has; -1 for none. Infinity writes nothing at all. */
  constructor(private readonly after = -1) {}

  /** What was written since the last time; never empty. */
  take(): string {
    const { out } = this
    this.out = ''
    return out || NOTHING
  }

  /** Goes on after the client's last event without knowing how far it came: only events with whole texts. */
  resumeWhole(): void {
    this.wholeOnly = true
    this.next = this.after + 1
  }

  /** @param fields are asked for only when the event is sent. */
  write(type: ResponseEvent, fields: () => object): void {
    if (this.wholeOnly && !WHOLE.test(type)) return
    const sequence_number = this.next++
    if (sequence_number > this.after)
      this.out += sseFrame(JSON.stringify({ type, ...fields(), sequence_number }), undefined, type)
  }

  /** @param data the JSON text of the event, but for its number and the last bracket. */
  piece(type: ResponseEvent, data: string): void {
    if (this.wholeOnly) return
    const number = this.next++
    if (number > this.after) this.out += sseFrame(`${data},"sequence_number":${number}}`, undefined, type)
  }
}
