/** Whoever asks for one streamed answer at a time. */
import type { Answered, OnToken } from './answered'

export interface Client {
  /** Asks and resolves when the answer has ended, cleanly or not; never rejects. */
  ask(onToken: OnToken): Promise<Answered>
  close(): void
}
