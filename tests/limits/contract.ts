import { expect, test } from 'bun:test'
import type { Bucket, Limiter } from '../../src/limits/port'

export interface Subject {
  limiter: Limiter
  /** Lets so many milliseconds pass. */
  pass: (ms: number) => Promise<void>
}

const bucket = (key: string, fields: Partial<Bucket> = {}): Bucket => ({
  name: 'user',
  key: `user:${key}`,
  capacity: 5,
  perSecond: 0.01,
  cost: 1,
  ...fields,
})
const newKey = () => crypto.randomUUID()

async function takeTimes(limiter: Limiter, times: number, buckets: Bucket[]): Promise<number> {
  let granted = 0
  for (let i = 0; i < times; i++) if ((await limiter.take({ buckets })).granted) granted++
  return granted
}

/** What every limiter does. @param begin makes one that nobody else counts with. */
export function limiterContract(begin: () => Subject): void {
  test('grants as much as there is, and then says how long to wait', async () => {
    const { limiter } = begin()
    const one = bucket(newKey())
    expect(await takeTimes(limiter, 5, [one])).toBe(5)
    const { granted, levels } = await limiter.take({ buckets: [one] })
    expect(granted).toBe(false)
    expect(levels[0]).toMatchObject({ name: 'user', capacity: 5, emptyMs: 500_000 })
    expect(levels[0]?.waitMs).toBeWithin(1, 100_001)
    expect(levels[0]?.left).toBeWithin(0, 1)
  })

  test('gives back with time, and never more than fits in', async () => {
    const { limiter, pass } = begin()
    const one = bucket(newKey(), { capacity: 3, perSecond: 10 })
    expect(await takeTimes(limiter, 3, [one])).toBe(3)
    await pass(150)
    expect((await limiter.take({ buckets: [one] })).granted).toBe(true)
    await pass(800)
    const full = await limiter.take({ buckets: [{ ...one, cost: 3 }] })
    expect(full).toMatchObject({ granted: true })
    expect(full.levels[0]?.left).toBeWithin(0, 0.001)
  })

  test('takes from none when one refuses', async () => {
    const { limiter } = begin()
    const [empty, other] = [bucket(newKey(), { capacity: 1 }), bucket(newKey(), { name: 'tenant' })]
    await limiter.take({ buckets: [empty] })
    expect(await takeTimes(limiter, 20, [other, empty])).toBe(0)
    const { levels } = await limiter.take({ buckets: [other] })
    expect(levels[0]?.left).toBeWithin(3.99, 4.01)
  })

  test('keeps buckets apart by their keys', async () => {
    const { limiter } = begin()
    const [a, b] = [bucket(newKey()), bucket(newKey())]
    expect(await takeTimes(limiter, 9, [a])).toBe(5)
    expect(await takeTimes(limiter, 9, [b])).toBe(5)
  })

  test('asks for nothing without refusing it', async () => {
    const { limiter } = begin()
    const one = bucket(newKey())
    await takeTimes(limiter, 5, [one])
    expect(await limiter.take({ buckets: [{ ...one, cost: 0 }] })).toMatchObject({ granted: true })
  })

  test('corrects what was taken, upwards into debt and downwards to no more than fits in', async () => {
    const { limiter } = begin()
    const one = bucket(newKey(), { cost: 2 })
    await limiter.take({ buckets: [one] })
    await limiter.correct([{ ...one, cost: 8 }])
    const inDebt = await limiter.take({ buckets: [one] })
    expect(inDebt).toMatchObject({ granted: false })
    expect(inDebt.levels[0]?.left).toBeWithin(-5.01, -4.5)
    await limiter.correct([{ ...one, cost: -1000 }])
    expect((await limiter.take({ buckets: [{ ...one, cost: 5 }] })).granted).toBe(true)
    expect((await limiter.take({ buckets: [one] })).granted).toBe(false)
  })

  test('lets nobody fall deeper into debt than ten times what fits in', async () => {
    const { limiter } = begin()
    const one = bucket(newKey())
    await limiter.correct([{ ...one, cost: 1_000_000 }])
    const { levels } = await limiter.take({ buckets: [one] })
    expect(levels[0]?.left).toBeWithin(-50.01, -49.5)
  })

  test('lets so many hold a slot at once', async () => {
    const { limiter } = begin()
    const slots = [{ name: 'user-streams', key: `streams:${newKey()}`, most: 2 }]
    const take = (holder: string) => limiter.take({ buckets: [], slots, holder })
    expect((await take('a')).granted).toBe(true)
    expect((await take('b')).granted).toBe(true)
    expect(await take('c')).toMatchObject({ granted: false, busy: 'user-streams' })
    await limiter.release([{ key: slots[0]?.key ?? '', holder: 'a' }])
    expect((await take('c')).granted).toBe(true)
    expect((await take('d')).granted).toBe(false)
  })

  test('takes neither units nor a slot when the other is refused', async () => {
    const { limiter } = begin()
    const one = bucket(newKey(), { capacity: 1 })
    const slots = [{ name: 'user-streams', key: `streams:${newKey()}`, most: 1 }]
    await limiter.take({ buckets: [], slots, holder: 'a' })
    expect((await limiter.take({ buckets: [one], slots, holder: 'b' })).granted).toBe(false)
    expect((await limiter.take({ buckets: [one] })).granted).toBe(true)
    await limiter.release([{ key: slots[0]?.key ?? '', holder: 'a' }])
    expect((await limiter.take({ buckets: [one], slots, holder: 'b' })).granted).toBe(false)
    expect((await limiter.take({ buckets: [], slots, holder: 'c' })).granted).toBe(true)
  })

  test('holds slots that were forgotten when they are renewed', async () => {
    const { limiter } = begin()
    const key = `streams:${newKey()}`
    await limiter.renew([{ key, holder: 'a' }])
    const slots = [{ name: 'user-streams', key, most: 1 }]
    expect((await limiter.take({ buckets: [], slots, holder: 'b' })).granted).toBe(false)
  })
}
