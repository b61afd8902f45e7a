import type { UiRequest, UiTurn } from '../../dialects/ai-sdk-messages'
import { AppError } from '../../errors'
import { derivedId, isUuid } from '../../lib/ids'
import { headline } from '../../lib/text'
import { textOf } from '../../lib/tree'
import type { ChatMessage } from '../../llm/port'
import type { BeginTurn, Conversation, Message, Run, Store, User } from '../../store/port'
import type { Answer, Chat, TurnOptions } from '../chat/service'
import type { Runs } from '../runs/service'
import { type Placed, place } from './place'

export interface UiAnswer {
  answer: Answer
  /** The message that the page goes on with: it keeps its id when a tool's result continues it. */
  messageId: string | undefined
}

/** Messages looked at from the end of a conversation when the page sends only its last one. */
const TAIL = 100
const TITLE_LENGTH = 50

/** Chats of the AI SDK's `useChat`. Each is one conversation; the page names it and edits it as it likes. */
export class AiSdk {
  constructor(
    private readonly store: Pick<Store, 'conversations'>,
    private readonly chat: Chat,
    private readonly runs: Runs,
  ) {}

  async send(user: User, request: UiRequest, options: TurnOptions): Promise<UiAnswer> {
    const id = await this.conversationId(user, request.chatId)
    const known = await this.store.conversations.find(user, id)
    const answer = known
      ? await this.goOn(user, known, { request, options })
      : await this.begin(user, id, { request, options })
    const last = request.turns.at(-1)
    return { answer, messageId: last?.role === 'assistant' ? last.id : undefined }
  }

  /** The answer that is being written in a chat, from its first event; undefined when there is none. */
  async resume(user: User, chatId: string): Promise<UiAnswer | undefined> {
    const [run] = await this.active(user, await this.conversationId(user, chatId))
    if (!run) return undefined
    const { events } = await this.runs.read(user, run.id, 0)
    return { answer: { run, events, replayed: true }, messageId: await this.headOf(user, run) }
  }

  /** Stops what is being written in a chat. @returns whether anything was. */
  async stop(user: User, chatId: string): Promise<{ stopped: boolean }> {
    const runs = await this.active(user, await this.conversationId(user, chatId))
    await Promise.all(runs.map(({ id }) => this.runs.stop(user, id)))
    return { stopped: runs.length > 0 }
  }

  /** A conversation of the person's own by its id; otherwise the one that belongs to this name of theirs. */
  private async conversationId(user: User, chatId: string): Promise<string> {
    const own = isUuid(chatId) && (await this.store.conversations.find(user, chatId))
    return own ? own.id : derivedId('ai-sdk', user.tenantId, user.userId, chatId)
  }

  private async begin(user: User, id: string, turn: Turn): Promise<Answer> {
    const sent = turn.request.turns.flatMap(({ messages }) => messages)
    const first = sent.find(({ role }) => role === 'user')
    const title = headline(textOf(first?.content), TITLE_LENGTH) || 'New conversation'
    try {
      return await this.answer(user, { kind: 'new', id, title, systemPrompt: null }, { ...turn, sent })
    } catch (error) {
      // Another tab may have made it in this moment. If not, what went wrong is not that.
      const made = await this.store.conversations.find(user, id)
      if (!made) throw error
      return this.goOn(user, made, turn)
    }
  }

  private async goOn(user: User, { id }: Conversation, turn: Turn): Promise<Answer> {
    const { parentId, sent } = await this.find(user, id, turn.request)
    const go = () => this.answer(user, { kind: 'existing', id, parentId }, { ...turn, sent })
    try {
      return await go()
    } catch (error) {
      // A page that stops only hangs up. When its user goes on, the answer it left behind is not wanted any more.
      if (!(error instanceof AppError && error.code === 'CONFLICT')) throw error
      const left = await this.active(user, id)
      if (left.length === 0) throw error
      await Promise.all(left.map((run) => this.runs.stop(user, run.id)))
      return go()
    }
  }

  private answer(
    user: User,
    place: BeginTurn['conversation'],
    { request, options, sent }: Turn & { sent: ChatMessage[] },
  ) {
    if (place.kind === 'new' && sent.at(-1)?.role === 'assistant') throw nothingNew()
    if (place.kind === 'new' && sent.length === 0) throw nothingNew()
    const { instructions, params, body } = request
    return this.chat.at(user, { place, sent, instructions, body: params, whole: body }, options)
  }

