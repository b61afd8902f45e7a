import type { ChatEvent, Usage } from '../llm/port'

/** How an answer went. */
export interface Went {
  /** What it took, if anybody said. */
  tokens: number | undefined
  /** Nothing was said. */
  silent: boolean
  failed: boolean
}

interface Listener {
  /** Somebody asks for the first event. */
  onBegun: () => void
  /** May be called again: the first time counts. */
  onEnded: (went: Went) => void
}

/** An answer that says when it has ended. Written by hand: a generator would not end while it waits for the next event. */
export class Counted implements AsyncIterableIterator<ChatEvent> {
  private tokens: number | undefined
  private silent = true

  constructor(
    private readonly source: AsyncIterator<ChatEvent>,
    private readonly listener: Listener,
  ) {}

  [Symbol.asyncIterator]() {
    return this
  }

  async next(): Promise<IteratorResult<ChatEvent>> {
    this.listener.onBegun()
    try {
      const result = await this.source.next()
      if (result.done) this.end(false)
      else this.see(result.value)
      return result
    } catch (error) {
      this.end(true)
      throw error
    }
  }

  async return(): Promise<IteratorResult<ChatEvent>> {
    try {
      await this.source.return?.()
    } finally {
      this.end(false)
    }
    return { done: true, value: undefined }
  }

  private see(event: ChatEvent): void {
    if (typeof event === 'string' || event.type === 'delta') this.silent = false
    else if (event.type === 'usage') this.tokens = totalOf(event.usage)
  }

  private end(failed: boolean): void {
    this.listener.onEnded({ tokens: this.tokens, silent: this.silent, failed })
  }
}

/** Not every provider counts, and what one says may be anything. */
const totalOf = ({ total_tokens: total }: Usage): number | undefined =>
  Number.isFinite(total) && total >= 0 ? total : undefined
