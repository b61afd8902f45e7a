import { and, arrayContains, asc, eq, isNotNull, isNull, lt, sql } from 'drizzle-orm'
import { storableJson } from '../../lib/text'
import type { BulkChange, BulkStore, Owner, Selection } from '../port'
import { conversations, deletions } from '../schema'
import type { Db } from './db'

type Tx = Parameters<Parameters<Db['transaction']>[0]>[0]

const mine = (owner: Owner) => and(eq(conversations.userId, owner.userId), eq(conversations.tenantId, owner.tenantId))

/** One parameter however many ids there are: Postgres takes 65,535 parameters at most. */
const among = (ids: string[]) => sql`${conversations.id} = any(${sql.param(ids)}::uuid[])`

const selected = ({ ids, archived, model, createdBefore, tag }: Selection) =>
  and(
    ids && among(ids),
    archived === undefined
      ? undefined
      : archived
        ? isNotNull(conversations.archivedAt)
        : isNull(conversations.archivedAt),
    model === undefined ? undefined : eq(conversations.model, model),
    createdBefore && lt(conversations.createdAt, createdBefore),
    tag === undefined ? undefined : arrayContains(conversations.tags, [tag]),
  )

export class SqlBulk implements BulkStore {
  constructor(private readonly db: Db) {}

  select(owner: Owner, selection: Selection) {
    return this.db
      .select({ id: conversations.id, title: conversations.title })
      .from(conversations)
      .where(and(mine(owner), selected(selection)))
      .orderBy(asc(conversations.id))
  }

  update(owner: Owner, changes: BulkChange[], { allOrNothing, at }: { allOrNothing: boolean; at: Date }) {
    return this.db.transaction(async (tx) => {
      const ids = changes.map(({ id }) => id)
      const there = new Set(await lock(tx, owner, ids))
      if (there.size > 0 && (!allOrNothing || ids.every((id) => there.has(id)))) await change(tx, owner, changes, at)
      return there
    })
  }

  remove(owner: Owner, ids: string[], at: Date) {
    return this.db.transaction(async (tx) => {
      const there = await lock(tx, owner, ids)
      if (there.length === 0) return []
      await tx.execute(sql`
        insert into ${deletions} (user_id, kind, id, conversation_id, at)
        select ${owner.userId}, 'conversation', id, id, ${at.toISOString()}::timestamptz
        from unnest(${sql.param(there)}::uuid[]) as gone(id)`)
      await tx.delete(conversations).where(and(mine(owner), among(there)))
      return there
    })
  }
}

/** Locks what is there, always in the same order: two calls with the same ids wait for each other but never for ever. */
async function lock(tx: Tx, owner: Owner, ids: string[]): Promise<string[]> {
  const rows = await tx
    .select({ id: conversations.id })
    .from(conversations)
    .where(and(mine(owner), among(ids)))
    .orderBy(asc(conversations.id))
    .for('update')
  return rows.map(({ id }) => id)
}

async function change(tx: Tx, owner: Owner, changes: BulkChange[], at: Date): Promise<void> {
  const rows = storableJson(changes.map((row) => ({ ...row, names_model: row.model !== undefined })))
  const moment = sql`${at.toISOString()}::timestamptz`
  await tx.execute(sql`
    update conversations c set
      title = coalesce(o.title, c.title),
      title_source = case when o.title is null then c.title_source else 'user' end,
      model = case when o.names_model then o.model else c.model end,
      tags = case when o.tags is null then c.tags else array(select jsonb_array_elements_text(o.tags)) end,
      archived_at = case when o.archived is null then c.archived_at when o.archived then coalesce(c.archived_at, ${moment}) end,
      pinned_at = case when o.pinned is null then c.pinned_at when o.pinned then coalesce(c.pinned_at, ${moment}) end,
      rev = c.rev + 1, updated_at = ${moment}
    from jsonb_to_recordset(${rows}::jsonb)
      as o(id uuid, title text, model text, names_model bool, tags jsonb, archived bool, pinned bool)
    where c.id = o.id and c.user_id = ${owner.userId} and c.tenant_id = ${owner.tenantId}`)
}
