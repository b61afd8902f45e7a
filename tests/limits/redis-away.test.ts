/** What becomes of limits when Redis does not serve. */
import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import type Redis from 'ioredis'
import type { Bucket, Limiter } from '../../src/limits/port'
import { RedisLimiter, type RedisLimiterOptions } from '../../src/limits/redis'
import { FaultProxy } from '../support/fault-proxy'
import { connectRedis, type OwnRedis, ownRedis } from '../support/redis'
import { until } from '../support/servers'

let server: OwnRedis
let proxy: FaultProxy
beforeAll(async () => {
  server = await ownRedis()
  proxy = await FaultProxy.open(server.url)
})
afterAll(async () => {
  await proxy.close()
  await server.close()
})

const clients: Redis[] = []
const limiters: RedisLimiter[] = []
afterEach(async () => {
  proxy.clear()
  await Promise.all(limiters.splice(0).map((limiter) => limiter.close()))
  for (const client of clients.splice(0)) client.disconnect()
})

async function begin(options: Partial<RedisLimiterOptions> = {}) {
  const redis = await connectRedis(proxy.through(server.url))
  clients.push(redis)
  const limiter = new RedisLimiter(redis, {
    instanceId: crypto.randomUUID(),
    patienceMs: 500,
    restMs: 50,
    prefix: `{${crypto.randomUUID()}}`,
    ...options,
  })
  limiters.push(limiter)
  return limiter
}

const bucketOf = (fields: Partial<Bucket> = {}): Bucket => ({
  name: 'user',
  key: `user:${crypto.randomUUID()}`,
  capacity: 10,
  perSecond: 0.0001,
  cost: 1,
  ...fields,
})

async function granted(limiter: Limiter, times: number, buckets: Bucket[]): Promise<number> {
  let count = 0
  for (let i = 0; i < times; i++) if ((await limiter.take({ buckets })).granted) count++
  return count
}

/** Asks until Redis is asked again. */
const isBack = (limiter: Limiter) =>
  until(async () => {
    await limiter.take({ buckets: [bucketOf()] })
    return limiter.mode === 'redis'
  })

test('counts by itself while Redis is gone, and there again when it is back', async () => {
  const modes: string[] = []
  const limiter = await begin({ onMode: (mode) => modes.push(mode) })
  const user = bucketOf()
  expect(await granted(limiter, 4, [user])).toBe(4)
  await server.kill()
  try {
    // As empty as it was: losing Redis fills nothing.
    expect(await granted(limiter, 20, [user])).toBe(6)
    expect(limiter.mode).toBe('local')
    expect(await granted(limiter, 20, [bucketOf()])).toBe(10)
  } finally {
    await server.start()
  }
  await isBack(limiter)
  expect(modes).toEqual(['local', 'redis'])
})

test('counts there again though nobody asks: what is shown to operators is how it is', async () => {
  const limiter = await begin()
  await server.kill()
  try {
    await limiter.take({ buckets: [bucketOf()] })
    expect(limiter.mode).toBe('local')
  } finally {
    await server.start()
  }
  await until(() => limiter.mode === 'redis')
})

test('grants its share of each bucket and of the slots, and at least one', async () => {
  const prefix = `{${crypto.randomUUID()}}`
  const [one, other] = [await begin({ prefix }), await begin({ prefix })]
  // The first hears of the second with its next beat, which a connection that is ready brings.
  proxy.cut()
  await until(() => clients.every(({ status }) => status === 'ready'))
  const watcher = await connectRedis(server.url)
  clients.push(watcher)
  await until(async () => (await watcher.zcard(`${prefix}:instances`)) === 2)
  for (const client of clients.slice(0, 2)) client.emit('ready')
  await Promise.all([one, other].map((limiter) => limiter.take({ buckets: [bucketOf()] })))
  await server.kill()
  try {
    expect(await granted(one, 20, [bucketOf()])).toBe(5)
    expect(await granted(other, 20, [bucketOf({ capacity: 1 })])).toBe(1)
    const take = async (most: number, holder: string) =>
      (await one.take({ buckets: [], slots: [{ name: 'user-streams', key: `streams:${most}`, most }], holder })).granted
    expect([await take(4, 'a'), await take(4, 'b'), await take(4, 'c')]).toEqual([true, true, false])
    expect([await take(1, 'a'), await take(1, 'b')]).toEqual([true, false])
  } finally {
    await server.start()
  }
})

test('does not wait for a Redis that says nothing', async () => {
  const limiter = await begin({ patienceMs: 50, restMs: 60_000 })
  await limiter.take({ buckets: [bucketOf()] })
  proxy.set({ blackHole: true })
  const user = bucketOf()
  expect((await limiter.take({ buckets: [user] })).granted).toBe(true)
  expect(limiter.mode).toBe('local')
  // Redis rests: not one of these waits.
  expect(await granted(limiter, 5000, [user])).toBe(9)
})

const BROKEN: [string, string[], string[]][] = [
  ['is read-only', ['REPLICAOF', '127.0.0.1', '1'], ['REPLICAOF', 'NO', 'ONE']],
  ['is full', ['CONFIG', 'SET', 'maxmemory', '1'], ['CONFIG', 'SET', 'maxmemory', '0']],
]

test.each(BROKEN)('counts by itself while Redis %s', async (_, [breaks = '', ...how], [mends = '', ...back]) => {
  const limiter = await begin()
  const direct = await connectRedis(server.url)
  clients.push(direct)
  const user = bucketOf()
  expect(await granted(limiter, 3, [user])).toBe(3)
  await direct.call(breaks, ...how)
  try {
    expect(await granted(limiter, 20, [user])).toBe(7)
    expect(limiter.mode).toBe('local')
  } finally {
    await direct.call(mends, ...back)
  }
  await isBack(limiter)
})

test('tells Redis who was sent away when its answer came too late', async () => {
  const limiter = await begin({ patienceMs: 20 })
  const slots = [{ name: 'user-streams', key: 'streams', most: 1 }]
  const watcher = await connectRedis(server.url)
  clients.push(watcher)
  const user = bucketOf({ capacity: 1 })
  await limiter.take({ buckets: [user] })
  await watcher.del(...(await watcher.keys(`*${user.key}`)))
  proxy.set({ latencyMs: 200 })
  // Redis has forgotten that the bucket is empty, this server has not.
  expect((await limiter.take({ buckets: [user], slots, holder: 'a' })).granted).toBe(false)
  proxy.clear()
  await until(async () => (await watcher.keys(`*${user.key}`)).length > 0)
  await until(async () => (await watcher.keys('*:streams')).length === 0)
})
