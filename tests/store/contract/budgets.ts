import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import type { BudgetPeriod } from '../../../src/store/port-money'
import { broken } from '../bank'
import { AT, after, type Given, TENANT } from './given'
import { codeOf, funded, insufficient, newAccount, newReservation, RESERVED } from './ledger-given'
import { newBudget, short, spend } from './money-given'

const DAY = 86_400_000
const PERIODS: BudgetPeriod[] = ['day', 'week', 'month', 'total']

export function budgetsContract(given: () => Given): void {
  const { ledger, budgets } = {
    ledger: () => given().store.ledger,
    budgets: () => given().store.budgets,
  }
  const open = async () => (await ledger().open(newAccount({ limited: false }))).id
  const told = (accountId: string) =>
    given().sql<{ type: string; user_id: string; data: Record<string, unknown> }>(
      `select type, user_id, data from outbox where data->>'account_id' = $1 order by created_at, type`,
      [accountId],
    )
  const types = async (accountId: string) => (await told(accountId)).map(({ type }) => type)

  test('keeps one budget for each account and period, and shows it to its tenant', async () => {
    const account = await ledger().open(newAccount({ limited: false }))
    const budget = newBudget(account.id, 100n, { warnPercent: 80 })
    const made = await budgets().put(budget)
    expect(made).toEqual({
      id: budget.id,
      tenantId: TENANT,
      accountId: account.id,
      kind: 'user',
      ownerId: account.ownerId,
      period: 'day',
      limit: 100n,
      warnPercent: 80,
      hard: true,
      spent: 0n,
      reserved: 0n,
      periodStart: new Date('2026-11-21T00:00:00.000Z'),
      periodEnd: new Date('2026-11-22T00:00:00.000Z'),
      createdAt: AT,
      updatedAt: AT,
    })
    await spend(given(), [account.id], 60n)
    const replaced = await budgets().put(newBudget(account.id, 200n, { hard: false, at: after(5) }))
    expect(replaced).toEqual({
      ...made,
      limit: 200n,
      warnPercent: null,
      hard: false,
      spent: 60n,
      updatedAt: after(5),
    })
    expect(await budgets().list(TENANT, account.id, AT)).toEqual([replaced])
    expect((await budgets().list(TENANT)).map(({ id }) => id)).toContain(budget.id)
    expect(await budgets().list(newId())).toEqual([])
    expect(await budgets().list(newId(), account.id)).toEqual([])
    expect(await budgets().remove(newId(), budget.id)).toBe(false)
    expect(await budgets().remove(TENANT, budget.id)).toBe(true)
    expect(await budgets().remove(TENANT, budget.id)).toBe(false)
    expect(await budgets().list(TENANT, account.id)).toEqual([])
  })

  test('an extension goes by the period that has begun since', async () => {
    const id = await open()
    await budgets().put(newBudget(id, 100n))
    await spend(given(), [id], 50n)
    const running = newReservation([id], 40n)
    await ledger().reserve([running])
    expect(await ledger().extend(running.id, 20n, { at: AT })).toMatchObject({
      outcome: 'insufficient',
      available: 10n,
    })
    expect(await ledger().extend(running.id, 20n, { at: after(DAY) })).toEqual({ outcome: 'extended' })
  })

  test('refuses what is no budget, and one for no account', async () => {
    const id = await open()
    const bad = [
      newBudget(id, -1n),
      newBudget(id, Number.NaN as unknown as bigint),
      newBudget(id, 10n ** 15n + 1n),
      newBudget(id, 1n, { period: 'year' as 'day' }),
      newBudget(id, 1n, { warnPercent: 0 }),
      newBudget(id, 1n, { warnPercent: 101 }),
      newBudget(id, 1n, { warnPercent: 1.5 }),
      newBudget('x', 1n),
      newBudget(id, 1n, { at: new Date(Number.NaN) }),
    ]
    expect(await Promise.all(bad.map((one) => codeOf(budgets().put(one))))).toEqual(bad.map(() => 'VALIDATION_ERROR'))
    expect(await codeOf(budgets().put(newBudget(newId(), 1n)))).toBe('NOT_FOUND')
    expect(await codeOf(budgets().put(newBudget(id, 1n, { tenantId: newId() })))).toBe('NOT_FOUND')
    const [{ id: system } = { id: '' }] = await given().sql<{ id: string }>(
      `select id from accounts where kind = 'system' and tenant_id = $1`,
      [TENANT],
    )
    expect(await codeOf(budgets().put(newBudget(system, 1n)))).toBe('NOT_FOUND')
  })

  test('refuses what would go beyond a hard budget, with what is left and which one it is, and tells it once', async () => {
    const account = await ledger().open(newAccount({ limited: false }))
    const { id } = await budgets().put(newBudget(account.id, 100n))
    await budgets().put(newBudget(account.id, 1000n, { period: 'month' }))
    const [first, second] = [newReservation([account.id], 60n), newReservation([account.id], 50n)]
    const refused = insufficient(40n, { id, period: 'day', kind: 'user' })
    expect(await ledger().reserve([first, second])).toEqual([RESERVED, refused])
    expect(await ledger().reserve([second])).toEqual([refused])
    expect(await ledger().extend(first.id, 41n)).toEqual(refused)
    expect(await ledger().extend(first.id, 40n)).toEqual({ outcome: 'extended' })
    expect((await budgets().list(TENANT, account.id, AT)).map(({ reserved }) => reserved)).toEqual([100n, 100n])
    await ledger().settle([{ id: first.id, amount: 30n, at: AT }])
    expect((await budgets().list(TENANT, account.id, AT)).map(short)).toMatchObject([
      { spent: 30n, reserved: 0n },
      { spent: 30n, reserved: 0n },
    ])
    expect(await told(account.id)).toEqual([
      {
        type: 'budget.exceeded',
        user_id: account.ownerId,
        data: {
          budget_id: id,
          account_id: account.id,
          kind: 'user',
          owner_id: account.ownerId,
          period: 'day',
          period_start: expect.stringMatching(/^2026-11-21T00:00:00/),
          hard: true,
          warn_percent: null,
          limit_nanos: '100',
          spent_nanos: '0',
          reserved_nanos: '60',
        },
      },
    ])
    expect(await broken(given())).toEqual([])
  })

  test('tells of the refusal of an extension', async () => {
    const accountId = await open()
    await budgets().put(newBudget(accountId, 100n))
    const one = newReservation([accountId], 100n)
    await ledger().reserve([one])
    for (let i = 0; i < 3; i++)
      expect(await ledger().extend(one.id, 1n)).toMatchObject(insufficient(0n, expect.anything()))
    expect(await types(accountId)).toEqual(['budget.exceeded'])
    await ledger().void([one.id], AT)
    expect((await budgets().list(TENANT, accountId, AT)).map(short)).toMatchObject([{ spent: 0n, reserved: 0n }])
    expect(await broken(given())).toEqual([])
  })

  test('lets a soft budget be exceeded, and tells once that it is nearly and entirely used up', async () => {
    const accountId = await open()
    await budgets().put(newBudget(accountId, 100n, { hard: false, warnPercent: 80 }))
    const spendings: [bigint, string[]][] = [
      [79n, []],
      [1n, ['budget.warning']],
      [19n, ['budget.warning']],
      [11n, ['budget.exceeded', 'budget.warning']],
      [500n, ['budget.exceeded', 'budget.warning']],
    ]
    for (const [amount, events] of spendings) {
      await spend(given(), [accountId], amount)
      expect(await types(accountId)).toEqual(events)
    }
    const fresh = newReservation([accountId], 1000n)
    expect(await ledger().reserve([fresh])).toEqual([{ outcome: 'reserved', limited: false }])
    await ledger().void([fresh.id], AT)
    expect((await budgets().list(TENANT, accountId, AT)).map(short)).toMatchObject([{ spent: 610n, reserved: 0n }])
    await budgets().put(newBudget(accountId, 1000n, { hard: false, warnPercent: 80 }))
    await spend(given(), [accountId], 200n)
    expect(await types(accountId)).toEqual(['budget.exceeded', 'budget.warning', 'budget.warning'])
    expect(await broken(given())).toEqual([])
  })

  test('keeps what key, person and company may spend at the same time, and names the least', async () => {
    const ids = [
      (await funded(ledger(), 1000n)).id,
      (await ledger().open(newAccount({ kind: 'key', limited: false }))).id,
      (await ledger().open(newAccount({ kind: 'tenant', limited: false }))).id,
    ]
    const [user = '', key = '', company = ''] = ids
    await budgets().put(newBudget(user, 300n))
    const least = await budgets().put(newBudget(key, 200n, { period: 'total' }))
    await budgets().put(newBudget(company, 250n, { hard: false }))
    const named = { accountIds: [user], optionalAccountIds: [key, company, newId()] }
    const one = newReservation([user], 201n, named)
    expect(await ledger().reserve([one])).toEqual([insufficient(200n, { id: least.id, period: 'total', kind: 'key' })])
    expect(await ledger().reserve([{ ...one, amount: 200n }])).toEqual([RESERVED])
    expect(await ledger().reserve([{ ...one, amount: 200n }])).toEqual([RESERVED])
    await ledger().settle([{ id: one.id, amount: 150n, at: AT }])
    for (const id of ids) {
      expect((await budgets().list(TENANT, id, AT)).map(short)).toMatchObject([{ spent: 150n, reserved: 0n }])
    }
    expect(await broken(given())).toEqual([])
  })

  test('begins a period with nothing spent, and keeps what is reserved', async () => {
    const accountId = await open()
    for (const period of PERIODS) await budgets().put(newBudget(accountId, 1000n, { period }))
    const late = newReservation([accountId], 50n)
    await ledger().reserve([late])
    await spend(given(), [accountId], 100n)
    const at = async (ms: number) => (await budgets().list(TENANT, accountId, after(ms))).map(short)
    const spent = async (ms: number) => (await at(ms)).map((one) => [one.period, one.spent, one.from, one.to])
    // The 21st of November 2026 is a Saturday.
    expect(await spent(0)).toEqual([
      ['day', 100n, '2026-11-21', '2026-11-22'],
      ['week', 100n, '2026-11-16', '2026-11-23'],
      ['month', 100n, '2026-11-01', '2026-12-01'],
      ['total', 100n, null, null],
    ])
    expect(await spent(DAY)).toEqual([
      ['day', 0n, '2026-11-22', '2026-11-23'],
      ['week', 100n, '2026-11-16', '2026-11-23'],
      ['month', 100n, '2026-11-01', '2026-12-01'],
      ['total', 100n, null, null],
    ])
    await spend(given(), [accountId], 7n, { at: after(2 * DAY) })
    expect(await spent(2 * DAY)).toEqual([
      ['day', 7n, '2026-11-23', '2026-11-24'],
      ['week', 7n, '2026-11-23', '2026-11-30'],
      ['month', 107n, '2026-11-01', '2026-12-01'],
      ['total', 107n, null, null],
    ])
    await ledger().settle([{ id: late.id, amount: 20n, at: after(10 * DAY) }])
    expect(await spent(10 * DAY)).toEqual([
      ['day', 20n, '2026-12-01', '2026-12-02'],
      ['week', 20n, '2026-11-30', '2026-12-07'],
      ['month', 20n, '2026-12-01', '2027-01-01'],
      ['total', 127n, null, null],
    ])
    expect((await at(10 * DAY)).map(({ reserved }) => reserved)).toEqual([0n, 0n, 0n, 0n])
    expect(await broken(given())).toEqual([])
  })

  test('opens no period again when a clock jumps back, and says in each period anew what it has to say', async () => {
    const accountId = await open()
    await budgets().put(newBudget(accountId, 100n, { warnPercent: 50 }))
    const reserve = (amount: bigint, ms: number) =>
      ledger().reserve([newReservation([accountId], amount, { at: after(ms), expiresAt: after(ms + 1000) })])
    await spend(given(), [accountId], 90n)
    expect(await reserve(20n, 0)).toMatchObject([{ outcome: 'insufficient', available: 10n }])
    await spend(given(), [accountId], 60n, { at: after(DAY) })
    const jumps = [0, -DAY, -40 * DAY, DAY - 1]
    for (const [i, ms] of jumps.entries()) {
      expect(await reserve(100n, ms)).toMatchObject([{ outcome: 'insufficient', available: 40n - BigInt(i) }])
      await spend(given(), [accountId], 1n, { at: after(ms) })
    }
    const events = await told(accountId)
    expect(events.map(({ type, data }) => `${type} ${String(data.period_start).slice(0, 10)}`).sort()).toEqual([
      'budget.exceeded 2026-11-21',
      'budget.exceeded 2026-11-22',
      'budget.warning 2026-11-21',
      'budget.warning 2026-11-22',
    ])
    expect(await broken(given())).toEqual([])
    expect((await budgets().list(TENANT, accountId, AT)).map(short)).toMatchObject([{ from: '2026-11-22', spent: 64n }])
  })

  test('makes one that somebody set for themselves nobody else of theirs, and theirs never looser than another', async () => {
    const accountId = await open()
    const ownId = newId()
    const own = (limit: bigint, fields: object = {}) =>
      budgets().put(newBudget(accountId, limit, { id: ownId, ownId, ...fields }))
    await own(100n)
    expect(await own(500n, { hard: false })).toMatchObject({ id: ownId, limit: 500n, hard: false })
    await spend(given(), [accountId], 60n)
    const theirs = newBudget(accountId, 200n, { ownId })
    expect(await budgets().put(theirs)).toMatchObject({ id: theirs.id, limit: 200n, hard: true, spent: 60n })
    for (const looser of [() => own(201n), () => own(200n, { hard: false })]) {
      expect(await codeOf(looser())).toBe('FORBIDDEN')
    }
    expect(await own(150n)).toMatchObject({ id: theirs.id, limit: 150n })
    expect(await budgets().put({ ...theirs, id: newId(), limit: 900n })).toMatchObject({ id: theirs.id, limit: 900n })
  })

  test('lets nobody win a race against the budget that is set for them', async () => {
    const accountId = await open()
    const ownId = newId()
    const own = () => budgets().put(newBudget(accountId, 900n, { id: ownId, ownId }))
    const theirs = () => budgets().put(newBudget(accountId, 200n, { ownId }))
    await Promise.allSettled([own(), own(), theirs(), own(), own()])
    const [left] = await budgets().list(TENANT, accountId, AT)
    expect(left).toMatchObject({ limit: 200n })
    expect(left?.id).not.toBe(ownId)
  })

  test('counts what was spent and reserved before there was a budget', async () => {
    const accountId = await open()
    await spend(given(), [accountId], 5n, { at: after(-DAY) })
    await spend(given(), [accountId], 7n)
    await ledger().reserve([newReservation([accountId], 11n)])
    expect(short(await budgets().put(newBudget(accountId, 20n)))).toMatchObject({ spent: 7n, reserved: 11n })
    const total = await budgets().put(newBudget(accountId, 20n, { period: 'total' }))
    expect(short(total)).toMatchObject({ spent: 12n, reserved: 11n })
    expect(await ledger().reserve([newReservation([accountId], 1n)])).toEqual([
      insufficient(0n, { id: total.id, period: 'total', kind: 'user' }),
    ])
    expect(await broken(given())).toEqual([])
  })

  test('refuses what has no price where anything limits the caller, and counts it elsewhere', async () => {
    const [free, rich] = [await open(), (await funded(ledger(), 100n)).id]
    const unpriced = (accountId: string) => newReservation([accountId], 1n, { unpriced: true })
    expect(await ledger().reserve([unpriced(free), unpriced(rich)])).toEqual([
      { outcome: 'reserved', limited: false },
      { outcome: 'unpriced' },
    ])
    await budgets().put(newBudget(free, 100n, { hard: false }))
    expect(await ledger().reserve([unpriced(free)])).toEqual([{ outcome: 'reserved', limited: false }])
    await budgets().put(newBudget(free, 100n, { hard: true }))
    expect(await ledger().reserve([unpriced(free)])).toEqual([{ outcome: 'unpriced' }])
  })
}
