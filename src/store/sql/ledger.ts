import { and, count, desc, eq, ne, type SQL, sql } from 'drizzle-orm'
import { AppError } from '../../errors'
import { derivedId } from '../../lib/ids'
import { storableJson } from '../../lib/text'
import * as check from '../ledger-check'
import type {
  Credit,
  Credited,
  Drawing,
  Extended,
  Insufficient,
  LedgerAccount,
  LedgerAccountKind,
  LedgerStore,
  NewLedgerAccount,
  NewReservation,
  OrphanedReservation,
  ReservationState,
  Reserved,
  Said,
  Settled,
  Settlement,
  Voided,
} from '../port-money'
import { ledgerAccounts, ledgerEntries } from '../schema'
import { type DbOfPool, only } from './db'
import { type CreditRow, fromBeginning, toCredit, toCredited, toReservation, toSettlement } from './money-rows'

type InsufficientRow = { available: string; budget: Insufficient['budget'] }
type ReserveRow = { outcome: Reserved['outcome']; limited: boolean } & InsufficientRow
type ExtendRow = { outcome: Extended['outcome']; state: ReservationState } & InsufficientRow
/** How a reservation stands after it was to be resolved; null when there is none. */
type ResolveRow = { state: ReservationState; settled: string | null; uncollected: string | null } | null

/** Seconds without a heartbeat after which a process counts as dead; as for answers being written. */
const DEAD_AFTER = 10

/** Money is moved by functions of the database (`migrations/0004_money.sql` and later ones): one round trip and one transaction each. */
export class SqlLedger implements LedgerStore {
  constructor(private readonly db: DbOfPool) {}

  async open(account: NewLedgerAccount): Promise<LedgerAccount> {
    check.checkAccount(account)
    const { tenantId, kind, ownerId, at } = account
    // With a tenant's first account comes the other side of its transactions.
    const system = {
      id: derivedId('ledger', 'system', tenantId),
      tenantId,
      kind: 'system' as const,
      ownerId: tenantId,
      limited: false,
    }
    const { id, limited } = account
    await this.db
      .insert(ledgerAccounts)
      .values([system, { id, tenantId, kind, ownerId, limited }].map((row) => ({ ...row, createdAt: at })))
      .onConflictDoNothing()
    const of = [
      eq(ledgerAccounts.tenantId, tenantId),
      eq(ledgerAccounts.kind, kind),
      eq(ledgerAccounts.ownerId, ownerId),
    ]
    return only(await this.found(and(...of)))
  }

  async credit(credit: Credit): Promise<Credited> {
    check.checkCredit(credit)
    return toCredited(await this.call<CreditRow>('ledger_credit($1::jsonb)', storableJson(toCredit(credit))))
  }

  async reserve(reservations: NewReservation[]): Promise<Reserved[]> {
    reservations.forEach(check.checkReservation)
    if (reservations.length === 0) return []
    const rows = storableJson(reservations.map(toReservation))
    return (await this.call<ReserveRow[]>('ledger_reserve($1::jsonb)', rows)).map((row) => {
      if (row.outcome === 'reserved') {
        const { outcome, limited } = row
        return limited ? { outcome, limited, available: BigInt(row.available) } : { outcome, limited }
      }
      return row.outcome === 'insufficient' ? insufficient(row) : { outcome: row.outcome }
    })
  }

  async draw(from: string, reservations: NewReservation[]): Promise<Drawing> {
    check.checkId(from, 'from')
    reservations.forEach(check.checkReservation)
    const rows = storableJson(reservations.map(toReservation))
    const client = await this.db.$client.connect()
    const answer = client.query<{ made: boolean }>('select ledger_draw($1::uuid, $2::jsonb) as made', [from, rows])
    const made = answer.then(({ rows }) => only(rows).made).finally(() => client.release())
    // Whoever does not wait for it need not hear of it.
    made.catch(() => {})
    // An idle connection is written to in the turn in which it is asked.
    await new Promise((resolve) => setImmediate(resolve))
    return { made }
  }

  async extend(id: string, by: bigint, { expiresAt, at }: { expiresAt?: Date; at?: Date } = {}): Promise<Extended> {
    check.checkId(id, 'id')
    check.checkAmount(by, 'by')
    if (expiresAt) check.checkTime(expiresAt, 'expiresAt')
    if (at) check.checkTime(at, 'at')
    const [until, now] = [expiresAt?.toISOString() ?? null, at?.toISOString() ?? null]
    const row = await this.call<ExtendRow>(
      'ledger_extend($1::uuid, $2::bigint, $3::timestamptz, $4::timestamptz)',
      ...[id, String(by), until, now],
    )
    if (row.outcome === 'insufficient') return insufficient(row)
    return row.outcome === 'closed' ? { outcome: row.outcome, state: row.state } : { outcome: row.outcome }
  }

  async settle(settlements: Settlement[]): Promise<Settled[]> {
    settlements.forEach(check.checkSettlement)
    return (await this.resolve(settlements.map(toSettlement))).map((row) => {
      if (!row) return { outcome: 'unknown' }
      const { state, settled, uncollected } = row
      if (settled === null || uncollected === null) return { outcome: 'closed', state }
      return { outcome: 'settled', settled: BigInt(settled), uncollected: BigInt(uncollected) }
    })
  }

  async void(ids: string[], at: Date): Promise<Voided[]> {
    check.checkVoid(ids, at)
    return (await this.resolve(ids.map((id) => ({ id, state: 'voided', at })))).map((row) => {
      if (!row) return { outcome: 'unknown' }
      return row.state === 'voided' ? { outcome: 'voided' } : { outcome: 'closed', state: row.state }
    })
  }

