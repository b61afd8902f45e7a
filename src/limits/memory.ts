import { LRUCache } from 'lru-cache'
import { costMs, deepestMs, levelOf, waitMs } from './bucket'
import { type Ask, type Bucket, HOLD_MS, type Hold, type Limiter, type Slots, type Taken } from './port'

export interface MemoryLimiterOptions {
  /** Milliseconds of a clock that never goes back. */
  now?: () => number
  /** Buckets of one kind that are remembered. The one that was not asked for longest is forgotten first: it is the fullest. */
  keep?: number
}

const KEEP = 50_000

/** Counts in this process, exactly. */
export class MemoryLimiter implements Limiter {
  readonly mode = 'memory'
  /** When buckets will be full. A list for each kind: strangers with many addresses shall not make us forget our own people. */
  private readonly full = new Map<string, LRUCache<string, number>>()
  /** Until when slots are held, by key and holder. */
  private readonly held = new Map<string, Map<string, number>>()
  private readonly now: () => number
  private readonly keep: number

  constructor({ now = () => performance.now(), keep = KEEP }: MemoryLimiterOptions = {}) {
    this.now = now
    this.keep = keep
  }

  async take(ask: Ask): Promise<Taken> {
    return this.takeNow(ask)
  }

  takeNow({ buckets, slots = [], holder = '' }: Ask): Taken {
    const now = this.now()
    const missing = buckets.map((bucket) => this.missing(bucket, now))
    const waits = buckets.map((bucket, i) => waitMs(bucket, missing[i] ?? 0))
    const busy = slots.find((slot) => this.holders(slot, now) >= slot.most)?.name
    const granted = !busy && waits.every((wait) => wait === 0)
    const after = buckets.map((bucket, i) => (missing[i] ?? 0) + (granted ? costMs(bucket) : 0))
    if (granted) {
      for (const [i, bucket] of buckets.entries()) if (bucket.cost > 0) this.set(bucket, now + (after[i] ?? 0))
      this.hold(
        slots.map(({ key }) => ({ key, holder })),
        now,
      )
    }
    return { granted, busy, levels: buckets.map((bucket, i) => levelOf(bucket, after[i] ?? 0, waits[i] ?? 0)) }
  }

  /** Takes over how buckets stand elsewhere. @param missingMs until they are full, in their order. */
  remember(buckets: readonly Bucket[], missingMs: readonly number[]): void {
    const now = this.now()
    for (const [i, bucket] of buckets.entries()) this.set(bucket, now + (missingMs[i] ?? 0))
  }

  async correct(buckets: readonly Bucket[]): Promise<void> {
    const now = this.now()
    for (const bucket of buckets) {
      const missing = this.missing(bucket, now) + costMs(bucket)
      this.set(bucket, now + Math.min(Math.max(missing, 0), deepestMs(bucket)))
    }
  }

  async renew(holds: readonly Hold[]): Promise<void> {
    this.hold(holds, this.now())
  }

  async release(holds: readonly Hold[]): Promise<void> {
    for (const { key, holder } of holds) {
      const held = this.held.get(key)
      if (held?.delete(holder) && held.size === 0) this.held.delete(key)
    }
  }

  async close(): Promise<void> {}

  private hold(holds: readonly Hold[], now: number): void {
    for (const { key, holder } of holds) {
      const held = this.held.get(key) ?? new Map<string, number>()
      this.held.set(key, held.set(holder, now + HOLD_MS))
    }
  }

  /** How many hold one; those whose time is over are forgotten. */
  private holders({ key }: Slots, now: number): number {
    const held = this.held.get(key)
    if (!held) return 0
    for (const [holder, until] of held) if (until <= now) held.delete(holder)
    if (held.size === 0) this.held.delete(key)
    return held.size
  }

  private missing(bucket: Bucket, now: number): number {
    return Math.max((this.full.get(bucket.name)?.get(bucket.key) ?? 0) - now, 0)
  }

  private set({ name, key }: Bucket, full: number): void {
    const known = this.full.get(name) ?? new LRUCache<string, number>({ max: this.keep })
    this.full.set(name, known)
    known.set(key, full)
  }
}
