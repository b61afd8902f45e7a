import { afterAll, beforeAll, expect, test } from 'bun:test'
import { newId } from '../../src/lib/ids'
import type { Store } from '../../src/store/port'
import type { UsageFilter } from '../../src/store/port-money'
import { openPostgres } from '../../src/store/postgres'
import { sqlStore } from '../../src/store/sql'
import { createDatabase } from '../support/db'
import { type Explained, openExplained, workIn } from '../support/explained'
import { AT, after, Given, TENANT } from './contract/given'
import { newAccount, newReservation } from './contract/ledger-given'
import { newBeginning, newBudget, newEvent, newUsage } from './contract/money-given'

// What money costs in Postgres, told by `auto_explain` for every statement as it was carried out, those inside functions
// included: in books that are long, none of them may read a whole table.

const GROWING = ['usage_records', 'usage_quarters', 'reservations', 'ledger_entries', 'accounts', 'budgets', 'outbox']
const [PERSON, ACCOUNT, CONVERSATION] = [newId(), newId(), newId()]
const MONTH = { from: new Date('2026-10-25T00:00:00.000Z'), to: new Date('2026-11-24T07:07:00.000Z') }

/** 3,000 people, 400 of them and one more with 40 answers in two months, and that one with 640. */
const FILL = [
  `insert into accounts (id, tenant_id, kind, owner_id, limited, created_at)
    select gen_random_uuid(), '${TENANT}', 'user', gen_random_uuid(), false, now() from generate_series(1, 3000)`,
  `insert into budgets (id, tenant_id, account_id, period, limit_nanos, hard, created_at, updated_at)
    select gen_random_uuid(), tenant_id, id, period, 1, false, now(), now()
    from accounts, unnest(array['day', 'week', 'month']) period where kind = 'user'`,
  `insert into reservations (id, tenant_id, account_ids, amount_nanos, state, settled_nanos, uncollected_nanos, run_id, expires_at,
      created_at, resolved_at)
    select gen_random_uuid(), tenant_id, array[id], 1, 'settled', 0, 0, gen_random_uuid(), '2026-11-21', '2026-11-21', '2026-11-21'
    from accounts, generate_series(1, 5) where kind = 'user'`,
  `select usage_write(array_agg(jsonb_build_object('id', gen_random_uuid(), 'tenant_id', tenant_id, 'user_id', owner_id,
      'model', 'm' || i % 3, 'status', 'completed', 'prompt_tokens', 1, 'completion_tokens', 1, 'cached_tokens', 0, 'reasoning_tokens', 0,
      'conversation_id', case when i % 10 = 0 then '${CONVERSATION}' else gen_random_uuid()::text end,
      'charge_nanos', 1, 'saved_nanos', 0, 'cost_basis', 'provider', 'created_at', now(),
      'completed_at', timestamptz '2026-10-01Z' + i * interval '2 hours 11 minutes')))
    from (select * from accounts where kind = 'user' order by owner_id <> '${PERSON}' limit 401) a, generate_series(1, 640) i
    where i % 16 = 0 or owner_id = '${PERSON}'`,
  `insert into outbox (id, tenant_id, type, data, next_at, created_at)
    select gen_random_uuid(), '${TENANT}', 'message.completed', '{}', '2027-01-01', '2027-01-01' from generate_series(1, 2000)`,
  ...GROWING.map((name) => `vacuum analyze ${name}`),
]

let store: Store
let given: Given
let drop: () => Promise<void>
let explained: Explained

beforeAll(async () => {
  const database = await createDatabase()
  ;({ drop } = database)
  const admin = openPostgres({ url: database.url, poolSize: 2, onError: () => {} })
  const first = await sqlStore('postgres', admin)
  await first.ledger.open(newAccount({ id: ACCOUNT, ownerId: PERSON, limited: false }))
  await first.ledger.open(newAccount({ kind: 'key' }))
  for (const statement of FILL) await admin.pool.query(statement)
  await first.close()

  explained = openExplained(database.url, { max: 1 })
  const { pool } = explained
  store = await sqlStore('postgres', { pool, close: () => pool.end() })
  given = new Given({ store, pool, close: async () => {} })
}, 120_000)
afterAll(async () => {
  await store?.close()
  await drop?.()
})

const work = (request: () => Promise<unknown>) => workIn(explained, GROWING, request)

test('reserving, drawing, extending, settling and expiring read a handful of rows', async () => {
  // The sixth time and later, Postgres may go by a plan made for any values.
  for (let i = 0; i < 8; i++) {
    const usage = newBeginning({ userId: PERSON })
    const wanted = [0, 1, 2].map(() => newReservation([ACCOUNT], 2n, { optionalAccountIds: [newId()], usage }))
    const { whole, rows } = await work(async () => {
      await store.ledger.reserve(wanted)
      const { made } = await store.ledger.draw(wanted[0]?.id ?? '', [newReservation([ACCOUNT], 1n, { usage })])
      expect(await made).toBe(true)
      await store.ledger.extend(wanted[0]?.id ?? '', 1n)
      await store.ledger.settle(
        wanted
          .slice(1)
          .map(({ id }) => ({ id, amount: 1n, usage: newUsage({ id, userId: PERSON }), event: newEvent(), at: AT })),
      )
      await store.ledger.expire(after(100_000), 10)
    })
    expect(whole).toEqual([])
    expect(rows).toBeLessThan(200)
  }
})

test('putting a budget reads what its account was charged, and no more', async () => {
  const { whole } = await work(() => store.budgets.put(newBudget(ACCOUNT, 5n, { period: 'total' })))
  expect(whole).toEqual([])
})

const FILTERS: [string, Omit<UsageFilter, 'from' | 'to'>, number][] = [
  ['a person', { tenantId: TENANT, userId: PERSON }, 800],
  ['a conversation', { tenantId: TENANT, conversationId: CONVERSATION }, 4000],
]

test.each(FILTERS)(
  'the usage of %s is read by an index, and its sums from quarters of an hour',
  async (_, who, most) => {
    const filter = { ...who, ...MONTH }
    const reads = [
      () => store.usage.totals(filter),
      () => store.usage.byDay(filter, 'Asia/Kathmandu'),
      () => store.usage.by(filter, { group: 'model', limit: 10 }),
      () => store.usage.by(filter, { group: 'conversation', limit: 10 }),
      () => store.usage.records(filter, { after: null, limit: 20 }),
    ]
    for (const read of reads) {
      const { whole, rows } = await work(read)
      expect(whole).toEqual([])
      expect(rows).toBeLessThan(most)
    }
  },
)

test('a short time of everybody is read by an index, and records page by page', async () => {
  const hour = { from: new Date('2026-11-03T10:00:00.000Z'), to: new Date('2026-11-03T11:00:00.000Z') }
  for (const who of [{ tenantId: TENANT }, {}]) {
    const page = { after: `2026-11-03T10:00:00.000Z_${newId()}`, limit: 20 }
    expect(await work(() => store.usage.records({ ...who, ...MONTH }, page))).toMatchObject({ whole: [] })
    expect((await work(() => store.usage.records({ ...who, ...MONTH }, page))).rows).toBeLessThan(50)
  }
  expect((await work(() => store.usage.totals({ tenantId: TENANT, ...hour }))).whole).toEqual([])
})

test('events that are due are found among many that are not', async () => {
  const { whole, rows } = await work(() => store.outbox.claim(after(1000), { leaseSeconds: 60, limit: 5 }))
  expect(whole).toEqual([])
  expect(rows).toBeLessThan(100)
  expect(await given.count('outbox', 'tenant_id', TENANT)).toBeGreaterThan(1999)
})
