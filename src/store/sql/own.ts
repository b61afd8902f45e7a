import { and, eq, sql } from 'drizzle-orm'
import type { Conversation, Owner } from '../port'
import { conversations } from '../schema'
import { conversationColumns } from './columns'
import type { Db } from './db'

/** Conversations of this owner; with an id, that one. */
export const mine = (owner: Owner, id?: string) =>
  and(
    eq(conversations.userId, owner.userId),
    eq(conversations.tenantId, owner.tenantId),
    id === undefined ? undefined : eq(conversations.id, id),
  )

/** The branch that ends where the shown path does. Written out: Drizzle leaves the table's name away from single tables. */
const activeBranchId = sql<string | null>`(select b.id from branches b where b.conversation_id = conversations.id
  and b.leaf_id is not distinct from conversations.active_leaf_id order by b.created_at, b.id limit 1)`

/** A conversation as the port tells it, in any statement whose table is `conversations`. */
export const shownConversation = { ...conversationColumns, activeBranchId }

export async function findConversation(
  db: Pick<Db, 'select'>,
  owner: Owner,
  id: string,
): Promise<Conversation | undefined> {
  const [row] = await db.select(shownConversation).from(conversations).where(mine(owner, id))
  return row
}
