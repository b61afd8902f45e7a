import Redis from 'ioredis'
import type { Choice } from '../store/bank-history'
import type { FaultProxy } from '../support/fault-proxy'
import type { Instance } from './instance'
import type { World } from './world'

/** Servers that stay up. One of three answers for all of them only while two are down. */
const LEFT = 1

/** What all lines between servers and what they depend on are like when nothing worse happens. */
const BAD_LINE = { latencyMs: 20, jitterMs: 20 }

/** Breaks things, one after the other, in an order that a seed decides. */
export class Monkey {
  /** What was done, and how often. */
  readonly done = new Map<string, number>()
  /** What is being started again. */
  private readonly mending = new Set<Promise<void>>()
  private redisUp = true
  readonly faults: string[] = []

  constructor(
    private readonly world: World,
    private readonly random: Choice,
  ) {
    for (const proxy of Object.values(world.proxies ?? {})) proxy.set(BAD_LINE)
  }

  /** @param every milliseconds between two deeds, on average. */
  async rage(goesOn: () => boolean, every: number): Promise<void> {
    while (goesOn()) {
      const strikeAt = Date.now() + every / 2 + this.random(every)
      while (goesOn() && Date.now() < strikeAt) await Bun.sleep(50)
      if (goesOn()) this.strike()
    }
  }

  /** Everything is put right again. */
  async rest(): Promise<void> {
    for (const proxy of Object.values(this.world.proxies ?? {})) proxy.clear()
    await Promise.all(this.mending)
  }

  private strike(): void {
    const deeds = [
      ...['kill', 'kill', 'drain', 'redis', 'flush', 'kill+redis'],
      ...(this.world.proxies ? ['cut', 'reset', 'black hole', 'slice', 'cut', 'reset', 'black hole'] : []),
    ]
    this.strikeWith(deeds[this.random(deeds.length)] as string)
  }

  private strikeWith(deed: string): void {
    this.done.set(deed, (this.done.get(deed) ?? 0) + 1)
    if (deed === 'kill' || deed === 'kill+redis') this.mend(this.end((instance) => instance.kill()))
    if (deed === 'drain') this.mend(this.end((instance) => instance.drain()))
    if (deed === 'redis' || deed === 'kill+redis') this.mend(this.withoutRedis())
    if (deed === 'flush') this.mend(this.flush())
    if (this.world.proxies && LINES.has(deed)) {
      const proxy = Object.values(this.world.proxies)[this.random(3)] as FaultProxy
      this.mend(this.disturb(proxy, deed))
    }
  }

  private async end(how: (instance: Instance) => Promise<void>): Promise<void> {
    const up = this.world.instances.filter((instance) => instance.up)
    const instance = up[this.random(Math.max(1, up.length))]
    const pause = this.random(2000)
    if (!instance || up.length <= LEFT) return
    await how(instance)
    await Bun.sleep(pause)
    await instance.start()
  }

  private async withoutRedis(): Promise<void> {
    const pause = 300 + this.random(3000)
    if (!this.redisUp) return
    this.redisUp = false
    await this.world.redis.kill()
    await Bun.sleep(pause)
    await this.world.redis.start()
    this.redisUp = true
  }

  /** All that Redis knew is gone, in the middle of everything. */
  private async flush(): Promise<void> {
    if (!this.redisUp) return
    const redis = new Redis(this.world.redis.url, { maxRetriesPerRequest: 1, retryStrategy: () => null })
    redis.on('error', () => {})
    await redis.flushall().catch(() => {})
    redis.disconnect()
  }

  private async disturb(proxy: FaultProxy, deed: string): Promise<void> {
    if (deed === 'cut') return proxy.cut('end')
    if (deed === 'reset') return proxy.cut('reset')
    const way = deed === 'slice' ? { sliceBytes: 20 + this.random(200) } : { blackHole: true }
    proxy.set({ ...BAD_LINE, ...way })
    await Bun.sleep(3000)
    proxy.set(BAD_LINE)
  }

  private mend(work: Promise<void>): void {
    const mended = work
      .catch((error) => void this.faults.push(Bun.inspect(error)))
      .finally(() => this.mending.delete(mended))
    this.mending.add(mended)
  }
}

const LINES = new Set(['cut', 'reset', 'black hole', 'slice'])
