import { LRUCache } from 'lru-cache'
import type { AccountStore, Store } from '../store/port'
import type { BudgetStore, LedgerAccount, LedgerStore } from '../store/port-money'
import type { PeopleStore } from '../store/port-tenants'
import type { Cache } from './port'

type Forget = Pick<Cache, 'forget'>
type Owners = Parameters<Cache['forget']>[1]

/** Reservations whose people are remembered; of others everybody's balance is forgotten. */
const REMEMBERED = 10_000

/** A store whose writes have forgotten what they make wrong: profiles and balances. */
export const forgetful = <S extends Pick<Store, 'ledger' | 'budgets' | 'people' | 'accounts'>>(
  store: S,
  cache: Forget,
) => ({
  ...store,
  ledger: forgetfulLedger(store.ledger, (owners) => cache.forget('balance', owners)),
  budgets: forgetfulBudgets(store.budgets, (owners) => cache.forget('balance', owners)),
  people: forgetfulPeople(store.people, cache),
  accounts: forgetfulAccounts(store.accounts, cache),
})

/** Forgets also after a failure: nobody knows whether it was written. */
async function then<T>(write: Promise<T>, forget: (written?: T) => Promise<void>): Promise<T> {
  let written: T | undefined
  try {
    written = await write
    return written
  } finally {
    await forget(written)
  }
}

function forgetfulLedger(ledger: LedgerStore, forget: (owners: Owners) => Promise<void>): LedgerStore {
  const people = new LRUCache<string, string>({ max: REMEMBERED })
  const personOf = (id: string, usage?: { userId: string }) => usage?.userId ?? people.get(id)
  const all = (owners: (string | undefined)[]): Owners =>
    owners.every((owner) => owner !== undefined) ? [...new Set(owners)] : 'everybody'

  return over(ledger, {
    reserve(reservations) {
      for (const { id, usage } of reservations) if (usage) people.set(id, usage.userId)
      const owners = all(reservations.map(({ id, usage }) => personOf(id, usage)))
      // Somebody waits for a first word, and not for this.
      return then(ledger.reserve(reservations), async () => void forget(owners))
    },
    extend(id, ...terms) {
      return then(ledger.extend(id, ...terms), async () => void forget(all([personOf(id)])))
    },
    settle(settlements) {
      const owners = all(settlements.map(({ id, usage }) => personOf(id, usage)))
      return then(ledger.settle(settlements), () => forget(owners))
    },
    void: (ids, at) => then(ledger.void(ids, at), () => forget(all(ids.map((id) => personOf(id))))),
    async expire(now, limit) {
      const expired = await ledger.expire(now, limit)
      if (expired > 0) await forget('everybody')
      return expired
    },
    async credit(credit) {
      const credited = await ledger.credit(credit)
      await forget(ownersOf(await ledger.balance(credit.accountId)))
      return credited
    },
    limit: (id, limited) => then(ledger.limit(id, limited), (account) => forget(ownersOf(account))),
    // The first look at a balance makes it.
    open: (account) => then(ledger.open(account), () => forget(ownersOf(account))),
  })
}

const forgetfulBudgets = (budgets: BudgetStore, forget: (owners: Owners) => Promise<void>): BudgetStore =>
  over(budgets, {
    // Those of a key are shown to whoever comes with it.
    put: (budget) => then(budgets.put(budget), (put) => forget(ownersOf(put))),
    remove: (tenantId, id) => then(budgets.remove(tenantId, id), () => forget('everybody')),
  })

const forgetfulPeople = (people: PeopleStore, cache: Forget): PeopleStore =>
  over(people, {
    // Their days may begin at another time, and with them what they spent in one.
    update: (tenantId, userId, ...change) =>
      then(people.update(tenantId, userId, ...change), async () => {
        await Promise.all([cache.forget('profile', [userId]), cache.forget('balance', [userId])])
      }),
  })

const forgetfulAccounts = (accounts: AccountStore, cache: Forget): AccountStore =>
  over(accounts, {
    setRole: (userId, role) => then(accounts.setRole(userId, role), () => cache.forget('profile', [userId])),
  })

const ownersOf = (account: Pick<LedgerAccount, 'kind' | 'ownerId'> | undefined): Owners =>
  account?.kind === 'user' ? [account.ownerId] : 'everybody'

/** The same, but for these methods. */
const over = <T extends object>(original: T, methods: Partial<T>): T =>
  Object.assign(Object.create(original) as T, methods)
