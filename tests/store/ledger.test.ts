import { afterAll, beforeAll, expect, test } from 'bun:test'
import { newId } from '../../src/lib/ids'
import { GroupedLedger } from '../../src/store/ledger-groups'
import type { LedgerStore, Reserved } from '../../src/store/port-money'
import { openPostgres } from '../../src/store/postgres'
import { openDb } from '../../src/store/sql/db'
import { SqlLedger } from '../../src/store/sql/ledger'
import { openTestPostgres, type TestStore } from '../support/db'
import { broken, runBank } from './bank'
import { AT, atOnce, Given, TENANT } from './contract/given'
import { amounts, funded, newAccount, newCredit, newReservation } from './contract/ledger-given'
import { newBeginning, newBudget, newEvent, newUsage } from './contract/money-given'

// Only on real Postgres: the embedded database has one connection, and hides what races.

let opened: TestStore
let given: Given
let ledger: LedgerStore
/** As a second server would have it. */
let other: LedgerStore
let closeOther: () => Promise<void>
beforeAll(async () => {
  opened = await openTestPostgres()
  given = new Given(opened)
  ledger = given.store.ledger
  const { pool, close } = openPostgres({ url: String(opened.url), poolSize: 20, onError: () => {} })
  other = new SqlLedger(openDb(pool))
  closeOther = close
})
afterAll(async () => {
  await closeOther()
  await opened.close()
})

const countOf = (answers: Reserved[][], outcome: string) =>
  answers.flat().filter((one) => one.outcome === outcome).length

const WAYS: [string, () => LedgerStore[]][] = [
  ['one server', () => [ledger]],
  ['two servers', () => [ledger, other]],
  ['two servers that write in groups', () => [new GroupedLedger(ledger), new GroupedLedger(other)]],
]

test.each(WAYS)('lets exactly 3 of 200 at once through with credit for 3, from %s', async (_, servers) => {
  const [user, company] = [
    await funded(ledger, 3050n),
    await funded(ledger, 1_000_000n, { kind: 'tenant', ownerId: newId() }),
  ]
  const asked = servers()
  const wanted = Array.from({ length: 200 }, () => newReservation([user.id, company.id], 1000n))
  const answers = await atOnce(200, async (i) => {
    const [server, one] = [asked[i % asked.length], wanted[i]]
    return server && one ? server.reserve([one]) : []
  })
  expect([countOf(answers, 'reserved'), countOf(answers, 'insufficient')]).toEqual([3, 197])
  expect(await amounts(ledger, user.id)).toEqual({ balance: 3050n, reserved: 3000n, available: 50n })
  const through = wanted.filter((_, i) => answers[i]?.[0]?.outcome === 'reserved')
  await atOnce(10, async (i) =>
    asked[i % asked.length]?.settle(through.map(({ id }) => ({ id, amount: 1010n, at: AT }))),
  )
  // 30 more was asked for than reserved, and there was that much.
  expect(await amounts(ledger, user.id)).toEqual({ balance: 20n, reserved: 0n, available: 20n })
  expect(await broken(given)).toEqual([])
})

test.each(WAYS)('lets exactly 3 of 200 at once through with a budget for exactly 3, from %s', async (_, servers) => {
  const [user, key] = [
    await ledger.open(newAccount({ limited: false })),
    await ledger.open(newAccount({ limited: false, kind: 'key' })),
  ]
  await given.store.budgets.put(newBudget(user.id, 1_000_000n, { warnPercent: 1 }))
  await given.store.budgets.put(newBudget(key.id, 3999n, { period: 'month' }))
  const asked = servers()
  const wanted = Array.from({ length: 200 }, () =>
    newReservation([user.id], 1000n, { optionalAccountIds: [key.id], usage: newBeginning({ userId: user.ownerId }) }),
  )
  const answers = await atOnce(200, async (i) => asked[i % asked.length]?.reserve(wanted.slice(i, i + 1)) ?? [])
  expect([countOf(answers, 'reserved'), countOf(answers, 'insufficient')]).toEqual([3, 197])
  const through = wanted.filter((_, i) => answers[i]?.[0]?.outcome === 'reserved')
  // Everybody settles all of them, each with records and events of their own.
  await atOnce(10, async (i) =>
    asked[i % asked.length]?.settle(
      through.map(({ id }) => ({
        id,
        amount: 900n,
        usage: newUsage({ id, userId: user.ownerId }),
        event: newEvent({ data: { reservation_id: id } }),
        at: AT,
      })),
    ),
  )
  const [budget] = await given.store.budgets.list(TENANT, key.id, AT)
  expect(budget).toMatchObject({ spent: 2700n, reserved: 0n })
  const counts = await given.sql(
    `select (select count(*)::int from usage_records where user_id = $1) as records,
       (select sum(answers)::int from usage_quarters where user_id = $1) as answers,
       (select count(*)::int from outbox where data->>'reservation_id' = any($2)) as completed,
       (select count(*)::int from outbox where type = 'budget.exceeded' and data->>'account_id' = $3) as exceeded`,
    [user.ownerId, through.map(({ id }) => id), key.id],
  )
  expect(counts).toEqual([{ records: 3, answers: 3, completed: 3, exceeded: 1 }])
  expect(await broken(given)).toEqual([])
})

