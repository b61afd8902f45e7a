import type { Catalog } from '../llm/catalog'
import type { Router } from '../llm/router'
import type { Log } from '../log'
import type { Billing } from '../modules/billing/service'
import { Budgets } from '../modules/budgets/service'
import { Ledger } from '../modules/ledger/service'
import { LettaUser } from '../modules/letta-user/service'
import { PriceList } from '../modules/prices/service'
import type { Stats } from '../modules/stats/service'
import { Usage } from '../modules/usage/service'
import { Profiles, type ProfilesDeps } from '../modules/user/service'
import type { Owner, Store } from '../store/port'

/** What people and administrators see of usage and money. */
export function moneyServices({ store, models, catalog, billing, litellmKeys, kept, stats, log, now }: MoneyDeps) {
  const account = (owner: Owner) => billing.account(owner)
  const profiles = new Profiles({ store, account, proxySpend: (user) => litellmKeys.spend(user), ...kept, now })
  const usage = new Usage({ store, now, onFault: (message, err) => log.error({ err }, message) })
  const ledger = new Ledger({ store, account, now })
  return {
    profiles,
    usage,
    ledger,
    budgets: new Budgets({ store, ledger, now }),
    prices: new PriceList({ store, models, catalog, now }),
    lettaUser: new LettaUser({ store, profiles, usage, stats, account, now }),
  }
}

interface MoneyDeps {
  store: Store
  models: Router
  catalog: Catalog
  billing: Billing
  litellmKeys: { spend: ProfilesDeps['proxySpend'] }
  kept: Pick<ProfilesDeps, 'cache' | 'keepMs'>
  stats: Stats
  log: Log
  now: () => Date
}
