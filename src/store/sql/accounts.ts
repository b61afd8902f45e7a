import { and, eq, gt, isNotNull, isNull, lt, sql } from 'drizzle-orm'
import { AppError } from '../../errors'
import type { AccountStore, NewUser, Role, Rotation, User } from '../port'
import { refreshTokens, sessions, tenants, users } from '../schema'
import { type Db, only, orConflict } from './db'

/** @param tenantLimits what the statement found with the person: whoever asks needs both. */
export const toUser = (row: typeof users.$inferSelect, tenantLimits: Record<string, number> | null = null): User => ({
  tenantId: row.tenantId,
  userId: row.id,
  email: row.email,
  name: row.name,
  role: row.role,
  litellmKey: row.litellmKey,
  createdAt: row.createdAt,
  ...(row.allowedModels ? { allowedModels: row.allowedModels } : {}),
  ...(row.limits || tenantLimits ? { rateLimits: { user: row.limits, tenant: tenantLimits } } : {}),
})

/** A person, and a tenant, that nobody has disabled. For statements that join both. */
export const live = () => and(isNull(users.disabledAt), isNull(tenants.disabledAt))

const toRow = ({ at, ...user }: NewUser): typeof users.$inferInsert => ({
  ...user,
  createdAt: at,
  updatedAt: at,
})

export class SqlAccounts implements AccountStore {
  constructor(private readonly db: Db) {}

  async create(user: NewUser): Promise<User> {
    if (!(await this.takesPeople(user.tenantId))) throw new AppError('FORBIDDEN', 'Nobody can make an account here')
    const insert = this.db.insert(users).values(toRow(user)).returning()
    return toUser(only(await orConflict(insert, 'users_email', 'There is an account with this e-mail already')))
  }

  async adopt(user: NewUser): Promise<User | undefined> {
    // The id may belong to a local account by chance: the outside identity then gets one of its own.
    for (const id of [undefined, user.id, Bun.randomUUIDv7()]) {
      if (id && !(await this.takesPeople(user.tenantId))) return undefined
      if (id)
        await this.db
          .insert(users)
          .values(toRow({ ...user, id }))
          .onConflictDoNothing()
      const [found] = await this.db
        .select({ user: users, closed: tenants.disabledAt, limits: tenants.limits })
        .from(users)
        .innerJoin(tenants, eq(tenants.id, users.tenantId))
        .where(and(eq(users.issuer, user.issuer ?? ''), eq(users.subject, user.subject ?? '')))
      if (found) return found.user.disabledAt || found.closed ? undefined : toUser(found.user, found.limits)
    }
    throw new Error('An outside identity could not be stored')
  }

  private async takesPeople(tenantId: string): Promise<boolean> {
    const [tenant] = await this.db.select({ closed: tenants.disabledAt }).from(tenants).where(eq(tenants.id, tenantId))
    return tenant?.closed === null
  }

  async findByEmail(email: string) {
    const [row] = await this.db
      .select({ user: users })
      .from(users)
      .innerJoin(tenants, eq(tenants.id, users.tenantId))
      .where(and(eq(users.email, email), isNotNull(users.passwordHash), live()))
    return row?.user.passwordHash ? { user: toUser(row.user), passwordHash: row.user.passwordHash } : undefined
  }

  async setPasswordHash(userId: string, hash: string) {
    await this.db.update(users).set({ passwordHash: hash }).where(eq(users.id, userId))
  }

  async setRole(userId: string, role: Role) {
    await this.db.update(users).set({ role }).where(eq(users.id, userId))
  }

  async openSession({ id, userId, refreshHash, at, expiresAt }: Parameters<AccountStore['openSession']>[0]) {
    await this.db.transaction(async (tx) => {
      await tx.insert(sessions).values({ id, userId, createdAt: at, expiresAt })
      await tx.insert(refreshTokens).values({ hash: refreshHash, sessionId: id, createdAt: at })
    })
  }

  async findBySession(sessionId: string, at: Date) {
    const [row] = await this.db
      .select({ user: users, limits: tenants.limits })
      .from(sessions)
      .innerJoin(users, eq(users.id, sessions.userId))
      .innerJoin(tenants, eq(tenants.id, users.tenantId))
      .where(and(eq(sessions.id, sessionId), isNull(sessions.revokedAt), gt(sessions.expiresAt, at), live()))
    return row && toUser(row.user, row.limits)
  }

  rotate(hash: string, nextHash: string, at: Date, graceMs: number): Promise<Rotation> {
    return this.db.transaction(async (tx): Promise<Rotation> => {
      // The first of several racing calls spends the token; the others wait for its row lock and see it spent.
      const spent = await tx
        .update(refreshTokens)
        .set({ usedAt: at })
        .where(and(eq(refreshTokens.hash, hash), isNull(refreshTokens.usedAt)))
        .returning()
      const [found] = await tx
        .select({ token: refreshTokens, session: sessions, user: users, closed: tenants.disabledAt })
        .from(refreshTokens)
        .innerJoin(sessions, eq(sessions.id, refreshTokens.sessionId))
        .innerJoin(users, eq(users.id, sessions.userId))
        .innerJoin(tenants, eq(tenants.id, users.tenantId))
        .where(eq(refreshTokens.hash, hash))
      if (!found || found.session.revokedAt || found.session.expiresAt <= at) return { outcome: 'unknown' }
      if (found.user.disabledAt || found.closed) return { outcome: 'unknown' }
      const { session, token, user } = found
      if (spent.length > 0) {
        await tx.insert(refreshTokens).values({ hash: nextHash, sessionId: session.id, createdAt: at })
      } else if (at.getTime() - (token.usedAt?.getTime() ?? 0) > graceMs) {
        await tx.update(sessions).set({ revokedAt: at }).where(eq(sessions.id, session.id))
        return { outcome: 'reused', sessionId: session.id }
      }
      return { outcome: 'rotated', user: toUser(user), sessionId: session.id }
    })
  }

  async revokeByRefresh(hash: string, at: Date) {
    const [row] = await this.db
      .update(sessions)
      .set({
        revokedAt: sql`coalesce(${sessions.revokedAt}, ${at.toISOString()})`,
      })
      .from(refreshTokens)
      .where(and(eq(refreshTokens.hash, hash), eq(refreshTokens.sessionId, sessions.id)))
      .returning({ id: sessions.id })
    return row?.id
  }

  async revokeSession(sessionId: string, at: Date) {
    await this.db
      .update(sessions)
      .set({ revokedAt: at })
      .where(and(eq(sessions.id, sessionId), isNull(sessions.revokedAt)))
    // Sessions that ended long ago are of no use to anyone; signing out is a cheap moment to forget some.
    await this.db.delete(sessions).where(lt(sessions.expiresAt, new Date(at.getTime() - 30 * 86_400_000)))
  }
}
