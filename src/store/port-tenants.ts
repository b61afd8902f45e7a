import type { User } from './port-accounts'
import type { Role } from './schema'

/** A customer of the operator. */
export interface Tenant {
  id: string
  name: string
  /** Another name for it in tokens of an outside issuer; null: only its id. */
  slug: string | null
  /** Models its people may use; null: all. */
  allowedModels: string[] | null
  /** What is added to the provider's price, in hundredths of a percent: 2000 is a fifth more. */
  marginBp: number
  /** Whether its people pay in advance; null: as the installation does. */
  billing: 'metered' | 'prepaid' | null
  /** Requests and tokens a minute and the like, for the limiter. */
  limits: Record<string, number> | null
  /** Nobody of it signs in. */
  disabledAt: Date | null
  createdAt: Date
  updatedAt: Date
}

export type TenantPatch = Partial<
  Pick<Tenant, 'name' | 'slug' | 'allowedModels' | 'marginBp' | 'billing' | 'limits' | 'disabledAt'>
>

/** The tenant's own key at a provider. The key itself leaves the store only for the provider. */
export interface ProviderKey {
  provider: string
  lastFour: string
  createdAt: Date
}

export interface TenantStore {
  /** In the order of their making. */
  list(page: { page: number; limit: number }): Promise<{ items: Tenant[]; total: number }>
  find(id: string): Promise<Tenant | undefined>
  findBySlug(slug: string): Promise<Tenant | undefined>
  /** @throws AppError CONFLICT when the slug is taken. */
  create(tenant: Pick<Tenant, 'id' | 'name'> & TenantPatch & { at: Date }): Promise<Tenant>
  /** @throws AppError CONFLICT when the slug is taken, or when nobody would own the installation any more. */
  update(id: string, patch: TenantPatch, at: Date): Promise<Tenant | undefined>
  keys(tenantId: string): Promise<ProviderKey[]>
  /** In place of the one there was. @param key its `sealed` is encrypted by the caller. */
  setKey(tenantId: string, key: ProviderKey & { sealed: string }): Promise<void>
  removeKey(tenantId: string, provider: string): Promise<boolean>
  sealedKeys(tenantId: string): Promise<{ provider: string; sealed: string }[]>
}

/** A person, as administrators see them. */
export interface Person extends Omit<User, 'litellmKey' | 'caller' | 'allowedModels' | 'rateLimits'> {
  /** Whatever a client keeps for them. */
  preferences: Record<string, unknown>
  /** IANA name. */
  timeZone: string | null
  /** Models this person may use; null: what the tenant may. */
  allowedModels: string[] | null
  limits: Record<string, number> | null
  hasLitellmKey: boolean
  disabledAt: Date | null
}

export interface PersonPatch {
  name?: string
  preferences?: Record<string, unknown>
  timeZone?: string | null
  /** For administrators only. */
  role?: Role
  allowedModels?: string[] | null
  limits?: Record<string, number> | null
  disabledAt?: Date | null
}

export interface PeopleStore {
  /** Those with `q` in their name or e-mail, in letters of any size; the newest first. */
  list(
    tenantId: string,
    options: { q?: string | undefined; page: number; limit: number },
  ): Promise<{ items: Person[]; total: number }>
  find(tenantId: string, userId: string): Promise<Person | undefined>
  /**
   * Disabling somebody ends their sessions in the same transaction. Safe to race: there is always an owner left.
   * @throws AppError CONFLICT when nobody would own the installation any more.
   */
  update(tenantId: string, userId: string, patch: PersonPatch, at: Date): Promise<Person | undefined>
  /** The person's own key at the LiteLLM proxy. */
  setLitellmKey(userId: string, key: string): Promise<void>
}
