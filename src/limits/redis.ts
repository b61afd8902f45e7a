import { createHash } from 'node:crypto'
import type Redis from 'ioredis'
import { Patience } from '../lib/patience'
import { capacityMs, costMs, deepestMs, levelOf, waitMs } from './bucket'
import { MemoryLimiter } from './memory'
import { type Ask, type Bucket, HOLD_MS, type Hold, type Limiter, type Taken } from './port'
import { BEAT, CORRECT, RENEW, TAKE } from './scripts'

export interface RedisLimiterOptions {
  /** Which of the servers this is. */
  instanceId: string
  /** Milliseconds that a request waits for Redis before this process counts for it. */
  patienceMs?: number
  /** Milliseconds that Redis is left alone after it did not answer. */
  restMs?: number
  /** Told when counting moves to this process, and back to Redis. */
  onMode?: (mode: Limiter['mode'], reason: unknown) => void
  /** Before all keys. In braces: on a cluster all of them are on one node, so that one script may touch them. */
  prefix?: string
}

const BEAT_EVERY = 5000
/** Milliseconds without a beat after which a server does not count. */
const DEAD_AFTER = 15_000
/** Slots that are renewed in one script: it stops everything else in Redis while it runs. */
const BATCH = 500

/**
 * Counts in Redis for all servers: one script, one round trip for everything that is asked. While Redis is away, slow or
 * read-only, each server grants its share of every bucket by itself.
 */
export class RedisLimiter implements Limiter {
  private readonly local = new MemoryLimiter()
  private readonly prefix: string
  private readonly patience: Patience
  private readonly restMs: number
  private readonly timer: ReturnType<typeof setInterval>
  /** The servers that there are, this one among them, when Redis was last asked. */
  private instances = 1
  private away = false
  /** When Redis is asked again. */
  private askAt = 0

  constructor(
    private readonly redis: Redis,
    private readonly options: RedisLimiterOptions,
  ) {
    const { patienceMs = 50, restMs = 1000, prefix = '{limits}' } = options
    this.patience = new Patience('Redis', patienceMs)
    this.restMs = restMs
    this.prefix = prefix
    this.timer = setInterval(this.beat, BEAT_EVERY)
    this.timer.unref()
    redis.on('ready', this.beat)
    void this.beat()
  }

  get mode(): 'redis' | 'local' {
    return this.away ? 'local' : 'redis'
  }

  async take(ask: Ask): Promise<Taken> {
    if (this.resting()) return this.local.takeNow(this.share(ask))
    try {
      const taken = await this.patience.for(this.ask(ask))
      this.back()
      return taken
    } catch (error) {
      this.rest(error)
      return this.alone(ask)
    }
  }

  async correct(buckets: readonly Bucket[]): Promise<void> {
    if (buckets.length === 0) return
    if (this.away) await this.local.correct(this.shared(buckets))
    const args = buckets.flatMap((bucket) => [costMs(bucket), deepestMs(bucket)])
    await this.quietly(() =>
      this.run(
        SCRIPTS.correct,
        buckets.map(({ key }) => this.key(key)),
        args,
      ),
    )
  }

  async renew(holds: readonly Hold[]): Promise<void> {
    await this.local.renew(holds)
    for (let i = 0; i < holds.length; i += BATCH) {
      const some = holds.slice(i, i + BATCH)
      const args = [HOLD_MS, ...some.map(({ holder }) => holder)]
      await this.quietly(() =>
        this.run(
          SCRIPTS.renew,
          some.map(({ key }) => this.key(key)),
          args,
        ),
      )
    }
  }

  async release(holds: readonly Hold[]): Promise<void> {
    await this.local.release(holds)
    await Promise.all(holds.map(({ key, holder }) => this.quietly(() => this.redis.zrem(this.key(key), holder))))
  }

  async close(): Promise<void> {
    clearInterval(this.timer)
    this.redis.off('ready', this.beat)
    await this.quietly(() => this.redis.zrem(this.key('instances'), this.options.instanceId))
  }

