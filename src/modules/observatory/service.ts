import { AppError } from '../../errors'
import { type Page, sliced } from '../../lib/page'
import type { Router } from '../../llm/router'
import type { Conversation, ConversationPatch, Owner, Store, User } from '../../store/port'
import type { Answer, Chat, TurnOptions } from '../chat/service'
import type { Conversations } from '../conversations/service'
import type { Feedback } from '../feedback/service'
import type { Runs } from '../runs/service'
import type { Tenants } from '../tenants/service'
import { heard } from './answer'
import {
  type Changes,
  conversationJson,
  messageJson,
  type NewConversation,
  type NewFeedback,
  ownData,
  type Question,
  type Shown,
  shown,
  time,
  usageJson,
  withUserId,
} from './model'

/** Messages that come along with their conversation: its end. */
const MESSAGES_WITHIN = 100
/** What some providers are called in the old system and in the names of models. */
const PREFIXES: Record<string, string> = { azure_openai: 'azure', google: 'gemini' }

export interface ObservatoryDeps {
  store: Pick<Store, 'conversations' | 'runs' | 'wallets'>
  conversations: Pick<Conversations, 'create' | 'remove'>
  chat: Pick<Chat, 'send'>
  runs: Pick<Runs, 'read'>
  feedback: Pick<Feedback, 'give'>
  models: Pick<Router, 'list'>
  tenants: Pick<Tenants, 'access'>
  now: () => Date
}

interface Window {
  limit: number
  offset: number
}

/** An answer to be streamed. */
export interface Streamed extends Answer {
  /** The reader has text that cannot be continued. */
  endOnly: boolean
  /** The reader has everything. */
  over: boolean
}

/** The words of the LLM Observatory's chat API for what the other services do. */
export class Observatory {
  constructor(private readonly deps: ObservatoryDeps) {}

  /** @param key the request's idempotency key. */
  async create(owner: Owner, { title, metadata, user_id }: NewConversation, key: string | undefined) {
    const data = withUserId(metadata, user_id)
    const given = { ...(title ? { title } : {}), ...(data ? { metadata: data } : {}) }
    const made = await this.deps.conversations.create(owner, given, key)
    return conversationJson({ ...made, createdAt: new Date(made.created_at), updatedAt: new Date(made.updated_at) })
  }

  /** Changed last first. */
  async list(owner: Owner, { limit, offset, user_id }: Window & { user_id: string | undefined }) {
    const { items } = await sliced({ limit, offset }, (page) =>
      this.deps.store.conversations.list(owner, {
        ...page,
        ...(user_id === undefined ? {} : { metadata: { user_id } }),
        sort: { by: 'updatedAt', descending: true },
      }),
    )
    return items.map(conversationJson)
  }

  /** With the end of the path that is shown. */
  async get(owner: Owner, id: string) {
    const conversation = await this.conversation(owner, id)
    const { items, total } = await this.newestFirst(owner, id, { page: 1, limit: MESSAGES_WITHIN })
    const messages = await this.told(owner, id, items.reverse().map(shown))
    return { ...conversationJson(conversation), messages, total_messages: total }
  }

  async update(owner: Owner, id: string, { title, metadata, user_id }: Changes) {
    const { store, now } = this.deps
    const patch: ConversationPatch = title ? { title: title.trim() } : {}
    const given = withUserId(metadata, user_id)
    for (;;) {
      const before = await this.conversation(owner, id)
      if (given) {
        const kept = ownData(before.metadata)
        patch.metadata = { ...withUserId(metadata ?? kept.metadata, user_id ?? kept.user_id) }
      }
      if (Object.keys(patch).length === 0) return conversationJson(before)
      const options = { at: now(), ...(given ? { rev: before.rev } : {}) }
      const { outcome, conversation } = found(await store.conversations.update(owner, id, patch, options))
      // Somebody else was faster: their change and this one concern different things, so look again.
      if (outcome === 'updated') return conversationJson(conversation)
    }
  }

  remove(owner: Owner, id: string) {
    return this.deps.conversations.remove(owner, id)
  }

  /** The path that is shown, oldest first. */
  async messages(owner: Owner, id: string, { limit, offset }: Window) {
    const read = (page: Page) => this.newestFirst(owner, id, page)
    const { total } = await read({ page: 1, limit: 1 })
    const size = Math.max(0, Math.min(limit, total - offset))
    const { items } = size ? await sliced({ limit: size, offset: total - offset - size }, read) : { items: [] }
    return { messages: await this.told(owner, id, items.reverse().map(shown)), total, limit, offset }
  }

