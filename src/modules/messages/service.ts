import { AppError } from '../../errors'
import { recordedCost } from '../../lib/cost'
import { revOf, settled, stale } from '../../lib/etag'
import { newId } from '../../lib/ids'
import { type Page, paged } from '../../lib/page'
import { withText } from '../../lib/tree'
import type { Message, Owner, Store, User } from '../../store/port'
import type { Chat, TurnOptions } from '../chat/service'
import type { Conversations } from '../conversations/service'
import type { Runs } from '../runs/service'
import { type Again, type Edit, messageJson } from './model'

export interface MessagesDeps {
  store: Pick<Store, 'messages' | 'conversations' | 'usage'>
  conversations: Pick<Conversations, 'get'>
  chat: Pick<Chat, 'regenerate'>
  runs: Pick<Runs, 'stopIn'>
  now: () => Date
}

export class Messages {
  constructor(private readonly deps: MessagesDeps) {}

  /** With how its cost came about. */
  async get(owner: Owner, id: string) {
    const message = await this.find(owner, id)
    const record =
      message.costNanos === null ? undefined : await this.deps.store.usage.ofAnswer(owner, placeOf(message))
    return { ...messageJson(message), ...(record ? { cost: recordedCost(record) } : {}) }
  }

  /** The user's words said differently: another message beside the old one, which stays. Nothing answers it yet. */
  async edit(owner: Owner, id: string, { content }: Edit, ifMatch: string | undefined) {
    const { store, conversations, now } = this.deps
    const terms = { rev: revOf(ifMatch), at: now() }
    const { role, extra, conversationId } = await this.find(owner, id)
    if (role !== 'user') {
      throw new AppError(
        'CONFLICT',
        'Only what the user said can be edited. To have it answered again, use POST /v1/messages/{id}/regenerate',
      )
    }
    const edited = { id: newId(), branchId: newId(), content, extra: withText(extra, content) }
    const written = found(await store.messages.edit(owner, id, edited, terms))
    const { rev, data } = await settled(written, () => conversations.get(owner, conversationId))
    return { rev, data: messageJson(data) }
  }

  /** The chat service's work, for a message whose conversation is known by it. */
  async regenerate(user: User, id: string, body: Again, options: TurnOptions) {
    const { conversationId } = found(await this.deps.store.conversations.findMessage(user, id))
    return this.deps.chat.regenerate(user, { ...body, conversation_id: conversationId, message_id: id }, options)
  }

  /** All versions of a message: itself and the alternatives to it, oldest first. */
  async history(owner: Owner, id: string, page: Page) {
    const { items, total } = found(await this.deps.store.messages.siblings(owner, id, page))
    return paged(items.map(messageJson), page, total)
  }

  /** The path from the first message down to this one. */
  async thread(owner: Owner, id: string, page: Page) {
    const { conversations } = this.deps.store
    const { conversationId } = found(await conversations.findMessage(owner, id))
    const { items, total } = found(await conversations.path(owner, conversationId, { leafId: id, ...page }))
    return paged(items.map(messageJson), page, total)
  }

  /** Removes a message and all below it, after stopping the answers that are being written there. */
  async remove(owner: Owner, id: string, ifMatch: string | undefined) {
    const { store, conversations, runs, now } = this.deps
    const terms = { rev: revOf(ifMatch), at: now() }
    const { conversationId } = await this.find(owner, id)
    const current = () => conversations.get(owner, conversationId)
    if (terms.rev !== undefined) {
      const before = await current()
      if (before.rev !== terms.rev) throw stale(before)
    }
    const stop = (ids: string[]) =>
      runs.stopIn(conversationId, ({ messageId }) => messageId !== null && ids.includes(messageId))
    // An answer still being written would otherwise be paid for and have nowhere to go.
    await stop(await store.messages.writing(owner, id))
    const { rev, data: gone } = await settled(found(await store.messages.remove(owner, id, terms)), current)
    // A turn may have begun in between.
    await stop(gone)
    return { rev, data: { id, deleted: true, deleted_messages: gone.length } }
  }

  private async find(owner: Owner, id: string) {
    return found(await this.deps.store.messages.find(owner, id))
  }
}

const placeOf = ({ id, conversationId }: Message) => ({ conversationId, messageId: id })

function found<T>(row: T | undefined): T {
  if (row === undefined) throw new AppError('NOT_FOUND', 'There is no such message')
  return row
}
