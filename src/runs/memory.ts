import { LRUCache } from 'lru-cache'
import { gapOf, numberAt, placeAfter } from '../lib/run-parts'
import type { RunBatch, RunEvent, RunLog, RunWriter } from './port'
import { isTerminal } from './terminal'

export interface MemoryRunLogOptions {
  /** How long a finished run can be read again, in milliseconds. */
  keepMs?: number
  /** Finished runs kept at most. */
  keep?: number
}

/** The run log of a single process. */
export class MemoryRunLog implements RunLog {
  private readonly running = new Map<string, Log>()
  private readonly finished: LRUCache<string, Log>

  constructor({ keepMs = 300_000, keep = 1000 }: MemoryRunLogOptions = {}) {
    this.finished = new LRUCache({
      max: keep,
      ttl: keepMs,
      // Bounded by what the logs hold, too: a thousand very long answers would not fit.
      maxSize: 64 * 1024 * 1024,
      sizeCalculation: (log) => log.size,
    })
  }

  create(runId: string): RunWriter {
    const log = new Log(gapOf(runId), () => {
      this.running.delete(runId)
      this.finished.set(runId, log)
    })
    this.running.set(runId, log)
    return log
  }

  read(runId: string, after: number): AsyncIterableIterator<RunBatch> | undefined {
    return (this.running.get(runId) ?? this.finished.get(runId))?.read(after)
  }

  async close(): Promise<void> {}
}

/** Events given to a reader in one batch, so that a late reader of a long answer is fed in pieces. */
const MAX_BATCH = 256

class Log implements RunWriter {
  private readonly items: RunEvent[] = []
  private readonly readers = new Set<Reader>()
  private taken = 0
  /** Roughly, in bytes. */
  size = 64

  constructor(
    private readonly gap: number,
    private readonly onClosed: () => void,
  ) {}

  get seq(): number {
    return this.items.length === 0 ? 0 : numberAt(this.items.length - 1, this.gap)
  }

  get delivered(): number {
    return this.readers.size > 0 ? this.seq : this.taken
  }

  get closed(): boolean {
    return isTerminal(this.items.at(-1))
  }

  append(event: RunEvent): number {
    this.items.push(event)
    this.size += typeof event === 'string' ? 32 + event.length : 256
    if (isTerminal(event)) this.onClosed()
    for (const reader of this.readers) reader.wake()
    return this.seq
  }

  truncate(seq: number): void {
    this.items.length = placeAfter(Math.max(seq, this.delivered), this.gap)
  }

  events(after: number): readonly RunEvent[] {
    return this.items.slice(placeAfter(after, this.gap))
  }

  read(after: number): AsyncIterableIterator<RunBatch> {
    const reader = new Reader(this, after, () => this.readers.delete(reader))
    this.readers.add(reader)
    return reader
  }

  /** The batch after `after`; undefined when there is none yet. */
  take(after: number): RunBatch | undefined {
    const place = placeAfter(after, this.gap)
    if (place >= this.items.length) return undefined
    // A batch has numbers without gaps.
    const events = this.items.slice(place, this.gap > 0 && place === 0 ? 1 : place + MAX_BATCH)
    this.taken = Math.max(this.taken, numberAt(place + events.length - 1, this.gap))
    return { seq: numberAt(place, this.gap), events }
  }
}

/** One reader's place in a log. Written by hand rather than as a generator: a generator would not end while it waits. */
class Reader implements AsyncIterableIterator<RunBatch> {
  private waiting: ((result: IteratorResult<RunBatch>) => void) | undefined
  private ended = false

  constructor(
    private readonly log: Log,
    private at: number,
    private readonly onEnd: () => void,
  ) {}

  [Symbol.asyncIterator]() {
    return this
  }

  next(): Promise<IteratorResult<RunBatch>> {
    const result = this.poll()
    if (result) return Promise.resolve(result)
    return new Promise((resolve) => {
      this.waiting = resolve
    })
  }

  async return(): Promise<IteratorResult<RunBatch>> {
    this.end()
    this.waiting?.({ done: true, value: undefined })
    this.waiting = undefined
    return { done: true, value: undefined }
  }

  wake(): void {
    const resolve = this.waiting
    const result = resolve && this.poll()
    if (!result) return
    this.waiting = undefined
    resolve(result)
  }

  private poll(): IteratorResult<RunBatch> | undefined {
    if (this.ended) return { done: true, value: undefined }
    const batch = this.log.take(this.at)
    if (batch) {
      this.at = batch.seq + batch.events.length - 1
      return { done: false, value: batch }
    }
    if (!this.log.closed) return undefined
    this.end()
    return { done: true, value: undefined }
  }

  private end(): void {
    this.ended = true
    this.onEnd()
  }
}
