import { and, desc, eq, getTableColumns, inArray, type SQL, sql } from 'drizzle-orm'
import { AppError } from '../../errors'
import { isTimeZone } from '../../lib/days'
import { isUuid } from '../../lib/ids'
import type { Owner } from '../port'
import type { UsageFilter, UsageGroup, UsageRecord, UsageStore, UsageTotals } from '../port-money'
import { reservations, runs, usageRecords } from '../schema'
import type { Db } from './db'

const QUARTER = 15 * 60_000
const DAY = 24 * 3_600_000
const NO_KEY = '00000000-0000-0000-0000-000000000000'

/** Sums as texts: JSON, and JavaScript, have no integers as large as money may be. */
type SumRow = Record<(typeof COUNTS)[number] | (typeof MONEY)[number], string>

const COUNTS = [
  'answers',
  'completed',
  'stopped',
  'failed',
  'prompt_tokens',
  'completion_tokens',
  'cached_tokens',
  'reasoning_tokens',
  'unpriced',
  'estimated',
] as const
const MONEY = ['cost_nanos', 'charge_nanos', 'saved_nanos'] as const

const ALL = [...COUNTS, ...MONEY]
const SUMS = sql.raw(ALL.map((name) => `coalesce(sum(${name}), 0)::text as ${name}`).join(', '))
const OF_QUARTERS = sql.raw(ALL.map((name) => `sum(${name}) as ${name}`).join(', '))
/** The same of single records. */
const RECORD_SUMS: Record<(typeof ALL)[number], string> = {
  answers: 'count(*)',
  completed: "count(*) filter (where status = 'completed')",
  stopped: "count(*) filter (where status = 'stopped')",
  failed: "count(*) filter (where status in ('failed', 'interrupted', 'expired'))",
  prompt_tokens: 'sum(prompt_tokens)',
  completion_tokens: 'sum(completion_tokens)',
  cached_tokens: 'sum(cached_tokens)',
  reasoning_tokens: 'sum(reasoning_tokens)',
  unpriced: 'count(*) filter (where cost_nanos is null)',
  estimated: "count(*) filter (where cost_basis = 'estimated')",
  cost_nanos: 'sum(cost_nanos)',
  charge_nanos: 'sum(charge_nanos)',
  saved_nanos: 'sum(saved_nanos)',
}
const OF_RECORDS = sql.raw(ALL.map((name) => `${RECORD_SUMS[name]} as ${name}`).join(', '))

/** What sums are made for, in the words of a table; null where it cannot tell. */
interface Key {
  quarters: SQL | null
  records: SQL
  /** `quarters` are added up day by day, each read on its own, as the rows of one person lie in the order of their time. */
  daily?: boolean
}

const both = (column: string): Key => ({ quarters: sql.raw(column), records: sql.raw(column) })
const GROUPS: Record<UsageGroup, Key> = {
  model: both('model'),
  key: { quarters: sql.raw(`nullif(key_id, '${NO_KEY}')`), records: sql.raw('key_id') },
  user: both('user_id'),
  conversation: { quarters: null, records: sql.raw('conversation_id') },
  provider: { quarters: null, records: sql.raw('provider') },
}

/**
 * Sums are read from the quarters of an hour that lie whole within the time asked for, and from single records at its edges, or
 * where the quarters do not tell apart what is asked for.
 */
export class SqlUsage implements UsageStore {
  constructor(private readonly db: Db) {}

  async totals(filter: UsageFilter): Promise<UsageTotals> {
    const { rows } = await this.db.execute<SumRow>(sql`select ${SUMS} from (${summed(filter, both('null'))}) u`)
    const [row] = rows
    if (!row) throw new Error('The database returned no sums')
    return toTotals(row)
  }

