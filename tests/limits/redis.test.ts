import { afterAll, afterEach, beforeAll, describe, expect, setSystemTime, test } from 'bun:test'
import type Redis from 'ioredis'
import { type Bucket, HOLD_MS } from '../../src/limits/port'
import { RedisLimiter, type RedisLimiterOptions } from '../../src/limits/redis'
import { connectRedis } from '../support/redis'
import { until } from '../support/servers'
import { limiterContract } from './contract'

let clients: Redis[]
beforeAll(async () => {
  clients = await Promise.all([connectRedis(), connectRedis(), connectRedis()])
})
afterAll(() => {
  for (const client of clients) client.disconnect()
})

const limiters: RedisLimiter[] = []
afterEach(async () => {
  setSystemTime()
  for (const limiter of limiters.splice(0)) await limiter.close()
})

/** A busy machine must not make these count by themselves. */
const PATIENT = { patienceMs: 10_000 }

function begin(options: Partial<RedisLimiterOptions> = {}, client = 0) {
  const limiter = new RedisLimiter(clients[client] as Redis, {
    instanceId: crypto.randomUUID(),
    prefix: `{${crypto.randomUUID()}}`,
    ...PATIENT,
    ...options,
  })
  limiters.push(limiter)
  return limiter
}

const bucketOf = (fields: Partial<Bucket> = {}): Bucket => ({
  name: 'user',
  key: `user:${crypto.randomUUID()}`,
  capacity: 5,
  perSecond: 0.001,
  cost: 1,
  ...fields,
})

describe('a limiter in Redis', () => {
  limiterContract(() => ({ limiter: begin(), pass: Bun.sleep }))

  test('admits exactly what there is of a thousand requests at once by three servers', async () => {
    const prefix = `{${crypto.randomUUID()}}`
    const servers = [0, 1, 2].map((client) => begin({ prefix }, client))
    const [user, tenant] = [bucketOf({ capacity: 100 }), bucketOf({ name: 'tenant', capacity: 1000 })]
    const takes = Array.from({ length: 1000 }, (_, i) => servers[i % 3]?.take({ buckets: [tenant, user] }))
    const granted = (await Promise.all(takes)).filter((taken) => taken?.granted).length
    expect(granted).toBe(100)
    const { levels } = (await servers[0]?.take({ buckets: [tenant] })) ?? {}
    expect(levels?.[0]?.left).toBeWithin(898.9, 899.5)
  })

  test('counts by its own clock, whatever the clocks of the servers say', async () => {
    const prefix = `{${crypto.randomUUID()}}`
    const [one, other] = [begin({ prefix }), begin({ prefix }, 1)]
    const user = bucketOf({ capacity: 1, perSecond: 0.2 })
    expect((await one.take({ buckets: [user] })).granted).toBe(true)
    setSystemTime(new Date(Date.now() + 5000))
    expect((await other.take({ buckets: [user] })).granted).toBe(false)
    setSystemTime(new Date(Date.now() - 10_000))
    expect((await one.take({ buckets: [user] })).granted).toBe(false)
  })

  test('keeps no bucket that is full', async () => {
    const prefix = `{${crypto.randomUUID()}}`
    const limiter = begin({ prefix })
    const user = bucketOf({ perSecond: 20 })
    await limiter.take({ buckets: [user] })
    await until(async () => (await clients[0]?.exists(`${prefix}:${user.key}`)) === 0)
    await limiter.correct([user, { ...user, cost: -1 }])
    await limiter.take({ buckets: [{ ...user, cost: 5, perSecond: 0.5 }] })
    expect(await clients[0]?.pttl(`${prefix}:${user.key}`)).toBeWithin(1, 15_001)
  })

  test('keeps a bucket for as long as it is not full, however it came there', async () => {
    const prefix = `{${crypto.randomUUID()}}`
    const limiter = begin({ prefix })
    const user = bucketOf({ capacity: 1000, perSecond: 10 })
    const redis = clients[0] as Redis
    for (let taken = 1; taken <= 60; taken++) {
      await limiter.take({ buckets: [user] })
      const [full, [seconds, micros]] = [Number(await redis.get(`${prefix}:${user.key}`)), await redis.time()]
      const now = Number(seconds) * 1000 + Number(micros) / 1000
      expect(full - now).toBeWithin((taken - 1) * 100 - 3000, taken * 100 + 1)
      expect(now + (await redis.pttl(`${prefix}:${user.key}`))).toBeGreaterThan(full + 2900)
    }
  })

  test('goes on when Redis has forgotten its scripts', async () => {
    const limiter = begin()
    const user = bucketOf({ capacity: 2 })
    await limiter.take({ buckets: [user] })
    await clients[0]?.script('FLUSH')
    expect((await limiter.take({ buckets: [user] })).granted).toBe(true)
    await clients[0]?.script('FLUSH')
    expect((await limiter.take({ buckets: [user] })).granted).toBe(false)
    expect(limiter.mode).toBe('redis')
  })

  test('frees the slots of a server that died, a minute after it was last heard of', async () => {
    const prefix = `{${crypto.randomUUID()}}`
    const [dead, other] = [begin({ prefix }), begin({ prefix }, 1)]
    const slots = [{ name: 'user-streams', key: 'streams', most: 1 }]
    const redis = clients[2] as Redis
    await dead.take({ buckets: [], slots, holder: 'a' })
    expect((await other.take({ buckets: [], slots, holder: 'b' })).granted).toBe(false)
    const [seconds] = await redis.time()
    const until = Number(await redis.zscore(`${prefix}:streams`, 'a'))
    expect(until - Number(seconds) * 1000).toBeWithin(1, HOLD_MS + 1000)
    expect(await redis.pttl(`${prefix}:streams`)).toBeWithin(1, HOLD_MS + 1)
    // The minute is over.
    await redis.zadd(`${prefix}:streams`, Number(seconds) * 1000, 'a')
    expect((await other.take({ buckets: [], slots, holder: 'b' })).granted).toBe(true)
  })

  test('counts anew after Redis lost its data, and the answers that are made again with their next renewal', async () => {
    const prefix = `{${crypto.randomUUID()}}`
    const limiter = begin({ prefix })
    const slots = [{ name: 'user-streams', key: 'streams', most: 1 }]
    await limiter.take({ buckets: [], slots, holder: 'a' })
    await clients[0]?.del(`${prefix}:streams`)
    await limiter.renew([{ key: 'streams', holder: 'a' }])
    expect((await limiter.take({ buckets: [], slots, holder: 'b' })).granted).toBe(false)
  })
})
