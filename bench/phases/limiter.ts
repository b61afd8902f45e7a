/** What it costs to count a request, without the server around it: in this process, and in Redis on the same core and on another. */
import Redis from 'ioredis'
import { RateLimiterRedis } from 'rate-limiter-flexible'
import { MemoryLimiter } from '../../src/limits/memory'
import type { Bucket, Limiter } from '../../src/limits/port'
import { RedisLimiter } from '../../src/limits/redis'
import { allCpus, otherCpus, targetCpus } from '../lib/machine'
import { pinSelf } from '../lib/process'
import { openRedis } from '../lib/redis'
import { median, Samples } from '../lib/samples'
import type { Plan } from '../plan'
import type { Context } from './context'

export interface LimiterRow {
  readonly what: string
  /** µs from asking to knowing, one request after another. */
  readonly p50: number
  readonly p99: number
  /** µs of this process's CPU for each, one after another and many at once. */
  readonly cpuUs: number
  readonly cpuAtOnceUs: number
  /** Requests per second, many at once. */
  readonly perSecond: number
  /** What p50 is compared with. */
  readonly atMost?: number
}

/** Requests under way together. */
const AT_ONCE = 64
const NAMES = ['tenant', 'user', 'key', 'route']
/** So large that nothing is refused. */
const CAPACITY = 10_000_000

/** One request counted. @throws when it is refused. */
type Count = () => Promise<unknown>
type Counted = readonly [what: string, count: Count, atMost?: number | undefined]
type Figures = Omit<LimiterRow, 'what' | 'atMost'>

export async function limiterPhase(context: Context): Promise<LimiterRow[]> {
  context.say('limiter')
  return (await context.attempt('limiter', 15, () => measure(context))) ?? []
}

/** On one core nobody has to be woken on another, which alone takes more than 50 µs on some virtual machines. */
async function measure({ plan }: Context): Promise<LimiterRow[]> {
  const [near, far] = [await openRedis(targetCpus), await openRedis(otherCpus)]
  if (targetCpus !== undefined) pinSelf(targetCpus)
  const [onSame, onOther] = [await limited(near.url), await limited(far.url)]
  try {
    const counted: Counted[] = [
      ['nothing', async () => {}],
      ['four buckets, in memory', taker(new MemoryLimiter())],
      ...inRedis('Redis on the same core', onSame, 60),
      ...inRedis('Redis on another core', onOther),
    ]
    const rows = await inTurns(counted, plan.limiter)
    if ([onSame, onOther].some(({ limiter }) => limiter.mode !== 'redis'))
      throw new Error('Redis was too slow, and this process counted by itself')
    return rows
  } finally {
    pinSelf(allCpus)
    for (const { limiter, redis } of [onSame, onOther]) {
      await limiter.close()
      redis.disconnect()
    }
    await Promise.all([near.stop(), far.stop()])
  }
}

async function limited(url: string): Promise<{ redis: Redis; limiter: RedisLimiter }> {
  const redis = new Redis(url, { maxRetriesPerRequest: 1, enableOfflineQueue: false })
  await new Promise((resolve) => redis.once('ready', resolve))
  return { redis, limiter: new RedisLimiter(redis, { instanceId: 'bench' }) }
}

const inRedis = (
  where: string,
  { redis, limiter }: Awaited<ReturnType<typeof limited>>,
  atMost?: number,
): Counted[] => [
  [`${where}: a PING, the way there and back`, () => redis.ping()],
  [`${where}: four buckets`, taker(limiter), atMost],
  [`${where}: rate-limiter-flexible, four keys`, consumer(redis)],
]

/** Medians of interleaved rounds. */
async function inTurns(counted: readonly Counted[], { requests, rounds }: Plan['limiter']): Promise<LimiterRow[]> {
  const figures = counted.map((): Figures[] => [])
  for (let i = 0; i < rounds; i++) {
    for (const [n, [, count]] of counted.entries()) figures[n]?.push(await timed(requests, count))
  }
  return counted.map(([what, , atMost], n) => {
    const mid = (pick: (figure: Figures) => number) => median((figures[n] ?? []).map(pick))
    return {
      what,
      p50: mid(({ p50 }) => p50),
      p99: mid(({ p99 }) => p99),
      cpuUs: mid(({ cpuUs }) => cpuUs),
      cpuAtOnceUs: mid(({ cpuAtOnceUs }) => cpuAtOnceUs),
      perSecond: mid(({ perSecond }) => perSecond),
      ...(atMost === undefined ? {} : { atMost }),
    }
  })
}

function taker(limiter: Limiter): Count {
  const buckets = NAMES.map(
    (name): Bucket => ({ name, key: `bench:${name}`, capacity: CAPACITY, perSecond: CAPACITY / 60, cost: 1 }),
  )
  return async () => {
    const { granted } = await limiter.take({ buckets })
    if (!granted) throw new Error('refused')
  }
}

/** A limiter for each, all asked at once. */
function consumer(redis: Redis): Count {
  const limiters = NAMES.map(
    (keyPrefix) => new RateLimiterRedis({ storeClient: redis, keyPrefix, points: CAPACITY, duration: 60 }),
  )
  return () => Promise.all(limiters.map((limiter) => limiter.consume('bench')))
}

async function timed(requests: number, count: Count): Promise<Figures> {
  for (let i = 0; i < requests / 4; i++) await count()
  const samples = new Samples()
  const alone = await cpuOf(async () => {
    for (let i = 0; i < requests; i++) {
      const since = performance.now()
      await count()
      samples.add((performance.now() - since) * 1000)
    }
  })
  const together = await cpuOf(async () => {
    let left = requests
    const worker = async () => {
      while (left-- > 0) await count()
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
  })
  const { p50, p99 } = samples.summary()
  return {
    p50,
    p99,
    cpuUs: alone.cpuUs / requests,
    cpuAtOnceUs: together.cpuUs / requests,
    perSecond: (requests * 1e6) / together.us,
  }
}

async function cpuOf(work: () => Promise<void>): Promise<{ cpuUs: number; us: number }> {
  const [before, since] = [process.cpuUsage(), performance.now()]
  await work()
  const { user, system } = process.cpuUsage(before)
  return { cpuUs: user + system, us: (performance.now() - since) * 1000 }
}
