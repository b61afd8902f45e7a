import type { Role } from './schema'

/** Whose rows a call may see. Someone else's row does not exist for it. */
export interface Owner {
  tenantId: string
  userId: string
  /** For stores that ask another service in this person's name; absent when they signed in with something of ours. */
  caller?: Caller
}

/** The request behind a call. */
export interface Caller {
  /** The person's own token of the outside issuer. Secret: it goes to that issuer's services and nowhere else. */
  token: string
  requestId: string
}

export interface User extends Owner {
  /** The API key that they came with. */
  keyId?: string
  email: string | null
  name: string
  role: Role
  /** The person's own key at the LiteLLM proxy; never leaves the server. */
  litellmKey: string | null
  /** Null where somebody else keeps accounts and does not say. */
  createdAt: Date | null
  /** The models that this person may use, of those their tenant may; absent: all of these. */
  allowedModels?: string[] | null
  /** How often this person may ask, and all of their tenant together, where an administrator has said so. */
  rateLimits?: { user: Record<string, number> | null; tenant: Record<string, number> | null }
}

export interface NewUser {
  id: string
  tenantId: string
  email: string | null
  name: string
  passwordHash: string | null
  issuer: string | null
  subject: string | null
  at: Date
}

export interface NewSession {
  id: string
  userId: string
  refreshHash: string
  at: Date
  expiresAt: Date
}

/** `reused`: an already spent token came back after the grace period; the session is revoked in the same transaction. */
export type Rotation =
  | { outcome: 'rotated'; user: User; sessionId: string }
  | { outcome: 'reused'; sessionId: string }
  | { outcome: 'unknown' }

/** Nobody of a disabled tenant is found by anything here: not by password, session, key or token. */
export interface AccountStore {
  /** @throws AppError CONFLICT when the e-mail has an account; FORBIDDEN when the tenant is disabled. */
  create(user: NewUser): Promise<User>
  /**
   * The user of an outside identity, made by this call if it is new; undefined when they or their tenant are disabled. Somebody
   * who is known stays in the tenant they are in, whatever this says. Safe to race.
   */
  adopt(user: NewUser): Promise<User | undefined>
  /** For sign-in by password: our own accounts only; disabled ones are not found. */
  findByEmail(email: string): Promise<{ user: User; passwordHash: string } | undefined>
  setPasswordHash(userId: string, hash: string): Promise<void>
  setRole(userId: string, role: Role): Promise<void>
  openSession(session: NewSession): Promise<void>
  /** The user of a live session, or undefined when the session ended or the user is disabled. */
  findBySession(sessionId: string, at: Date): Promise<User | undefined>
  /**
   * Spends `hash` and stores `nextHash` as its successor, atomically. A token spent less than `graceMs` ago counts
   * as rotated again: two tabs that refresh at once get the same successor.
   */
  rotate(hash: string, nextHash: string, at: Date, graceMs: number): Promise<Rotation>
  /** Ends the session that a refresh token belongs to; returns its id, or undefined when there is none. */
  revokeByRefresh(hash: string, at: Date): Promise<string | undefined>
  revokeSession(sessionId: string, at: Date): Promise<void>
}

export interface ApiKey {
  id: string
  name: string
  lastFour: string
  createdAt: Date
  expiresAt: Date | null
  lastUsedAt: Date | null
}

export interface KeyStore {
  /** @throws AppError CONFLICT when the owner has `limit` keys already. */
  create(owner: Owner, key: Omit<ApiKey, 'lastUsedAt'> & { hash: string }, limit: number): Promise<ApiKey>
  list(owner: Owner): Promise<ApiKey[]>
  /** The person whose key this is, among those of a tenant; undefined when there is no such key. */
  ownerOf(tenantId: string, id: string): Promise<string | undefined>
  /** @returns the hash of the removed key, or undefined when the owner has no such key. */
  remove(owner: Owner, id: string): Promise<string | undefined>
  /** The user behind a live key; notes the use (at most once a minute). */
  findUser(hash: string, at: Date): Promise<User | undefined>
}

/** What a person may spend, and with whose key. */
export interface Wallet {
  /** Nano-dollars left; null when nothing limits them. */
  available: bigint | null
  /** The person's own key at the LiteLLM proxy. Secret. */
  litellmKey: string | null
  /** Whether the server's own key pays for people who have none. */
  serverKey: boolean
}

export interface WalletStore {
  /** May be some seconds old while there is something left. @throws AppError UPSTREAM_* when it cannot be read. */
  of(user: User): Promise<Wallet>
}
