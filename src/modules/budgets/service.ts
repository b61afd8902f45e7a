import { AppError } from '../../errors'
import { newId, ownBudgetId } from '../../lib/ids'
import { paged } from '../../lib/page'
import { refuseTenantOf, tenantOf } from '../../lib/scope'
import type { Store, User } from '../../store/port'
import type { Ledger } from '../ledger/service'
import { adminBudgetJson, amountOf, type BudgetsQuery, type NewBudget } from './model'

/** Percent at which a budget warns unless somebody says otherwise. */
const WARN = 80

export interface BudgetsDeps {
  store: Pick<Store, 'budgets'>
  ledger: Pick<Ledger, 'opened'>
  now: () => Date
}

/** How much may be spent, for administrators: every caller has made sure that it is one. */
export class Budgets {
  constructor(private readonly deps: BudgetsDeps) {}

  async list(user: User, { scope, owner_id, tenant_id, page = 1, limit = 20 }: BudgetsQuery) {
    const all = await this.deps.store.budgets.list(tenantOf(user, tenant_id))
    const wanted = all.filter(
      (budget) => (!scope || budget.kind === scope) && (!owner_id || budget.ownerId === owner_id.toLowerCase()),
    )
    const items = wanted.slice((page - 1) * limit, page * limit).map(adminBudgetJson)
    return paged(items, { page, limit }, wanted.length)
  }

  /** One for each account and period: said again, it replaces the older one, and what is spent stays. */
  async put(user: User, { period, limit_usd, warn_percent = WARN, hard = true, ...whose }: NewBudget) {
    const limit = amountOf('limit_usd', limit_usd, { zero: true })
    const account = await this.deps.ledger.opened(user, whose, { limited: false })
    const budget = await this.deps.store.budgets.put({
      id: newId(),
      // One that the person made is theirs to change no more.
      ownId: ownBudgetId(account.id, period),
      tenantId: account.tenantId,
      accountId: account.id,
      period,
      limit,
      warnPercent: warn_percent,
      hard,
      at: this.deps.now(),
    })
    return adminBudgetJson(budget)
  }

  async remove(user: User, id: string, { tenant_id }: { tenant_id?: string | undefined }) {
    const { budgets } = this.deps.store
    const tenantId = tenantOf(user, tenant_id)
    const found = (await budgets.list(tenantId)).find((budget) => budget.id === id)
    if (found) refuseTenantOf(user, found.kind)
    if (!(await budgets.remove(tenantId, id))) {
      throw new AppError('NOT_FOUND', 'There is no such budget')
    }
    return { id, deleted: true }
  }
}