  /** One more message; waits for the whole answer. @throws AppError when it fails. */
  async send(user: User, id: string, question: Question, options: TurnOptions) {
    if (question.stream) {
      throw new AppError('BAD_REQUEST', `To stream an answer, GET /api/v1/conversations/${id}/stream`)
    }
    const answer = await this.begin(user, id, question, options)
    const said = await heard(answer)
    const [message] = await this.told(user, id, [said], answer.run.id)
    const body = { message, conversation_id: id, usage: usageJson(said.usage), cost_usd: said.costUsd }
    return { body, replayed: answer.replayed }
  }

  /** One more message, its answer as it is made. @param resumed the frame a reader has: it gets the rest of that answer. */
  async stream(
    user: User,
    id: string,
    question: Question,
    { resumed, ...options }: TurnOptions & { resumed: { runId: string; after: number } | undefined },
  ): Promise<Streamed> {
    if (!resumed) {
      return { ...(await this.begin(user, id, question, options)), endOnly: false, over: false }
    }
    const { runId, after } = resumed
    const { run, events, restart } = await this.deps.runs.read(user, runId, after)
    if (run.conversationId !== id) throw new AppError('NOT_FOUND', 'There is no such answer in this conversation')
    return {
      run,
      events,
      replayed: false,
      endOnly: restart,
      over: !restart && run.status !== 'running' && after >= run.lastSeq,
    }
  }

  async feedback(owner: Owner, id: string, { message_id, feedback_type, user_id, ...opinion }: NewFeedback) {
    const about = message_id ?? (await this.newestFirst(owner, id, { page: 1, limit: 1 })).items[0]?.id
    if (!about) throw new AppError('VALIDATION_ERROR', 'Nothing has been said in this conversation yet')
    const metadata = withUserId(opinion.metadata, user_id) ?? null
    const given = await this.deps.feedback.give(owner, about, { ...opinion, kind: feedback_type, metadata }, id)
    return {
      id: given.id,
      conversation_id: given.conversation_id,
      message_id: given.message_id,
      feedback_type,
      rating: given.rating,
      comment: given.comment,
      ...ownData(given.metadata),
      created_at: time(new Date(given.created_at)),
    }
  }

  private async begin(user: User, id: string, question: Question, options: TurnOptions): Promise<Answer> {
    const { message, temperature, max_tokens } = question
    const model = await this.modelOf(user, question)
    // Null is what this API's clients send for "not given"; elsewhere it takes a setting of the conversation away.
    const body = {
      message,
      conversation_id: id,
      ...(model ? { model } : {}),
      ...(typeof temperature === 'number' ? { temperature } : {}),
      ...(typeof max_tokens === 'number' ? { max_tokens } : {}),
    }
    return this.deps.chat.send(user, body, options)
  }

  /** The model as it is called here; undefined leaves the choice to the conversation. */
  private async modelOf(user: User, { provider, model }: Question): Promise<string | undefined> {
    if (!provider) return model ?? undefined
    const { store, models, tenants } = this.deps
    const [{ litellmKey }, access] = await Promise.all([store.wallets.of(user), tenants.access(user)])
    const known = await models.list({ ...user, ...access, personalKey: litellmKey })
    const prefix = `${PREFIXES[provider] ?? provider}/`
    if (model) {
      const full = prefix + model
      return known.every(({ id }) => id !== model) && known.some(({ id }) => id === full) ? full : model
    }
    const theirs = known.find(({ id, ownedBy }) => ownedBy === provider || id.startsWith(prefix))
    if (theirs) return theirs.id
    throw new AppError('VALIDATION_ERROR', `There is no model of ${provider}. GET /v1/models lists what there is`)
  }

  private async conversation(owner: Owner, id: string): Promise<Conversation> {
    return found(await this.deps.store.conversations.find(owner, id))
  }

  private async newestFirst(owner: Owner, id: string, page: Page) {
    const { items, total } = found(await this.deps.store.conversations.path(owner, id, page))
    return { items: items.reverse(), total }
  }

  /** Messages with the facts of the runs that made them. */
  private async told(owner: Owner, id: string, messages: Shown[], runId?: string) {
    const { runs } = this.deps.store
    const ids = messages.flatMap((message) => message.id ?? [])
    const made = runId ? [await runs.find(owner, runId)] : await runs.ofMessages(owner, id, ids)
    const runOf = (message: Shown) => made.find((run) => run && (runId || run.messageId === message.id))
    return messages.map((message) => messageJson(message, runOf(message)))
  }
}

function found<T>(row: T | undefined): T {
  if (row === undefined) throw new AppError('NOT_FOUND', 'There is no such conversation or message')
  return row
}
