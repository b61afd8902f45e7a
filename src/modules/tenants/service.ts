import { LRUCache } from 'lru-cache'
import { AppError } from '../../errors'
import { DEFAULT_TENANT, newId } from '../../lib/ids'
import { type Page, paged } from '../../lib/page'
import { validationError } from '../../lib/problems'
import type { Seal } from '../../lib/seal'
import type { ProviderKeys } from '../../llm/keys'
import type { Identity } from '../../plugins/auth'
import type { Store, User } from '../../store/port'
import type { Tenant, TenantPatch } from '../../store/port-tenants'
import type { Accounts } from '../accounts/service'
import { isSlug, type NewTenant, providerKeyJson, type TenantChange, tenantJson } from './model'

/** Milliseconds that what is known of a tenant is believed: how late a change made elsewhere may take effect. */
const BELIEVED = 5000
/** Tenants that are remembered. */
const KEEP = 10_000

/** What answers depend on. */
export interface TenantFacts {
  /** Absent where no tenants are kept. */
  tenant: Tenant | undefined
  /** Secret. */
  providerKeys: ProviderKeys
}

export interface TenantsDeps {
  store: Pick<Store, 'tenants'>
  accounts: Pick<Accounts, 'forgetTenant'>
  seal: Seal
  /** The names of all providers there are. */
  providers: () => string[]
  now: () => Date
  /** Told what only an operator can mend. */
  onFault: (message: string, facts: object) => void
}

/** The operator's customers: what each may use, what it pays, and its own keys at providers. */
export class Tenants {
  private readonly known = new LRUCache<string, Promise<TenantFacts>>({ max: KEEP, ttl: BELIEVED })

  constructor(private readonly deps: TenantsDeps) {}

  /** What answers depend on; some seconds old. */
  of(tenantId: string): Promise<TenantFacts> {
    const known = this.known.get(tenantId)
    if (known) return known
    const read = this.read(tenantId)
    this.known.set(tenantId, read)
    // Whoever asks next shall not hear of a database that was away.
    read.catch(() => this.known.delete(tenantId))
    return read
  }

  /** What this person may use, and with which keys: for whoever asks models. */
  async access({ tenantId, allowedModels }: Pick<User, 'tenantId' | 'allowedModels'>) {
    const { tenant, providerKeys } = await this.of(tenantId)
    return { models: both(tenant?.allowedModels ?? null, allowedModels ?? null), providerKeys }
  }

  async list(page: Page) {
    const { items, total } = await this.deps.store.tenants.list(page)
    return paged(items.map(tenantJson), page, total)
  }

  async create({ name, ...body }: NewTenant) {
    const { store, now } = this.deps
    return tenantJson(await store.tenants.create({ id: newId(), name, ...patchOf(body, now()), at: now() }))
  }

  /** For administrators: their own, and any for the owner. @throws AppError NOT_FOUND for what is not theirs to see. */
  async get(actor: Identity, id: string) {
    return tenantJson(await this.visible(actor, id))
  }

  async update(actor: Identity, id: string, change: TenantChange) {
    const { store, accounts, now } = this.deps
    if (change.disabled && id === actor.tenantId) throw new AppError('CONFLICT', 'You would lock yourself out')
    if (change.disabled && id === DEFAULT_TENANT) {
      throw new AppError('CONFLICT', 'Whoever registers belongs to this tenant: it cannot be disabled')
    }
    const tenant = await store.tenants.update(id, patchOf(change, now()), now())
    if (!tenant) throw noTenant()
    this.known.delete(id)
    // What is believed of its people says whether they get in, and how often they may ask.
    if (change.disabled !== undefined || change.limits !== undefined) accounts.forgetTenant(id)
    return tenantJson(tenant)
  }

  async keys(actor: Identity, id: string) {
    await this.visible(actor, id)
    return (await this.deps.store.tenants.keys(id)).map(providerKeyJson)
  }

  /** The key goes to this provider from now on, in place of the server's. */
  async setKey(actor: Identity, { id, provider }: { id: string; provider: string }, key: string) {
    const { store, seal, providers, now } = this.deps
    await this.visible(actor, id)
    if (!providers().includes(provider)) {
      throw new AppError('NOT_FOUND', `There is no such provider here. There are: ${providers().join(', ')}`)
    }
    const row = { provider, lastFour: key.slice(-4), createdAt: now() }
    await store.tenants.setKey(id, { ...row, sealed: seal.seal(key, id, provider) })
    this.known.delete(id)
    return providerKeyJson(row)
  }

  async removeKey(actor: Identity, { id, provider }: { id: string; provider: string }) {
    await this.visible(actor, id)
    if (!(await this.deps.store.tenants.removeKey(id, provider))) {
      throw new AppError('NOT_FOUND', 'This tenant has no key of its own at this provider')
    }
    this.known.delete(id)
    return { provider, deleted: true }
  }

  private async visible(actor: Identity, id: string): Promise<Tenant> {
    const tenant = actor.role === 'owner' || actor.tenantId === id ? await this.deps.store.tenants.find(id) : undefined
    if (!tenant) throw noTenant()
    return tenant
  }

  private async read(tenantId: string): Promise<TenantFacts> {
    const { store, seal, onFault } = this.deps
    const [tenant, sealed] = await Promise.all([store.tenants.find(tenantId), store.tenants.sealedKeys(tenantId)])
    const providerKeys = new Map<string, string | null>()
    for (const row of sealed) {
      const key = seal.open(row.sealed, tenantId, row.provider)
      providerKeys.set(row.provider, key ?? null)
      if (key === undefined) onFault(UNREADABLE, { tenant_id: tenantId, provider: row.provider })
    }
    return { tenant, providerKeys }
  }
}

const UNREADABLE =
  "A tenant's key at a provider cannot be decrypted: ENCRYPTION_KEY (or JWT_SECRET_KEY, without it) has changed. Set the old one again, or have the key set anew"

const noTenant = () => new AppError('NOT_FOUND', 'There is no such tenant')

/** What is on both lists; null is the list of everything. */
const both = (a: string[] | null, b: string[] | null) => (a && b ? a.filter((name) => b.includes(name)) : (a ?? b))

/** @throws AppError VALIDATION_ERROR */
function patchOf({ allowed_models, margin_bp, disabled, ...same }: TenantChange, at: Date): TenantPatch {
  if (same.slug && !isSlug(same.slug)) {
    throw validationError('body', [{ path: 'slug', message: 'must not look like an id' }])
  }
  return {
    ...same,
    ...(allowed_models === undefined ? {} : { allowedModels: allowed_models }),
    ...(margin_bp === undefined ? {} : { marginBp: margin_bp }),
    ...(disabled === undefined ? {} : { disabledAt: disabled ? at : null }),
  }
}
