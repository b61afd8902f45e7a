import { expect, test } from 'bun:test'
import { newId } from '../../src/lib/ids'
import { GroupedLedger, type GroupOptions } from '../../src/store/ledger-groups'
import type { LedgerStore, NewReservation } from '../../src/store/port-money'
import { AT, atOnce } from './contract/given'
import { codeOf, newReservation } from './contract/ledger-given'

/** A ledger that answers when it is told to, and writes down what was written together. */
class SlowLedger {
  readonly groups: number[] = []
  private readonly held: PromiseWithResolvers<void>[] = []
  most = 0
  private now = 0

  constructor(private readonly holds = false) {}

  readonly store = {
    reserve: async (items: NewReservation[]) => {
      await this.write(items.length)
      return items.map(({ amount }) => ({ outcome: 'insufficient' as const, available: amount, budget: null }))
    },
    settle: async (items: { amount: bigint }[]) => {
      await this.write(items.length)
      return items.map(({ amount }) => ({ outcome: 'settled' as const, settled: amount, uncollected: 0n }))
    },
    void: async (ids: string[]) => {
      await this.write(ids.length)
      return ids.map(() => ({ outcome: 'voided' as const }))
    },
  } as unknown as LedgerStore

  /** Lets the oldest write that is held end. */
  answer(error?: Error): void {
    const held = this.held.shift()
    if (error) held?.reject(error)
    else held?.resolve()
  }

  private async write(size: number): Promise<void> {
    this.groups.push(size)
    this.most = Math.max(this.most, ++this.now)
    const held = Promise.withResolvers<void>()
    if (this.holds) this.held.push(held)
    else held.resolve()
    await held.promise.finally(() => this.now--)
  }
}

const grouped = (holds: boolean, options: GroupOptions = {}) => {
  const slow = new SlowLedger(holds)
  return { slow, ledger: new GroupedLedger(slow.store, options) }
}
const reservation = (amount = 1n) => newReservation([newId()], amount)
const settlement = (amount = 1n) => ({ id: newId(), amount, at: AT })
test('writes together what comes together, and gives everybody their own answers', async () => {
  const { slow, ledger } = grouped(false)
  const answers = await atOnce(50, (i) => ledger.reserve([reservation(BigInt(i + 1)), reservation(BigInt(i + 101))]))
  expect(slow.groups).toEqual([100])
  expect(answers.map((one) => one.map((a) => a.outcome === 'insufficient' && a.available))).toEqual(
    Array.from({ length: 50 }, (_, i) => [BigInt(i + 1), BigInt(i + 101)]),
  )
  expect(await ledger.void([newId(), newId()], AT)).toEqual([{ outcome: 'voided' }, { outcome: 'voided' }])
  expect(await Promise.all([ledger.reserve([]), ledger.settle([]), ledger.void([], AT)])).toEqual([[], [], []])
  expect(slow.groups).toEqual([100, 2])
})

test('writes two hundred at most together, and never parts what came in one call', async () => {
  const { slow, ledger } = grouped(false)
  await atOnce(1000, () => ledger.settle([settlement()]))
  expect(slow.groups).toEqual([200, 200, 200, 200, 200])
  await atOnce(3, () => ledger.settle(Array.from({ length: 150 }, () => settlement())))
  await ledger.settle(Array.from({ length: 450 }, () => settlement()))
  expect(slow.groups.slice(5)).toEqual([150, 150, 150, 450])
  expect(slow.most).toBe(2)
})

test('writes at once what comes alone', async () => {
  const { slow, ledger } = grouped(false, { waitMs: 10_000 })
  const before = performance.now()
  for (let i = 0; i < 20; i++) await ledger.reserve([reservation()])
  expect(performance.now() - before).toBeLessThan(1000)
  expect(slow.groups).toHaveLength(20)
})

test('lets settlements wait for each other where they come fast, and reservations never', async () => {
  const { slow, ledger } = grouped(false, { gatherMs: 40 })
  // A crowd says how fast they come.
  await atOnce(20, () => ledger.settle([settlement()]))
  await atOnce(20, () => ledger.reserve([reservation()]))
  const before = performance.now()
  const waiting = ledger.settle([settlement()])
  await ledger.reserve([reservation()])
  expect(performance.now() - before).toBeLessThan(30)
  await Promise.all([waiting, ledger.settle([settlement()])])
  expect(slow.groups).toEqual([20, 20, 1, 2])
})

test('waits for company while another group is being written, and not for long', async () => {
  const { slow, ledger } = grouped(true)
  const first = ledger.reserve([reservation()])
  await Bun.sleep(1)
  const second = atOnce(5, () => ledger.reserve([reservation()]))
  expect(slow.groups).toEqual([1])
  await Bun.sleep(20)
  expect(slow.groups).toEqual([1, 5])
  // Two are being written: more would only wait for each other in the database.
  const third = atOnce(7, () => ledger.reserve([reservation()]))
  await Bun.sleep(20)
  expect(slow.groups).toEqual([1, 5])
  slow.answer()
  await first
  expect(slow.groups).toEqual([1, 5, 7])
  slow.answer()
  slow.answer()
  await Promise.all([second, third])
})

test('tells everybody of a group that could not be written, and goes on', async () => {
  const { slow, ledger } = grouped(true)
  const calls = Array.from({ length: 3 }, () => codeOf(ledger.settle([settlement()])))
  await Bun.sleep(5)
  const later = ledger.settle([settlement(7n)])
  slow.answer(new Error('Connection terminated unexpectedly'))
  expect(await Promise.all(calls)).toEqual(Array(3).fill('UPSTREAM_UNAVAILABLE'))
  await Bun.sleep(5)
  slow.answer()
  expect(await later).toEqual([{ outcome: 'settled', settled: 7n, uncollected: 0n }])
})

test('lets no call that is wrong into a group', async () => {
  const { slow, ledger } = grouped(false)
  const wrong = [
    ledger.reserve([reservation(), reservation(-1n)]),
    ledger.settle([settlement(Number.NaN as unknown as bigint)]),
    ledger.void(['nothing'], AT),
  ]
  const right = [ledger.reserve([reservation()]), ledger.settle([settlement()])]
  expect(await Promise.all(wrong.map(codeOf))).toEqual(Array(3).fill('VALIDATION_ERROR'))
  await Promise.all(right)
  expect(slow.groups).toEqual([1, 1])
})

test('refuses reservations when too many wait, and settlements never', async () => {
  const { slow, ledger } = grouped(true, { maxWaiting: 10, maxWrites: 1 })
  const started = ledger.reserve([reservation()])
  await Bun.sleep(5)
  const waiting = atOnce(10, () => ledger.reserve([reservation()]))
  expect(await codeOf(ledger.reserve([reservation()]))).toBe('UPSTREAM_UNAVAILABLE')
  const settled = atOnce(100, () => ledger.settle([settlement()]))
  for (let i = 0; i < 4; i++) {
    await Bun.sleep(5)
    slow.answer()
  }
  await Promise.all([started, waiting, settled])
  expect(slow.groups).toEqual([1, 100, 10])
})