  async byDay(filter: UsageFilter, timeZone: string): Promise<(UsageTotals & { day: string })[]> {
    if (!isTimeZone(timeZone)) refuse('timeZone', 'must be the IANA name of a time zone')
    const nth = (at: string) => sql`width_bucket(${sql.raw(at)}, (select array_agg(start order by date) from days))`
    const key = { quarters: nth('quarter'), records: nth('completed_at'), daily: filter.userId !== undefined }
    const { rows } = await this.db.execute<SumRow & { day: string }>(sql`
      with days as materialized (${daysWithin(filter, timeZone)})
      select to_char((select min(date) from days) + key - 1, 'YYYY-MM-DD') as day, ${SUMS}
      from (${summed(filter, key)}) u group by key order by key`)
    return rows.map((row) => ({ day: row.day, ...toTotals(row) }))
  }

  async by(filter: UsageFilter, { group, limit }: { group: UsageGroup; limit: number }) {
    const { rows } = await this.db.execute<SumRow & { key: string | null }>(sql`
      select key::text as key, ${SUMS} from (${summed(filter, GROUPS[group])}) u
      group by u.key order by sum(charge_nanos) desc, sum(answers) desc, 1 limit ${limit}`)
    return rows.map((row) => ({ key: row.key, ...toTotals(row) }))
  }

  async records(filter: UsageFilter, { after, limit }: { after: string | null; limit: number }) {
    const parts = [...conditions(filter), within('completed_at', filter.from, filter.to)]
    if (after !== null) {
      const [at, id] = fromCursor(after)
      parts.push(sql`(completed_at, id) > (${at.toISOString()}::timestamptz, ${id}::uuid)`)
    }
    // One more than asked for, to know whether there is more.
    const rows = await this.db
      .select()
      .from(usageRecords)
      .where(sql.join(parts, sql` and `))
      .orderBy(usageRecords.completedAt, usageRecords.id)
      .limit(limit + 1)
    const items = rows.slice(0, limit).map(toRecord)
    const last = items.at(-1)
    return { items, next: rows.length > limit && last ? `${last.completedAt.toISOString()}_${last.id}` : null }
  }

  async find(tenantId: string, ids: string[]): Promise<UsageRecord[]> {
    if (ids.length === 0) return []
    const where = and(eq(usageRecords.tenantId, tenantId), inArray(usageRecords.id, ids))
    return (await this.db.select().from(usageRecords).where(where)).map(toRecord)
  }

  /** By way of what has an index: records are found by their reservation, and that by its run. */
  async ofAnswer({ tenantId, userId }: Owner, answer: { conversationId: string; messageId: string }) {
    const made = and(eq(runs.conversationId, answer.conversationId), eq(runs.messageId, answer.messageId))
    const mine = and(eq(usageRecords.tenantId, tenantId), eq(usageRecords.userId, userId))
    const [row] = await this.db
      .select(getTableColumns(usageRecords))
      .from(runs)
      .innerJoin(reservations, eq(reservations.runId, runs.id))
      .innerJoin(usageRecords, eq(usageRecords.id, reservations.id))
      .where(and(made, mine))
      .orderBy(desc(usageRecords.id))
      .limit(1)
    return row && toRecord(row)
  }
}

/** Added up where it is read: to hand on each row would take longer than all the rest. */
function summed(filter: UsageFilter, key: Key): SQL {
  const { from, to } = filter
  const [first, last] = [Math.ceil(from.getTime() / QUARTER) * QUARTER, Math.floor(to.getTime() / QUARTER) * QUARTER]
  const where = sql.join(conditions(filter), sql` and `)
  const quarters = (begin: Date, end: Date) =>
    key.daily
      ? sql`select nth as key, s.* from (${NUMBERED}) d cross join lateral (
          select ${OF_QUARTERS} from usage_quarters
          where ${where} and ${within('quarter', begin, end)} and quarter >= d.start and quarter < d.next) s
        where s.answers is not null`
      : sql`select ${key.quarters} as key, ${OF_QUARTERS} from usage_quarters where ${where} and ${within('quarter', begin, end)} group by 1`
  const records = (begin: Date, end: Date) =>
    sql`select ${key.records} as key, ${OF_RECORDS} from usage_records where ${where} and ${within('completed_at', begin, end)} group by 1`
  if (!key.quarters || filter.conversationId || first >= last) return records(from, to)
  const [begin, end] = [new Date(first), new Date(last)]
  const edges = [...(from < begin ? [records(from, begin)] : []), ...(end < to ? [records(end, to)] : [])]
  return sql.join([quarters(begin, end), ...edges], sql` union all `)
}

