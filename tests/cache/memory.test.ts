import { describe, expect, test } from 'bun:test'
import { KeptCache } from '../../src/cache/kept'
import { MemoryShelf } from '../../src/cache/memory'
import { contract } from './contract'

contract(async () => new MemoryShelf())

describe('what is kept in memory', () => {
  const keep = (cache: KeptCache, key: string, value: string) =>
    cache.get({ use: 'profile', owner: 'o', key, ttlMs: 60_000 }, async () => value)

  test('is bounded by count: what nobody wanted for the longest time goes first', async () => {
    const shelf = new MemoryShelf({ maxEntries: 3 })
    const cache = new KeptCache(shelf)
    for (const key of ['a', 'b', 'c']) await keep(cache, key, 'old')
    await keep(cache, 'a', 'new')
    await keep(cache, 'd', 'old')
    expect(shelf.size).toBe(3)
    expect(await keep(cache, 'a', 'new')).toBe('old')
    expect(await keep(cache, 'b', 'new')).toBe('new')
  })

  test('is bounded by size, and too large a value is given and not kept', async () => {
    const shelf = new MemoryShelf({ maxBytes: 80_000 })
    const cache = new KeptCache(shelf)
    for (let i = 0; i < 100; i++) await keep(cache, `k${i}`, 'x'.repeat(1000))
    expect(shelf.size).toBeGreaterThan(20)
    expect(shelf.size).toBeLessThan(40)
    expect(await keep(cache, 'large', 'x'.repeat(10_000))).toHaveLength(10_000)
    expect(await keep(cache, 'large', 'other')).toBe('other')
  })

  test('does not outlive a mark that was pushed out', async () => {
    const shelf = new MemoryShelf({ maxEntries: 2 })
    const cache = new KeptCache(shelf)
    const of = (owner: string, load: () => Promise<string>) =>
      cache.get({ use: 'profile', owner, key: '', ttlMs: 60_000 }, load)
    await of('a', async () => 'old')
    const failing = () => Promise.reject(new Error('down'))
    for (const other of ['b', 'c', 'd', 'e']) await of(other, failing).catch(() => {})
    expect(shelf.size).toBe(1)
    expect(await of('a', async () => 'new')).toBe('new')
  })

  test('is shared with nobody', () => {
    expect(new KeptCache(new MemoryShelf()).mode()).toBe('local')
  })
})
