import { AppError } from '../../errors'
import { revOf, settled, stale } from '../../lib/etag'
import { idFrom, newId } from '../../lib/ids'
import { type Page, paged } from '../../lib/page'
import { otherRequest } from '../../lib/turn-options'
import type { Branch, Owner, Store, Written } from '../../store/port'
import type { Conversations } from '../conversations/service'
import type { Runs } from '../runs/service'
import { branchJson, type CompareQuery, comparisonJson, type Merge, type NewBranch, type Rename } from './model'

export interface BranchesDeps {
  store: Pick<Store, 'branches'>
  conversations: Pick<Conversations, 'get'>
  runs: Pick<Runs, 'stopIn'>
  now: () => Date
}

/** The path of a request: a conversation, and a branch of it. */
interface Named {
  id: string
  branch_id: string
}

/** What a write may bring in its headers. */
export interface WriteHeaders {
  'if-match'?: string | undefined
}

export class Branches {
  constructor(private readonly deps: BranchesDeps) {}

  async list(owner: Owner, id: string, page: Page) {
    const { items, total } = found(await this.deps.store.branches.list(owner, id, page))
    return paged(items.map(branchJson), page, total)
  }

  /** @param key the request's idempotency key: a request that comes again gives the branch that the first one made. */
  async create(
    owner: Owner,
    id: string,
    given: NewBranch,
    { key, ...headers }: WriteHeaders & { key: string | undefined },
  ) {
    const branch = {
      id: key === undefined ? newId() : seedOf(owner, id, key),
      parentMessageId: given.parent_message_id,
      name: given.name?.trim(),
      repeatable: key !== undefined,
    }
    const made = await this.branch(
      owner,
      id,
      await this.deps.store.branches.create(owner, id, branch, this.terms(headers)),
    )
    const elsewhere = made.data.parent_message_id !== given.parent_message_id.toLowerCase()
    if (made.data.id === branch.id && elsewhere) throw otherRequest()
    return made
  }

  async activate(owner: Owner, { id, branch_id }: Named, headers: WriteHeaders) {
    return this.branch(owner, id, await this.deps.store.branches.activate(owner, id, branch_id, this.terms(headers)))
  }

  async rename(owner: Owner, { id, branch_id }: Named, { name }: Rename, headers: WriteHeaders) {
    const change = { id: branch_id, name: name.trim() }
    return this.branch(owner, id, await this.deps.store.branches.rename(owner, id, change, this.terms(headers)))
  }

  /** Removes a branch with the messages that no other has, after stopping the answer that is being written there. */
  async remove(owner: Owner, { id, branch_id }: Named, headers: WriteHeaders) {
    const { store, conversations, runs } = this.deps
    const terms = this.terms(headers)
    const before = await conversations.get(owner, id)
    if (terms.rev !== undefined && terms.rev !== before.rev) throw stale(before)
    // What will be refused shall not stop anything.
    const { total } = found(await store.branches.list(owner, id, { page: 1, limit: 1 }))
    if (total > 1) await runs.stopIn(id, (run) => run.branchId === branch_id)
    const written = found(await store.branches.remove(owner, id, branch_id, terms))
    const { rev, data: gone } = await settled(written, () => conversations.get(owner, id))
    // A turn may have begun in between.
    await runs.stopIn(id, ({ messageId }) => messageId !== null && gone.includes(messageId))
    return { rev, data: { id: branch_id, deleted: true, deleted_messages: gone.length } }
  }

  async compare(owner: Owner, id: string, { a, b, page = 1, limit = 50 }: CompareQuery) {
    return comparisonJson(found(await this.deps.store.branches.compare(owner, id, { a, b, page, limit })))
  }

  /** @param key as with `create`: a merge that comes again copies nothing. */
  async merge(
    owner: Owner,
    { id, branch_id }: Named,
    { onto_branch_id: onto }: Merge,
    { key, ...headers }: WriteHeaders & { key: string | undefined },
  ) {
    const { store, conversations } = this.deps
    const between = { id: branch_id, onto, key: key === undefined ? undefined : seedOf(owner, id, key) }
    const written = found(await store.branches.merge(owner, id, between, this.terms(headers)))
    const { rev, data } = await settled(written, () => conversations.get(owner, id))
    return { rev, data: { ...branchJson(data.branch), copied_messages: data.copied } }
  }

  private terms(headers: WriteHeaders) {
    return { rev: revOf(headers['if-match']), at: this.deps.now() }
  }

  private async branch(owner: Owner, id: string, written: Written<Branch> | undefined) {
    const { rev, data } = await settled(found(written), () => this.deps.conversations.get(owner, id))
    return { rev, data: branchJson(data) }
  }
}

/** Keys are a client's own: the same one of another person, or for another conversation, is another. */
const seedOf = ({ tenantId, userId }: Owner, conversationId: string, key: string) =>
  idFrom(tenantId, userId, conversationId, key)

function found<T>(row: T | undefined): T {
  if (row === undefined) throw new AppError('NOT_FOUND', 'There is no such conversation, branch or message')
  return row
}
