import { and, arrayContains, asc, desc, eq, gte, ilike, isNotNull, isNull, lt, not, type SQL, sql } from 'drizzle-orm'
import { storable, storableJson } from '../../lib/text'
import type { ConversationFilter, ListedConversation, Owner } from '../port'
import { conversations } from '../schema'
import type { Db } from './db'
import { mine, shownConversation } from './own'

/** One page of conversations. Messages and branches are counted for that page only. */
export async function listConversations(
  db: Db,
  owner: Owner,
  { page, limit, ...filter }: { page: number; limit: number } & ConversationFilter,
): Promise<{ items: ListedConversation[]; total: number }> {
  const where = and(mine(owner), ...conditions(filter))
  const order = orderOf(filter.sort)
  const ids = db
    .select({ id: conversations.id })
    .from(conversations)
    .where(where)
    .orderBy(...order)
    .limit(limit)
    .offset((page - 1) * limit)
    .as('page')
  const rows = await db
    .select({
      ...shownConversation,
      messageCount: countOf('messages'),
      branchCount: countOf('branches'),
      total: sql<number>`(select count(*)::int from conversations where ${where})`,
    })
    .from(conversations)
    .innerJoin(ids, eq(ids.id, conversations.id))
    .orderBy(...order)
  const [first] = rows
  // A page beyond the last one has nothing to tell how many there are.
  const total = first || page === 1 ? (first?.total ?? 0) : await db.$count(conversations, where)
  return { items: rows.map(({ total: _, ...conversation }) => conversation), total }
}

type Within = 'messages' | 'branches'

// Written out: Drizzle leaves the table's name away from columns of single tables.
const rowsOf = (table: Within) => sql`from ${sql.identifier(table)} x where x.conversation_id = conversations.id`
const countOf = (table: Within) => sql<number>`(select count(*)::int ${rowsOf(table)})`
/** Reads no more rows than it takes to know. */
const atLeast = (table: Within, n: number) => sql`exists (select 1 ${rowsOf(table)} offset ${n - 1} limit 1)`

function conditions(f: ConversationFilter): (SQL | undefined)[] {
  const { model, createdAfter, createdBefore, hasBranches, minMessages, maxMessages, tag, q } = f
  const several = atLeast('branches', 2)
  return [
    model === undefined ? undefined : eq(conversations.model, storable(model)),
    createdAfter && gte(conversations.createdAt, createdAfter),
    createdBefore && lt(conversations.createdAt, createdBefore),
    hasBranches === undefined ? undefined : hasBranches ? several : not(several),
    minMessages ? atLeast('messages', minMessages) : undefined,
    maxMessages === undefined ? undefined : not(atLeast('messages', maxMessages + 1)),
    whether(f.pinned, conversations.pinnedAt),
    whether(f.archived, conversations.archivedAt),
    f.metadata && sql`${conversations.metadata} @> ${storableJson(f.metadata)}::jsonb`,
    tag === undefined ? undefined : arrayContains(conversations.tags, [storable(tag)]),
    q ? ilike(conversations.title, `%${storable(q).replaceAll(/[\\%_]/g, '\\$&')}%`) : undefined,
  ]
}

const whether = (
  wanted: boolean | undefined,
  column: typeof conversations.pinnedAt | typeof conversations.archivedAt,
) => (wanted === undefined ? undefined : wanted ? isNotNull(column) : isNull(column))

/** By id among equals: so that two pages never show the same one. */
function orderOf(sort: ConversationFilter['sort']): SQL[] {
  if (!sort) return [desc(isNotNull(conversations.pinnedAt)), desc(conversations.updatedAt), desc(conversations.id)]
  const direction = sort.descending ? desc : asc
  const by = sort.by === 'title' ? sql`lower(${conversations.title})` : conversations[sort.by]
  return [direction(by), direction(conversations.id)]
}
