import { and, asc, desc, eq, isNull, not, sql } from 'drizzle-orm'
import type { MessageStore, Owner, PlacedMessage, WriteTerms } from '../port'
import { branches, conversations, messages } from '../schema'
import { messageColumns } from './columns'
import { type Db, only } from './db'
import { mine } from './own'
import { among, subtree } from './paths'
import { dropMessages, type Tx, write } from './written'

type Place = Pick<PlacedMessage, 'conversationId' | 'parentId'>

/** The alternatives at one place, each with its number among them. */
const beside = (db: Db | Tx, { conversationId, parentId }: Place) => {
  const byAge = sql`over (order by ${messages.id})`
  const siblings = sql<PlacedMessage['siblings']>`json_build_object(
    'index', row_number() ${byAge}, 'count', count(*) over (),
    'prev', lag(${messages.id}) ${byAge}, 'next', lead(${messages.id}) ${byAge})`.as('siblings')
  return db
    .select({ ...messageColumns, siblings })
    .from(messages)
    .where(
      and(
        eq(messages.conversationId, conversationId),
        parentId === null ? isNull(messages.parentId) : eq(messages.parentId, parentId),
      ),
    )
}

async function placed(db: Db | Tx, place: Place, id: string): Promise<PlacedMessage[]> {
  const alternatives = beside(db, place).as('alternatives')
  return db.select().from(alternatives).where(eq(alternatives.id, id))
}

export class SqlMessages implements MessageStore {
  constructor(private readonly db: Db) {}

  async find(owner: Owner, id: string) {
    const place = await this.placeOf(owner, id)
    return place && (await placed(this.db, place, id))[0]
  }

  async siblings(owner: Owner, id: string, { page, limit }: { page: number; limit: number }) {
    const place = await this.placeOf(owner, id)
    if (!place) return undefined
    const items = await beside(this.db, place)
      .orderBy(asc(messages.id))
      .limit(limit)
      .offset((page - 1) * limit)
    const counted = items[0] ?? (await placed(this.db, place, id))[0]
    return counted && { items, total: counted.siblings.count }
  }

  async edit(
    owner: Owner,
    id: string,
    edited: { id: string; branchId: string; content: string; extra: Record<string, unknown> | null },
    terms: WriteTerms,
  ) {
    const place = await this.placeOf(owner, id)
    if (!place) return undefined
    const { conversationId, parentId } = place
    return write(this.db, { owner, id: conversationId, terms }, async (tx) => {
      const [old] = await tx.select({ depth: messages.depth }).from(messages).where(eq(messages.id, id))
      if (!old) return undefined
      const { branchId: freshBranch, ...said } = edited
      const ending = parentId ? await branchAt(tx, conversationId, parentId) : undefined
      const written = { status: 'complete' as const, createdAt: terms.at, completedAt: terms.at }
      const where = { ...place, depth: old.depth, userId: owner.userId, branchId: ending ?? freshBranch }
      await tx.insert(messages).values({ ...said, ...where, ...written, role: 'user' })
      if (ending) {
        await tx.update(branches).set({ leafId: said.id, viewedAt: terms.at }).where(eq(branches.id, ending))
      } else {
        await tx.execute(
          sql`select open_branch(${conversationId}, ${freshBranch}, null, ${parentId}, ${said.id}, ${terms.at.toISOString()})`,
        )
      }
      return { activeLeafId: said.id, value: async () => only(await placed(tx, place, said.id)) }
    })
  }

  async writing(owner: Owner, id: string): Promise<string[]> {
    const place = await this.placeOf(owner, id)
    if (!place) return []
    const ids = await subtree(this.db, place.conversationId, id)
    const rows = await this.db
      .select({ id: messages.id })
      .from(messages)
      .where(and(among(place.conversationId, ids), eq(messages.status, 'streaming')))
    return rows.map((row) => row.id)
  }

  async remove(owner: Owner, id: string, terms: WriteTerms) {
    const place = await this.placeOf(owner, id)
    if (!place) return undefined
    const { conversationId, parentId } = place
    return write(this.db, { owner, id: conversationId, terms }, async (tx, { activeLeafId }) => {
      const ids = await subtree(tx, conversationId, id)
      if (ids.length === 0) return undefined
      const wasActive = activeLeafId !== null && ids.includes(activeLeafId)
      const nowActive = await endAbove(tx, { conversationId, parentId, ids, activeLeafId })
      await dropMessages(tx, { owner, conversationId, ids, at: terms.at })
      return { ...(wasActive ? { activeLeafId: nowActive } : {}), value: () => ids }
    })
  }

  private async placeOf(owner: Owner, id: string): Promise<Place | undefined> {
    const [place] = await this.db
      .select({ conversationId: messages.conversationId, parentId: messages.parentId })
      .from(messages)
      .innerJoin(conversations, eq(conversations.id, messages.conversationId))
      .where(and(eq(messages.id, id), mine(owner)))
    return place
  }
}

/** The branch that ends at a message. */
async function branchAt(tx: Tx, conversationId: string, leafId: string): Promise<string | undefined> {
  const [branch] = await tx
    .select({ id: branches.id })
    .from(branches)
    .where(and(eq(branches.conversationId, conversationId), eq(branches.leafId, leafId)))
  return branch?.id
}

interface Cut {
  conversationId: string
  /** The message above what goes; null when a root goes. */
  parentId: string | null
  ids: string[]
  activeLeafId: string | null
}

/**
 * Before messages go: one of the branches that end among them ends above them instead, unless another does; the others go
 * with their leaves, by foreign key. @returns what is shown when the active leaf is among them.
 */
async function endAbove(tx: Tx, { conversationId, parentId, ids, activeLeafId }: Cut): Promise<string | null> {
  const all = eq(branches.conversationId, conversationId)
  const gone = sql`any(${sql.param(ids)}::uuid[])`
  const within = sql`${branches.leafId} = ${gone}`
  const lastViewed = [desc(branches.viewedAt), desc(branches.id)]
  if (parentId !== null) {
    if (await branchAt(tx, conversationId, parentId)) return parentId
    const active = sql`${branches.leafId} = ${activeLeafId}::uuid desc`
    const [stays] = await tx
      .select()
      .from(branches)
      .where(and(all, within))
      .orderBy(active, ...lastViewed)
      .limit(1)
    const forkedInside = sql`${branches.parentMessageId} = ${gone}`
    const parentMessageId = sql`case when ${forkedInside} then ${parentId}::uuid else ${branches.parentMessageId} end`
    if (stays) await tx.update(branches).set({ leafId: parentId, parentMessageId }).where(eq(branches.id, stays.id))
    return parentId
  }
  const [other] = await tx
    .select()
    .from(branches)
    .where(and(all, not(within)))
    .orderBy(...lastViewed)
    .limit(1)
  if (other) return other.leafId
  // Nothing is left: the first branch stays, and ends nowhere until something is said.
  const [first] = await tx
    .select()
    .from(branches)
    .where(all)
    .orderBy(asc(branches.createdAt), asc(branches.id))
    .limit(1)
  if (first) await tx.update(branches).set({ leafId: null, parentMessageId: null }).where(eq(branches.id, first.id))
  return null
}
