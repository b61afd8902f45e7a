import type { ChainableCommander, Redis } from 'ioredis'
import { gapOf, numberAt, placeAfter } from '../lib/run-parts'
import { type Entry, streamOf, toEntries } from './entries'
import type { RunWriter } from './port'

/** Milliseconds between two appends to a stream, and two tries while Redis does not take them. */
const TICK = 50
const RETRY = 500
/** Entries of a stream at most. Before it is full it is written anew, with as many events to an entry as fit. */
const MAX_ENTRIES = 10_000
/** Characters sent in one go, for one stream and for all. */
const ROOM = 256 * 1024
const ROOM_FOR_ALL = 16 * ROOM
/** Seconds that a stream is kept: while it is written (again from each `REFRESH` on), and after its end. */
const RUNNING_FOR = 7200
const REFRESH = 600
const KEPT_FOR = 3600
/** Ended answers that Redis has not got, kept at most: how many, and how many characters. */
const MAX_LATE = 1000
const MAX_LATE_SIZE = 32 * 1024 * 1024

/** How far the stream of one run is. */
export interface Appended {
  runId: string
  writer: RunWriter
  /** No more events come. */
  ended: boolean
  /** Roughly, in characters. */
  size: number
  /** The last event that surely is in the stream; 0 also when the stream is not to be trusted and begins anew. */
  acked: number
  /** The last event that may be in it: somebody may have read that. */
  sent: number
  /** Entries that must be in it by now. */
  entries: number
  /** When its expiry was last set. */
  refreshed: number
}

export interface AppenderOptions {
  redis: Redis
  /** Called when a stream has grown. */
  onGrown: (runId: string) => void
  /** Milliseconds between two appends, and entries of a stream; tests have others. */
  tickMs?: number | undefined
  maxEntries?: number | undefined
}

/**
 * Copies what this process's runs say to Redis: all of them in one pipeline, at most every 50 ms. There is no buffer but the runs
 * themselves. An entry's id is its last event's number, so none can be there twice; `NOMKSTREAM` and the length tell when a stream
 * was lost or is not what was written. Then, and when an append went wrong in any way, it is written anew from the first event.
 */
export class Appender {
  private readonly dirty = new Set<Appended>()
  private readonly late = new Set<Appended>()
  private lateSize = 0
  private timer: ReturnType<typeof setTimeout> | undefined
  private flushing: Promise<void> | undefined
  /** An answer has ended during a flush. */
  private urgent = false
  private failing = false
  private closed = false

  constructor(private readonly options: AppenderOptions) {}

  get works(): boolean {
    return this.options.redis.status === 'ready' && !this.failing
  }

  /** There is more to copy. */
  add(stream: Appended): void {
    this.dirty.add(stream)
    if (stream.ended) this.addEnded(stream)
    else this.schedule()
  }

  /** Copies what there is to copy, if Redis takes it at once. */
  async close(): Promise<void> {
    await this.flushing
    await this.flush(() => true)
    this.closed = true
    clearTimeout(this.timer)
  }

  /** Readers elsewhere shall see the end as soon as those here; the streams that go on keep to their pace. */
  private addEnded(stream: Appended): void {
    this.late.add(stream)
    this.lateSize += stream.size
    for (const oldest of this.late) {
      if (this.late.size <= MAX_LATE && this.lateSize <= MAX_LATE_SIZE) break
      this.dirty.delete(oldest)
      this.release(oldest)
    }
    this.urgent = true
    if (!this.failing) void this.flush(({ ended }) => ended)
    this.schedule()
  }

  private release(stream: Appended): void {
    if (this.late.delete(stream)) this.lateSize -= stream.size
  }

  private schedule(): void {
    if (this.closed) return
    const ms = this.failing ? RETRY : (this.options.tickMs ?? TICK)
    this.timer ??= setTimeout(() => {
      this.timer = undefined
      void this.flush(() => true)
    }, ms)
  }

