import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import type { Wanted } from '../../src/cache/port'
import { RedisShelf } from '../../src/cache/redis'
import { contract } from './contract'
import { openServer, type TestServer } from './redis-clients'

const url = process.env.TEST_REDIS_URL ?? ''
let a: TestServer
let b: TestServer
const shelves: RedisShelf[] = []
beforeAll(async () => {
  a = openServer(url)
  b = openServer(url)
  await Promise.all([a.serves(), b.serves()])
})
afterEach(() => {
  for (const shelf of shelves.splice(0)) shelf.close()
})
afterAll(() => {
  a.close()
  b.close()
})

contract(async () => {
  const shelf = new RedisShelf(a.redis, { waitMs: 5000 })
  shelves.push(shelf)
  return shelf
})

const mine = (): Wanted => ({ use: 'balance', owner: crypto.randomUUID(), key: 'k', ttlMs: 60_000 })
const gives = (value: unknown) => async () => value
const never = async () => {
  throw new Error('loaded although it was kept')
}

describe('servers that share a Redis', () => {
  test('share what they keep', async () => {
    const wanted = mine()
    await a.cache.get(wanted, gives({ nanos: 5n }))
    expect(await b.cache.get<unknown>(wanted, never)).toEqual({ nanos: 5n })
    expect(a.cache.mode()).toBe('redis')
  })

  test('forget together, at once', async () => {
    const wanted = mine()
    for (let i = 0; i < 50; i++) {
      await b.cache.get(wanted, gives(i))
      await a.cache.forget('balance', [wanted.owner])
      expect(await b.cache.get(wanted, gives(i + 1))).toBe(i + 1)
      await b.cache.forget('balance', [wanted.owner])
    }
  })

  test('do not get back what another began to load before it was forgotten', async () => {
    const wanted = mine()
    const gate = Promise.withResolvers<string>()
    const begun = Promise.withResolvers<void>()
    const early = b.cache.get(wanted, () => {
      begun.resolve()
      return gate.promise
    })
    await begun.promise
    await a.cache.forget('balance', [wanted.owner])
    expect(await b.cache.get(wanted, gives('new'))).toBe('new')
    gate.resolve('old')
    expect(await early).toBe('old')
    // By now the old value is written, over the new one.
    await b.redis.ping()
    expect(await a.cache.get(wanted, gives('newest'))).toBe('newest')
    expect(await b.cache.get<unknown>(wanted, never)).toBe('newest')
  })

  test('never see less than was counted, whoever counts and whoever looks', async () => {
    const wanted = mine()
    let truth = 0
    const load = async () => {
      const read = truth
      await Bun.sleep(Math.random() * 3)
      return read
    }
    const count = async (server: TestServer) => {
      for (let i = 0; i < 60; i++) {
        const mark = ++truth
        await server.cache.forget('balance', [wanted.owner])
        expect(await (i % 2 ? a : b).cache.get(wanted, load)).toBeGreaterThanOrEqual(mark)
      }
    }
    await Promise.all([count(a), count(b), count(a), count(b)])
    expect(await a.cache.get(wanted, load)).toBe(240)
  })

  test('get nothing old back from a Redis that lost everything while it was loaded', async () => {
    const wanted = mine()
    await a.cache.get(wanted, gives('oldest'))
    const gate = Promise.withResolvers<string>()
    const begun = Promise.withResolvers<void>()
    await a.cache.forget('balance', [wanted.owner])
    const early = a.cache.get(wanted, () => {
      begun.resolve()
      return gate.promise
    })
    await begun.promise
    await b.cache.forget('balance', [wanted.owner])
    await a.redis.unlink('cache:mark:balance', `cache:mark:balance:${wanted.owner}`)
    gate.resolve('old')
    await early
    await a.redis.ping()
    expect(await a.cache.get(wanted, gives('new'))).toBe('new')
  })
})

describe('what is in Redis', () => {
  const nameOf = ({ use, owner, key }: Wanted) => `cache:${use}:${owner}:${key}`

  test('does not stay for ever', async () => {
    const wanted = mine()
    await a.cache.get({ ...wanted, staleMs: 30_000 }, gives(1))
    const left = await a.redis.pttl(nameOf(wanted))
    expect(left).toBeGreaterThan(0)
    expect(left).toBeLessThanOrEqual(90_000)
    expect(await a.redis.ttl(`cache:mark:balance:${wanted.owner}`)).toBeGreaterThan(90)
  })

  test('is not believed where it is somebody else’s', async () => {
    const [wanted, other] = [mine(), mine()]
    await a.cache.get(wanted, gives('mine'))
    await a.cache.get(other, gives('theirs'))
    await a.redis.set(nameOf(wanted), (await a.redis.get(nameOf(other))) ?? '')
    a.outcomes.length = 0
    a.faults.length = 0
    expect(await a.cache.get(wanted, gives('mine'))).toBe('mine')
    expect(a.outcomes).toEqual(['foreign'])
    expect(a.faults).toEqual(['the cache answered with what is somebody else’s'])
    expect(await a.cache.get<unknown>(wanted, never)).toBe('mine')
  })

  const GARBAGE = ['', '\n', '{}', 'null\n', '[]\n[]', '\u0000\ufffd', '{"use":1}\n{}', 'x'.repeat(100_000)]
  test.each(GARBAGE.map((text) => [text.slice(0, 20), text]))('is not believed when it is %j', async (_, text) => {
    const wanted = mine()
    await a.cache.get(wanted, gives('old'))
    await a.redis.set(nameOf(wanted), text)
    expect(await a.cache.get(wanted, gives('new'))).toBe('new')
    expect(await a.cache.get<unknown>(wanted, never)).toBe('new')
  })

  test('is not believed when it is cut short, or of another kind', async () => {
    const wanted = mine()
    await a.cache.get(wanted, gives({ long: 'x'.repeat(100) }))
    const whole = (await a.redis.get(nameOf(wanted))) ?? ''
    await a.redis.set(nameOf(wanted), whole.slice(0, -10))
    expect(await a.cache.get(wanted, gives('new'))).toBe('new')
    await a.redis.unlink(nameOf(wanted))
    await a.redis.rpush(nameOf(wanted), 'a list')
    expect(await a.cache.get(wanted, gives('newer'))).toBe('newer')
  })

  test('is nothing too large', async () => {
    const wanted = mine()
    expect(await a.cache.get(wanted, gives('x'.repeat(1_000_001)))).toHaveLength(1_000_001)
    await a.redis.ping()
    expect(await a.redis.exists(nameOf(wanted))).toBe(0)
  })
})
