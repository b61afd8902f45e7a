import { and, count, desc, eq, sql } from 'drizzle-orm'
import type { ConversationPatch, ConversationStore, Message, Owner, PlacedMessage } from '../port'
import { branches, conversations, messages } from '../schema'
import { conversationColumns, messageColumns } from './columns'
import type { Db } from './db'

const activeBranchId = branches.id
const joinedBranch = and(
  eq(branches.conversationId, conversations.id),
  sql`${branches.leafId} is not distinct from ${conversations.activeLeafId}`,
)

const mine = (owner: Owner, id?: string) =>
  and(
    eq(conversations.userId, owner.userId),
    eq(conversations.tenantId, owner.tenantId),
    id === undefined ? undefined : eq(conversations.id, id),
  )

export class SqlConversations implements ConversationStore {
  constructor(private readonly db: Db) {}

  private select() {
    return this.db
      .select({ ...conversationColumns, activeBranchId })
      .from(conversations)
      .leftJoin(branches, joinedBranch)
  }

  async list(owner: Owner, { page, limit }: { page: number; limit: number }) {
    const [rows, [total]] = await Promise.all([
      this.select()
        .where(mine(owner))
        .orderBy(desc(conversations.updatedAt), desc(conversations.id))
        .limit(limit)
        .offset((page - 1) * limit),
      this.db.select({ n: count() }).from(conversations).where(mine(owner)),
    ])
    return { items: rows, total: Number(total?.n) }
  }

  async find(owner: Owner, id: string) {
    const [row] = await this.select().where(mine(owner, id))
    return row
  }

  async path(
    owner: Owner,
    id: string,
    { leafId, page, limit }: { leafId?: string | undefined; page: number; limit: number },
  ) {
    const conversation = await this.find(owner, id)
    if (!conversation) return undefined
    const end = leafId ?? conversation.activeLeafId
    if (!end) return { items: [], total: 0 }
    const leaf = await this.db.query.messages.findFirst({
      columns: { depth: true },
      where: and(eq(messages.conversationId, id), eq(messages.id, end)),
    })
    if (!leaf) return undefined
    // The page is known by depth, so the walk up stops at its far end instead of at the root.
    const total = leaf.depth + 1
    const top = leaf.depth - (page - 1) * limit
    const rows = await this.db
      .select({ ...messageColumns, siblings: sql<string[]>`s.ids` })
      .from(messages)
      .innerJoin(
        sql`(with recursive up as (
            select id, parent_id, depth from messages where conversation_id = ${id} and id = ${end}
            union all
            select m.id, m.parent_id, m.depth from messages m
            join up on m.conversation_id = ${id} and m.id = up.parent_id and up.depth > ${top - limit + 1}
          ) select id, parent_id from up where depth <= ${top}) up`,
        sql`up.id = ${messages.id}`,
      )
      .innerJoin(
        sql`lateral (select array_agg(x.id order by x.id) as ids from messages x
          where x.conversation_id = ${id} and (x.parent_id = up.parent_id or (up.parent_id is null and x.parent_id is null))) s`,
        sql`true`,
      )
      .where(eq(messages.conversationId, id))
      .orderBy(messages.depth)
    return { items: rows.map(place), total }
  }

  async prefix(owner: Owner, id: string, limit: number) {
    const conversation = await this.find(owner, id)
    if (!conversation) return undefined
    return this.db
      .select(messageColumns)
      .from(messages)
      .where(
        and(
          eq(messages.conversationId, id),
          sql`${messages.depth} < ${limit}`,
          sql`${messages.id} in (with recursive up as (
              select id, parent_id from messages where conversation_id = ${id} and id = ${conversation.activeLeafId}
              union all
              select m.id, m.parent_id from messages m join up on m.conversation_id = ${id} and m.id = up.parent_id
            ) select id from up)`,
        ),
      )
      .orderBy(messages.depth)
  }

  async findMessage(owner: Owner, id: string): Promise<Message | undefined> {
    const [row] = await this.db
      .select(messageColumns)
      .from(messages)
      .innerJoin(conversations, eq(conversations.id, messages.conversationId))
      .where(and(eq(messages.id, id), mine(owner)))
    return row
  }

  async update(
    owner: Owner,
    id: string,
    patch: ConversationPatch,
    { rev, at }: { rev?: number | undefined; at: Date },
  ) {
    const changed = await this.db
      .update(conversations)
      .set({
        ...patch,
        ...(patch.title === undefined ? {} : { titleSource: 'user' as const }),
        rev: sql`${conversations.rev} + 1`,
        updatedAt: at,
      })
      .where(and(mine(owner, id), rev === undefined ? undefined : eq(conversations.rev, rev)))
      .returning({ id: conversations.id })
    const conversation = await this.find(owner, id)
    return (
      conversation && {
        outcome: changed.length ? ('updated' as const) : ('stale' as const),
        conversation,
      }
    )
  }

  async remove(owner: Owner, id: string) {
    const gone = await this.db.delete(conversations).where(mine(owner, id)).returning({ id: conversations.id })
    return gone.length > 0
  }
}

function place({ siblings, ...message }: Message & { siblings: string[] }): PlacedMessage {
  const at = siblings.indexOf(message.id)
  return {
    ...message,
    siblings: {
      index: at + 1,
      count: siblings.length,
      prev: siblings[at - 1] ?? null,
      next: siblings[at + 1] ?? null,
    },
  }
}
