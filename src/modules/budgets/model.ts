import { t } from 'elysia'
import type { Budget } from '../../store/port-money'
import { Amount, budgetExample, budgetJson, Period, TenantId } from '../money'
import { pageFields } from '../paging'

export { amountOf } from '../money'

const Scope = t.Union([t.Literal('user'), t.Literal('key'), t.Literal('tenant')])
const OwnerId = t.Optional(
  t.String({
    format: 'uuid',
    description: 'The person or the API key; a tenant needs none: it is the one asked about',
  }),
)

export const BudgetId = t.Object({ id: t.String({ format: 'uuid', description: 'The budget' }) })
export const BudgetQuery = t.Object({ tenant_id: TenantId })

export const BudgetsQuery = t.Object({
  scope: t.Optional(Scope),
  owner_id: OwnerId,
  tenant_id: TenantId,
  ...pageFields(20),
})
export type BudgetsQuery = typeof BudgetsQuery.static

export const NewBudget = t.Object(
  {
    scope: Scope,
    owner_id: OwnerId,
    tenant_id: TenantId,
    period: Period,
    limit_usd: Amount('What may be spent in each period; zero is nothing at all'),
    warn_percent: t.Optional(
      t.Nullable(
        t.Integer({ minimum: 1, maximum: 100, description: 'When so many percent are spent, an event says so; 80' }),
      ),
    ),
    hard: t.Optional(t.Boolean({ description: 'Refuses what would go beyond it; otherwise it is only told. True' })),
  },
  {
    examples: [
      {
        scope: 'user',
        owner_id: '0199c0de-0000-7000-8000-00000000000a',
        period: 'month',
        limit_usd: '20',
        warn_percent: 80,
        hard: true,
      },
    ],
  },
)
export type NewBudget = typeof NewBudget.static

export const adminBudgetJson = (b: Budget) => ({
  ...budgetJson(b),
  owner_id: b.ownerId,
  account_id: b.accountId,
  tenant_id: b.tenantId,
  created_at: b.createdAt.toISOString(),
  updated_at: b.updatedAt.toISOString(),
})

export const adminBudgetExample = {
  ...budgetExample,
  owner_id: '0199c0de-0000-7000-8000-00000000000a',
  account_id: '0199c0de-0000-7000-8000-0000000000a0',
  tenant_id: '00000000-0000-0000-0000-000000000001',
  created_at: '2026-11-21T10:00:00.000Z',
  updated_at: '2026-11-21T10:00:00.000Z',
} satisfies ReturnType<typeof adminBudgetJson>
