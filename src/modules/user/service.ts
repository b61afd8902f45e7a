import type { Cache } from '../../cache/port'
import { AppError } from '../../errors'
import { accountId } from '../../lib/ids'
import { toUsd } from '../../lib/money'
import { type Page, paged } from '../../lib/page'
import { beginnings, refuseOtherZones } from '../../lib/period'
import type { Identity } from '../../plugins/auth'
import type { Owner, Store, User } from '../../store/port'
import type { LedgerAccount } from '../../store/port-money'
import type { PersonPatch } from '../../store/port-tenants'
import { accountJson, budgetJson, type ProfilePatch, profileJson, transactionJson } from './model'

/** What somebody spent at the LiteLLM proxy, in nano-dollars. */
export interface ProxySpend {
  spendNanos: bigint
  maxBudgetNanos: bigint | null
}

export interface ProfilesDeps {
  store: Pick<Store, 'kind' | 'people' | 'ledger' | 'budgets' | 'usage' | 'wallets'>
  /** The account of a person, made if it is new. */
  account: (owner: Owner) => Promise<LedgerAccount>
  /** Never fails; undefined where nobody knows. */
  proxySpend: (user: User) => Promise<ProxySpend | undefined>
  cache: Pick<Cache, 'get'>
  /** Milliseconds for which profiles and balances are kept, 15 minutes at most; zero where nobody would hear of a change. */
  keepMs: number
  now: () => Date
}

/** Milliseconds that are a whole part of every day, wherever it begins. */
const QUARTER = 900_000

/** What people see of themselves. */
export class Profiles {
  constructor(private readonly deps: ProfilesDeps) {}

  async get(user: User) {
    const { store, cache, keepMs } = this.deps
    // Profiles are Supabase's there: what its token says is what is known.
    if (store.kind === 'edge') return profileJson({ ...user, preferences: {}, timeZone: null })
    const wanted = { use: 'profile', owner: user.userId, key: user.tenantId, ttlMs: keepMs } as const
    return cache.get(wanted, async () => profileJson(await this.profile(user)))
  }

  /** Name, preferences and time zone; nothing else of a body gets this far. */
  async update(user: User, { name, preferences, time_zone }: ProfilePatch) {
    if (time_zone) refuseOtherZones(time_zone)
    const patch: PersonPatch = {
      ...(name === undefined ? {} : { name: name.trim() }),
      ...(preferences === undefined ? {} : { preferences: preferences ?? {} }),
      ...(time_zone === undefined ? {} : { timeZone: time_zone }),
    }
    const person = await this.deps.store.people.update(user.tenantId, user.userId, patch, this.deps.now())
    if (!person) throw new AppError('NOT_FOUND', 'There is nobody to change')
    return profileJson({ ...user, ...person })
  }

  /** What I have, what I spent, and what I may still spend. */
  async balance(user: Identity) {
    const { store, cache, keepMs, now } = this.deps
    // What the proxy says changes there, and is remembered for a minute by who asks it.
    const litellm = await this.spentAtProxy(user)
    if (store.kind === 'edge') return { ...(await this.walletJson(user)), litellm }
    // Another day, week or month begins with a quarter of an hour: what is kept is not said of another one.
    const quarter = Math.floor(now().getTime() / QUARTER)
    const key = [user.tenantId, user.keyId ?? '', quarter].join(':')
    const wanted = { use: 'balance', owner: user.userId, key, ttlMs: keepMs } as const
    return { ...(await cache.get(wanted, () => this.balanceJson(user))), litellm }
  }

  /** Everything that came to a person's account, or went from it; the newest first. */
  async transactions({ tenantId, userId }: Owner, page: Page) {
    const { ledger, usage } = this.deps.store
    const { items, total } = await ledger.entries(accountId('user', tenantId, userId), page)
    const charges = items.flatMap(({ kind, reservationId }) => (kind === 'charge' ? (reservationId ?? []) : []))
    const records = charges.length > 0 ? await usage.find(tenantId, charges) : []
    const recordOf = new Map(records.map((record) => [record.id, record]))
    const shown = items.map((entry) =>
      transactionJson(entry, entry.kind === 'charge' ? recordOf.get(entry.reservationId ?? '') : undefined),
    )
    return paged(shown, page, total)
  }

  private async balanceJson(user: Identity) {
    const [account, spent, budgets] = await Promise.all([this.deps.account(user), this.spent(user), this.budgets(user)])
    return { ...accountJson(account), ...spent, budgets: budgets.map(budgetJson) }
  }

  private async profile(user: User) {
    const person = await this.deps.store.people.find(user.tenantId, user.userId)
    if (!person) throw new AppError('NOT_FOUND', 'There is no such person')
    return { ...user, ...person }
  }

  /** Mine, and those of the API key I came with: they hold here, too. */
  private async budgets({ tenantId, userId, keyId }: Identity) {
    const accounts = [accountId('user', tenantId, userId), ...(keyId ? [accountId('key', tenantId, keyId)] : [])]
    return (await Promise.all(accounts.map((id) => this.deps.store.budgets.list(tenantId, id)))).flat()
  }

  private async spent({ tenantId, userId }: Owner) {
    const { people, usage } = this.deps.store
    const timeZone = (await people.find(tenantId, userId))?.timeZone ?? 'UTC'
    const { day, month, tomorrow } = beginnings(this.deps.now(), timeZone)
    const since = (from: Date) => usage.totals({ tenantId, userId, from, to: tomorrow })
    const [today, thisMonth] = await Promise.all([since(day), since(month)])
    return { spent_today_usd: toUsd(today.chargeNanos), spent_month_usd: toUsd(thisMonth.chargeNanos) }
  }

  /** Of a Supabase project, which keeps a balance and no books. */
  private async walletJson(user: User) {
    const { available } = await this.deps.store.wallets.of(user)
    const account = { balance: available ?? 0n, reserved: 0n, available, limited: available !== null }
    return { ...accountJson(account), spent_today_usd: null, spent_month_usd: null, budgets: [] }
  }

  private async spentAtProxy(user: User) {
    const spend = await this.deps.proxySpend(user)
    if (!spend) return null
    const { spendNanos, maxBudgetNanos } = spend
    return { spent_usd: toUsd(spendNanos), max_budget_usd: maxBudgetNanos === null ? null : toUsd(maxBudgetNanos) }
  }
}
