import { AppError } from '../../errors'
import { accountId, derivedId } from '../../lib/ids'
import { toUsd } from '../../lib/money'
import { type Page, paged } from '../../lib/page'
import { validationError } from '../../lib/problems'
import { refuseTenantOf, tenantOf } from '../../lib/scope'
import { otherRequest } from '../../lib/turn-options'
import type { Owner, Store, User } from '../../store/port'
import type { LedgerAccount } from '../../store/port-money'
import {
  type AccountPatch,
  type AccountsQuery,
  accountJson,
  adminEntryJson,
  amountOf,
  type NewCredit,
  type Scope,
} from './model'

export interface LedgerDeps {
  store: Pick<Store, 'ledger' | 'people' | 'keys' | 'tenants'>
  /** The account of a person, made if it is new. */
  account: (owner: Owner) => Promise<LedgerAccount>
  now: () => Date
}

/** Whose account is meant. */
export interface Whose {
  scope: Scope
  owner_id?: string | undefined
  tenant_id?: string | undefined
}

/** The books, for administrators: every caller has made sure that it is one. */
export class Ledger {
  constructor(private readonly deps: LedgerDeps) {}

  async accounts(user: User, { scope, owner_id, tenant_id, page = 1, limit = 20 }: AccountsQuery) {
    const options = { kind: scope, ownerId: owner_id, page, limit }
    const { items, total } = await this.deps.store.ledger.accounts(tenantOf(user, tenant_id), options)
    return paged(items.map(accountJson), { page, limit }, total)
  }

  async get(user: User, id: string) {
    return accountJson(await this.found(user, id))
  }

  async entries(user: User, id: string, page: Page) {
    await this.found(user, id)
    const { items, total } = await this.deps.store.ledger.entries(id, page)
    return paged(items.map(adminEntryJson), page, total)
  }

  async limit(user: User, id: string, { limited }: AccountPatch) {
    const account = await this.found(user, id)
    // The other side of every transaction: it must take whatever comes.
    if (account.kind === 'system') throw new AppError('CONFLICT', 'This account cannot be limited')
    refuseTenantOf(user, account.kind)
    return accountJson((await this.deps.store.ledger.limit(id, limited)) ?? account)
  }

  /**
   * Money that comes in, once for each key of each administrator.
   * @throws AppError VALIDATION_ERROR for a key that came with something else.
   */
  async credit(user: User, credit: NewCredit, key: string | undefined) {
    if (key === undefined) {
      throw new AppError('VALIDATION_ERROR', 'Send an Idempotency-Key: money must not come twice by accident')
    }
    const { kind, reason, charge_id } = credit
    const amount = amountOf('amount_usd', credit.amount_usd, { negative: kind === 'adjustment' })
    const account = await this.opened(user, credit, { limited: true })
    const at = this.deps.now()
    // Follows from everything that is asked for: another id for the same key is another request.
    const id = derivedId('credit', user.userId, key, account.id, kind, String(amount), reason, charge_id ?? '')
    const { ledger } = this.deps.store
    const write = ledger.credit({
      id,
      accountId: account.id,
      amount,
      kind,
      reason,
      actorId: user.userId,
      // Apart from the keys that the program itself gives its grants.
      idempotencyKey: `admin:${derivedId(user.userId, key)}`,
      reservationId: charge_id,
      at,
    })
    const credited = await write.catch((error) => {
      throw error instanceof AppError && error.code === 'CONFLICT' ? otherRequest() : error
    })
    if (credited.transactionId !== id) throw otherRequest()
    const told = {
      id,
      account_id: account.id,
      scope: account.kind,
      owner_id: account.ownerId,
      kind,
      amount_usd: toUsd(credited.amount),
      balance_usd: toUsd(credited.balance),
      reason,
      created_at: credited.createdAt.toISOString(),
    }
    return { told, replayed: credited.createdAt.getTime() !== at.getTime() }
  }

  /**
   * The account that is meant, made if it is new. @param limited of an account of a key or a tenant that is made now;
   * a person's is as everybody's.
   * @throws AppError NOT_FOUND when there is no such person, key or tenant; FORBIDDEN see `refuseTenantOf`.
   */
  async opened(user: User, whose: Whose, { limited }: { limited: boolean }): Promise<LedgerAccount> {
    const { scope } = whose
    refuseTenantOf(user, scope)
    const { tenantId, ownerId } = await this.owner(user, whose)
    if (scope === 'user') return this.deps.account({ tenantId, userId: ownerId })
    const id = accountId(scope, tenantId, ownerId)
    return this.deps.store.ledger.open({ id, tenantId, kind: scope, ownerId, limited, at: this.deps.now() })
  }

  private async owner(
    user: User,
    { scope, owner_id, tenant_id }: Whose,
  ): Promise<{ tenantId: string; ownerId: string }> {
    const { people, keys, tenants } = this.deps.store
    const tenantId = tenantOf(user, tenant_id)
    const ownerId = owner_id?.toLowerCase() ?? (scope === 'tenant' ? tenantId : undefined)
    if (ownerId === undefined) {
      throw validationError('body', [{ path: 'owner_id', message: `must say which ${WORDS[scope]} is meant` }])
    }
    const isThere = {
      user: async () => Boolean(await people.find(tenantId, ownerId)),
      key: async () => Boolean(await keys.ownerOf(tenantId, ownerId)),
      tenant: async () => ownerId === tenantId && Boolean(await tenants.find(tenantId)),
    }
    if (!(await isThere[scope]())) throw new AppError('NOT_FOUND', `There is no such ${WORDS[scope]}`)
    return { tenantId, ownerId }
  }

  /** Of one's own tenant; the owner of the installation sees all. */
  private async found(user: User, id: string): Promise<LedgerAccount> {
    const account = await this.deps.store.ledger.balance(id)
    if (!account || (account.tenantId !== user.tenantId && user.role !== 'owner')) {
      throw new AppError('NOT_FOUND', 'There is no such account')
    }
    return account
  }
}

const WORDS: Record<Scope, string> = { user: 'person', key: 'API key', tenant: 'tenant' }
