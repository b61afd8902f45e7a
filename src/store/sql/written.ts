import { and, eq, sql } from 'drizzle-orm'
import type { Conversation, Owner, WriteTerms, Written } from '../port'
import { conversations, deletions, messages } from '../schema'
import { type Db, only } from './db'
import { mine, shownConversation } from './own'

export type Tx = Parameters<Parameters<Db['transaction']>[0]>[0]

/** What is shown from now on, when that changes, and what the write made, read when all is done. */
export interface Work<T> {
  activeLeafId?: string | null
  value: () => T | Promise<T>
}

export interface Write<T> {
  owner: Owner
  id: string
  terms: WriteTerms
  /**
   * What a request made that came before, if this is that one again. Looked for first: the state that its client has seen is
   * the one before its own change.
   */
  before?: (tx: Tx) => Promise<Work<T>['value'] | undefined>
}

/**
 * One write to a conversation, in one transaction: locks its row, looks whether it is still in the state that the caller
 * has seen, does the work, and counts the change. Work that gives nothing has changed nothing.
 */
export function write<T>(
  db: Db,
  { owner, id, terms, before: cameBefore }: Write<T>,
  work: (tx: Tx, conversation: Conversation) => Promise<Work<T> | undefined>,
): Promise<Written<T> | undefined> {
  return db.transaction(async (tx) => {
    const current = async () => only(await tx.select(shownConversation).from(conversations).where(mine(owner, id)))
    const [locked] = await tx.select({ id: conversations.id }).from(conversations).where(mine(owner, id)).for('update')
    if (!locked) return undefined
    // Read again: what was read while waiting for the lock may be older than the row.
    const before = await current()
    const made = await cameBefore?.(tx)
    if (made) return { outcome: 'done' as const, conversation: before, value: await made() }
    if (terms.rev !== undefined && terms.rev !== before.rev) return { outcome: 'stale' as const, conversation: before }
    const done = await work(tx, before)
    if (!done) return undefined
    const { activeLeafId = before.activeLeafId, value } = done
    await tx
      .update(conversations)
      .set({ rev: sql`${conversations.rev} + 1`, updatedAt: terms.at, activeLeafId })
      .where(eq(conversations.id, id))
    return { outcome: 'done' as const, conversation: await current(), value: await value() }
  })
}

/**
 * Deletes messages with all that hangs on them, and leaves word for other devices. All of them in one statement: one after
 * the other, each would delete its children from within, and Postgres' stack ends before a long conversation does.
 */
export async function dropMessages(
  tx: Tx,
  { owner, conversationId, ids, at }: { owner: Owner; conversationId: string; ids: string[]; at: Date },
): Promise<void> {
  if (ids.length === 0) return
  const gone = sql`${sql.param(ids)}::uuid[]`
  await tx.execute(sql`
    insert into ${deletions} (user_id, kind, id, conversation_id, at)
    select ${owner.userId}, 'message', id, ${conversationId}, ${at.toISOString()}::timestamptz from unnest(${gone}) as gone(id)`)
  await tx.delete(messages).where(and(eq(messages.conversationId, conversationId), sql`${messages.id} = any(${gone})`))
}
