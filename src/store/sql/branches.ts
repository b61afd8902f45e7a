import { and, asc, count, desc, eq, ne, or, sql } from 'drizzle-orm'
import { AppError } from '../../errors'
import { newId } from '../../lib/ids'
import { otherRequest } from '../../lib/turn-options'
import type { Branch, BranchStore, NewBranch, Owner, WriteTerms } from '../port'
import { branches, conversations, messages } from '../schema'
import { messageColumns } from './columns'
import { type Db, only } from './db'
import { findConversation } from './own'
import { among, copiesOf, insertCopies, ownMessages, parting } from './paths'
import { dropMessages, type Tx, write } from './written'

interface Page {
  page: number
  limit: number
}

/** Branches as their readers get them, most of which is where they end. */
export const branchRows = (db: Db | Tx) =>
  db
    .select({
      id: branches.id,
      conversationId: branches.conversationId,
      name: branches.name,
      parentMessageId: branches.parentMessageId,
      leafId: branches.leafId,
      messageCount: sql<number>`coalesce(${messages.depth} + 1, 0)`.mapWith(Number),
      preview: sql<string>`coalesce(left(${messages.content}, 80), '')`,
      active: sql<boolean>`${branches.leafId} is not distinct from ${conversations.activeLeafId}`,
      createdAt: branches.createdAt,
      viewedAt: branches.viewedAt,
    })
    .from(branches)
    .innerJoin(conversations, eq(conversations.id, branches.conversationId))
    .leftJoin(messages, and(eq(messages.conversationId, branches.conversationId), eq(messages.id, branches.leafId)))

const named = (conversationId: string, id: string) =>
  and(eq(branches.conversationId, conversationId), eq(branches.id, id))

/** A named branch and the state of its last message. */
async function endOf(tx: Db | Tx, conversationId: string, id: string) {
  const [found] = await tx
    .select({ id: branches.id, leafId: branches.leafId, depth: messages.depth, status: messages.status })
    .from(branches)
    .leftJoin(messages, and(eq(messages.conversationId, conversationId), eq(messages.id, branches.leafId)))
    .where(named(conversationId, id))
  return found
}

export class SqlBranches implements BranchStore {
  constructor(private readonly db: Db) {}

  async list(owner: Owner, conversationId: string, { page, limit }: Page) {
    if (!(await findConversation(this.db, owner, conversationId))) return undefined
    const where = eq(branches.conversationId, conversationId)
    const [items, [total]] = await Promise.all([
      branchRows(this.db)
        .where(where)
        .orderBy(asc(branches.createdAt), asc(branches.id))
        .limit(limit)
        .offset((page - 1) * limit),
      this.db.select({ n: count() }).from(branches).where(where),
    ])
    return { items, total: Number(total?.n) }
  }

  create(owner: Owner, id: string, given: NewBranch, terms: WriteTerms) {
    return write(this.db, { owner, id, terms, before: (tx) => begunBefore(tx, id, given) }, async (tx) => {
      const leafId = given.parentMessageId
      const [end] = await tx
        .select({ status: messages.status, branchId: branches.id })
        .from(messages)
        .leftJoin(branches, and(eq(branches.conversationId, id), eq(branches.leafId, messages.id)))
        .where(and(eq(messages.conversationId, id), eq(messages.id, leafId)))
      if (!end) return undefined
      if (end.status === 'streaming') throw busy()
      if (end.branchId) return view(tx, { id: end.branchId, leafId }, terms.at)
      await tx.execute(
        sql`select open_branch(${id}, ${given.id}, ${given.name ?? null}, ${leafId}, ${leafId}, ${terms.at.toISOString()})`,
      )
      return { activeLeafId: leafId, value: () => branchOf(tx, given.id) }
    })
  }

  activate(owner: Owner, id: string, branchId: string, terms: WriteTerms) {
    return write(this.db, { owner, id, terms }, async (tx) => {
      const end = await endOf(tx, id, branchId)
      return end && view(tx, end, terms.at)
    })
  }

  rename(owner: Owner, id: string, change: { id: string; name: string }, terms: WriteTerms) {
    return write(this.db, { owner, id, terms }, async (tx) => {
      const [renamed] = await tx
        .update(branches)
        .set({ name: change.name })
        .where(named(id, change.id))
        .returning({ id: branches.id })
      return renamed && { value: () => branchOf(tx, renamed.id) }
    })
  }

  remove(owner: Owner, id: string, branchId: string, terms: WriteTerms) {
    return write(this.db, { owner, id, terms }, async (tx, { activeLeafId }) => {
      const end = await endOf(tx, id, branchId)
      if (!end) return undefined
      const heir = await lastViewedBut(tx, id, branchId)
      if (!heir)
        throw new AppError('CONFLICT', 'A conversation has at least one branch. Delete the conversation instead')
      const ids = end.leafId ? await ownMessages(tx, id, end.leafId) : []
      await tx.delete(branches).where(named(id, branchId))
      await dropMessages(tx, { owner, conversationId: id, ids, at: terms.at })
      const next = end.leafId === activeLeafId ? await view(tx, heir, terms.at) : {}
      return { ...next, value: () => ids }
    })
  }

