import type { NormalConversation, NormalMessage } from '../normal'
import { type Fields, fields, idOrNull, isFields, list, moment, textOrNull } from '../read'

/** The export of LibreChat: messages with `parentMessageId`, in a list or nested in `children`. */
export const isLibreChat = (value: Fields): boolean => {
  const [first] = list(value.messages)
  return isFields(first) && ('messageId' in first || 'parentMessageId' in first)
}

export function fromLibreChat(value: Fields): NormalConversation {
  const options = fields(value.options)
  return {
    source: 'librechat',
    sourceId: idOrNull(value.conversationId),
    title: textOrNull(value.title),
    createdAt: moment(value.createdAt),
    updatedAt: moment(value.updatedAt),
    model: textOrNull(value.model) ?? textOrNull(options.model),
    systemPrompt: textOrNull(options.promptPrefix) ?? textOrNull(value.promptPrefix),
    tags: [],
    archived: value.isArchived === true,
    pinned: false,
    messages: flat(list(value.messages)).map(toMessage),
    activeSourceId: null,
  }
}

/** What stands for "no parent". */
const NOBODY = '00000000-0000-0000-0000-000000000000'

/** Parents before their children, however deep they are nested. */
function flat(messages: unknown[]): Fields[] {
  const all = messages.filter(isFields)
  for (let i = 0; i < all.length; i++) {
    for (const child of list(all[i]?.children)) {
      if (isFields(child)) all.push({ parentMessageId: all[i]?.messageId, ...child })
    }
  }
  return all
}

function toMessage(message: Fields): NormalMessage {
  const parent = idOrNull(message.parentMessageId)
  const byUser = message.isCreatedByUser === true || message.sender === 'User'
  return {
    sourceId: idOrNull(message.messageId),
    parentSourceId: parent === NOBODY ? null : parent,
    role: byUser ? 'user' : 'assistant',
    content: textOrNull(message.text) || partsOf(message.content),
    createdAt: moment(message.createdAt),
    model: byUser ? null : textOrNull(message.model),
  }
}

/** `[{ type: 'text', text: 'Hello' }]`, where the inner text may be `{ value: 'Hello' }`. */
const partsOf = (content: unknown): string =>
  list(content)
    .map((part) => fields(part).text)
    .map((text) => textOrNull(text) ?? textOrNull(fields(text).value) ?? '')
    .filter(Boolean)
    .join('\n')