  private async ask({ buckets, slots = [], holder = '' }: Ask): Promise<Taken> {
    const keys = [...buckets, ...slots].map(({ key }) => this.key(key))
    const sums = buckets.flatMap((bucket) => [costMs(bucket), capacityMs(bucket)])
    const places = slots.length > 0 ? [holder, HOLD_MS, ...slots.map(({ most }) => most)] : []
    const answer = (await this.run(SCRIPTS.take, keys, [buckets.length, ...sums, ...places])) as number[]
    const [granted, busy = 0, ...micros] = answer
    const before = micros.map((us) => us / 1000)
    const after = buckets.map((bucket, i) => (before[i] ?? 0) + (granted ? costMs(bucket) : 0))
    this.local.remember(buckets, after)
    if (granted && slots.length > 0) await this.local.renew(slots.map(({ key }) => ({ key, holder })))
    return {
      granted: granted === 1,
      busy: slots[busy - 1]?.name,
      levels: buckets.map((bucket, i) => levelOf(bucket, after[i] ?? 0, waitMs(bucket, before[i] ?? 0))),
    }
  }

  /** Counted here because Redis did not answer. It may have counted all the same, and then it is told who was sent away. */
  private alone(ask: Ask): Taken {
    const taken = this.local.takeNow(this.share(ask))
    const { slots = [], holder = '' } = ask
    if (!taken.granted && slots.length > 0) void this.release(slots.map(({ key }) => ({ key, holder })))
    return taken
  }

  /** Runs a script by its name; a Redis that was restarted must be told it again. */
  private async run({ sha, text }: Script, keys: string[], args: (string | number)[]): Promise<unknown> {
    try {
      return await this.redis.evalsha(sha, keys.length, ...keys, ...args)
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
      return await this.redis.eval(text, keys.length, ...keys, ...args)
    }
  }

  /** While Redis is away one request a while tries it; the others do not wait. */
  private resting(): boolean {
    if (!this.away) return false
    if (performance.now() < this.askAt) return true
    this.askAt = performance.now() + this.restMs
    return false
  }

  private rest(reason: unknown): void {
    this.askAt = performance.now() + this.restMs
    if (this.away) return
    this.away = true
    this.options.onMode?.('local', reason)
  }

  private back(): void {
    if (!this.away) return
    this.away = false
    this.options.onMode?.('redis', undefined)
  }

  /** What this server alone may grant. As full as the whole is: going over to it must not fill anything. */
  private share({ buckets, slots = [], holder = '' }: Ask): Ask {
    const places = slots.map((slot) => ({ ...slot, most: Math.max(1, Math.floor(slot.most / this.instances)) }))
    return { buckets: this.shared(buckets), slots: places, holder }
  }

  private shared(buckets: readonly Bucket[]): Bucket[] {
    const { instances } = this
    return buckets.map((bucket) => {
      // At least one request: a small bucket of many servers would otherwise never have a whole unit.
      const capacity = Math.max(Math.min(bucket.capacity, 1), bucket.capacity / instances)
      return { ...bucket, capacity, perSecond: bucket.perSecond / instances, cost: Math.min(bucket.cost, capacity) }
    })
  }

  private readonly beat = async (): Promise<void> => {
    const { instanceId } = this.options
    await this.quietly(async () => {
      const beat = this.run(SCRIPTS.beat, [this.key('instances')], [DEAD_AFTER, instanceId])
      this.instances = Number(await this.patience.for(beat))
      // It writes, and in time: a server that nobody asks anything of knows that, too.
      this.back()
    })
  }

  private async quietly(work: () => Promise<unknown>): Promise<void> {
    // What cannot be written now mends itself: buckets fill, slots expire.
    await work().catch(() => {})
  }

  private key(key: string): string {
    return `${this.prefix}:${key}`
  }
}

interface Script {
  text: string
  sha: string
}

const script = (text: string): Script => ({ text, sha: createHash('sha1').update(text).digest('hex') })
const SCRIPTS = { take: script(TAKE), correct: script(CORRECT), renew: script(RENEW), beat: script(BEAT) }