  async compare(owner: Owner, id: string, { a, b, page, limit }: { a: string; b: string } & Page) {
    if (!(await findConversation(this.db, owner, id))) return undefined
    const [endA, endB] = [await endOf(this.db, id, a), await endOf(this.db, id, b)]
    if (!endA || !endB) return undefined
    const { commonLength, lastCommonId, beyondA, beyondB } = await parting(this.db, endA.leafId, endB.leafId)
    const pageOf = async (ids: string[]) => ({
      items: await this.inOrder(id, ids.slice((page - 1) * limit, page * limit)),
      total: ids.length,
    })
    return { commonLength, lastCommonId, a: await pageOf(beyondA), b: await pageOf(beyondB) }
  }

  merge(owner: Owner, id: string, between: Between, terms: WriteTerms) {
    const before = async (tx: Tx) => (between.key === undefined ? undefined : this.merged(tx, id, between))
    return write(this.db, { owner, id, terms, before }, async (tx) => {
      const planned = await plan(tx, id, between)
      if (!planned) return undefined
      const { source, target, copies } = planned
      if (source.status === 'streaming' || target.status === 'streaming') throw busy()
      await insertCopies(tx, {
        conversationId: id,
        copies,
        branchId: target.id,
        above: target.depth ?? -1,
        at: terms.at,
      })
      const { activeLeafId } = await view(tx, { id: target.id, leafId: copies.at(-1)?.id ?? target.leafId }, terms.at)
      return { activeLeafId, value: async () => ({ branch: await branchOf(tx, target.id), copied: copies.length }) }
    })
  }

  /** What a merge with this key made. @throws AppError VALIDATION_ERROR when it was onto another branch. */
  private async merged(tx: Tx, id: string, between: Between) {
    const planned = await plan(tx, id, between)
    if (!planned) return undefined
    const there = await this.branchesOf(tx, id, planned.copies)
    if (there.some((branchId) => branchId !== planned.target.id)) throw otherRequest()
    const branch = await branchOf(tx, planned.target.id)
    // Where there was nothing to copy, the merge only showed the other branch.
    const done = there.length > 0 || (planned.copies.length === 0 && branch.active)
    return done ? () => ({ branch, copied: there.length }) : undefined
  }

  private inOrder(conversationId: string, ids: string[]) {
    return this.db.select(messageColumns).from(messages).where(among(conversationId, ids)).orderBy(asc(messages.depth))
  }

  /** Where those of the copies are that there are already. */
  private async branchesOf(tx: Tx, conversationId: string, copies: { id: string }[]): Promise<(string | null)[]> {
    const where = among(
      conversationId,
      copies.map(({ id }) => id),
    )
    const rows = await tx.select({ branchId: messages.branchId }).from(messages).where(where)
    return rows.map(({ branchId }) => branchId)
  }
}

/** The branch that the same request has begun, or found and shown. */
async function begunBefore(tx: Tx, conversationId: string, { id, parentMessageId, repeatable = false }: NewBranch) {
  const shown = and(eq(branches.leafId, parentMessageId), eq(conversations.activeLeafId, parentMessageId))
  const mayBe = or(eq(branches.id, id), repeatable ? shown : undefined)
  const [made] = await branchRows(tx)
    .where(and(eq(branches.conversationId, conversationId), mayBe))
    .orderBy(sql`${branches.id} = ${id} desc`)
  return made && (() => made)
}

interface Between {
  id: string
  onto: string
  key?: string | undefined
}

/** Both ends of a merge, and the copies it is made of. */
async function plan(tx: Tx, id: string, { id: from, onto, key }: Between) {
  const [source, target] = [await endOf(tx, id, from), await endOf(tx, id, onto)]
  if (!source || !target) return undefined
  const { beyondA } = await parting(tx, source.leafId, target.leafId)
  return { source, target, copies: copiesOf(beyondA, target.leafId, key ?? newId()) }
}

const busy = () =>
  new AppError('CONFLICT', 'The answer at the end is still being written. Wait for it, or stop its run first')

const branchOf = async (tx: Tx, id: string): Promise<Branch> => only(await branchRows(tx).where(eq(branches.id, id)))

/** A branch is shown from now on, and ends where it says. */
async function view(tx: Tx, { id, leafId }: { id: string; leafId: string | null }, at: Date) {
  await tx.update(branches).set({ leafId, viewedAt: at }).where(eq(branches.id, id))
  return { activeLeafId: leafId, value: () => branchOf(tx, id) }
}

async function lastViewedBut(tx: Tx, conversationId: string, id: string) {
  const [other] = await tx
    .select({ id: branches.id, leafId: branches.leafId })
    .from(branches)
    .where(and(eq(branches.conversationId, conversationId), ne(branches.id, id)))
    .orderBy(desc(branches.viewedAt), desc(branches.id))
    .limit(1)
  return other
}
