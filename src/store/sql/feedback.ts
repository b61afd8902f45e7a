import { and, asc, count, desc, eq, getTableColumns, gte, lt, sql } from 'drizzle-orm'
import type { Feedback, FeedbackStore, NewFeedback, Owner } from '../port'
import { conversations, feedback, messages } from '../schema'
import type { Db } from './db'

const { tenantId, userId, ...shown } = getTableColumns(feedback)

const mine = (owner: Owner) => and(eq(userId, owner.userId), eq(tenantId, owner.tenantId))

const numberOf = (condition: ReturnType<typeof sql>) =>
  sql<number>`count(*) filter (where ${condition})`.mapWith(Number)

export class SqlFeedback implements FeedbackStore {
  constructor(private readonly db: Db) {}

  put(owner: Owner, { at, ...given }: NewFeedback): Promise<Feedback | undefined> {
    return this.db.transaction(async (tx) => {
      const [conversation] = await tx
        .select({ id: conversations.id })
        .from(conversations)
        .where(
          and(
            eq(conversations.id, given.conversationId),
            eq(conversations.userId, owner.userId),
            eq(conversations.tenantId, owner.tenantId),
          ),
        )
        .for('update')
      if (!conversation) return undefined
      // Read under the lock: whoever deletes messages holds it, too.
      const [message] = await tx
        .select({ id: messages.id })
        .from(messages)
        .where(and(eq(messages.conversationId, conversation.id), eq(messages.id, given.messageId)))
      if (!message) return undefined
      const { id, conversationId, messageId, ...opinion } = given
      const whose = { tenantId: owner.tenantId, userId: owner.userId }
      const [row] = await tx
        .insert(feedback)
        .values({ ...given, ...whose, createdAt: at, updatedAt: at })
        .onConflictDoUpdate({ target: [feedback.userId, feedback.messageId], set: { ...opinion, updatedAt: at } })
        .returning(shown)
      return row
    })
  }

  async find(owner: Owner, messageId: string): Promise<Feedback | undefined> {
    const [row] = await this.db
      .select(shown)
      .from(feedback)
      .where(and(mine(owner), eq(feedback.messageId, messageId)))
    return row
  }

  async list(owner: Owner, conversationId: string, { page, limit }: { page: number; limit: number }) {
    const where = and(mine(owner), eq(feedback.conversationId, conversationId))
    const [items, [total]] = await Promise.all([
      this.db
        .select(shown)
        .from(feedback)
        .where(where)
        .orderBy(desc(feedback.updatedAt), desc(feedback.id))
        .limit(limit)
        .offset((page - 1) * limit),
      this.db.select({ n: count() }).from(feedback).where(where),
    ])
    return { items, total: Number(total?.n) }
  }

  async remove(owner: Owner, messageId: string): Promise<boolean> {
    const gone = await this.db
      .delete(feedback)
      .where(and(mine(owner), eq(feedback.messageId, messageId)))
      .returning({ id: feedback.id })
    return gone.length > 0
  }

  byModel(tenant: string, { from, to }: { from: Date; to: Date }) {
    return this.db
      .select({
        model: feedback.model,
        total: count(),
        thumbsUp: numberOf(sql`${feedback.kind} = 'thumbs_up'`),
        thumbsDown: numberOf(sql`${feedback.kind} = 'thumbs_down'`),
        flags: numberOf(sql`${feedback.kind} = 'flag'`),
        ratings: numberOf(sql`${feedback.rating} is not null`),
        meanRating: sql<number | null>`avg(${feedback.rating})`.mapWith(Number),
      })
      .from(feedback)
      .where(and(eq(tenantId, tenant), gte(feedback.createdAt, from), lt(feedback.createdAt, to)))
      .groupBy(feedback.model)
      .orderBy(asc(feedback.model))
  }
}
