import { expect, test } from 'bun:test'
import { RedisLimiter } from '../../src/limits/redis'
import { connectRedis } from '../support/redis'
import { CAPACITY, measureExactness, PER_SECOND } from './rates'

// With processes of their own and HTTP: `bun run chaos --rates`.
test('three servers together admit what one bucket allows, within 1 % at any moment of 10,000 requests', async () => {
  const clients = await Promise.all([0, 1, 2, 3].map(() => connectRedis()))
  const [clock, ...connections] = clients as [(typeof clients)[0], ...typeof clients]
  const prefix = `{${crypto.randomUUID()}}`
  // A busy machine must not make a server count by itself.
  const limiters = connections.map(
    (redis) => new RedisLimiter(redis, { instanceId: crypto.randomUUID(), prefix, patienceMs: 10_000 }),
  )
  const bucket = { name: 'user', key: 'user:one', capacity: CAPACITY, perSecond: PER_SECOND, cost: 1 }
  try {
    const exactness = await measureExactness({
      redis: clock,
      servers: limiters.length,
      requests: 10_000,
      ask: async (server) => (await limiters[server]?.take({ buckets: [bucket] }))?.granted === true,
    })
    expect(exactness.requests).toBe(10_000)
    expect(exactness.admitted).toBeGreaterThan(CAPACITY)
    expect(exactness.deviation).toBeLessThanOrEqual(0.01)
  } finally {
    for (const limiter of limiters) await limiter.close()
    for (const client of clients) client.disconnect()
  }
}, 60_000)
