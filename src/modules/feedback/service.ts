import { AppError } from '../../errors'
import { newId } from '../../lib/ids'
import { momentOf } from '../../lib/moment'
import { type Page, paged } from '../../lib/page'
import type { Owner, PlacedMessage, Store } from '../../store/port'
import { feedbackJson, modelJson, type Opinion, type Period } from './model'

/** Characters of question and answer that are kept with an opinion. */
const MAX_SNAPSHOT = 32_000
/** Messages above the answer among which its question is looked for: calls of tools may stand between. */
const LOOK_UP = 50
/** Milliseconds that are looked at unless somebody says otherwise. */
const USUAL_PERIOD = 30 * 86_400_000

export class Feedback {
  constructor(
    private readonly store: Pick<Store, 'conversations' | 'feedback'>,
    private readonly now: () => Date,
  ) {}

  /** Says what a person thinks of a message; said again, it replaces the older opinion. @param within its conversation. */
  async give(owner: Owner, messageId: string, opinion: Opinion, within?: string) {
    const given = checked(opinion)
    const path = await this.pathTo(owner, messageId, within)
    const message = path.at(-1)
    if (!message) throw noMessage()
    if (message.status === 'streaming') {
      throw new AppError('CONFLICT', 'This answer is still being written. Say what you think when it is done')
    }
    const feedback = await this.store.feedback.put(owner, {
      id: newId(),
      conversationId: message.conversationId,
      messageId,
      ...given,
      snapshot: snapshotOf(path, message),
      model: message.model,
      at: this.now(),
    })
    if (!feedback) throw noMessage()
    return feedbackJson(feedback)
  }

  /** What this person said of the message; null when they have not said anything. */
  async of(owner: Owner, messageId: string) {
    await this.mine(owner, messageId)
    const feedback = await this.store.feedback.find(owner, messageId)
    return feedback ? feedbackJson(feedback) : null
  }

  async list(owner: Owner, conversationId: string, page: Page) {
    if (!(await this.store.conversations.find(owner, conversationId))) {
      throw new AppError('NOT_FOUND', 'There is no such conversation or message')
    }
    const { items, total } = await this.store.feedback.list(owner, conversationId, page)
    return paged(items.map(feedbackJson), page, total)
  }

  /** Takes it back. Taking back what was never said changes nothing. */
  async remove(owner: Owner, messageId: string) {
    await this.mine(owner, messageId)
    return { message_id: messageId, deleted: await this.store.feedback.remove(owner, messageId) }
  }

  /** How each model was liked by the people of a tenant. For administrators: the caller has made sure of that. */
  async byModel(tenantId: string, given: Period) {
    const to = given.to === undefined ? this.now() : momentOf('to', given.to)
    const from = given.from === undefined ? new Date(to.getTime() - USUAL_PERIOD) : momentOf('from', given.from)
    const models = await this.store.feedback.byModel(tenantId, { from, to })
    return { from: from.toISOString(), to: to.toISOString(), models: models.map(modelJson) }
  }

  private async mine(owner: Owner, messageId: string) {
    const message = await this.store.conversations.findMessage(owner, messageId)
    if (!message) throw noMessage()
    return message
  }

  /** The message with what stands above it, oldest first. */
  private async pathTo(owner: Owner, messageId: string, within: string | undefined): Promise<PlacedMessage[]> {
    const { conversationId } = await this.mine(owner, messageId)
    if (within !== undefined && within !== conversationId) throw noMessage()
    const window = { leafId: messageId, page: 1, limit: LOOK_UP }
    return (await this.store.conversations.path(owner, conversationId, window))?.items ?? []
  }
}

/** What is said, and nothing that is empty. */
function checked({ kind, rating, tags, comment, metadata }: Opinion) {
  const said = {
    kind: kind ?? null,
    rating: rating ?? null,
    tags: [...new Set((tags ?? []).map((tag) => tag.trim()).filter(Boolean))],
    comment: comment?.trim() || null,
    metadata: metadata ?? null,
  }
  if (!said.kind && !said.rating && !said.comment && said.tags.length === 0) {
    throw new AppError('VALIDATION_ERROR', 'Say at least one of kind, rating, tags and comment')
  }
  return said
}

/** What the opinion is about, as it stands now: the conversation may be changed or cut later. */
function snapshotOf(path: PlacedMessage[], message: PlacedMessage) {
  const question = path.findLast(({ role }) => role === 'user')
  const answers = message.role !== 'user'
  return {
    role: message.role,
    question: question ? clipped(question.content) : null,
    answer: answers ? clipped(message.content) : null,
    model: message.model,
    branch_id: message.branchId,
    status: message.status,
    finish_reason: message.finishReason,
    version: message.siblings.index,
    versions: message.siblings.count,
  }
}

const clipped = (text: string) => text.slice(0, MAX_SNAPSHOT).toWellFormed()

const noMessage = () => new AppError('NOT_FOUND', 'There is no such message')
