import type Redis from 'ioredis'
import { MemoryBus } from '../bus/memory'
import { KeptCache } from '../cache/kept'
import { MemoryShelf } from '../cache/memory'
import type { CacheOptions } from '../cache/port'
import { MemoryLimiter } from '../limits/memory'
import type { Limiter } from '../limits/port'
import { RedisLimiter } from '../limits/redis'
import type { Log } from '../log'
import type { RedisUse } from '../modules/health/service'
import type { Metrics } from '../plugins/metrics'
import { MemoryRunLog } from '../runs/memory'

export async function openRedis(url: string, log: Log): Promise<Redis> {
  // Not loaded without one.
  const { default: Redis } = await import('ioredis')
  // Fail fast: a request must never wait for a Redis that is away.
  const redis = new Redis(url, {
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    connectTimeout: 1000,
    commandTimeout: 500,
  })
  redis.on('error', (err) => log.warn({ err }, 'redis'))
  return redis
}

/** What servers tell each other: short messages, and what their answers say. Through Redis where there is one. */
export async function openBetween(redis: Redis | undefined) {
  if (!redis) {
    const bus = new MemoryBus()
    return { bus, runLog: new MemoryRunLog(), uses: [], close: () => bus.close() }
  }
  const [{ RedisBus }, { RedisRunLog }] = await Promise.all([import('../bus/redis'), import('../runs/redis')])
  const bus = new RedisBus(redis)
  // A connection of its own: long pieces of answers shall not stand in the way of short questions.
  const forRuns = redis.duplicate({ commandTimeout: 1000 })
  // The first connection tells of the same troubles.
  forRuns.on('error', () => {})
  const runLog = new RedisRunLog({ redis: forRuns, bus })
  const uses: RedisUse[] = [
    { name: 'bus', mode: () => bus.mode },
    { name: 'run_log', mode: () => runLog.mode },
  ]
  return {
    bus,
    runLog,
    uses,
    async close() {
      await runLog.close()
      forRuns.disconnect()
      await bus.close()
    },
  }
}

export async function openCache(redis: Redis | undefined, metrics: Metrics, log: Log): Promise<KeptCache> {
  const options: CacheOptions = {
    onAsked: (use, outcome) => metrics.cacheAsked(use, outcome),
    onFault: (message, facts) => log.warn(facts, message),
  }
  if (!redis) return new KeptCache(new MemoryShelf(), options)
  const { RedisShelf } = await import('../cache/redis')
  const shelf = new RedisShelf(redis, {
    onChange: (serves, err) =>
      serves
        ? log.info('the cache is in Redis again')
        : log.warn({ err }, 'nothing is kept: the cache cannot use Redis'),
    onFault: options.onFault,
  })
  return new KeptCache(shelf, options)
}

/** Counts in Redis where there is one, for all servers together; else in this process. */
export function openLimiter(redis: Redis | undefined, instanceId: string, log: Log): Limiter {
  if (!redis) return new MemoryLimiter()
  const onMode = (mode: string, err: unknown) =>
    mode === 'redis'
      ? log.info('rate limits are counted in Redis again')
      : log.warn({ err }, 'rate limits are counted by this server alone, as Redis does not serve')
  return new RedisLimiter(redis, { instanceId, onMode })
}
