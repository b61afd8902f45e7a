import { and, asc, eq, gte, ne, sql } from 'drizzle-orm'
import { idFrom } from '../../lib/ids'
import { branches, messages } from '../schema'
import type { Db } from './db'
import type { Tx } from './written'

/** These messages of a conversation: one parameter however many there are. */
export const among = (conversationId: string, ids: string[]) =>
  and(eq(messages.conversationId, conversationId), sql`${messages.id} = any(${sql.param(ids)}::uuid[])`)

/** Who is below whom, in a part of a conversation: parents before their children. */
async function skeleton(db: Db | Tx, conversationId: string, fromDepth: number) {
  return db
    .select({ id: messages.id, parentId: messages.parentId })
    .from(messages)
    .where(and(eq(messages.conversationId, conversationId), gte(messages.depth, fromDepth)))
    .orderBy(asc(messages.depth))
}

// Both go through the conversation once and find their way here. A recursive query would ask for the children of each message
// by itself, and where most conversations are small, Postgres reads the whole of a large one for each of these questions.

/** A message and all below it. */
export async function subtree(db: Db | Tx, conversationId: string, id: string): Promise<string[]> {
  const [top] = await db
    .select({ depth: messages.depth })
    .from(messages)
    .where(and(eq(messages.conversationId, conversationId), eq(messages.id, id)))
  const inside = new Set<string | null>()
  const all = top ? await skeleton(db, conversationId, top.depth) : []
  return all.flatMap((m) => {
    if (m.id !== id && !inside.has(m.parentId)) return []
    inside.add(m.id)
    return [m.id]
  })
}

/** The messages above and with this one that only its own branch has: up to the first fork, or the end of another branch. */
export async function ownMessages(db: Db | Tx, conversationId: string, leafId: string): Promise<string[]> {
  const all = await skeleton(db, conversationId, 0)
  const ends = await db
    .select({ leafId: branches.leafId })
    .from(branches)
    .where(and(eq(branches.conversationId, conversationId), ne(branches.leafId, leafId)))
  const shared = new Set(ends.map((branch) => branch.leafId))
  const parents = new Map(all.map((m) => [m.id, m.parentId]))
  const children = new Map<string | null, number>()
  for (const { parentId } of all) children.set(parentId, (children.get(parentId) ?? 0) + 1)
  const own: string[] = []
  // Above the leaf each has one child at least: the one before.
  for (let id = parents.has(leafId) ? leafId : null; id !== null; id = parents.get(id) ?? null) {
    if (shared.has(id) || (children.get(id) ?? 0) > Math.min(1, own.length)) break
    own.push(id)
  }
  return own
}

export interface Parting {
  commonLength: number
  lastCommonId: string | null
  /** What each path has beyond, oldest first. */
  beyondA: string[]
  beyondB: string[]
}

/**
 * Where two paths of a conversation part. Climbs from both ends at once and stops where they meet; LIMIT makes each step one
 * look-up by primary key.
 */
export async function parting(db: Db | Tx, leafA: string | null, leafB: string | null): Promise<Parting> {
  if (leafA === null || leafB === null) return { commonLength: 0, lastCommonId: null, beyondA: [], beyondB: [] }
  const { rows } = await db.execute<{ a: string | null; b: string | null; a_depth: number; b_depth: number }>(
    sql`with recursive up as (
        select a.id as a, a.parent_id as a_parent, a.depth as a_depth, b.id as b, b.parent_id as b_parent, b.depth as b_depth
        from messages a, messages b where a.id = ${leafA} and b.id = ${leafB}
        union all
        select a.id, a.parent_id, coalesce(a.depth, -1), b.id, b.parent_id, coalesce(b.depth, -1)
        from up
        left join lateral (select id, parent_id, depth from messages
          where id = case when up.a_depth >= up.b_depth then up.a_parent else up.a end limit 1) a on true
        left join lateral (select id, parent_id, depth from messages
          where id = case when up.b_depth >= up.a_depth then up.b_parent else up.b end limit 1) b on true
        where up.a is distinct from up.b
      ) select a, b, a_depth, b_depth from up order by a_depth, b_depth`,
  )
  const [meeting] = rows
  const lastCommonId = meeting?.a ?? null
  const beyond = (side: 'a' | 'b') => [
    ...new Set(rows.flatMap((row) => (row[side] === null || row[side] === lastCommonId ? [] : [row[side]]))),
  ]
  return { commonLength: (meeting?.a_depth ?? -1) + 1, lastCommonId, beyondA: beyond('a'), beyondB: beyond('b') }
}

interface Copy {
  from: string
  id: string
  parent: string | null
}

/**
 * Copies of messages, each the parent of the next, to be written below another one. With the same seed they get the same ids.
 * An id begins like that of the original, which tells its time: alternatives are numbered by age.
 */
export function copiesOf(ids: string[], below: string | null, seed: string): Copy[] {
  const copies = ids.map((from) => ({ from, id: from.slice(0, 13) + idFrom(from, seed).slice(13) }))
  return copies.map((copy, i) => ({ ...copy, parent: i === 0 ? below : (copies[i - 1]?.id ?? null) }))
}

/** Writes copies. What the originals cost was paid once, so the copies have neither usage nor cost. @param above the depth they hang at. */
export async function insertCopies(
  tx: Tx,
  given: { conversationId: string; copies: Copy[]; branchId: string; above: number; at: Date },
): Promise<void> {
  const rows = JSON.stringify(given.copies.map((copy, i) => ({ ...copy, depth: given.above + i + 1 })))
  const moment = sql`${given.at.toISOString()}::timestamptz`
  await tx.execute(sql`
    insert into messages (id, conversation_id, user_id, parent_id, branch_id, depth, role, content, extra, status, model,
      finish_reason, metadata, created_at, completed_at)
    select o.id, m.conversation_id, m.user_id, o.parent, ${given.branchId}, o.depth, m.role, m.content, m.extra,
      m.status, m.model, m.finish_reason, m.metadata, ${moment}, ${moment}
    from jsonb_to_recordset(${rows}::jsonb) as o("from" uuid, id uuid, parent uuid, depth int)
    join messages m on m.conversation_id = ${given.conversationId} and m.id = o."from"`)
}
