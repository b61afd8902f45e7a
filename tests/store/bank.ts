import { Pool } from 'pg'
import { newId } from '../../src/lib/ids'
import { GroupedLedger } from '../../src/store/ledger-groups'
import { QuotaLedger } from '../../src/store/ledger-quotas'
import { openPostgres } from '../../src/store/postgres'
import { SqlBudgets } from '../../src/store/sql/budgets'
import { type DbOfPool, openDb } from '../../src/store/sql/db'
import { SqlLedger } from '../../src/store/sql/ledger'
import { type Accounts, type Choice, History, randomFrom } from './bank-history'
import { AT, type Given } from './contract/given'
import { newAccount, newCredit } from './contract/ledger-given'
import { newBudget } from './contract/money-given'

/** What must hold for the books at any moment, as queries that find what breaks it. */
const BROKEN = {
  'the accounts of a tenant do not add up to zero': `
    select tenant_id from accounts group by tenant_id having sum(balance_nanos) <> 0`,
  'a balance is not the sum of its entries': `
    select a.id from accounts a left join ledger_entries e on e.account_id = a.id
    group by a.id having a.balance_nanos <> coalesce(sum(e.amount_nanos), 0)`,
  'an entry does not follow from the one before it': `
    select 1 from (select balance_nanos, sum(amount_nanos) over (partition by account_id order by seq) as due from ledger_entries) e
    where balance_nanos <> due`,
  'what is reserved is not the sum of the open reservations': `
    select a.id from accounts a left join reservations r on a.id = any(r.account_ids) and r.state = 'open'
    group by a.id having a.reserved_nanos <> coalesce(sum(r.amount_nanos), 0)`,
  'less than nothing is available': `
    select id from accounts where limited and balance_nanos - reserved_nanos < 0`,
  'a transaction does not add up to zero': `
    select transaction_id from ledger_entries group by transaction_id having sum(amount_nanos) <> 0`,
  'a settled reservation is not what its accounts were charged': `
    select r.id from reservations r cross join unnest(r.account_ids) account
    left join ledger_entries e on e.transaction_id = r.id and e.account_id = account and e.kind = 'charge'
    where r.state = 'settled' and coalesce(-e.amount_nanos, 0) <> r.settled_nanos`,
  'a charge belongs to no settled reservation': `
    select e.transaction_id from ledger_entries e left join reservations r on r.id = e.reservation_id and r.state = 'settled'
    where e.kind = 'charge' and r.id is null`,
  'people do not have what they were given less what they spent': `
    select 1 where (select coalesce(sum(balance_nanos), 0) from accounts where kind = 'user') <>
      (select coalesce(sum(e.amount_nanos), 0) from ledger_entries e join accounts a on a.id = e.account_id
        where a.kind = 'user' and e.kind <> 'charge') -
      (select coalesce(sum(r.settled_nanos), 0) from reservations r join accounts a on a.id = any(r.account_ids)
        where a.kind = 'user')`,
  'what a budget keeps back is not the sum of the open reservations': `
    select b.id from budgets b left join reservations r on b.account_id = any(r.account_ids) and r.state = 'open'
    group by b.id having b.reserved_nanos <> coalesce(sum(r.amount_nanos), 0)`,
  'a budget has not spent what its account was charged': `
    select b.id from budgets b left join ledger_entries e on e.account_id = b.account_id and e.kind = 'charge'
    group by b.id having b.spent_nanos < coalesce(-sum(e.amount_nanos) filter (where e.created_at >= b.period_start), 0)
      or b.spent_nanos > coalesce(-sum(e.amount_nanos), 0)
      or b.period = 'total' and b.spent_nanos <> coalesce(-sum(e.amount_nanos), 0)`,
  'a record of usage is not what was settled': `
    select u.id from usage_records u left join reservations r on r.id = u.id
    where coalesce(r.settled_nanos, 0) <> u.charge_nanos or coalesce(r.state, 'open') not in ('settled', 'expired')
      or (r.state = 'expired') <> (u.status = 'expired')`,
  'the sums of usage are not the sums of its records': `
    select 1 from (
      select user_id, model, coalesce(key_id, '00000000-0000-0000-0000-000000000000') as key_id,
        date_bin('15 minutes', completed_at, '2000-01-01 00:00:00+00') as quarter, count(*) as answers,
        sum(charge_nanos) as charge, coalesce(sum(cost_nanos), 0) as cost, sum(prompt_tokens + completion_tokens) as tokens,
        count(*) filter (where cost_nanos is null) as unpriced
      from usage_records group by 1, 2, 3, 4
    ) r full join usage_quarters q using (user_id, model, key_id, quarter)
    where (r.answers, r.charge, r.cost, r.tokens, r.unpriced) is distinct from
      (q.answers, q.charge_nanos, q.cost_nanos, q.prompt_tokens + q.completion_tokens, q.unpriced)`,
  'an event was written twice': `
    select 1 from outbox group by type, coalesce(data->>'budget_id', data->>'reservation_id', id::text),
      data->>'period_start', data->>'limit_nanos', data->>'warn_percent' having count(*) > 1`,
}

/** What is wrong with the books; nothing, one hopes. One statement, so that it sees one moment. */
export async function broken(books: Pick<Given, 'sql'>): Promise<string[]> {
  const parts = Object.entries(BROKEN).map(([what, query]) => `select '${what}' as what where exists (${query})`)
  return (await books.sql<{ what: string }>(parts.join(' union all '))).map(({ what }) => what)
}

