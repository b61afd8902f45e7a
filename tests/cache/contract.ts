import { beforeEach, describe, expect, test } from 'bun:test'
import { KeptCache } from '../../src/cache/kept'
import type { CacheOutcome, Wanted } from '../../src/cache/port'
import type { Shelf } from '../../src/cache/shelf'

const TTL = 60_000
const STALE = 30_000

/** What every cache does, wherever its entries are. @param open a shelf that serves. */
export function contract(open: () => Promise<Shelf>) {
  let cache: KeptCache
  let shelf: Shelf
  let now = 0
  let outcomes: CacheOutcome[] = []
  let owner = ''

  beforeEach(async () => {
    now = 1_800_000_000_000
    outcomes = []
    owner = crypto.randomUUID()
    shelf = await open()
    cache = new KeptCache(shelf, { now: () => now, onAsked: (_, outcome) => outcomes.push(outcome) })
  })

  const wanted = (more: Partial<Wanted> = {}): Wanted => ({
    use: 'balance',
    owner,
    key: 'k',
    ttlMs: TTL,
    staleMs: STALE,
    ...more,
  })
  const gives = (value: unknown) => async () => value
  const never = async () => {
    throw new Error('loaded although it was kept')
  }

  describe('a value', () => {
    test('is loaded once and given as often as it is wanted', async () => {
      expect(await cache.get(wanted(), gives({ a: 1 }))).toEqual({ a: 1 })
      expect(await cache.get<unknown>(wanted(), never)).toEqual({ a: 1 })
      expect(outcomes).toEqual(['miss', 'hit'])
    })

    const VALUES = [
      null,
      0,
      '',
      false,
      [],
      { nanos: 12_345_678_901_234_567_890n, list: [1n, -2n] },
      { text: '\u0000n5', nested: { again: '\u0000s\u0000' } },
      { key: 'a\nb "c" \\u0000 ü \ud83d\ude00' },
      { models: Array.from({ length: 500 }, (_, i) => ({ id: `m-${i}`, price: BigInt(i) })) },
    ]
    test.each(VALUES.map((value) => [value]))('comes back as it was: %p', async (value) => {
      expect(await cache.get<unknown>(wanted(), gives(value))).toEqual(value)
      expect(await cache.get<unknown>(wanted(), never)).toEqual(value)
    })

    test('belongs to whoever gets it: what they do with it is not kept', async () => {
      const first = await cache.get(wanted(), gives({ list: [1] }) as () => Promise<{ list: number[] }>)
      first.list.push(2)
      expect(await cache.get<unknown>(wanted(), never)).toEqual({ list: [1] })
    })

    test('is one for each use, owner and key', async () => {
      const places = [
        wanted(),
        wanted({ use: 'profile' }),
        wanted({ key: 'other' }),
        wanted({ key: '' }),
        wanted({ owner: `${owner}:k`, key: '' }),
        wanted({ owner: `${owner}2` }),
      ]
      for (const [i, place] of places.entries()) expect(await cache.get(place, gives(i))).toBe(i)
      for (const [i, place] of places.entries()) expect(await cache.get<unknown>(place, gives('again'))).toBe(i)
    })

    test('that is no JSON is refused, and that a load fails is not kept', async () => {
      const failed = await cache.get(wanted(), gives(undefined)).catch((error) => error)
      expect(failed).toBeInstanceOf(TypeError)
      const down = async () => {
        throw new Error('down')
      }
      expect(await cache.get(wanted(), down).catch(({ message }) => message)).toBe('down')
      expect(await cache.get(wanted(), gives('up'))).toBe('up')
    })

    test('is not kept at all for no time', async () => {
      await cache.get(wanted({ ttlMs: 0 }), gives(1))
      expect(await cache.get(wanted({ ttlMs: 0 }), gives(2))).toBe(2)
      expect(outcomes).toEqual([])
    })
  })

  describe('time', () => {
    test('makes a value stale: it is given while one load renews it', async () => {
      await cache.get(wanted(), gives('old'))
      now += TTL
      const gate = Promise.withResolvers<string>()
      let loads = 0
      const slow = () => {
        loads++
        return gate.promise
      }
      const given = await Promise.all(Array.from({ length: 20 }, () => cache.get(wanted(), slow)))
      expect(new Set(given)).toEqual(new Set(['old']))
      expect(loads).toBe(1)
      gate.resolve('new')
      await gate.promise
      await Bun.sleep(0)
      expect(await cache.get<unknown>(wanted(), never)).toBe('new')
    })

    test('does not take a stale value away because its renewal fails', async () => {
      await cache.get(wanted(), gives('old'))
      now += TTL + STALE - 1
      const down = async () => {
        throw new Error('down')
      }
      expect(await cache.get<unknown>(wanted(), down)).toBe('old')
      expect(await cache.get<unknown>(wanted(), down)).toBe('old')
    })

    test('ends a value', async () => {
      await cache.get(wanted(), gives('old'))
      now += TTL + STALE
      expect(await cache.get(wanted(), gives('new'))).toBe('new')
      expect(outcomes).toEqual(['miss', 'miss'])
    })

    test('that another server sees five seconds earlier or later hardly matters', async () => {
      await cache.get(wanted(), gives('kept'))
      now -= 5000
      expect(await cache.get<unknown>(wanted(), never)).toBe('kept')
      now += 10_000
      expect(await cache.get<unknown>(wanted(), never)).toBe('kept')
    })
  })

  describe('a hundred who want the same', () => {
    test('have it loaded once', async () => {
      let loads = 0
      const load = async () => {
        loads++
        await Bun.sleep(20)
        return { loads }
      }
      const given = await Promise.all(Array.from({ length: 100 }, () => cache.get(wanted(), load)))
      expect(loads).toBe(1)
      expect(given.every((value) => value.loads === 1)).toBe(true)
      expect(new Set(given).size).toBe(100)
    })

    test('hear of its failure, and those who come later do not', async () => {
      const load = async () => {
        await Bun.sleep(20)
        throw new Error('down')
      }
      const all = await Promise.allSettled(Array.from({ length: 100 }, () => cache.get(wanted(), load)))
      expect(all.every(({ status }) => status === 'rejected')).toBe(true)
      expect(await cache.get(wanted(), gives('up'))).toBe('up')
    })
  })

  describe('forgetting', () => {
    test('takes all that an owner has in one use, and nothing else', async () => {
      const other = crypto.randomUUID()
      const mine = [wanted(), wanted({ key: 'second' })]
      const others = [wanted({ use: 'profile' }), wanted({ owner: other })]
      for (const place of [...mine, ...others]) await cache.get(place, gives('old'))
      await cache.forget('balance', [owner])
      for (const place of mine) expect(await cache.get(place, gives('new'))).toBe('new')
      for (const place of others) expect(await cache.get<unknown>(place, never)).toBe('old')
    })

    test('takes what everybody has in one use', async () => {
      const owners = [owner, crypto.randomUUID(), crypto.randomUUID()]
      for (const one of owners) await cache.get(wanted({ owner: one }), gives('old'))
      await cache.get(wanted({ use: 'profile' }), gives('old'))
      await cache.forget('balance', 'everybody')
      for (const one of owners) expect(await cache.get(wanted({ owner: one }), gives('new'))).toBe('new')
      expect(await cache.get<unknown>(wanted({ use: 'profile' }), never)).toBe('old')
    })

    test('nobody forgets nobody', async () => {
      await cache.get(wanted(), gives('old'))
      await cache.forget('balance', [])
      expect(await cache.get<unknown>(wanted(), never)).toBe('old')
    })

    test('is not undone by a load that began before', async () => {
      const gate = Promise.withResolvers<string>()
      const begun = Promise.withResolvers<void>()
      const early = cache.get(wanted(), () => {
        begun.resolve()
        return gate.promise
      })
      await begun.promise
      await cache.forget('balance', [owner])
      // Whoever comes now does not wait for what began before, either.
      expect(await cache.get(wanted(), gives('new'))).toBe('new')
      gate.resolve('old')
      expect(await early).toBe('old')
      await Bun.sleep(0)
      expect(await cache.get(wanted(), gives('new'))).toBe('new')
      await cache.forget('balance', [owner])
      expect(await cache.get(wanted(), gives('newest'))).toBe('newest')
    })
  })

  test('what is somebody else’s is not given, and reported', async () => {
    const faults: string[] = []
    const swapped: Shelf = {
      ...around(shelf),
      look: async (place) => {
        const look = await shelf.look(place)
        return look?.entry ? { ...look, entry: { ...look.entry, owner: 'somebody else' } } : look
      },
    }
    const cache = new KeptCache(swapped, {
      onAsked: (_, outcome) => outcomes.push(outcome),
      onFault: (message) => faults.push(message),
    })
    await cache.get(wanted(), gives('mine'))
    expect(await cache.get(wanted(), gives('mine again'))).toBe('mine again')
    expect(outcomes).toEqual(['miss', 'foreign'])
    expect(faults).toHaveLength(1)
  })
}

const around = (shelf: Shelf): Shelf => ({
  look: (place) => shelf.look(place),
  put: (entry, ms) => shelf.put(entry, ms),
  forget: (use, owners) => shelf.forget(use, owners),
  mode: () => shelf.mode(),
  close: () => shelf.close(),
})
