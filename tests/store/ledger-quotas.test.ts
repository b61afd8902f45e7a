import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { newId } from '../../src/lib/ids'
import { QuotaLedger, type QuotaOptions } from '../../src/store/ledger-quotas'
import type { Drawing, LedgerStore, NewReservation } from '../../src/store/port-money'
import { openTestPostgres, type TestStore } from '../support/db'
import { until } from '../support/servers'
import { broken } from './bank'
import { AT, after, atOnce, Given } from './contract/given'
import { amounts, codeOf, funded, newAccount, newReservation } from './contract/ledger-given'
import { newBudget } from './contract/money-given'

// Only on real Postgres: nothing is set aside where the database is embedded.

let opened: TestStore
let given: Given
let store: LedgerStore
beforeAll(async () => {
  opened = await openTestPostgres()
  given = new Given(opened)
  store = given.store.ledger
})
afterAll(() => opened.close())

const open: QuotaLedger[] = []
afterEach(async () => {
  for (const ledger of open.splice(0)) await ledger.close()
  expect(await broken(given)).toEqual([])
})

/** One that looks who is busy when it is told to. */
function quotas(ledger: LedgerStore = store, options: Partial<QuotaOptions> = {}): QuotaLedger {
  const made = new QuotaLedger(ledger, {
    everyMs: Number.POSITIVE_INFINITY,
    now: () => new Date(),
    onFault: (message, error) => {
      throw new Error(message, { cause: error })
    },
    ...options,
  })
  open.push(made)
  return made
}

const reserve = async (ledger: LedgerStore, reservation: NewReservation) => (await ledger.reserve([reservation]))[0]

/** Makes this account's owner busy: ten answers, each settled, and a look. */
async function busy(ledger: QuotaLedger, id: string, amount = 10n): Promise<void> {
  const some = Array.from({ length: 10 }, () => newReservation([id], amount))
  await atOnce(10, (i) => ledger.reserve(some.slice(i, i + 1)))
  await ledger.settle(some.map((one) => ({ id: one.id, amount: 0n, at: AT })))
  await ledger.turn()
}

/** A ledger whose drawings are confirmed when they are told to; until then nobody knows of them but the database. */
function held() {
  const waiting: (() => void)[] = []
  const ledger: LedgerStore = Object.create(store, {
    draw: {
      value: async (...drawn: Parameters<LedgerStore['draw']>): Promise<Drawing> => {
        const { made } = await store.draw(...drawn)
        const { promise, resolve } = Promise.withResolvers<void>()
        waiting.push(resolve)
        return { made: promise.then(() => made) }
      },
    },
  })
  return { ledger, waiting, confirm: () => waiting.splice(0).forEach((resolve) => void resolve()) }
}

test('has credit set aside for who is busy, draws from it, and gives it back when they are busy no more', async () => {
  const { id } = await funded(store, 1_000_000n)
  const ledger = quotas()
  await busy(ledger, id)
  // Twice what ten answers reserved.
  expect(await amounts(store, id)).toMatchObject({ reserved: 200n })
  const one = newReservation([id], 30n)
  expect(await reserve(ledger, one)).toEqual({ outcome: 'reserved', limited: true, available: 999_800n })
  await ledger.confirmed([one])
  expect(await amounts(store, id)).toMatchObject({ reserved: 200n })
  // More than is left is reserved beside it.
  const large = newReservation([id], 500n)
  expect(await reserve(ledger, large)).toMatchObject({ outcome: 'reserved' })
  expect(await amounts(store, id)).toMatchObject({ reserved: 700n })
  await ledger.turn()
  expect(await amounts(store, id)).toMatchObject({ reserved: 530n })
  expect(await ledger.void([one.id, large.id], AT)).toEqual([{ outcome: 'voided' }, { outcome: 'voided' }])
  expect(await amounts(store, id)).toEqual({ balance: 1_000_000n, reserved: 0n, available: 1_000_000n })
})

test('goes on from one quota to the next while somebody stays busy', async () => {
  const { id } = await funded(store, 1_000_000n)
  const from: string[] = []
  const draw = (...drawn: Parameters<LedgerStore['draw']>) => {
    from.push(drawn[0])
    return store.draw(...drawn)
  }
  const ledger = quotas(Object.create(store, { draw: { value: draw } }))
  await busy(ledger, id)
  for (let turn = 1; turn < 4; turn++) {
    for (let i = 0; i < 10; i++) {
      const one = newReservation([id], 10n)
      await reserve(ledger, one)
      await ledger.settle([{ id: one.id, amount: 7n, at: AT }])
    }
    expect(from).toHaveLength(10 * turn)
    expect(new Set(from).size).toBe(turn)
    await ledger.turn()
    expect(await amounts(store, id)).toMatchObject({ balance: 1_000_000n - 70n * BigInt(turn), reserved: 200n })
  }
})

