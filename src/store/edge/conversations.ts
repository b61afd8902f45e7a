import { AppError } from '../../errors'
import { storableJson } from '../../lib/text'
import type { Conversation, ConversationPatch, ConversationStore, Message, Owner } from '../port'
import type { Answers } from './answers'
import { callerOf, type EdgeApi, list, record } from './api'
import type { SupabaseTables } from './rest'
import { type Row, Tree, toConversation, toMessage } from './rows'
import type { EdgeRuns } from './runs'

interface EdgeConversationsDeps {
  api: EdgeApi
  answers: Answers
  runs: EdgeRuns
  tables: SupabaseTables
}

/** Conversations as the function tells them, with the answers it does not have yet laid over. */
export class EdgeConversations implements ConversationStore {
  constructor(private readonly deps: EdgeConversationsDeps) {}

  async list(owner: Owner, page: { page: number; limit: number }) {
    const { api, answers } = this.deps
    answers.seen(owner)
    const { data } = await api.call(owner, { method: 'GET', path: '/conversations', query: page })
    if (data === undefined) return { items: [], total: 0 }
    const { conversations, total } = record(data)
    return { items: list(conversations).map(toConversation), total: Number(total) || 0 }
  }

  async find(owner: Owner, id: string): Promise<Conversation | undefined> {
    const { api, answers } = this.deps
    answers.seen(owner)
    const fresh = answers.isFresh(owner, id)
    const { outcome, data } = await api.call(owner, { method: 'GET', path: `/conversations/${id}`, fresh })
    return outcome === 'ok' ? this.shown(owner, toConversation(record(data))) : undefined
  }

  async path(
    owner: Owner,
    id: string,
    { leafId, page, limit }: { leafId?: string | undefined; page: number; limit: number },
  ) {
    const whole = await this.whole(owner, id)
    const leaf = leafId ?? whole?.conversation.activeLeafId
    if (whole && !leaf) return { items: [], total: 0 }
    const path = leaf ? whole?.tree.path(leaf) : undefined
    const end = path && Math.max(0, path.length - (page - 1) * limit)
    return path && { items: path.slice(Math.max(0, (end ?? 0) - limit), end), total: path.length }
  }

  async prefix(owner: Owner, id: string, limit: number): Promise<Message[] | undefined> {
    const whole = await this.whole(owner, id)
    const leaf = whole?.conversation.activeLeafId
    return whole && (leaf ? whole.tree.path(leaf) : [])?.slice(0, limit)
  }

  async findMessage(owner: Owner, id: string): Promise<Message | undefined> {
    const { api, answers } = this.deps
    const known = callerOf(owner) && answers.find(owner, id)
    if (known) return known
    const { outcome, data } = await api.call(owner, { method: 'GET', path: `/messages/${id}` })
    return outcome === 'ok' ? toMessage(record(data)) : undefined
  }

  async update(
    owner: Owner,
    id: string,
    patch: ConversationPatch,
    { rev, at }: { rev?: number | undefined; at: Date },
  ) {
    const { api } = this.deps
    const { systemPrompt, ...plain } = patch
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
    const conversation = 'id' in row ? this.shown(owner, toConversation(row)) : await this.find(owner, id)
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

  private async whole(owner: Owner, id: string) {
    const { api, answers } = this.deps
    const fresh = answers.isFresh(owner, id)
    const { outcome, data } = await api.call(owner, { method: 'GET', path: `/conversations/${id}/full`, fresh })
    if (outcome !== 'ok') return undefined
    const { conversation: row, branches, messages } = record(data)
    const rows = list(messages)
    const tree = new Tree([...rows.map(toMessage), ...answers.in(owner, id)])
    const told = toConversation(record(row))
    const leaf = told.activeLeafId ?? tree.leafOf(told.activeBranchId, list(branches ?? []), rows as Row[])
    return { tree, conversation: this.shown(owner, { ...told, activeLeafId: leaf }) }
  }

  /** The active path goes on into answers that are still being written or waiting to be saved. */
  private shown(owner: Owner, conversation: Conversation): Conversation {
    const unsaved = this.deps.answers.in(owner, conversation.id)
    const next = unsaved.findLast(({ parentId }) => parentId !== null && parentId === conversation.activeLeafId)
    return next ? { ...conversation, activeLeafId: next.id, activeBranchId: next.branchId } : conversation
  }
}
