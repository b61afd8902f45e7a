import { and, eq, inArray, sql } from 'drizzle-orm'
import { storableJson } from '../../lib/text'
import type {
  ConversationFilter,
  ConversationPatch,
  ConversationStore,
  Message,
  NewConversation,
  Owner,
  PlacedMessage,
  WriteTerms,
} from '../port'
import { branches, conversations, deletions, messages } from '../schema'
import { conversationColumns, messageColumns } from './columns'
import { type Db, only, orConflict } from './db'
import { listConversations } from './listing'
import { findConversation, mine, shownConversation } from './own'
import { readStats, readTree } from './tree'

export class SqlConversations implements ConversationStore {
  constructor(private readonly db: Db) {}

  list(owner: Owner, options: { page: number; limit: number } & ConversationFilter) {
    return listConversations(this.db, owner, options)
  }

  async create({ tenantId, userId }: Owner, { branchId, at, ...given }: NewConversation) {
    const row = { ...given, tenantId, userId, activeLeafId: null, rev: 1, createdAt: at, updatedAt: at }
    const write = this.db.transaction(async (tx) => {
      const made = only(await tx.insert(conversations).values(row).returning(conversationColumns))
      const main = { id: branchId, conversationId: made.id, name: 'Main', parentMessageId: null, leafId: null }
      await tx.insert(branches).values({ ...main, createdAt: at, viewedAt: at })
      return { ...made, activeBranchId: branchId }
    })
    return orConflict(write, 'conversations_pkey', 'There is a conversation with this id already')
  }

  find(owner: Owner, id: string) {
    return findConversation(this.db, owner, id)
  }

  tree(owner: Owner, id: string, page: { page: number; limit: number }) {
    return readTree(this.db, owner, id, page)
  }

  stats(owner: Owner, id: string) {
    return readStats(this.db, owner, id)
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
            select m.* from up cross join lateral (
              select x.id, x.parent_id, x.depth from messages x
              where x.conversation_id = ${id} and x.id = up.parent_id and up.depth > ${top - limit + 1} limit 1) m
          ) select id, parent_id from up where depth <= ${top}) up`,
        sql`up.id = ${messages.id}`,
      )
      // Two questions where one with an "or" would do: that one reads the whole conversation for each message.
      .innerJoin(
        sql`lateral (select array_agg(x.id order by x.id) as ids from (
            select id from messages where conversation_id = ${id} and parent_id = up.parent_id
            union all
            select id from messages where conversation_id = ${id} and parent_id is null and up.parent_id is null) x) s`,
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
              select m.* from up cross join lateral (
                select x.id, x.parent_id from messages x where x.conversation_id = ${id} and x.id = up.parent_id limit 1) m
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

  async annotate(owner: Owner, messageId: string, metadata: Record<string, unknown>): Promise<boolean> {
    const own = this.db.select({ id: conversations.id }).from(conversations).where(mine(owner))
    const changed = await this.db
      .update(messages)
      .set({ metadata: sql`coalesce(${messages.metadata}, '{}') || ${storableJson(metadata)}::jsonb` })
      .where(and(eq(messages.id, messageId), inArray(messages.conversationId, own)))
      .returning({ id: messages.id })
    return changed.length > 0
  }

  async update(
    owner: Owner,
    id: string,
    patch: ConversationPatch,
    { rev, at }: { rev?: number | undefined; at: Date },
  ) {
    const [conversation] = await this.db
      .update(conversations)
      .set({ ...changesOf(patch, at), rev: sql`${conversations.rev} + 1`, updatedAt: at })
      .where(and(mine(owner, id), rev === undefined ? undefined : eq(conversations.rev, rev)))
      .returning(shownConversation)
    if (conversation) return { outcome: 'updated' as const, conversation }
    const current = await this.find(owner, id)
    return current && { outcome: 'stale' as const, conversation: current }
  }

  remove(owner: Owner, id: string, { rev, at }: WriteTerms = { at: new Date() }) {
    const as = rev === undefined ? undefined : eq(conversations.rev, rev)
    return this.db.transaction(async (tx) => {
      const gone = await tx
        .delete(conversations)
        .where(and(mine(owner, id), as))
        .returning({ id: conversations.id })
      if (gone.length === 0) return false
      await tx.insert(deletions).values({ userId: owner.userId, kind: 'conversation', id, conversationId: id, at })
      return true
    })
  }
}

/** A name given here is a person's. What is pinned or archived already keeps the time it was. */
const changesOf = ({ pinned, archived, ...plain }: ConversationPatch, at: Date) => ({
  ...plain,
  ...(plain.title === undefined ? {} : { titleSource: 'user' as const }),
  ...(pinned === undefined ? {} : { pinnedAt: since(pinned, conversations.pinnedAt, at) }),
  ...(archived === undefined ? {} : { archivedAt: since(archived, conversations.archivedAt, at) }),
})

type Moment = typeof conversations.pinnedAt | typeof conversations.archivedAt
const since = (on: boolean, column: Moment, at: Date) =>
  on ? sql`coalesce(${column}, ${at.toISOString()}::timestamptz)` : null

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
