import { and, asc, eq, getTableColumns, gt, gte, inArray, sql } from 'drizzle-orm'
import type { Changes, Owner, Run, SyncCursor, SyncStore } from '../port'
import { conversations, deletions, messages, runs } from '../schema'
import { messageColumns } from './columns'
import type { Db } from './db'
import { mine, shownConversation } from './own'

type Tx = Parameters<Parameters<Db['transaction']>[0]>[0]
type Kind = 'deletion' | 'conversation' | 'message'
type Key = [string, string] | null

/** One kind of rows after `key`, `limit` of them. */
interface Reading {
  owner: Owner
  from: string
  key: Key
  limit: number
}

/** Deletions first: what was deleted and came back is there in the end. */
const KINDS: Kind[] = ['deletion', 'conversation', 'message']

/**
 * Rows say which transaction wrote them last. A reading takes what was written from transaction `from` on, as far as it can be
 * seen; the next one begins at the oldest transaction that was still running when this one began. So what commits late,
 * or changes between two pages of a reading, belongs to the next reading, and nothing falls between the two.
 *
 * Messages are looked for in conversations that were changed, because only these have an index by transaction. The newer
 * bound must not be applied here: of two transactions that write to a conversation one after the other, the later one may
 * have the smaller number, and then the conversation is marked with that.
 */
export class SqlSync implements SyncStore {
  constructor(private readonly db: Db) {}

  changes(owner: Owner, { cursor, limit }: { cursor: SyncCursor | undefined; limit: number }) {
    return this.db.transaction(
      async (tx) => {
        const { oldest, coming } = await snapshot(tx)
        if (cursor && (BigInt(cursor.from) > coming || BigInt(cursor.next) > coming)) return 'reset' as const
        const begun = cursor?.after ? cursor : { from: cursor?.from ?? '0', next: String(oldest), after: null }
        return read(tx, owner, begun, limit)
      },
      { isolationLevel: 'repeatable read', accessMode: 'read only' },
    )
  }
}

/** The oldest transaction that is still running, and the first one that has not begun. */
async function snapshot(tx: Tx): Promise<{ oldest: bigint; coming: bigint }> {
  const { rows } = await tx.execute<{ oldest: string; coming: string }>(sql`
    select pg_snapshot_xmin(s)::text as oldest, pg_snapshot_xmax(s)::text as coming from pg_current_snapshot() s`)
  return { oldest: BigInt(rows[0]?.oldest ?? 0), coming: BigInt(rows[0]?.coming ?? 0) }
}

async function read(tx: Tx, owner: Owner, { from, next, after }: SyncCursor, limit: number): Promise<Changes> {
  const page: Changes = {
    deletions: [],
    conversations: [],
    messages: [],
    runs: [],
    cursor: { from: next, next, after: null },
    more: false,
  }
  let left = limit
  for (const kind of KINDS.slice(after ? KINDS.indexOf(after.kind) : 0)) {
    const key = after?.kind === kind ? after.key : null
    const { last, count, more } = await READERS[kind](tx, { owner, from, key, limit: left }, page)
    left -= count
    if (more) {
      Object.assign(page, { cursor: { from, next, after: { kind, key: last ?? key } }, more })
      break
    }
  }
  page.runs = await runsOf(tx, owner, page.messages)
  return page
}

interface Progress {
  last: Key
  count: number
  more: boolean
}

/** Puts the rows that there is room for on the page; one more was read, to know whether that was all. */
function put<T>(rows: T[], onto: T[], limit: number, keyOf: (row: T) => [string, string]): Progress {
  const taken = rows.slice(0, limit)
  onto.push(...taken)
  const last = taken.at(-1)
  return { last: last ? keyOf(last) : null, count: taken.length, more: rows.length > limit }
}

const READERS: Record<Kind, (tx: Tx, reading: Reading, page: Changes) => Promise<Progress>> = {
  async deletion(tx, { owner, from, key, limit }, page) {
    // Who has nothing yet does not care.
    if (from === '0') return { last: null, count: 0, more: false }
    const { userId, ...shown } = getTableColumns(deletions)
    const rows = await tx
      .select(shown)
      .from(deletions)
      .where(
        and(
          eq(userId, owner.userId),
          sql`${deletions.changed} >= ${from}::xid8`,
          key ? sql`(${deletions.changed}, ${deletions.id}) > (${key[0]}::xid8, ${key[1]}::uuid)` : undefined,
        ),
      )
      .orderBy(asc(deletions.changed), asc(deletions.id))
      .limit(limit + 1)
    return put(rows, page.deletions as typeof rows, limit, ({ changed, id }) => [changed, id])
  },

  async conversation(tx, { owner, from, key, limit }, page) {
    const rows = await tx
      .select(shownConversation)
      .from(conversations)
      .where(
        and(
          mine(owner),
          gte(conversations.changed, sql`${from}::xid8`),
          key ? gt(conversations.id, key[0]) : undefined,
        ),
      )
      .orderBy(asc(conversations.id))
      .limit(limit + 1)
    return put(rows, page.conversations, limit, ({ id }) => [id, id])
  },

  async message(tx, { owner, from, key, limit }, page) {
    // Conversation by conversation, each by its index: a page costs what is on it, however much there is.
    const [conversation, message] = key ?? []
    const rows = await tx
      .select(messageColumns)
      .from(messages)
      .innerJoin(
        sql`(select one.id from (select id from conversations where ${mine(owner)} and changed >= ${from}::xid8
            ${conversation ? sql`and id >= ${conversation}` : sql``} order by id) c
          cross join lateral (select x.id from messages x where x.conversation_id = c.id and x.changed >= ${from}::xid8
            ${conversation ? sql`and (x.conversation_id > ${conversation} or x.id > ${message})` : sql``}
            order by x.id limit ${limit + 1}) one
          order by c.id, one.id limit ${limit + 1}) page`,
        sql`page.id = ${messages.id}`,
      )
      .orderBy(asc(messages.conversationId), asc(messages.id))
    return put(rows, page.messages, limit, ({ conversationId, id }) => [conversationId, id])
  },
}

async function runsOf(tx: Tx, owner: Owner, made: Changes['messages']): Promise<Run[]> {
  if (made.length === 0) return []
  const { tenantId, userId, instanceId, idempotencyKey, request, stopRequestedAt, ...shown } = getTableColumns(runs)
  return tx
    .select(shown)
    .from(runs)
    .where(
      and(
        eq(userId, owner.userId),
        eq(tenantId, owner.tenantId),
        inArray(runs.conversationId, [...new Set(made.map(({ conversationId }) => conversationId))]),
        inArray(
          runs.messageId,
          made.map(({ id }) => id),
        ),
      ),
    )
    .orderBy(asc(runs.id))
}
