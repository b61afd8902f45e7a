import { LRUCache } from 'lru-cache'
import { AppError } from '../../errors'
import { DEFAULT_TENANT, isUuid, newId } from '../../lib/ids'
import { API_KEY_PREFIX, deriveToken, hashToken, randomToken } from '../../lib/tokens'
import type { Identity } from '../../plugins/auth'
import type { NewUser, Store, User } from '../../store/port'
import type { AccessTokens, ExternalClaims, ExternalTokens } from './access-tokens'
import type { LoginLimiter } from './login-limiter'
import { type Login, type Register, type Tokens, userJson } from './model'
import type { Passwords } from './passwords'
import { type SignedIn, type SignIn, SPENT_TOKEN, WRONG_PASSWORD } from './sign-in'

/** Milliseconds a session lives, however often it is refreshed. */
const SESSION_LIFETIME = 30 * 86_400_000
/** Milliseconds in which a spent refresh token still gives its successor: two tabs refresh at once. */
const GRACE = 10_000
/** Milliseconds an identity is believed without asking the database: how late a revocation may take effect elsewhere. */
const BELIEVED = 5000

const REFRESH_PREFIX = 'rt_'

export interface AccountsDeps {
  store: Pick<Store, 'accounts' | 'keys' | 'tenants'>
  tokens: AccessTokens
  external: ExternalTokens | undefined
  passwords: Passwords
  limiter: LoginLimiter
  /** Makes refresh tokens follow from each other; secret. */
  refreshKey: Uint8Array
  now: () => Date
  /** Told why a good token of the outside issuer lets nobody in: whoever brings it never learns. */
  onRefused?: (reason: RefusedToken) => void
  /** Told when credentials of a person may have ended, or their rights changed: connections that stay should look. */
  onEnded?: (userId: string) => void
}

export interface RefusedToken {
  why: 'no such tenant' | 'the tenant is disabled' | 'the person is in another tenant'
  issuer: string
  subject: string
  /** As the token names it. */
  tenant: string
}

export class Accounts implements SignIn {
  /** Keyed by the hash of the whole credential: no two credentials share an entry, and no credential is kept. */
  private readonly believed = new LRUCache<string, Identity & { sessionId?: string }>({ max: 10_000, ttl: BELIEVED })

  constructor(private readonly deps: AccountsDeps) {}

  async register({ email, password, name }: Register, address: string): Promise<SignedIn> {
    const { store, limiter, now } = this.deps
    await limiter.beforeRegister(address)
    const at = now()
    const account = await this.newAccount(email.toLowerCase(), password, at)
    const user = await store.accounts.create({ ...account, name: name ?? account.name })
    return { user: userJson(user), tokens: await this.signIn(user, at) }
  }

  /**
   * Makes sure that there is an owner of the installation. @throws Error when somebody else has an account with this address:
   * addresses are not confirmed, so only the password tells.
   * @returns whether they can sign in: not when another owner has disabled them, which no restart undoes.
   */
  async ensureOwner({ email: given, password }: { email: string; password: string }): Promise<boolean> {
    const { store, passwords, now } = this.deps
    const email = given.toLowerCase()
    const found = await store.accounts.findByEmail(email)
    if (found && !(await passwords.verify(password, found.passwordHash))) {
      throw new Error('There is an account with the address of ADMIN_EMAIL, and its password is not ADMIN_PASSWORD')
    }
    const user = found?.user ?? (await this.newOwner(await this.newAccount(email, password, now())))
    if (user && user.role !== 'owner') await store.accounts.setRole(user.userId, 'owner')
    return user !== undefined
  }

  /** @returns undefined when there is an account with this address, which only is not found because it is disabled. */
  private async newOwner(account: NewUser): Promise<User | undefined> {
    try {
      return await this.deps.store.accounts.create(account)
    } catch (error) {
      if (error instanceof AppError && error.code === 'CONFLICT') return undefined
      throw error
    }
  }

  async login({ email: given, password }: Login, address: string): Promise<SignedIn> {
    const { store, limiter, passwords, now } = this.deps
    const email = given.toLowerCase()
    await limiter.beforeLogin(email, address)
    const found = await store.accounts.findByEmail(email)
    const right = await passwords.verify(password, found?.passwordHash)
    if (!found || !right) throw new AppError('UNAUTHORIZED', WRONG_PASSWORD)
    limiter.succeeded(email)
    if (passwords.outdated(found.passwordHash)) {
      await store.accounts.setPasswordHash(found.user.userId, await passwords.hash(password))
    }
    return {
      user: userJson(found.user),
      tokens: await this.signIn(found.user, now()),
    }
  }

  async refresh(refreshToken: string): Promise<SignedIn> {
    const { store, refreshKey, now } = this.deps
    const at = now()
    const next = deriveToken(REFRESH_PREFIX, refreshKey, refreshToken)
    const rotation = await store.accounts.rotate(hashToken(refreshToken), hashToken(next), at, GRACE)
    if (rotation.outcome === 'reused') this.forgetSessions([rotation.sessionId])
    if (rotation.outcome !== 'rotated') throw new AppError('UNAUTHORIZED', SPENT_TOKEN)
    const { user, sessionId } = rotation
    return {
      user: userJson(user),
      tokens: await this.tokens(user, sessionId, next, at),
    }
  }