test('keeps a budget right while it is put, replaced and removed under fire', async () => {
  const { id, ownerId } = await ledger.open(newAccount({ limited: false }))
  const spending = atOnce(30, async (i) => {
    const server = i % 2 ? ledger : other
    for (let k = 0; k < 5; k++) {
      const one = newReservation([id], 10n)
      const [answer] = await server.reserve([one])
      const usage = newUsage({ id: one.id, userId: ownerId, model: `m${k}` })
      if (answer?.outcome === 'reserved' && k !== 2) await server.settle([{ id: one.id, amount: 7n, usage, at: AT }])
    }
  })
  const changing = async () => {
    for (let k = 0; k < 20; k++) {
      const { id: budget } = await given.store.budgets.put(newBudget(id, BigInt(700 + 10 * k), { period: 'total' }))
      if (k % 5 === 4) await given.store.budgets.remove(TENANT, budget)
    }
    await given.store.budgets.put(newBudget(id, 800n))
  }
  await Promise.all([spending, changing()])
  expect(await broken(given)).toEqual([])
})

test('credits once when fifty replays of one top-up arrive at two servers at once', async () => {
  const { id } = await funded(ledger, 0n)
  const credit = newCredit(id, 500n)
  const credited = await atOnce(50, (i) => (i % 2 ? ledger : other).credit({ ...credit, id: newId() }))
  expect(new Set(credited.map(({ transactionId, balance }) => `${transactionId} ${balance}`)).size).toBe(1)
  const someoneElse = await funded(ledger, 0n)
  const codes = await atOnce(10, (i) =>
    (i % 2 ? ledger : other).credit({ ...credit, id: newId(), accountId: someoneElse.id }).then(
      () => 'credited',
      (error) => error.code,
    ),
  )
  expect(new Set(codes)).toEqual(new Set(['CONFLICT']))
  expect(await amounts(ledger, id)).toMatchObject({ balance: 500n })
  expect(await broken(given)).toEqual([])
})

test('resolves each reservation once when settling, voiding and sweeping meet', async () => {
  const { id } = await funded(ledger, 10_000n)
  const wanted = Array.from({ length: 50 }, () => newReservation([id], 100n, { expiresAt: AT }))
  await ledger.reserve(wanted)
  const ids = wanted.map((one) => one.id)
  const [settled, voided] = await Promise.all([
    ledger.settle(ids.map((one) => ({ id: one, amount: 40n, at: AT }))),
    other.void(ids.toReversed(), AT),
    ...[ledger, other].map((one) => one.expire(new Date(AT.getTime() + 1), 20)),
  ])
  const paid = settled.filter(({ outcome }) => outcome === 'settled').length
  expect(voided.filter(({ outcome }) => outcome === 'voided').length + paid).toBeLessThanOrEqual(50)
  expect(await amounts(ledger, id)).toEqual({
    balance: 10_000n - 40n * BigInt(paid),
    reserved: 0n,
    available: 10_000n - 40n * BigInt(paid),
  })
  expect(await broken(given)).toEqual([])
})

test('never locks itself up, whatever the order in which accounts are named', async () => {
  const accounts = await atOnce(6, (i) => funded(ledger, 1_000_000n, { kind: i % 2 ? 'user' : 'key' }))
  const shuffled = (i: number) =>
    accounts.map(({ id }) => id).sort((a, b) => (i % 2 ? a.localeCompare(b) : b.localeCompare(a)))
  await atOnce(60, async (i) => {
    const server = i % 3 ? ledger : other
    const wanted = shuffled(i).map((id, k) =>
      newReservation(
        [
          id,
          ...shuffled(i + k)
            .filter((one) => one !== id)
            .slice(0, 2),
        ],
        10n,
      ),
    )
    expect(countOf([await server.reserve(wanted)], 'reserved')).toBe(6)
    await server.settle(wanted.toReversed().map(({ id }) => ({ id, amount: 12n, at: AT })))
  })
  expect(await broken(given)).toEqual([])
})

