import { and, eq, sql } from 'drizzle-orm'
import { AppError } from '../../errors'
import { storableJson } from '../../lib/text'
import * as check from '../ledger-check'
import type { Budget, BudgetPeriod, BudgetStore } from '../port-money'
import { budgets } from '../schema'
import { type Db, only } from './db'

interface BudgetRow extends Record<string, unknown> {
  id: string
  tenant_id: string
  account_id: string
  kind: Budget['kind']
  owner_id: string
  period: BudgetPeriod
  limit_nanos: string
  warn_percent: number | null
  hard: boolean
  spent_nanos: string
  reserved_nanos: string
  period_start: Date | null
  created_at: Date
  updated_at: Date
}

const STRICTER = 'An administrator set this budget. It can only be made stricter: ask them to raise it'

/** What is spent and reserved is written by the functions of the books (`migrations/0004_money.sql`). */
export class SqlBudgets implements BudgetStore {
  constructor(private readonly db: Db) {}

  async list(tenantId: string, accountId?: string, at = new Date()): Promise<Budget[]> {
    const accounts = accountId
      ? sql`array[${accountId}::uuid]`
      : sql`array(select distinct account_id from budgets where tenant_id = ${tenantId}::uuid)`
    const { rows } = await this.db.execute<BudgetRow>(sql`
      select b.id, b.tenant_id, b.account_id, a.kind, a.owner_id, b.period, b.limit_nanos::text, b.warn_percent, b.hard,
        b.spent_nanos::text, b.reserved_nanos::text, b.period_start, b.created_at, b.updated_at
      from budgets_at(${accounts}, ${at.toISOString()}::timestamptz) b join accounts a on a.id = b.account_id
      where b.tenant_id = ${tenantId}::uuid
      order by b.created_at, b.id`)
    return rows.map(toBudget)
  }

  async put(budget: Parameters<BudgetStore['put']>[0]): Promise<Budget> {
    check.checkBudget(budget)
    const { id, ownId = null, tenantId, accountId, period, limit, warnPercent, hard, at } = budget
    const row = {
      id,
      own_id: ownId,
      tenant_id: tenantId,
      account_id: accountId,
      period,
      limit_nanos: String(limit),
      warn_percent: warnPercent,
      hard,
      at,
    }
    const { rows } = await this.db.execute<{ there: boolean | null }>(
      sql`select budget_put(${storableJson(row)}::jsonb) as there`,
    )
    const { there } = only(rows)
    if (there === null) throw new AppError('FORBIDDEN', STRICTER)
    if (!there) throw new AppError('NOT_FOUND', 'There is no such account')
    return only((await this.list(tenantId, accountId, at)).filter((one) => one.period === period))
  }

  async remove(tenantId: string, id: string): Promise<boolean> {
    const gone = await this.db
      .delete(budgets)
      .where(and(eq(budgets.tenantId, tenantId), eq(budgets.id, id)))
      .returning({ id: budgets.id })
    return gone.length > 0
  }
}

/** Rows of a plain statement: their times come as text from one database and as dates from another. */
function toBudget(row: BudgetRow): Budget {
  const start = row.period_start && new Date(row.period_start)
  return {
    id: row.id,
    tenantId: row.tenant_id,
    accountId: row.account_id,
    kind: row.kind,
    ownerId: row.owner_id,
    period: row.period,
    limit: BigInt(row.limit_nanos),
    warnPercent: row.warn_percent,
    hard: row.hard,
    spent: BigInt(row.spent_nanos),
    reserved: BigInt(row.reserved_nanos),
    periodStart: start,
    periodEnd: start && periodEnd(start, row.period),
    createdAt: new Date(row.created_at),
    updatedAt: new Date(row.updated_at),
  }
}

const DAYS = { day: 1, week: 7 }

function periodEnd(start: Date, period: BudgetPeriod): Date | null {
  if (period === 'total') return null
  const end = new Date(start)
  if (period === 'month') end.setUTCMonth(end.getUTCMonth() + 1)
  else end.setUTCDate(end.getUTCDate() + DAYS[period])
  return end
}