/**
 * The days of a place, and when each begins: asking each row for its day would take most of the time. Of a midnight that comes
 * twice Postgres takes the second, and the day begins with the first.
 */
function daysWithin({ from, to }: UsageFilter, timeZone: string): SQL {
  const local = (at: SQL) => sql`(${at} at time zone ${timeZone}::text)`
  const date = (at: Date) => sql`${local(sql`${at.toISOString()}::timestamptz`)}::date`
  const before = sql`start - interval '1 hour'`
  // So many that Postgres knows how many there are; no place has more.
  const most = Math.ceil((to.getTime() - from.getTime()) / DAY) + 1
  return sql`
    select date, case when ${local(sql`(${before})`)}::date = date then ${before} else start end as start
    from (select date, ${local(sql`date::timestamp`)} as start
      from (select ${date(from)} + d as date from generate_series(0, ${most}::int) d) dates where date <= ${date(to)}) s`
}

/** The days, numbered from one, and when the next one begins. */
const NUMBERED = sql`select row_number() over (order by date)::int as nth, start,
  lead(start, 1, 'infinity') over (order by date) as next from days`

const within = (column: 'completed_at' | 'quarter', from: Date, to: Date) =>
  sql`${sql.raw(column)} >= ${from.toISOString()}::timestamptz and ${sql.raw(column)} < ${to.toISOString()}::timestamptz`

/** Of both tables. At least one. */
function conditions({ tenantId, userId, keyId, model, conversationId }: UsageFilter): SQL[] {
  const parts = [sql`true`]
  if (tenantId !== undefined) parts.push(sql`tenant_id = ${tenantId}::uuid`)
  if (userId !== undefined) parts.push(sql`user_id = ${userId}::uuid`)
  if (keyId !== undefined) parts.push(sql`key_id = ${keyId}::uuid`)
  if (model !== undefined) parts.push(sql`model = ${model}`)
  if (conversationId !== undefined) parts.push(sql`conversation_id = ${conversationId}::uuid`)
  return parts
}

function fromCursor(cursor: string): [Date, string] {
  const [at = '', id = ''] = cursor.split('_')
  const date = new Date(at)
  if (Number.isNaN(date.getTime()) || !isUuid(id)) refuse('after', 'is no cursor of this list')
  return [date, id]
}

function refuse(field: string, problem: string): never {
  throw new AppError('VALIDATION_ERROR', `${field} ${problem}`, { details: [{ field, message: problem }] })
}

const toTotals = (row: SumRow): UsageTotals => ({
  answers: Number(row.answers),
  completed: Number(row.completed),
  stopped: Number(row.stopped),
  failed: Number(row.failed),
  promptTokens: Number(row.prompt_tokens),
  completionTokens: Number(row.completion_tokens),
  cachedTokens: Number(row.cached_tokens),
  reasoningTokens: Number(row.reasoning_tokens),
  costNanos: BigInt(row.cost_nanos),
  chargeNanos: BigInt(row.charge_nanos),
  savedNanos: BigInt(row.saved_nanos),
  unpriced: Number(row.unpriced),
  estimated: Number(row.estimated),
})

const toRecord = ({ parts, ...row }: typeof usageRecords.$inferSelect): UsageRecord => ({
  ...row,
  parts: parts && Object.fromEntries(Object.entries(parts).map(([kind, nanos]) => [kind, BigInt(nanos)])),
})