test('opens one account, and one other side of it, when many ask at once in a new tenant', async () => {
  const tenantId = newId()
  await given.sql(`insert into tenants (id, name, created_at) values ($1, 'new', now())`, [tenantId])
  const ownerId = newId()
  const accounts = await atOnce(30, (i) => (i % 2 ? ledger : other).open(newAccount({ tenantId, ownerId })))
  expect(new Set(accounts.map(({ id }) => id)).size).toBe(1)
  expect(await given.count('accounts', 'tenant_id', tenantId)).toBe(2)
})

/** Damage that the database itself refuses: its rules are switched off for it, in a transaction that is undone. */
const DAMAGE: [string, string][] = [
  [
    'the accounts of a tenant do not add up to zero',
    'update accounts set balance_nanos = balance_nanos + 1 where id = $1',
  ],
  ['a balance is not the sum of its entries', 'update accounts set balance_nanos = balance_nanos + 1 where id = $1'],
  ['a transaction does not add up to zero', 'update ledger_entries set amount_nanos = 7 where account_id = $1'],
  [
    'an entry does not follow from the one before it',
    'update ledger_entries set balance_nanos = 7 where account_id = $1',
  ],
  ['less than nothing is available', 'update accounts set balance_nanos = -1 where id = $1'],
  ['what is reserved is not the sum of the open reservations', 'update accounts set reserved_nanos = 1 where id = $1'],
  [
    'a settled reservation is not what its accounts were charged',
    `update reservations set settled_nanos = settled_nanos - 1 where account_ids = array[$1::uuid] and state = 'settled'`,
  ],
  ['a charge belongs to no settled reservation', 'delete from reservations where account_ids = array[$1::uuid]'],
  [
    'people do not have what they were given less what they spent',
    `update ledger_entries set kind = 'grant' where account_id = $1 and kind = 'charge'`,
  ],
  [
    'what a budget keeps back is not the sum of the open reservations',
    'update budgets set reserved_nanos = 1 where account_id = $1',
  ],
  ['a budget has not spent what its account was charged', 'update budgets set spent_nanos = 11 where account_id = $1'],
  ['a budget has not spent what its account was charged', 'update budgets set spent_nanos = 9 where account_id = $1'],
  [
    'a record of usage is not what was settled',
    `update usage_records set charge_nanos = 9 where id in (select id from reservations where $1 = any(account_ids))`,
  ],
  [
    'the sums of usage are not the sums of its records',
    `delete from usage_records where id in (select id from reservations where $1 = any(account_ids))`,
  ],
  [
    'an event was written twice',
    `insert into outbox select gen_random_uuid(), tenant_id, user_id, type, data, 0, now(), null, now()
     from outbox where data->>'reservation_id' = (select id::text from reservations where $1 = any(account_ids))`,
  ],
]

test.each(DAMAGE)('would notice that %s', async (what, damage) => {
  const { id } = await funded(ledger, 100n)
  await given.store.budgets.put(newBudget(id, 100n))
  const reservation = newReservation([id], 10n)
  await ledger.reserve([reservation])
  const usage = newUsage({ id: reservation.id })
  const event = newEvent({ data: { reservation_id: reservation.id } })
  await ledger.settle([{ id: reservation.id, amount: 10n, usage, event, at: AT }])
  const client = await opened.pool.connect()
  try {
    await client.query('begin')
    await client.query('set local session_replication_role = replica')
    await client.query('alter table accounts drop constraint accounts_not_overdrawn')
    await client.query(damage, [id])
    const sql = async <T>(text: string) => (await client.query(text)).rows as T[]
    expect(await broken({ sql })).toContain(what)
  } finally {
    await client.query('rollback')
    client.release()
  }
  expect(await broken(given)).toEqual([])
})

test('adds up whatever clients do at once while their connections are killed', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  const report = await runBank({ url: String(opened.url), seed, seconds: 8 })
  expect(report).toMatchObject({ seed, faults: [] })
  expect(report.operations).toBeGreaterThan(200)
  expect(Math.min(report.killed, report.repeated, report.checks)).toBeGreaterThan(5)
}, 60_000)
