import { afterEach, describe, expect, test } from 'bun:test'
import type { Wanted } from '../../src/cache/port'
import { until } from '../support/servers'
import { fakeRedis, openServer, ownRedis, type TestServer } from './redis-clients'

const opened: { close: () => void | Promise<void> }[] = []
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
})
const later = <T extends { close: () => void | Promise<void> }>(one: T): T => {
  opened.push(one)
  return one
}

const mine = (): Wanted => ({ use: 'profile', owner: crypto.randomUUID(), key: 'k', ttlMs: 60_000 })
const gives = (value: unknown) => async () => value

/** Everything goes on as if nothing were kept. */
async function loadsEverything({ cache }: TestServer, wanted = mine()) {
  for (let i = 0; i < 100; i++) {
    expect(await cache.get(wanted, gives(i))).toBe(i)
    await cache.forget('profile', [wanted.owner])
  }
}

describe('a Redis that', () => {
  const FAKES = [
    ['says nothing', undefined],
    ['answers errors', '-ERR out of order\r\n'],
    ['answers garbage', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['answers what was not asked', '+OK\r\n'],
    ['answers without an end', `$1000000\r\n${'x'.repeat(100)}`],
    ['answers a great many things', ':1\r\n'.repeat(50)],
  ] as const
  test.each(FAKES)('%s costs no request', async (_, answer) => {
    const fake = later(await fakeRedis(answer))
    const server = later(openServer(fake.url, { waitMs: 50 }))
    await until(() => fake.heard() > 0)
    await loadsEverything(server)
    expect(server.cache.mode()).toBe('local')
  })

  test('is not there costs no request', async () => {
    const server = later(openServer('redis://127.0.0.1:1', { waitMs: 50 }))
    await loadsEverything(server)
    expect(server.cache.mode()).toBe('local')
    expect(server.outcomes).toEqual(new Array(100).fill('away'))
  })

  test('falls silent is left alone, and used again when it answers', async () => {
    const real = later(await ownRedis())
    const server = later(openServer(real.url, { waitMs: 50 }))
    await server.serves()
    const wanted = mine()
    await server.cache.get(wanted, gives('kept'))
    const before = Number(/total_commands_processed:(\d+)/.exec(await real.control.info('stats'))?.[1])
    await real.control.client('PAUSE', 1500, 'ALL')
    await loadsEverything(server)
    expect(server.cache.mode()).toBe('local')
    await server.serves()
    const after = Number(/total_commands_processed:(\d+)/.exec(await real.control.info('stats'))?.[1])
    // A hundred requests and as many changes.
    expect(after - before).toBeLessThan(100)
    expect(await server.cache.get(wanted, gives('new'))).toBe('kept')
    expect(server.changes).toEqual([false, true])
  })

  test('is killed and started again is used again, empty as it is', async () => {
    const real = later(await ownRedis())
    const server = later(openServer(real.url))
    await server.serves()
    const wanted = mine()
    await server.cache.get(wanted, gives('old'))
    await real.stop()
    await until(() => server.cache.mode() === 'local')
    await loadsEverything(server)
    await real.start()
    await server.serves()
    expect(await server.cache.get(wanted, gives('new'))).toBe('new')
    expect(await server.cache.get(wanted, gives('other'))).toBe('new')
  })

  test('is full keeps nothing and forgets all the same', async () => {
    const real = later(await ownRedis())
    const [server, other] = [later(openServer(real.url)), later(openServer(real.url))]
    await Promise.all([server.serves(), other.serves()])
    const [kept, fresh] = [mine(), mine()]
    await server.cache.get(kept, gives('old'))
    await real.control.config('SET', 'maxmemory', '1')
    await loadsEverything(server, fresh)
    expect(server.cache.mode()).toBe('local')
    await server.cache.forget('profile', [kept.owner])
    await until(async () => (await server.redis.exists(`cache:mark:profile:${kept.owner}`)) === 0)
    // The other one has not noticed yet that Redis is full.
    expect(await other.cache.get(kept, gives('new'))).toBe('new')
    await real.control.config('SET', 'maxmemory', '0')
    await server.serves()
    await server.cache.get(fresh, gives('a'))
    expect(await server.cache.get(fresh, gives('b'))).toBe('a')
  })

  test('becomes a replica is not written to, and forgets what it owes when it is none any more', async () => {
    const real = later(await ownRedis())
    const [server, other] = [later(openServer(real.url)), later(openServer(real.url))]
    await Promise.all([server.serves(), other.serves()])
    const [kept, fresh] = [mine(), mine()]
    await server.cache.get(kept, gives('old'))
    await real.control.replicaof('127.0.0.1', 1)
    await server.cache.forget('profile', [kept.owner])
    expect(server.cache.mode()).toBe('local')
    expect(await server.cache.get(kept, gives('new'))).toBe('new')
    await loadsEverything(server, fresh)
    await real.control.replicaof('NO', 'ONE')
    await server.serves()
    expect(await other.cache.get(kept, gives('new'))).toBe('new')
    expect(await server.cache.get(kept, gives('other'))).toBe('new')
  })

  test('is flushed again and again never gives what is old', async () => {
    const real = later(await ownRedis())
    const server = later(openServer(real.url))
    await server.serves()
    const wanted = mine()
    let truth = 0
    let over = false
    const flushing = (async () => {
      while (!over) await real.control.flushall()
    })()
    for (let i = 0; i < 200; i++) {
      const now = ++truth
      await server.cache.forget('profile', [wanted.owner])
      expect(await server.cache.get(wanted, async () => truth)).toBe(now)
    }
    over = true
    await flushing
  })

  test('is away for long is owed everything in the end, not a list without an end', async () => {
    const real = later(await ownRedis())
    const server = later(openServer(real.url))
    await server.serves()
    const kept: Wanted = { use: 'balance', owner: 'somebody', key: '', ttlMs: 60_000 }
    await server.cache.get(kept, gives('old'))
    await real.control.replicaof('127.0.0.1', 1)
    const owners = Array.from({ length: 9000 }, (_, i) => `p${i}`)
    await server.cache.forget('balance', ['somebody'])
    await server.cache.forget('profile', owners)
    await server.cache.forget(
      'profile',
      owners.map((owner) => `${owner}x`),
    )
    await real.control.replicaof('NO', 'ONE')
    await server.serves()
    expect(await server.cache.get(kept, gives('new'))).toBe('new')
  })
})