  async logout(credential: string, refreshToken: string | undefined): Promise<void> {
    const { store, tokens, now } = this.deps
    const claims = await tokens.verify(credential)
    if (claims) await store.accounts.revokeSession(claims.sessionId, now())
    const other = refreshToken && (await store.accounts.revokeByRefresh(hashToken(refreshToken), now()))
    this.forgetSessions([claims?.sessionId, other])
    if (claims) this.deps.onEnded?.(claims.userId)
  }

  async identify(credential: string): Promise<Identity | undefined> {
    return this.believed.get(hashToken(credential)) ?? this.identifyAnew(credential)
  }

  /** The same, whatever is believed: for connections that stay, which ask every few seconds. */
  async identifyAnew(credential: string): Promise<Identity | undefined> {
    const key = hashToken(credential)
    const identity = await this.lookUp(credential, key)
    if (identity) this.believed.set(key, identity)
    else this.believed.delete(key)
    return identity
  }

  /** Forgets a credential at once, e.g. an API key that was just deleted. */
  forget(credentialHash: string): void {
    const userId = this.believed.get(credentialHash)?.userId
    this.believed.delete(credentialHash)
    if (userId) this.deps.onEnded?.(userId)
  }

  /** Forgets what is believed of a person, e.g. their role, at once. */
  forgetUser(userId: string): void {
    this.forgetWhere((identity) => identity.userId === userId)
    this.deps.onEnded?.(userId)
  }

  /** The same for everybody of a tenant. */
  forgetTenant(tenantId: string): void {
    this.forgetWhere((identity) => identity.tenantId === tenantId)
  }

  private forgetSessions(ended: (string | undefined)[]): void {
    this.forgetWhere(({ sessionId }) => sessionId !== undefined && ended.includes(sessionId))
  }

  private forgetWhere(fits: (identity: Identity & { sessionId?: string }) => boolean): void {
    for (const [key, identity] of this.believed.entries()) if (fits(identity)) this.believed.delete(key)
  }

  private async lookUp(credential: string, hash: string): Promise<(Identity & { sessionId?: string }) | undefined> {
    const { store, tokens, external, now } = this.deps
    if (credential.startsWith(API_KEY_PREFIX)) {
      const user = await store.keys.findUser(hash, now())
      return user && { ...user, via: 'api-key' }
    }
    const claims = await tokens.verify(credential)
    if (claims) {
      const user = await store.accounts.findBySession(claims.sessionId, now())
      return user?.userId === claims.userId ? { ...user, via: 'session', sessionId: claims.sessionId } : undefined
    }
    const outside = await external?.verify(credential)
    const user = outside && (await this.adopt(outside))
    return user && { ...user, via: 'external' }
  }

  /** The first valid token of an outside issuer makes the profile. Its owner is told apart by issuer and subject. */
  private async adopt(claims: ExternalClaims): Promise<User | undefined> {
    const { issuer, subject, email, name } = claims
    const tenantId = await this.tenantNamed(claims)
    if (!tenantId) return undefined
    const user = await this.deps.store.accounts.adopt({
      // Supabase's user id stays the same here, so that rows can be joined.
      id: isUuid(subject) ? subject.toLowerCase() : newId(),
      tenantId,
      email,
      name: (name ?? email?.split('@', 1)[0] ?? 'User').slice(0, 100),
      passwordHash: null,
      issuer,
      subject,
      at: this.deps.now(),
    })
    // Nobody moves by a token: what they have belongs to the tenant they are in.
    if (user && claims.tenant !== null && user.tenantId !== tenantId) {
      return this.refuse(claims, 'the person is in another tenant')
    }
    return user
  }

  /** The id of the tenant that a token names: it must be there, and open. */
  private async tenantNamed(claims: ExternalClaims): Promise<string | undefined> {
    const { tenant: name } = claims
    if (name === null) return DEFAULT_TENANT
    const { tenants } = this.deps.store
    const tenant = await (isUuid(name) ? tenants.find(name.toLowerCase()) : tenants.findBySlug(name))
    if (!tenant) return this.refuse(claims, 'no such tenant')
    return tenant.disabledAt ? this.refuse(claims, 'the tenant is disabled') : tenant.id
  }

  private refuse({ issuer, subject, tenant }: ExternalClaims, why: RefusedToken['why']): undefined {
    this.deps.onRefused?.({ why, issuer, subject, tenant: tenant ?? '' })
  }

  private async newAccount(email: string, password: string, at: Date): Promise<NewUser> {
    return {
      id: newId(),
      tenantId: DEFAULT_TENANT,
      email,
      name: email.split('@', 1)[0] ?? email,
      passwordHash: await this.deps.passwords.hash(password),
      issuer: null,
      subject: null,
      at,
    }
  }

  private async signIn(user: User, at: Date): Promise<Tokens> {
    const sessionId = newId()
    const refreshToken = randomToken(REFRESH_PREFIX)
    await this.deps.store.accounts.openSession({
      id: sessionId,
      userId: user.userId,
      refreshHash: hashToken(refreshToken),
      at,
      expiresAt: new Date(at.getTime() + SESSION_LIFETIME),
    })
    return this.tokens(user, sessionId, refreshToken, at)
  }

  private async tokens({ userId }: User, sessionId: string, refreshToken: string, at: Date): Promise<Tokens> {
    const { tokens } = this.deps
    return {
      access_token: await tokens.issue({ userId, sessionId }, at),
      refresh_token: refreshToken,
      token_type: 'bearer',
      expires_in: tokens.lifetime,
    }
  }
}
