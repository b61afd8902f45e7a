import { and, asc, eq, getTableColumns, type SQL, sql } from 'drizzle-orm'
import { storableJson } from '../../lib/text'
import type { ArchivedTree, ArchiveStore, Message, Owner } from '../port'
import { branches, conversations, messages } from '../schema'
import { conversationColumns, messageColumns } from './columns'
import { type Db, violated } from './db'

type Tx = Parameters<Parameters<Db['transaction']>[0]>[0]

/** What one statement writes at most; less, when its text grows to this many characters. */
const BATCH_ROWS = 1000
const BATCH_SIZE = 2_000_000

const mine = (owner: Owner, id: string) =>
  and(eq(conversations.id, id), eq(conversations.userId, owner.userId), eq(conversations.tenantId, owner.tenantId))

const { conversationId: _conversation, ...branchColumns } = getTableColumns(branches)

export class SqlArchive implements ArchiveStore {
  constructor(private readonly db: Db) {}

  async find(owner: Owner, id: string) {
    const [row] = await this.db.select(conversationColumns).from(conversations).where(mine(owner, id))
    if (!row) return undefined
    const ends = await this.db
      .select(branchColumns)
      .from(branches)
      .where(eq(branches.conversationId, id))
      .orderBy(asc(branches.createdAt), asc(branches.id))
    const activeBranchId = ends.find(({ leafId }) => leafId === row.activeLeafId)?.id ?? null
    return { conversation: { ...row, activeBranchId }, branches: ends }
  }

  outline(owner: Owner, id: string) {
    return this.db
      .select({
        id: messages.id,
        parentId: messages.parentId,
        // Both are known without unpacking what they measure.
        size: sql<number>`octet_length(${messages.content}) + coalesce(pg_column_size(${messages.extra}), 0)`,
      })
      .from(messages)
      .innerJoin(conversations, eq(conversations.id, messages.conversationId))
      .where(and(mine(owner, id), eq(messages.conversationId, id)))
      .orderBy(asc(messages.id))
  }

  async messages(owner: Owner, conversationId: string, ids: string[]) {
    const rows = await this.db
      .select(messageColumns)
      .from(messages)
      .innerJoin(conversations, eq(conversations.id, messages.conversationId))
      .where(
        and(
          mine(owner, conversationId),
          eq(messages.conversationId, conversationId),
          sql`${messages.id} = any(${sql.param(ids)}::uuid[])`,
        ),
      )
    const byId = new Map(rows.map((row): [string, Message] => [row.id, row]))
    return ids.flatMap((id) => byId.get(id) ?? [])
  }

  holder(owner: Owner, id: string) {
    return holderOf(this.db, owner, id)
  }

  async write(owner: Owner, tree: ArchivedTree) {
    const [first = '[]', ...more] = batches(tree.messages)
    try {
      if (more.length === 0) return await begin(this.db, owner, { tree, rows: first, ends: tree.branches })
      return await this.db.transaction(async (tx) => {
        const outcome = await begin(tx, owner, { tree, rows: first, ends: [] })
        if (outcome !== 'written') return outcome
        for (const rows of more) await tx.execute(insertMessages(sql`${tree.conversation.id}::uuid`, rows))
        await tx.execute(insertBranches(sql`${tree.conversation.id}::uuid`, tree.branches))
        return outcome
      })
    } catch (error) {
      if (violated(error) !== undefined) return 'taken'
      throw error
    }
  }
}

interface Beginning {
  tree: ArchivedTree
  /** Messages, as a batch. */
  rows: string
  ends: ArchivedTree['branches']
}

/** The conversation with its first messages, in one statement: most have no more. Nothing, when its id is in use. */
async function begin(db: Db | Tx, owner: Owner, { tree: { conversation }, rows, ends }: Beginning) {
  const made = await db.execute(sql`
    with made as (${insertConversation(owner, conversation)} on conflict (id) do nothing returning id),
      said as (${insertMessages(sql`made.id`, rows, sql`made,`)}),
      ended as (${insertBranches(sql`made.id`, ends, sql`made,`)})
    select id from made`)
  if (made.rows.length > 0) return 'written'
  return (await holderOf(db, owner, conversation.id)) === 'owner' ? 'exists' : 'taken'
}

async function holderOf(db: Db | Tx, owner: Owner, id: string): Promise<'owner' | 'other' | 'nobody'> {
  const { userId, tenantId } = conversations
  const [row] = await db.select({ userId, tenantId }).from(conversations).where(eq(conversations.id, id))
  if (!row) return 'nobody'
  return row.userId === owner.userId && row.tenantId === owner.tenantId ? 'owner' : 'other'
}

/** Rows as JSON texts, so many at a time. */
function* batches(nodes: ArchivedTree['messages']): Generator<string> {
  let rows: string[] = []
  let size = 0
  for (const { costNanos, ...node } of nodes) {
    const row = storableJson({ ...node, costNanos: costNanos === null ? null : String(costNanos) })
    if (rows.length === BATCH_ROWS || (rows.length > 0 && size + row.length > BATCH_SIZE)) {
      yield `[${rows}]`
      rows = []
      size = 0
    }
    rows.push(row)
    size += row.length
  }
  if (rows.length > 0) yield `[${rows}]`
}

const insertConversation = ({ userId, tenantId }: Owner, conversation: ArchivedTree['conversation']) => sql`
    insert into conversations (id, tenant_id, user_id, title, title_source, model, system_prompt, settings, metadata, tags, pinned_at,
      archived_at, active_leaf_id, rev, created_at, updated_at)
    select id, ${tenantId}::uuid, ${userId}::uuid, title, "titleSource", model, "systemPrompt", nullif(settings, 'null'),
      nullif(metadata, 'null'), tags, "pinnedAt", "archivedAt", "activeLeafId", 1, "createdAt", "updatedAt"
    from jsonb_to_record(${storableJson(conversation)}::jsonb) as c(id uuid, title text, "titleSource" text, model text,
      "systemPrompt" text, settings jsonb, metadata jsonb, tags text[], "pinnedAt" timestamptz, "archivedAt" timestamptz,
      "activeLeafId" uuid, "createdAt" timestamptz, "updatedAt" timestamptz)`

/** @param from what the conversation's id is read from, where it is no parameter. */
const insertMessages = (conversationId: SQL, rows: string, from = sql``) => sql`
    insert into messages (id, conversation_id, parent_id, branch_id, depth, role, content, extra, status, model, finish_reason,
      usage, cost_nanos, metadata, created_at, completed_at)
    select m.id, ${conversationId}, "parentId", "branchId", depth, role, content, nullif(extra, 'null'), status, model,
      "finishReason", nullif(usage, 'null'), "costNanos", nullif(metadata, 'null'), "createdAt", "completedAt"
    from ${from} jsonb_to_recordset(${rows}::jsonb) as m(id uuid, "parentId" uuid, "branchId" uuid, depth int, role text,
      content text, extra jsonb, status text, model text, "finishReason" text, usage jsonb, "costNanos" bigint, metadata jsonb,
      "createdAt" timestamptz, "completedAt" timestamptz)`

const insertBranches = (conversationId: SQL, ends: ArchivedTree['branches'], from = sql``) => sql`
    insert into branches (id, conversation_id, name, parent_message_id, leaf_id, created_at, viewed_at)
    select b.id, ${conversationId}, name, "parentMessageId", "leafId", "createdAt", "viewedAt"
    from ${from} jsonb_to_recordset(${storableJson(ends)}::jsonb) as b(id uuid, name text, "parentMessageId" uuid, "leafId" uuid,
      "createdAt" timestamptz, "viewedAt" timestamptz)`