test('sets nothing aside for who asks now and then, has little left, or is not to be charged by an unknown price', async () => {
  const ledger = quotas()
  const [calm, poor, unpriced] = [await funded(store, 1_000_000n), await funded(store, 3000n), await funded(store, 0n)]
  for (let i = 0; i < 4; i++) await reserve(ledger, newReservation([calm.id], 10n))
  await busy(ledger, poor.id)
  expect(await amounts(store, calm.id)).toMatchObject({ reserved: 40n })
  expect(await amounts(store, poor.id)).toMatchObject({ reserved: 0n })
  const refused = newReservation([unpriced.id], 1n, { unpriced: true })
  for (let i = 0; i < 20; i++) expect(await reserve(ledger, refused)).toEqual({ outcome: 'unpriced' })
  await ledger.turn()
  expect(await amounts(store, unpriced.id)).toMatchObject({ reserved: 0n })
})

test('sets nothing aside while so many ask that their reservations are better written together', async () => {
  const { id } = await funded(store, 1_000_000n)
  const ledger = quotas()
  const some = Array.from({ length: 91 }, () => newReservation([id], 10n))
  await atOnce(91, (i) => ledger.reserve(some.slice(i, i + 1)))
  await busy(ledger, id)
  expect(await amounts(store, id)).toMatchObject({ reserved: 910n })
  await busy(ledger, id)
  expect(await amounts(store, id)).toMatchObject({ reserved: 1110n })
})

test('sets aside at most a small part of what is available, by the balance or a budget', async () => {
  const ledger = quotas()
  const free = await store.open(newAccount({ limited: false }))
  await given.store.budgets.put(newBudget(free.id, 64_000n, { hard: true, period: 'total' }))
  await busy(ledger, free.id, 90n)
  expect(await amounts(store, free.id)).toMatchObject({ reserved: 987n })
  const wide = await store.open(newAccount({ limited: false }))
  await busy(ledger, wide.id, 90n)
  expect(await amounts(store, wide.id)).toMatchObject({ reserved: 1800n })
  expect(await reserve(ledger, newReservation([wide.id], 90n))).toEqual({ outcome: 'reserved', limited: false })
})

test('waits for a database that has not confirmed two already', async () => {
  const { id } = await funded(store, 1_000_000n)
  const { ledger: slow, waiting, confirm } = held()
  const ledger = quotas(slow)
  await busy(ledger, id)
  const some = Array.from({ length: 3 }, () => newReservation([id], 10n))
  for (const one of some) await reserve(ledger, one)
  expect(waiting).toHaveLength(2)
  expect(await amounts(store, id)).toMatchObject({ reserved: 210n })
  confirm()
  await ledger.confirmed(some)
  for (const one of some) await reserve(ledger, { ...one, id: newId() })
  expect(waiting).toHaveLength(2)
  confirm()
})

test.each([
  ['settled', (ledger: LedgerStore, id: string) => ledger.settle([{ id, amount: 4n, at: AT }])],
  ['voided', (ledger: LedgerStore, id: string) => ledger.void([id], AT).then(([one]) => [one])],
  ['extended', (ledger: LedgerStore, id: string) => ledger.extend(id, 5n).then((one) => [one])],
])('is %s when it is in the database, and not before', async (outcome, resolve) => {
  const { id } = await funded(store, 1_000_000n)
  const { ledger: slow, confirm } = held()
  const ledger = quotas(slow)
  await busy(ledger, id)
  const one = newReservation([id], 10n)
  await reserve(ledger, one)
  let over = false
  const resolved = resolve(ledger, one.id).finally(() => {
    over = true
  })
  await Bun.sleep(20)
  expect(over).toBe(false)
  confirm()
  expect(await resolved).toMatchObject([{ outcome }])
})

