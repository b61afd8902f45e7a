import type { ChatEvent, ChatModel } from '../llm/port'
import { Counted, type Went } from './counted'
import type { Bucket, Hold, Limiter } from './port'

/** Leave to have one answer made: its tokens are taken, and its place among those that are made at once. */
export interface Pass {
  /** The same answer. When it has ended its place is given back, and the tokens are corrected by what it took. */
  over(events: AsyncIterable<ChatEvent>, signal: AbortSignal): AsyncIterable<ChatEvent>
  /** The same for a model that is asked once. */
  around(model: ChatModel): ChatModel
  /** The same for what is no answer piece by piece. @param tokens what it took; undefined: as was expected. */
  ended(tokens: number | undefined): void
  /** Nobody was asked: everything is given back. Does nothing once an answer is counted, or has ended. */
  leave(): void
}

/** For those whom nothing limits. */
export const FREE: Pass = { over: (events) => events, around: (model) => model, ended() {}, leave() {} }

export interface TakenPass {
  limiter: Limiter
  /** With the tokens that were taken as their cost. */
  buckets: readonly Bucket[]
  holds: readonly Hold[]
  /** Called once, when the place is given back. */
  onOver: () => void
}

export class HeldPass implements Pass {
  private counted = false
  private given = false
  /** Whether somebody has begun to read the answer. */
  begun = false

  constructor(private readonly taken: TakenPass) {}

  get holds(): readonly Hold[] {
    return this.taken.holds
  }

  around(model: ChatModel): ChatModel {
    this.counted = true
    return { stream: (request, signal) => this.over(model.stream(request, signal), signal) }
  }

  over(events: AsyncIterable<ChatEvent>, signal: AbortSignal): AsyncIterable<ChatEvent> {
    this.counted = true
    return new Counted(events[Symbol.asyncIterator](), {
      onBegun: () => {
        this.begun = true
      },
      onEnded: (went) => this.ended(tokensOf(went, signal)),
    })
  }

  leave(): void {
    if (!this.counted) this.ended(0)
  }

  ended(tokens: number | undefined): void {
    if (this.given) return
    this.given = true
    const { limiter, buckets, holds, onOver } = this.taken
    onOver()
    if (holds.length > 0) void limiter.release(holds)
    if (tokens === undefined) return
    const wrong = buckets.filter(({ cost }) => cost !== tokens)
    if (wrong.length > 0) void limiter.correct(wrong.map((bucket) => ({ ...bucket, cost: tokens - bucket.cost })))
  }
}

/** An answer that failed before its first piece, with nobody having left, costs its askers nothing. */
const tokensOf = ({ tokens, silent, failed }: Went, signal: AbortSignal): number | undefined =>
  tokens ?? (failed && silent && !signal.aborted ? 0 : undefined)
