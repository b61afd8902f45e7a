import { describe, expect, test } from 'bun:test'
import { MemoryLimiter } from '../../src/limits/memory'
import { HOLD_MS } from '../../src/limits/port'
import { limiterContract } from './contract'

function clocked(keep?: number) {
  let now = 1_000_000
  const limiter = new MemoryLimiter({ now: () => now, ...(keep ? { keep } : {}) })
  const pass = async (ms: number) => {
    now += ms
  }
  return { limiter, pass }
}

describe('a limiter in memory', () => {
  limiterContract(() => clocked())

  test('follows the curve of 100 and 10 a second exactly, however requests are spread', async () => {
    const { limiter, pass } = clocked()
    const buckets = [{ name: 'user', key: 'user:a', capacity: 100, perSecond: 10, cost: 1 }]
    let [granted, elapsed] = [0, 0]
    for (let i = 0; i < 10_000; i++) {
      // From 0 to 12 ms, 6 ms on the whole: a hundred and more a second.
      const gap = (i * 7919) % 13
      await pass(gap)
      elapsed += gap
      if ((await limiter.take({ buckets })).granted) granted++
      expect(granted).toBeLessThanOrEqual(100 + elapsed / 100 + 0.001)
    }
    expect(granted).toBe(Math.floor(100 + elapsed / 100))
  })

  test('forgets the bucket that was not asked for longest, and none of another kind', async () => {
    const { limiter } = clocked(10)
    const take = async (name: string, key: string) =>
      (await limiter.take({ buckets: [{ name, key, capacity: 1, perSecond: 0.001, cost: 1 }] })).granted
    expect(await take('user', 'me')).toBe(true)
    for (let i = 0; i < 100; i++) expect(await take('address', `address ${i}`)).toBe(true)
    expect(await take('user', 'me')).toBe(false)
    expect(await take('address', 'address 99')).toBe(false)
    expect(await take('address', 'address 0')).toBe(true)
  })

  test('frees slots that nobody renewed, and only these', async () => {
    const { limiter, pass } = clocked()
    const slots = [{ name: 'user-streams', key: 'streams', most: 2 }]
    const take = async (holder: string) => (await limiter.take({ buckets: [], slots, holder })).granted
    expect([await take('a'), await take('b'), await take('c')]).toEqual([true, true, false])
    await pass(HOLD_MS - 1)
    await limiter.renew([{ key: 'streams', holder: 'b' }])
    expect(await take('c')).toBe(false)
    await pass(1)
    expect([await take('c'), await take('d')]).toEqual([true, false])
  })
})
