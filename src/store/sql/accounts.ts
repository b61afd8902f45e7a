import { and, eq, gt, isNotNull, isNull, lt, sql } from 'drizzle-orm'
import type { AccountStore, NewUser, Role, Rotation, User } from '../port'
import { refreshTokens, sessions, users } from '../schema'
import { type Db, only, orConflict } from './db'

export const toUser = (row: typeof users.$inferSelect): User => ({
  tenantId: row.tenantId,
  userId: row.id,
  email: row.email,
  name: row.name,
  role: row.role,
  litellmKey: row.litellmKey,
  createdAt: row.createdAt,
})

const toRow = ({ at, ...user }: NewUser): typeof users.$inferInsert => ({
  ...user,
  createdAt: at,
  updatedAt: at,
})

export class SqlAccounts implements AccountStore {
  constructor(private readonly db: Db) {}

  async create(user: NewUser): Promise<User> {
    const insert = this.db.insert(users).values(toRow(user)).returning()
    return toUser(only(await orConflict(insert, 'users_email', 'There is an account with this e-mail already')))
  }

  async adopt(user: NewUser): Promise<User | undefined> {
    // The id may belong to a local account by chance: the outside identity then gets one of its own.
    for (const id of [undefined, user.id, Bun.randomUUIDv7()]) {
      if (id)
        await this.db
          .insert(users)
          .values(toRow({ ...user, id }))
          .onConflictDoNothing()
      const found = await this.db.query.users.findFirst({
        where: and(eq(users.issuer, user.issuer ?? ''), eq(users.subject, user.subject ?? '')),
      })
      if (found) return found.disabledAt ? undefined : toUser(found)
    }
    throw new Error('An outside identity could not be stored')
  }

  async findByEmail(email: string) {
    const row = await this.db.query.users.findFirst({
      where: and(eq(users.email, email), isNotNull(users.passwordHash), isNull(users.disabledAt)),
    })
    return row?.passwordHash ? { user: toUser(row), passwordHash: row.passwordHash } : undefined
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
      .select({ user: users })
      .from(sessions)
      .innerJoin(users, eq(users.id, sessions.userId))
      .where(
        and(
          eq(sessions.id, sessionId),
          isNull(sessions.revokedAt),
          gt(sessions.expiresAt, at),
          isNull(users.disabledAt),
        ),
      )
    return row && toUser(row.user)
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
        .select({ token: refreshTokens, session: sessions, user: users })
        .from(refreshTokens)
        .innerJoin(sessions, eq(sessions.id, refreshTokens.sessionId))
        .innerJoin(users, eq(users.id, sessions.userId))
        .where(eq(refreshTokens.hash, hash))
      if (!found || found.session.revokedAt || found.session.expiresAt <= at || found.user.disabledAt) {
        return { outcome: 'unknown' }
      }
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
