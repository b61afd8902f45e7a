import { AppError } from '../../errors'
import { revOf, stale } from '../../lib/etag'
import { idFrom, newId } from '../../lib/ids'
import { momentOf } from '../../lib/moment'
import { type Page, type Paged, paged } from '../../lib/page'
import { checkedSettings } from '../../lib/parameters'
import { otherRequest } from '../../lib/turn-options'
import type { Conversation, ConversationFilter, Owner, Store } from '../../store/port'
import type { Runs } from '../runs/service'
import {
  branchJson,
  conversationJson,
  type ListQuery,
  listedJson,
  messageJson,
  type NewConversation,
  type Patch,
  statsJson,
} from './model'

export class Conversations {
  constructor(
    private readonly store: Pick<Store, 'conversations'>,
    private readonly runs: Pick<Runs, 'stopIn'>,
    private readonly now: () => Date,
  ) {}

  async list(owner: Owner, query: ListQuery): Promise<Paged<ReturnType<typeof listedJson>>> {
    const { page = 1, limit = 20 } = query
    const { items, total } = await this.store.conversations.list(owner, { page, limit, ...filterOf(query) })
    return paged(items.map(listedJson), { page, limit }, total)
  }

  /** @param key the request's idempotency key: a request that comes again gives what the first one made. */
  async create(owner: Owner, given: NewConversation, key: string | undefined) {
    const { title = 'New conversation', model = null, systemPrompt = null, ...rest } = changesOf(given)
    const id = key === undefined ? newId() : idFrom(owner.tenantId, owner.userId, key)
    const titleSource = given.title === undefined ? ('auto' as const) : ('user' as const)
    const fields = { title, titleSource, model, systemPrompt, settings: null, metadata: null, tags: [], ...rest }
    const made = await this.store.conversations
      .create(owner, { id, ...fields, branchId: newId(), at: this.now() })
      .catch(async (error) => {
        const first = error instanceof AppError && error.code === 'CONFLICT' && key !== undefined
        const conversation = first ? await this.store.conversations.find(owner, id) : undefined
        if (!conversation) throw error
        if (wasMadeOf(conversation, fields)) return conversation
        throw otherRequest()
      })
    return conversationJson(made)
  }

  async get(owner: Owner, id: string) {
    return conversationJson(found(await this.store.conversations.find(owner, id)))
  }

  /** Every branch and every message, one page of these. */
  async full(owner: Owner, id: string, page: Page) {
    const tree = found(await this.store.conversations.tree(owner, id, page))
    return {
      conversation: conversationJson(tree.conversation),
      branches: tree.branches.map(branchJson),
      messages: paged(tree.items.map(messageJson), page, tree.total),
    }
  }

  async stats(owner: Owner, id: string) {
    return statsJson(found(await this.store.conversations.stats(owner, id)))
  }

  /** The path that is shown, with each message's place among its alternatives. */
  async messages(owner: Owner, id: string, { leaf, ...page }: Page & { leaf: string | undefined }) {
    const { items, total } = found(await this.store.conversations.path(owner, id, { leafId: leaf, ...page }))
    return paged(items.map(messageJson), page, total)
  }

  /** @param ifMatch the ETag the client has seen; with an older one nothing is changed. */
  async update(owner: Owner, id: string, patch: Patch, ifMatch: string | undefined) {
    const options = { rev: revOf(ifMatch), at: this.now() }
    const { outcome, conversation } = found(await this.store.conversations.update(owner, id, changesOf(patch), options))
    if (outcome === 'stale') throw stale(conversationJson(conversation))
    return conversationJson(conversation)
  }

  async remove(owner: Owner, id: string, ifMatch?: string) {
    const terms = { rev: revOf(ifMatch), at: this.now() }
    const before = found(await this.store.conversations.find(owner, id))
    if (terms.rev !== undefined && terms.rev !== before.rev) throw stale(conversationJson(before))
    // An answer still being written would otherwise be paid for and have nowhere to go.
    await this.runs.stopIn(id)
    if (!(await this.store.conversations.remove(owner, id, terms))) {
      const changed = await this.store.conversations.find(owner, id)
      if (changed) throw stale(conversationJson(changed))
    }
    // A turn may have begun in between.
    await this.runs.stopIn(id)
    return { id, deleted: true }
  }
}

function found<T>(row: T | undefined): T {
  if (row === undefined) throw new AppError('NOT_FOUND', 'There is no such conversation or message')
  return row
}

/** Whether it began like this. Of one that has been changed since, nobody knows. */
const wasMadeOf = (conversation: Conversation, fields: Partial<Conversation>) =>
  conversation.rev > 1 || Bun.deepEquals({ ...conversation, ...fields }, conversation)

const SORTED_BY = { updated_at: 'updatedAt', created_at: 'createdAt', title: 'title' } as const

function filterOf({ sort, archived = 'false', ...query }: ListQuery): ConversationFilter {
  const by = sort?.replace('-', '') as keyof typeof SORTED_BY | undefined
  const time = (field: 'created_after' | 'created_before') => query[field] && momentOf(field, query[field])
  return {
    q: query.q,
    model: query.model,
    tag: query.tag,
    createdAfter: time('created_after') || undefined,
    createdBefore: time('created_before') || undefined,
    hasBranches: query.has_branches,
    minMessages: query.min_messages,
    maxMessages: query.max_messages,
    pinned: query.pinned,
    archived: archived === 'all' ? undefined : archived === 'true',
    sort: by && { by: SORTED_BY[by], descending: sort?.startsWith('-') ?? false },
  }
}

/** What a body says, in the store's words. What it does not say is not there. @throws AppError VALIDATION_ERROR */
function changesOf({ title, system_prompt, settings, metadata, tags, ...rest }: Patch) {
  return {
    ...rest,
    ...(title === undefined ? {} : { title: title.trim() }),
    ...(system_prompt === undefined ? {} : { systemPrompt: system_prompt }),
    ...(settings === undefined ? {} : { settings: settings && checkedSettings(settings) }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(tags === undefined ? {} : { tags: [...new Set(tags.map((tag) => tag.trim()))] }),
  }
}
