import type { AppError } from '../errors'
import type { ChatEvent } from '../llm/port'

/** Gives a place back. Doing so twice changes nothing. */
export type Release = () => void

/**
 * The events of an answer that has a place, or takes one when it is first asked. Written by hand: a generator would cost every
 * event more turns of the queue, and not end while it waits.
 */
export class Placed implements AsyncIterableIterator<ChatEvent> {
  private source: AsyncIterator<ChatEvent> | undefined
  private release: Release | undefined
  private reason: AppError | undefined
  private finished = false
  private left = false

  constructor(
    private readonly open: () => AsyncIterable<ChatEvent>,
    private readonly place: { release?: Release; before?: () => Promise<Release> },
  ) {
    this.release = place.release
  }

  [Symbol.asyncIterator]() {
    return this
  }

  next(): Promise<IteratorResult<ChatEvent>> {
    const { source } = this
    return source ? source.next().then(this.passed, this.failed) : this.first()
  }

  async return(): Promise<IteratorResult<ChatEvent>> {
    this.left = true
    await this.source?.return?.()
    this.release?.()
    return { done: true, value: undefined }
  }

  /** It is about to end before it is complete. */
  cut(error: AppError): void {
    if (!this.finished) this.reason = error
  }

  private async first(): Promise<IteratorResult<ChatEvent>> {
    if (this.place.before) this.release = await this.place.before()
    if (this.left) return this.return()
    try {
      this.source = this.open()[Symbol.asyncIterator]()
    } catch (error) {
      return this.failed(error)
    }
    return this.next()
  }

  private readonly passed = (result: IteratorResult<ChatEvent>): IteratorResult<ChatEvent> => {
    if (!result.done) {
      if (typeof result.value === 'object' && result.value.type === 'finish') this.finished = true
      return result
    }
    this.release?.()
    if (this.reason && !this.finished) throw this.reason
    return result
  }

  private readonly failed = (error: unknown): never => {
    this.release?.()
    throw this.reason ?? error
  }
}