export interface BankOptions {
  url: string
  seed: number
  seconds: number
  /** Clients at once. */
  clients?: number
}

export interface BankReport {
  seed: number
  operations: number
  /** Calls that failed and were made again. */
  repeated: number
  /** Connections that were killed. */
  killed: number
  /** How often the books were looked at. */
  checks: number
  /** What was found wrong. */
  faults: string[]
}

/** A killed connection must not end the process that the bank is part of. */
const quiet = { onError: () => {} }

/**
 * Random clients of a migrated database, over two pools and grouped as well as not, while connections are killed under them;
 * the books are checked all the while. The same seed gives the same intentions, if not the same races.
 */
export async function runBank({ url, seed, seconds, clients = 12 }: BankOptions): Promise<BankReport> {
  const pools = [openPostgres({ url, poolSize: 6, ...quiet }), openPostgres({ url, poolSize: 6, ...quiet })]
  const admin = new Pool({ connectionString: url, max: 2, application_name: 'bank-admin' })
  // Whoever drops the database may be faster than the end of a connection.
  admin.on('error', quiet.onError).on('connect', (client) => client.on('error', quiet.onError))
  const sql = async <T>(text: string, values: unknown[] = []) => (await admin.query(text, values)).rows as T[]
  const plain = pools.map(({ pool }) => new SqlLedger(openDb(pool)))
  // Large quotas, for who is hardly busy.
  const small = { maxItems: 20, everyMs: 100, busy: 2, part: 3n, now: () => new Date(), onFault: () => {} }
  const quotas = plain.map((ledger) => new QuotaLedger(ledger, small))
  const ledgers = [...plain, ...plain.map((ledger) => new GroupedLedger(ledger, { maxItems: 20 })), ...quotas]
  const report: BankReport = { seed, operations: 0, repeated: 0, killed: 0, checks: 0, faults: [] }
  try {
    const history = new History({
      ledgers,
      accounts: await openAccounts(openDb(admin), randomFrom(seed)),
    })
    const end = Date.now() + seconds * 1000
    const goesOn = () => Date.now() < end && report.faults.length === 0 && history.faults.length === 0
    const client = async (choice: Choice) => {
      while (goesOn()) await history.act(choice)
    }
    const fault = (error: unknown) => report.faults.push(Bun.inspect(error))
    await Promise.all([
      ...Array.from({ length: clients }, (_, i) => client(randomFrom(seed * 1000 + i)).catch(fault)),
      killing({ sql, choice: randomFrom(seed + 1), goesOn, report }),
      checking({ sql, goesOn, report }),
    ])
    await Promise.all(quotas.map((ledger) => ledger.close()))
    report.faults.push(...(await history.close(sql)), ...(await broken({ sql })))
    report.operations = history.operations
    report.repeated = history.repeated
    return report
  } finally {
    await Promise.all([...pools.map(({ close }) => close()), admin.end()])
  }
}

/** A company of its own, limited or not, with some people and keys, all with a little money and some with budgets: both shall run out. */
async function openAccounts(db: DbOfPool, choice: Choice): Promise<Accounts> {
  const [ledger, budgets] = [new SqlLedger(db), new SqlBudgets(db)]
  const open = async (kind: 'tenant' | 'user' | 'key', limited: boolean, amount: number) => {
    const { id } = await ledger.open(newAccount({ kind, limited }))
    await ledger.credit(newCredit(id, BigInt(amount), { at: AT, idempotencyKey: newId() }))
    return id
  }
  const limit = (id: string, amount: number, fields: Parameters<typeof newBudget>[2]) =>
    budgets.put(newBudget(id, BigInt(amount), { hard: choice(3) > 0, warnPercent: 80, ...fields }))
  const several = (n: number, make: () => Promise<string>) => Promise.all(Array.from({ length: n }, make))
  const accounts = {
    companies: [await open('tenant', choice(2) === 0, 50_000)],
    users: await several(5, () => open('user', true, 1000 + choice(5000))),
    rich: await several(2, () => open('user', true, 100_000)),
    keys: await several(3, () => open('key', choice(3) > 0, 1000 + choice(5000))),
  }
  for (const id of accounts.users.slice(1)) await limit(id, 500 + choice(5000), { period: 'day' })
  for (const id of accounts.users.slice(2)) await limit(id, 2000 + choice(10_000), { period: 'total' })
  for (const id of accounts.rich.slice(1)) await limit(id, 50_000 + choice(50_000), { period: 'total' })
  for (const id of accounts.keys.slice(1)) await limit(id, 1000 + choice(20_000), { period: 'week' })
  for (const id of accounts.companies) await limit(id, 20_000 + choice(50_000), { period: 'month' })
  return accounts
}

type Sql = Given['sql']

/** Ends somebody's connection now and then, whatever it is doing. */
async function killing({
  sql,
  choice,
  goesOn,
  report,
}: {
  sql: Sql
  choice: Choice
  goesOn: () => boolean
  report: BankReport
}): Promise<void> {
  while (goesOn()) {
    await Bun.sleep(20 + choice(150))
    const killed = await sql(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name <> 'bank-admin' order by state = 'active' desc, random() limit $1`,
      [1 + choice(3)],
    )
    report.killed += killed.length
  }
}

async function checking({
  sql,
  goesOn,
  report,
}: {
  sql: Sql
  goesOn: () => boolean
  report: BankReport
}): Promise<void> {
  while (goesOn()) {
    await Bun.sleep(100)
    report.faults.push(...(await broken({ sql })))
    report.checks++
  }
}