  /** One at a time: what comes meanwhile goes with the next one. Never throws. */
  private flush(wanted: (stream: Appended) => boolean): Promise<void> {
    if (this.flushing) return this.flushing
    this.urgent = false
    this.flushing = this.append(wanted).then((went) => {
      this.flushing = undefined
      this.failing = !went
      if (this.dirty.size === 0 || this.closed) return
      this.schedule()
      if (this.urgent && went) void this.flush(({ ended }) => ended)
    })
    return this.flushing
  }

  /** @returns whether Redis took anything, or there was nothing to take. */
  private async append(wanted: (stream: Appended) => boolean): Promise<boolean> {
    const { redis } = this.options
    if (redis.status !== 'ready') return false
    const pipeline = redis.pipeline()
    const plans: Plan[] = []
    // While it takes nothing, it is asked with little.
    let room = this.failing ? ROOM : ROOM_FOR_ALL
    for (const stream of this.dirty) {
      if (room <= 0) break
      if (!wanted(stream)) continue
      this.dirty.delete(stream)
      if (stream.entries >= (this.options.maxEntries ?? MAX_ENTRIES)) Object.assign(stream, { acked: 0, entries: 0 })
      const plan = planOf(stream, pipeline)
      room -= plan.size
      plans.push(plan)
    }
    if (plans.length === 0) return true
    const results = (await pipeline.exec().catch(() => null)) ?? []
    const went = plans.map((plan) => this.settle(plan, results.splice(0, plan.commands)))
    return went.includes(true)
  }

  /** @param results of the stream's commands; the last one tells its length. @returns whether it is as it should be. */
  private settle({ stream, entries, commands }: Plan, results: [Error | null, unknown][]): boolean {
    const taken = results.length === commands && results.every(([error, reply]) => !error && reply !== null)
    const went = taken && results.at(-1)?.[1] === stream.entries + entries.length
    stream.acked = went ? (entries.at(-1)?.last ?? stream.acked) : 0
    stream.entries = went ? stream.entries + entries.length : 0
    if (went) this.options.onGrown(stream.runId)
    if (stream.acked < stream.writer.seq) this.again(stream)
    else if (stream.ended) this.release(stream)
    return went
  }

  /** Of what was given up meanwhile, nothing more is copied. */
  private again(stream: Appended): void {
    if (!stream.ended || this.late.has(stream)) this.dirty.add(stream)
  }
}

interface Plan {
  stream: Appended
  entries: Entry[]
  commands: number
  size: number
}

/** What is not in it yet. An entry has numbers without gaps. */
function entriesOf({ runId, writer, acked }: Appended): Entry[] {
  const gap = gapOf(runId)
  const events = writer.events(acked)
  if (gap === 0 || acked > 0) return toEntries(numberAt(placeAfter(acked, gap), gap), events, ROOM)
  return [...toEntries(1, events.slice(0, 1), ROOM), ...toEntries(numberAt(1, gap), events.slice(1), ROOM)]
}

/** Puts the commands for a stream into the pipeline. */
function planOf(stream: Appended, pipeline: ChainableCommander): Plan {
  const key = streamOf(stream.runId)
  const anew = stream.entries === 0
  const entries = entriesOf(stream)
  const before = pipeline.length
  if (anew) pipeline.del(key)
  for (const [i, { last, fields }] of entries.entries()) {
    if (anew && i === 0) pipeline.xadd(key, `${last}-0`, ...fields)
    else pipeline.xadd(key, 'NOMKSTREAM', `${last}-0`, ...fields)
  }
  const last = entries.at(-1)?.last ?? stream.acked
  stream.sent = Math.max(stream.sent, last)
  const whole = stream.ended && last === stream.writer.seq
  if (anew || whole || Date.now() - stream.refreshed > REFRESH * 1000) {
    pipeline.expire(key, whole ? KEPT_FOR : RUNNING_FOR)
    stream.refreshed = Date.now()
  }
  pipeline.xlen(key)
  const size = entries.reduce((sum, { fields }) => sum + fields[3].length, 0)
  return { stream, entries, commands: pipeline.length - before, size }
}
