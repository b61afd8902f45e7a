import { AppError } from '../../errors'
import { storableJson } from '../../lib/text'
import type {
  Conversation,
  ConversationFilter,
  ConversationPatch,
  ConversationStats,
  ConversationStore,
  Message,
  NewConversation,
  Owner,
} from '../port'
import type { Answers } from './answers'
import { callerOf, type EdgeApi, needed, record } from './api'
import { Listing } from './listing'
import type { SupabaseTables } from './rest'
import { toConversation, toMessage } from './rows'
import type { EdgeRuns } from './runs'
import { statsOf } from './stats'
import type { Wholes } from './whole'

interface EdgeConversationsDeps {
  api: EdgeApi
  answers: Answers
  runs: EdgeRuns
  tables: SupabaseTables
  wholes: Wholes
}

/** Conversations as the function tells them, with the answers it does not have yet laid over. */
export class EdgeConversations implements ConversationStore {
  private readonly listing: Listing

  constructor(private readonly deps: EdgeConversationsDeps) {
    this.listing = new Listing(deps)
  }

  list(owner: Owner, options: { page: number; limit: number } & ConversationFilter) {
    this.deps.answers.seen(owner)
    return this.listing.read(owner, options)
  }

  /** With an id and a time of the function's own. */
  async create(owner: Owner, conversation: NewConversation): Promise<Conversation> {
    const { api } = this.deps
    const { title, model, systemPrompt, settings, metadata, tags } = conversation
    if (settings || metadata || tags.length > 0) throw notKept()
    if (systemPrompt !== null) await api.needExtension('System prompts')
    const given = { title, ...(model === null ? {} : { model }) }
    const { data } = await api.call(owner, {
      method: 'POST',
      path: '/init-conversation',
      body: storableJson(given),
    })
    const id = needed(record(data), 'conversation_id')
    const written = systemPrompt === null ? undefined : await this.update(owner, id, { systemPrompt }, conversation)
    const made = written?.conversation ?? (await this.find(owner, id, true))
    if (made) return made
    throw new AppError('UPSTREAM_ERROR', 'The Edge Function does not find what it has just written')
  }

  /** @param sure it was written a moment ago. */
  async find(owner: Owner, id: string, sure = false): Promise<Conversation | undefined> {
    const { api, answers, wholes } = this.deps
    answers.seen(owner)
    const fresh = sure || answers.isFresh(owner, id)
    const { outcome, data } = await api.call(owner, { method: 'GET', path: `/conversations/${id}`, fresh })
    return outcome === 'ok' ? wholes.shown(owner, toConversation(record(data))) : undefined
  }

  async path(
    owner: Owner,
    id: string,
    { leafId, page, limit }: { leafId?: string | undefined; page: number; limit: number },
  ) {
    const whole = await this.deps.wholes.read(owner, id)
    const leaf = leafId ?? whole?.conversation.activeLeafId
    if (whole && !leaf) return { items: [], total: 0 }
    const path = leaf ? whole?.tree.path(leaf) : undefined
    const end = path && Math.max(0, path.length - (page - 1) * limit)
    return path && { items: path.slice(Math.max(0, (end ?? 0) - limit), end), total: path.length }
  }

  async prefix(owner: Owner, id: string, limit: number): Promise<Message[] | undefined> {
    const whole = await this.deps.wholes.read(owner, id)
    const leaf = whole?.conversation.activeLeafId
    return whole && (leaf ? whole.tree.path(leaf) : [])?.slice(0, limit)
  }

  async tree(owner: Owner, id: string, { page, limit }: { page: number; limit: number }) {
    const whole = await this.deps.wholes.read(owner, id)
    if (!whole) return undefined
    const { conversation, branches, tree } = whole
    const items = tree.all().slice((page - 1) * limit, page * limit)
    return { conversation, branches: branches.slice(0, 1000), items, total: tree.size }
  }

  async stats(owner: Owner, id: string): Promise<ConversationStats | undefined> {
    const whole = await this.deps.wholes.read(owner, id)
    return whole && statsOf(whole)
  }

  async findMessage(owner: Owner, id: string): Promise<Message | undefined> {
    const { api, answers } = this.deps
    const known = callerOf(owner) && answers.find(owner, id)
    if (known) return known
    const { outcome, data } = await api.call(owner, { method: 'GET', path: `/messages/${id}` })
    return outcome === 'ok' ? toMessage(record(data)) : undefined
  }

  async annotate(): Promise<boolean> {
    throw new AppError('NOT_SUPPORTED', 'The Edge Function keeps nothing beside a message. STORE=postgres does')
  }

  async update(
    owner: Owner,
    id: string,
    patch: ConversationPatch,
    { rev, at }: { rev?: number | undefined; at: Date },
  ) {
    const { api } = this.deps
    const { systemPrompt, settings, metadata, tags, pinned, archived, ...plain } = patch
    if ([settings, metadata, tags, pinned, archived].some((value) => value !== undefined)) throw notKept()
    if (systemPrompt !== undefined) await api.needExtension('System prompts')
    const before = await this.find(owner, id)
    if (!before) return undefined
    // An older function compares nothing itself: what changes between this look and the next line is overwritten.
    if (rev !== undefined && !api.extended && before.rev !== rev) {
      return { outcome: 'stale' as const, conversation: before }
    }
    const body = { ...plain, ...(systemPrompt === undefined ? {} : { system_prompt: systemPrompt }), rev, at }
    const { outcome, data } = await api.call(owner, {
      method: 'PATCH',
      path: `/conversations/${id}`,
      body: storableJson(api.extended ? body : plain),
    })
    if (outcome === 'missing') return undefined
    const row = record(data)
    const conversation = 'id' in row ? this.deps.wholes.shown(owner, toConversation(row)) : await this.find(owner, id)
    return conversation && { outcome: outcome === 'conflict' ? ('stale' as const) : ('updated' as const), conversation }
  }

  /** The function cannot delete; the database behind it can, if its policies let people delete what is theirs. */
  async remove(owner: Owner, id: string): Promise<boolean> {
    const { answers, runs, tables } = this.deps
    if (!(await this.find(owner, id))) return false
    const gone = await tables.rows(owner, {
      method: 'DELETE',
      path: '/conversations',
      query: { id: `eq.${id}`, select: 'id' },
      headers: { prefer: 'return=representation' },
    })
    if (gone.length === 0) {
      throw new AppError(
        'NOT_SUPPORTED',
        'This database lets nobody delete conversations. The policies in supabase/migrations allow it',
      )
    }
    answers.forget(owner, id)
    runs.forget(id)
    return true
  }
}

const notKept = () =>
  new AppError(
    'NOT_SUPPORTED',
    'The Edge Function keeps no settings, metadata, tags, pins and archive. For these, set DATABASE_URL and STORE=postgres',
  )
