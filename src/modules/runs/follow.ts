import { logOf } from '../../lib/run-parts'
import type { RunBatch, RunEvent, RunLog } from '../../runs/port'
import type { Run } from '../../store/port'
import type { Watch } from './watch'

/** Looks of the database at a finished run after which its end, if it is not there, is not waited for any more. */
const LOOKS_AFTER_END = 2

export interface FollowOptions {
  log: RunLog
  watch: Watch
  run: Pick<Run, 'id' | 'continued'>
  after: number
  /** How often somebody went on with it by now. @throws when nobody can say */
  continued: () => Promise<number>
  /** The stored answer for a reader that has the events up to `at` and will not get the others. Must not fail. */
  stored: (at: number) => Promise<RunBatch[]>
}

/**
 * Reads a run that is not in this process's log: as others write it, where their events can be seen; otherwise it waits for the
 * end and gives the stored answer. When the run comes to be made here after all, it reads on here; when another process goes on with
 * it, in the log of that one.
 */
export class Follower implements AsyncIterableIterator<RunBatch> {
  private here: AsyncIterableIterator<RunBatch> | undefined
  private at: number
  private looksAfterEnd = 0
  /** What is left of the stored answer, once that is what the reader gets. */
  private rest: RunBatch[] | undefined
  private left = false
  private news = Promise.withResolvers<void>()
  private continued: number
  private readonly unwatch: () => void
  private deaf: (() => void) | undefined

  constructor(private readonly options: FollowOptions) {
    const { watch, run, after } = options
    this.at = after
    this.continued = run.continued
    this.unwatch = watch.add(run.id, (standing, continued = 0) => {
      if (standing && standing !== 'running') this.looksAfterEnd++
      if (continued > this.continued) this.listen(continued)
      this.news.resolve()
    })
    this.listen(run.continued)
  }

  private get logId(): string {
    return logOf({ id: this.options.run.id, continued: this.continued })
  }

  /** To the log that counts from now on. */
  private listen(continued: number): void {
    this.continued = continued
    this.deaf?.()
    this.deaf = this.options.log.shared?.onMore(this.logId, () => this.news.resolve())
  }

  [Symbol.asyncIterator]() {
    return this
  }

  async next(): Promise<IteratorResult<RunBatch>> {
    while (!this.left) {
      // Before looking: what comes while we look is not missed.
      this.news = Promise.withResolvers()
      const { promise } = this.news
      const result = await this.step()
      if (this.left) break
      if (!result) await promise
      else if (result.done) await this.return()
      else return result
    }
    return { done: true, value: undefined }
  }

  async return(): Promise<IteratorResult<RunBatch>> {
    this.left = true
    this.unwatch()
    this.deaf?.()
    this.news.resolve()
    await this.here?.return?.()
    return { done: true, value: undefined }
  }

  /** What there is now; undefined when that is nothing yet. */
  private async step(): Promise<IteratorResult<RunBatch> | undefined> {
    const { log, stored } = this.options
    this.here ??= this.rest ? undefined : log.read(this.logId, this.at)
    if (this.here) return this.fromHere(this.here)
    const looks = this.looksAfterEnd
    const batch = this.rest ? this.rest.shift() : await this.shared()
    if (batch) return { done: false, value: batch }
    if (this.rest) return { done: true, value: undefined }
    if (looks < (log.shared ? LOOKS_AFTER_END : 1)) return undefined
    this.rest = await stored(this.at)
    return this.step()
  }

  private async fromHere(events: AsyncIterator<RunBatch>): Promise<IteratorResult<RunBatch> | undefined> {
    const result = await events.next()
    if (!result.done) this.at = result.value.seq + result.value.events.length - 1
    if (!result.done || this.at > this.options.after || this.left) return result
    // It ended before the number that was asked for.
    this.here = undefined
    this.rest = await this.options.stored(this.at)
    return this.step()
  }

  /** Whether others go on with it, of which this end says nothing. */
  private async wentOn(): Promise<boolean> {
    const continued = await this.options.continued().catch(() => 0)
    if (continued <= this.continued) return false
    this.listen(continued)
    this.news.resolve()
    return true
  }

  /** The next events of another process. */
  private async shared(): Promise<RunBatch | undefined> {
    const { logId } = this
    // Whatever is wrong with it now: there will be another look, and the database knows the end.
    const batch = await this.options.log.shared?.next(logId, this.at).catch(() => undefined)
    // What came from a log that does not count any more is void.
    if (!batch || logId !== this.logId) return undefined
    if (isGivenUp(batch.events.at(-1)) && (await this.wentOn())) return undefined
    this.at = batch.seq + batch.events.length - 1
    if (isLast(batch.events.at(-1))) this.rest = []
    return batch
  }
}

/** A server ends what it was writing: it drains, or others have taken it for dead. */
const isGivenUp = (event: RunEvent | undefined) =>
  typeof event === 'object' && event.type === 'error' && event.error.code === 'UPSTREAM_UNAVAILABLE'

const isLast = (event: RunEvent | undefined) =>
  typeof event === 'object' && (event.type === 'done' || event.type === 'error')