describe('a statement that does not come through', () => {
  /** A ledger whose first drawing fails as told. */
  function failing(fail: (...drawn: Parameters<LedgerStore['draw']>) => Promise<Drawing>): LedgerStore {
    let failed = false
    const draw = (...drawn: Parameters<LedgerStore['draw']>) => {
      if (failed) return store.draw(...drawn)
      failed = true
      return fail(...drawn)
    }
    return Object.create(store, { draw: { value: draw } })
  }
  const lost = () => Promise.reject(new Error('the connection was lost'))

  test.each([
    ['could not be sent', lost, 210n],
    ['was lost before the database had it', async () => ({ made: lost() }), 200n],
    [
      'was carried out, and its answer lost',
      async (...drawn: Parameters<LedgerStore['draw']>) => {
        await (await store.draw(...drawn)).made
        return { made: lost() }
      },
      200n,
    ],
  ])('%s: there is one reservation', async (_, fail, reserved) => {
    const { id } = await funded(store, 1_000_000n)
    const ledger = quotas(failing(fail))
    await busy(ledger, id)
    const one = newReservation([id], 10n)
    expect(await reserve(ledger, one)).toMatchObject({ outcome: 'reserved' })
    await ledger.confirmed([one])
    expect(await amounts(store, id)).toMatchObject({ reserved })
    // Others wait for the database again.
    await reserve(ledger, newReservation([id], 10n))
    expect(await amounts(store, id)).toMatchObject({ reserved: reserved + 10n })
    expect(await ledger.settle([{ id: one.id, amount: 4n, at: AT }])).toMatchObject([{ outcome: 'settled' }])
  })

  test('is refused like any other when it could not be sent and nobody can pay', async () => {
    const { id } = await funded(store, 200_000n)
    const ledger = quotas(failing(lost))
    await busy(ledger, id)
    await store.credit({
      id: newId(),
      accountId: id,
      amount: -199_800n,
      kind: 'adjustment',
      reason: 'test',
      actorId: null,
      idempotencyKey: newId(),
      at: AT,
    })
    expect(await reserve(ledger, newReservation([id], 10n))).toMatchObject({ outcome: 'insufficient', available: 0n })
  })

  test('is reserved on its own when the database forgot the quota', async () => {
    const { id } = await funded(store, 1_000_000n)
    const ledger = quotas()
    await busy(ledger, id)
    await given.sql(
      `update reservations set state = 'voided', resolved_at = now() where state = 'open' and account_ids = $1`,
      [[id]],
    )
    await given.sql('update accounts set reserved_nanos = 0 where id = $1', [id])
    const one = newReservation([id], 10n)
    expect(await reserve(ledger, one)).toMatchObject({ outcome: 'reserved' })
    await ledger.confirmed([one])
    expect(await amounts(store, id)).toMatchObject({ reserved: 10n })
  })
})

test('refuses what is no reservation before anything is drawn', async () => {
  const { id } = await funded(store, 1_000_000n)
  const ledger = quotas()
  await busy(ledger, id)
  expect(await codeOf(ledger.reserve([newReservation([id], 0n)]))).toBe('VALIDATION_ERROR')
  expect(await amounts(store, id)).toMatchObject({ reserved: 200n })
})

test('looks by itself, and gives everything back when it is closed', async () => {
  const { id } = await funded(store, 1_000_000n)
  const ledger = quotas(store, { everyMs: 20 })
  const reserved = async () => (await amounts(store, id))?.reserved
  await until(async () => {
    const some = Array.from({ length: 10 }, () => newReservation([id], 10n))
    await atOnce(10, (i) => ledger.reserve(some.slice(i, i + 1)))
    await ledger.void(
      some.map((one) => one.id),
      AT,
    )
    return (await reserved()) === 200n
  })
  await until(async () => (await reserved()) === 0n)
  await busy(ledger, id)
  await ledger.close()
  expect(await reserved()).toBe(0n)
})

test('what a process that died had set aside is swept', async () => {
  const { id } = await funded(store, 1_000_000n)
  const ledger = new QuotaLedger(store, { everyMs: Infinity, now: () => after(-120_000), onFault: () => {} })
  await busy(ledger, id)
  expect(await amounts(store, id)).toMatchObject({ reserved: 200n })
  expect(await store.expire(new Date(), 100)).toBeGreaterThan(0)
  expect(await amounts(store, id)).toMatchObject({ balance: 1_000_000n, reserved: 0n })
})

test('a process that is killed with its first word leaves every reservation in the database', async () => {
  const { id } = await funded(store, 1_000_000n)
  const child = `
    import { openPostgres } from '${import.meta.dir}/../../src/store/postgres'
    import { openDb } from '${import.meta.dir}/../../src/store/sql/db'
    import { SqlLedger } from '${import.meta.dir}/../../src/store/sql/ledger'
    import { QuotaLedger } from '${import.meta.dir}/../../src/store/ledger-quotas'
    import { newReservation } from '${import.meta.dir}/contract/ledger-given'
    const { pool } = openPostgres({ url: process.env.DATABASE_URL, poolSize: 4, onError: () => {} })
    const ledger = new QuotaLedger(new SqlLedger(openDb(pool)), { everyMs: Infinity, now: () => new Date(), onFault: () => {} })
    const some = Array.from({ length: 12 }, () => newReservation([process.env.ACCOUNT], 10n))
    for (const one of some) await ledger.reserve([one])
    await ledger.turn()
    const last = newReservation([process.env.ACCOUNT], 7n)
    await ledger.reserve([last])
    require('node:fs').writeSync(1, last.id)
    process.kill(process.pid, 'SIGKILL')`
  const killed = await atOnce(8, async () => {
    const env = { ...process.env, DATABASE_URL: String(opened.url), ACCOUNT: id }
    const { stdout, exited } = Bun.spawn([process.execPath, '-e', child], { env, stdout: 'pipe', stderr: 'inherit' })
    const said = await new Response(stdout).text()
    await exited
    return said
  })
  const found = async () =>
    (await given.sql<{ id: string }>('select id from reservations where amount_nanos = 7 and id = any($1)', [killed]))
      .length
  expect(new Set(killed).size).toBe(8)
  await until(async () => (await found()) === 8)
})