  /** Where in the conversation the new messages belong; undefined as the parent = the end of what is shown. */
  private async find(user: User, id: string, request: UiRequest): Promise<Partial<Placed> & { sent: ChatMessage[] }> {
    const { trigger, messageId, turns, whole } = request
    const named = await this.message(user, id, messageId)
    if (trigger === 'regenerate-message' && named) {
      return { parentId: named.role === 'assistant' ? named.parentId : named.id, sent: [] }
    }
    if (whole) return this.lay(user, id, turns)
    if (trigger === 'regenerate-message') return { parentId: await this.lastQuestion(user, id), sent: [] }
    const [turn] = turns
    if (!turn || turn.messages.length === 0) throw nothingNew()
    if (turn.role === 'assistant') return this.continued(user, id, turn)
    const edited = named ?? (await this.message(user, id, turn.id))
    if (edited) return { parentId: edited.parentId, sent: turn.messages }
    if (messageId === undefined) return { sent: turn.messages }
    throw new AppError(
      'VALIDATION_ERROR',
      'messageId names no stored message. To edit a message, send the whole history in messages',
    )
  }

  /** The whole history of a page, laid over the path that it shows. */
  private async lay(user: User, id: string, turns: UiTurn[]): Promise<Placed> {
    const { conversations } = this.store
    const length = turns.reduce((sum, { messages }) => sum + messages.length + 1, 1)
    let path = (await conversations.prefix(user, id, length * 2)) ?? []
    const answer = turns.findLast((turn) => turn.role === 'assistant' && isUuid(turn.id ?? ''))
    if (answer && !path.some((node) => node.id === answer.id)) {
      // The page shows another branch than the one that is active: this is the one it means.
      const leaf = await this.message(user, id, answer.id)
      const there = leaf && (await conversations.path(user, id, { leafId: leaf.id, page: 1, limit: leaf.depth + 1 }))
      path = there?.items ?? path
    }
    const placed = place(turns, path)
    const last = placed.sent.at(-1) ?? path.find((node) => node.id === placed.parentId)
    if (!last || last.role === 'assistant') throw nothingNew()
    return placed
  }

  /** Results of tools, sent with nothing but the answer that asked for them. */
  private async continued(user: User, id: string, turn: UiTurn): Promise<Placed> {
    const tail = await this.tail(user, id)
    const placed = place([turn], tail.slice(tail.findLastIndex(({ role }) => role === 'user') + 1))
    if (placed.parentId === null) {
      throw new AppError('VALIDATION_ERROR', 'The answer that was sent is not the last one of this conversation')
    }
    return placed
  }

  private async lastQuestion(user: User, id: string): Promise<string> {
    const question = (await this.tail(user, id)).findLast(({ role }) => role === 'user')
    if (!question) throw nothingNew()
    return question.id
  }

  private async tail(user: User, id: string): Promise<Message[]> {
    return (await this.store.conversations.path(user, id, { page: 1, limit: TAIL }))?.items ?? []
  }

  private async message(user: User, id: string, messageId: string | undefined): Promise<Message | undefined> {
    if (!messageId || !isUuid(messageId)) return undefined
    const message = await this.store.conversations.findMessage(user, messageId)
    return message?.conversationId === id ? message : undefined
  }

  /** What is being written in a conversation, the latest first. */
  private async active(user: User, id: string): Promise<Run[]> {
    const { items } = await this.runs.list(user, { active: true, page: 1, limit: 100 })
    return items.filter(({ conversationId }) => conversationId === id)
  }

  /** The first message of the answer that a run goes on with: its id is the one the page knows. */
  private async headOf(user: User, { conversationId, messageId }: Run): Promise<string | undefined> {
    if (!messageId) return undefined
    const { conversations } = this.store
    const path = await conversations.path(user, conversationId, { leafId: messageId, page: 1, limit: TAIL })
    const nodes = path?.items ?? []
    return nodes[nodes.findLastIndex(({ role }) => role === 'user') + 1]?.id
  }
}

interface Turn {
  request: UiRequest
  options: TurnOptions
}

const nothingNew = () =>
  new AppError(
    'VALIDATION_ERROR',
    'There is nothing to answer. Send a message of the user or the result of a tool, or ask to regenerate',
  )
