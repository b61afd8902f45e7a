import { and, count, desc, eq, gt, isNull, or, sql } from 'drizzle-orm'
import { AppError } from '../../errors'
import type { ApiKey, KeyStore, Owner } from '../port'
import { apiKeys, tenants, users } from '../schema'
import { live, toUser } from './accounts'
import { type Db, only } from './db'

const { id, name, lastFour, createdAt, expiresAt, lastUsedAt } = apiKeys
const shown = { id, name, lastFour, createdAt, expiresAt, lastUsedAt }

export class SqlKeys implements KeyStore {
  constructor(private readonly db: Db) {}

  create(owner: Owner, key: Omit<ApiKey, 'lastUsedAt'> & { hash: string }, limit: number) {
    return this.db.transaction(async (tx) => {
      // Locking the owner makes counting and inserting one step for requests that race.
      await tx.select({ id: users.id }).from(users).where(eq(users.id, owner.userId)).for('update')
      const [row] = await tx.select({ n: count() }).from(apiKeys).where(eq(apiKeys.userId, owner.userId))
      if (Number(row?.n) >= limit) {
        throw new AppError('CONFLICT', `You have ${limit} API keys, which is the limit. Delete one first`)
      }
      return only(
        await tx
          .insert(apiKeys)
          .values({ ...key, userId: owner.userId })
          .returning(shown),
      )
    })
  }

  list(owner: Owner) {
    return this.db.select(shown).from(apiKeys).where(eq(apiKeys.userId, owner.userId)).orderBy(desc(apiKeys.id))
  }

  async ownerOf(tenantId: string, keyId: string) {
    const [row] = await this.db
      .select({ userId: apiKeys.userId })
      .from(apiKeys)
      .innerJoin(users, eq(users.id, apiKeys.userId))
      .where(and(eq(apiKeys.id, keyId), eq(users.tenantId, tenantId)))
    return row?.userId
  }

  async remove(owner: Owner, keyId: string) {
    const [row] = await this.db
      .delete(apiKeys)
      .where(and(eq(apiKeys.id, keyId), eq(apiKeys.userId, owner.userId)))
      .returning({ hash: apiKeys.hash })
    return row?.hash
  }

  async findUser(hash: string, at: Date) {
    const [row] = await this.db
      .select({ user: users, limits: tenants.limits, keyId: id, lastUsedAt })
      .from(apiKeys)
      .innerJoin(users, eq(users.id, apiKeys.userId))
      .innerJoin(tenants, eq(tenants.id, users.tenantId))
      .where(and(eq(apiKeys.hash, hash), or(isNull(expiresAt), gt(expiresAt, at)), live()))
    if (!row) return undefined
    if (at.getTime() - (row.lastUsedAt?.getTime() ?? 0) > 60_000) {
      await this.db
        .update(apiKeys)
        .set({ lastUsedAt: sql`${at.toISOString()}` })
        .where(eq(apiKeys.hash, hash))
    }
    return { ...toUser(row.user, row.limits), keyId: row.keyId }
  }
}
