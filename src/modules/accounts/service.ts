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
  store: Pick<Store, 'accounts' | 'keys'>
  tokens: AccessTokens
  external: ExternalTokens | undefined
  passwords: Passwords
  limiter: LoginLimiter
  /** Makes refresh tokens follow from each other; secret. */
  refreshKey: Uint8Array
  now: () => Date
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
   */
  async ensureOwner({ email: given, password }: { email: string; password: string }): Promise<void> {
    const { store, passwords, now } = this.deps
    const email = given.toLowerCase()
    const found = await store.accounts.findByEmail(email)
    if (found && !(await passwords.verify(password, found.passwordHash))) {
      throw new Error('There is an account with the address of ADMIN_EMAIL, and its password is not ADMIN_PASSWORD')
    }
    const user = found?.user ?? (await store.accounts.create(await this.newAccount(email, password, now())))
    if (user.role !== 'owner') await store.accounts.setRole(user.userId, 'owner')
  }

  async login({ email: given, password }: Login, address: string): Promise<SignedIn> {
    const { store, limiter, passwords, now } = this.deps
    const email = given.toLowerCase()
    await limiter.beforeLogin(email, address)
    const found = await store.accounts.findByEmail(email)
    const right = await passwords.verify(password, found?.passwordHash)
    if (!found || !right) throw new AppError('UNAUTHORIZED', WRONG_PASSWORD)
    await limiter.succeeded(email)
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
  }

  async identify(credential: string): Promise<Identity | undefined> {
    const key = hashToken(credential)
    const known = this.believed.get(key)
    if (known) return known
    const identity = await this.lookUp(credential, key)
    if (identity) this.believed.set(key, identity)
    return identity
  }

  /** Forgets a credential at once, e.g. an API key that was just deleted. */
  forget(credentialHash: string): void {
    this.believed.delete(credentialHash)
  }

  private forgetSessions(ended: (string | undefined)[]): void {
    for (const [key, { sessionId }] of this.believed.entries()) {
      if (sessionId && ended.includes(sessionId)) this.believed.delete(key)
    }
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
  private adopt({ issuer, subject, email, name }: ExternalClaims): Promise<User | undefined> {
    return this.deps.store.accounts.adopt({
      // Supabase's user id stays the same here, so that rows can be joined.
      id: isUuid(subject) ? subject.toLowerCase() : newId(),
      tenantId: DEFAULT_TENANT,
      email,
      name: (name ?? email?.split('@', 1)[0] ?? 'User').slice(0, 100),
      passwordHash: null,
      issuer,
      subject,
      at: this.deps.now(),
    })
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
