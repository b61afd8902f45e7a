import { t } from 'elysia'
import { ownBudgetId } from '../../lib/ids'
import { toUsd } from '../../lib/money'
import type { Budget, LedgerAccount, UsageTotals } from '../../store/port-money'
import { Amount, budgetJson, Period, periodFields, usd } from '../money'

export { amountOf } from '../money'

export const UsageQuery = t.Object(periodFields)
export type UsageQuery = typeof UsageQuery.static

export const OwnBudget = t.Object(
  {
    limit_usd: t.Nullable(Amount('What I may spend in each period; null takes my budget away')),
    period: t.Optional(Period),
    hard: t.Optional(t.Boolean({ description: 'Refuses what would go beyond it; otherwise it is only told. True' })),
    warn_percent: t.Optional(t.Nullable(t.Integer({ minimum: 1, maximum: 100 }))),
  },
  { examples: [{ limit_usd: '20', period: 'month', hard: false }] },
)
export type OwnBudget = typeof OwnBudget.static

export const sumsJson = ({ answers, promptTokens, completionTokens, chargeNanos }: UsageTotals) => ({
  requests: answers,
  prompt_tokens: promptTokens,
  completion_tokens: completionTokens,
  total_tokens: promptTokens + completionTokens,
  cost_usd: toUsd(chargeNanos),
})

export const ownBudgetJson = (budget: Budget) => {
  const { scope: _mine, ...rest } = budgetJson(budget)
  return { ...rest, set_by: isOwn(budget) ? ('me' as const) : ('administrator' as const) }
}

export const isOwn = ({ id, accountId, period }: Pick<Budget, 'id' | 'accountId' | 'period'>): boolean =>
  id === ownBudgetId(accountId, period)

export const budgetsJson = (account: LedgerAccount, budgets: Budget[]) => ({
  user_id: account.ownerId,
  balance_usd: toUsd(account.balance),
  available_usd: usd(account.available),
  limited: account.limited,
  budgets: budgets.map(ownBudgetJson),
})
