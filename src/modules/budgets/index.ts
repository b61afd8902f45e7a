import { Elysia } from 'elysia'
import { ok, paged } from '../../lib/page'
import { onlyFieldsOf } from '../../lib/problems'
import { administrator } from '../../plugins/admin'
import type { Auth } from '../../plugins/auth'
import { describe } from '../../plugins/docs'
import { adminBudgetExample, BudgetId, BudgetQuery, BudgetsQuery, NewBudget } from './model'
import type { Budgets } from './service'

const tag = 'Administration'

export const budgets = (auth: Auth, budgets: Budgets) =>
  new Elysia({ name: 'budgets', prefix: '/v1/admin/budgets' })
    .use(auth)
    .derive(administrator)
    .get('', async ({ user, query }) => ok(await budgets.list(user, query)), {
      query: BudgetsQuery,
      detail: describe({
        summary: 'The budgets of my tenant',
        description: 'With what is spent of each in its current period.',
        tag,
        example: ok(paged([adminBudgetExample], { page: 1, limit: 20 }, 1)),
        errors: ['FORBIDDEN', 'NOT_FOUND', 'NOT_SUPPORTED'],
      }),
    })
    .put('', async ({ user, body }) => ok(await budgets.put(user, body)), {
      transform: onlyFieldsOf(NewBudget),
      body: NewBudget,
      detail: describe({
        summary: 'Say how much may be spent',
        description:
          'There is one for each person, API key or tenant, and period: said again, it replaces the older one, and what is spent stays. A hard one refuses what would go beyond it, also among answers that begin at once; a soft one is only told of, by webhook.',
        tag,
        example: ok(adminBudgetExample),
        errors: ['FORBIDDEN', 'NOT_FOUND', 'NOT_SUPPORTED'],
      }),
    })
    .delete('/:id', async ({ user, params, query }) => ok(await budgets.remove(user, params.id, query)), {
      params: BudgetId,
      query: BudgetQuery,
      detail: describe({
        summary: 'Remove a budget',
        tag,
        example: ok({ id: adminBudgetExample.id, deleted: true }),
        errors: ['FORBIDDEN', 'NOT_FOUND', 'NOT_SUPPORTED'],
      }),
    })
