import { AppError } from '../../errors'
import { accountId, ownBudgetId } from '../../lib/ids'
import type { Identity } from '../../plugins/auth'
import type { Owner, Store, User } from '../../store/port'
import type { Budget, LedgerAccount } from '../../store/port-money'
import type { Stats } from '../stats/service'
import type { Usage } from '../usage/service'
import type { Profiles } from '../user/service'
import { amountOf, budgetsJson, isOwn, type OwnBudget, sumsJson, type UsageQuery } from './model'

/** Percent at which a budget warns unless somebody says otherwise. */
const WARN = 80

export interface LettaUserDeps {
  store: Pick<Store, 'budgets'>
  profiles: Pick<Profiles, 'get'>
  usage: Pick<Usage, 'sums'>
  stats: Pick<Stats, 'of'>
  /** The account of a person, made if it is new. */
  account: (owner: Owner) => Promise<LedgerAccount>
  now: () => Date
}

/** The words of the Letta system's backend for what other services know of a person. */
export class LettaUser {
  constructor(private readonly deps: LettaUserDeps) {}

  async profile(user: User) {
    const { role: _role, tenant_id: _tenant, ...profile } = await this.deps.profiles.get(user)
    return profile
  }

  async usage(owner: Owner, asked: UsageQuery) {
    const [days, models] = await Promise.all([
      this.deps.usage.sums(owner, { ...asked, group_by: 'day' }),
      this.deps.usage.sums(owner, { ...asked, group_by: 'model' }),
    ])
    const { from, to, timeZone } = days.period
    return {
      user_id: owner.userId,
      from: from.toISOString(),
      to: to.toISOString(),
      time_zone: timeZone,
      ...sumsJson(days.totals),
      days: days.groups.map(({ key, ...sums }) => ({ date: key, ...sumsJson(sums) })),
      models: models.groups.map(({ key, ...sums }) => ({ model: key, ...sumsJson(sums) })),
    }
  }

  async budget(owner: Owner) {
    return budgetsJson(await this.deps.account(owner), await this.budgets(owner))
  }

  /**
   * A budget that a person sets for themselves. One of an administrator for the same period can be made stricter, and stays the
   * administrator's.
   * @throws AppError FORBIDDEN where it would be less strict: the store sees to that, as an administrator may be changing it now.
   */
  async setBudget(user: Identity, { limit_usd, period = 'month', hard, warn_percent }: OwnBudget) {
    // Whoever finds a key must not spend more with it than its owner wants.
    if (user.via === 'api-key') throw new AppError('FORBIDDEN', 'Budgets are set with an access token, not with a key')
    const limit = limit_usd === null ? null : amountOf('limit_usd', limit_usd, { zero: true })
    const account = await this.deps.account(user)
    const before = (await this.budgets(user)).find((budget) => budget.period === period)
    if (limit === null) await this.remove(user, before)
    else {
      const id = ownBudgetId(account.id, period)
      await this.deps.store.budgets.put({
        id,
        ownId: id,
        tenantId: user.tenantId,
        accountId: account.id,
        period,
        limit,
        hard: hard ?? before?.hard ?? true,
        warnPercent: warn_percent === undefined ? (before?.warnPercent ?? WARN) : warn_percent,
        at: this.deps.now(),
      })
    }
    return budgetsJson(account, await this.budgets(user))
  }

  async stats(owner: Owner) {
    const [all, { totals }] = await Promise.all([this.deps.stats.of(owner, 'UTC'), this.deps.usage.sums(owner, {})])
    const { conversations, messages, answers, total_tokens, first_message_at, last_message_at } = all
    const success_rate = totals.answers > 0 ? Number((1 - totals.failed / totals.answers).toFixed(4)) : null
    return {
      user_id: owner.userId,
      ...{ conversations, messages, answers, total_tokens, first_message_at, last_message_at },
      last_30_days: { ...sumsJson(totals), success_rate },
    }
  }

  private budgets({ tenantId, userId }: Owner): Promise<Budget[]> {
    return this.deps.store.budgets.list(tenantId, accountId('user', tenantId, userId))
  }

  private async remove({ tenantId }: Owner, budget: Budget | undefined): Promise<void> {
    if (!budget) return
    if (!isOwn(budget)) throw new AppError('FORBIDDEN', 'An administrator set this budget. Ask them to take it away')
    await this.deps.store.budgets.remove(tenantId, budget.id)
  }
}
