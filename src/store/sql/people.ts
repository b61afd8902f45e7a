import { and, count, desc, eq, ilike, isNull, or, type SQL } from 'drizzle-orm'
import type { PeopleStore, Person, PersonPatch } from '../port-tenants'
import { sessions, users } from '../schema'
import type { Db } from './db'
import { keepAnOwner } from './owners'

const toPerson = ({
  id,
  passwordHash: _hash,
  issuer: _issuer,
  subject: _subject,
  litellmKey,
  updatedAt: _updated,
  ...row
}: typeof users.$inferSelect): Person => ({ ...row, userId: id, hasLitellmKey: litellmKey !== null })

/** A text as a part of a pattern of `like`: every character stands for itself. */
const literally = (text: string) => `%${text.replaceAll(/[\\%_]/g, '\\$&')}%`

const mentioning = (q: string | undefined): SQL | undefined =>
  q === undefined ? undefined : or(ilike(users.name, literally(q)), ilike(users.email, literally(q)))

export class SqlPeople implements PeopleStore {
  constructor(private readonly db: Db) {}

  async list(tenantId: string, { q, page, limit }: Parameters<PeopleStore['list']>[1]) {
    const wanted = and(eq(users.tenantId, tenantId), mentioning(q))
    const [rows, [counted]] = await Promise.all([
      this.db
        .select()
        .from(users)
        .where(wanted)
        .orderBy(desc(users.createdAt), desc(users.id))
        .limit(limit)
        .offset((page - 1) * limit),
      this.db.select({ n: count() }).from(users).where(wanted),
    ])
    return { items: rows.map(toPerson), total: Number(counted?.n) }
  }

  async find(tenantId: string, userId: string) {
    const [row] = await this.db.select().from(users).where(one(tenantId, userId))
    return row && toPerson(row)
  }

  update(tenantId: string, userId: string, patch: PersonPatch, at: Date) {
    const resigns = patch.disabledAt || (patch.role !== undefined && patch.role !== 'owner')
    return this.db.transaction(async (tx) => {
      if (resigns) await keepAnOwner(tx, (owner) => owner.userId === userId && owner.tenantId === tenantId)
      const [row] = await tx
        .update(users)
        .set({ ...patch, updatedAt: at })
        .where(one(tenantId, userId))
        .returning()
      if (row && patch.disabledAt) {
        await tx
          .update(sessions)
          .set({ revokedAt: patch.disabledAt })
          .where(and(eq(sessions.userId, userId), isNull(sessions.revokedAt)))
      }
      return row && toPerson(row)
    })
  }

  async setLitellmKey(userId: string, key: string) {
    await this.db.update(users).set({ litellmKey: key }).where(eq(users.id, userId))
  }
}

const one = (tenantId: string, userId: string) => and(eq(users.tenantId, tenantId), eq(users.id, userId))