  async expire(now: Date, limit: number): Promise<number> {
    check.checkTime(now, 'now')
    return this.call<number>('ledger_expire($1::timestamptz, $2::int)', now.toISOString(), limit)
  }

  async note(said: Said[]): Promise<void> {
    // In the order in which settlements lock them; what is being settled now needs no note.
    await this.db.execute(sql`
      update reservations r set usage = r.usage || jsonb_build_object('said', n.tokens)
      from (
        select o.id, s.tokens from jsonb_to_recordset(${JSON.stringify(said)}::jsonb) as s(id uuid, tokens int)
        join reservations o on o.id = s.id and o.state = 'open'
        order by o.id for update of o skip locked
      ) n
      where r.id = n.id`)
  }

  async orphans(seconds: number, limit: number): Promise<OrphanedReservation[]> {
    const { rows } = await this.db.execute<{
      id: string
      usage: Record<string, string | number | null>
      text: string
      status: OrphanedReservation['status']
    }>(sql`
      select r.id, r.usage - 'text' as usage, coalesce(r.usage->>'text', m.content, '') as text, coalesce(runs.status, 'interrupted') as status
      from reservations r left join runs on runs.id = r.run_id
      left join messages m on m.conversation_id = runs.conversation_id and m.id = runs.message_id
      where r.state = 'open' and r.usage is not null and (r.run_id is not null or r.usage ? 'said' or r.usage ? 'text')
        and case when runs.id is null then r.expires_at <= now() + make_interval(secs => ${seconds})
          else runs.status <> 'running' and runs.finished_at <= now() - make_interval(secs => ${seconds}) end
        and not exists (
          select 1 from instances i
          where i.id = runs.instance_id and i.heartbeat_at > now() - make_interval(secs => ${DEAD_AFTER}))
      order by r.expires_at limit ${limit}`)
    return rows.map(({ usage, ...row }) => {
      return { ...row, usage: fromBeginning(usage), said: usage.said == null ? null : Number(usage.said) }
    })
  }

  async limit(accountId: string, limited: boolean): Promise<LedgerAccount | undefined> {
    const mayBe = limited ? sql`${ledgerAccounts.balanceNanos} - ${ledgerAccounts.reservedNanos} >= 0` : undefined
    const changed = await this.db
      .update(ledgerAccounts)
      .set({ limited })
      .where(and(eq(ledgerAccounts.id, accountId), ne(ledgerAccounts.kind, 'system'), mayBe))
      .returning()
    if (changed[0]) return toAccount(changed[0])
    const account = await this.balance(accountId)
    if (!account || account.kind === 'system') return undefined
    throw new AppError('CONFLICT', 'The account has less than nothing left: bring its balance to zero first')
  }

  async accounts(
    tenantId: string,
    options: { kind?: LedgerAccountKind | undefined; ownerId?: string | undefined; page: number; limit: number },
  ) {
    const { kind, ownerId, page, limit } = options
    const where = and(
      eq(ledgerAccounts.tenantId, tenantId),
      kind ? eq(ledgerAccounts.kind, kind) : ne(ledgerAccounts.kind, 'system'),
      ownerId ? eq(ledgerAccounts.ownerId, ownerId) : undefined,
    )
    const [rows, total] = await Promise.all([
      this.db
        .select()
        .from(ledgerAccounts)
        .where(where)
        .orderBy(desc(ledgerAccounts.createdAt), desc(ledgerAccounts.id))
        .limit(limit)
        .offset((page - 1) * limit),
      this.db.$count(ledgerAccounts, where),
    ])
    return { items: rows.map(toAccount), total }
  }

  async balance(accountId: string): Promise<LedgerAccount | undefined> {
    return (await this.found(eq(ledgerAccounts.id, accountId)))[0]
  }

  async entries(accountId: string, { page, limit }: { page: number; limit: number }) {
    const where = eq(ledgerEntries.accountId, accountId)
    const [items, [total]] = await Promise.all([
      this.db
        .select(shownEntry)
        .from(ledgerEntries)
        .where(where)
        .orderBy(desc(ledgerEntries.seq))
        .limit(limit)
        .offset((page - 1) * limit),
      this.db.select({ n: count() }).from(ledgerEntries).where(where),
    ])
    return { items, total: Number(total?.n) }
  }

  private async found(where: SQL | undefined): Promise<LedgerAccount[]> {
    return (await this.db.select().from(ledgerAccounts).where(where)).map(toAccount)
  }

  private async resolve(rows: object[]): Promise<ResolveRow[]> {
    if (rows.length === 0) return []
    return this.call<ResolveRow[]>('ledger_resolve($1::jsonb)', storableJson(rows))
  }

  /** Not by Drizzle: in front of a first word it takes as long as the way to the database. */
  private async call<T>(call: string, ...values: (string | number | null)[]): Promise<T> {
    return only((await this.db.$client.query<{ answer: T }>(`select ${call} as answer`, values)).rows).answer
  }
}

const shownEntry = {
  transactionId: ledgerEntries.transactionId,
  kind: ledgerEntries.kind,
  amount: ledgerEntries.amountNanos,
  balance: ledgerEntries.balanceNanos,
  reservationId: ledgerEntries.reservationId,
  reason: ledgerEntries.reason,
  actorId: ledgerEntries.actorId,
  createdAt: ledgerEntries.createdAt,
}

const insufficient = ({ available, budget }: InsufficientRow): Insufficient => ({
  outcome: 'insufficient',
  available: BigInt(available),
  budget,
})

function toAccount(row: typeof ledgerAccounts.$inferSelect): LedgerAccount {
  const { balanceNanos: balance, reservedNanos: reserved, createdAt, ...account } = row
  return { ...account, balance, reserved, available: account.limited ? balance - reserved : null }
}
