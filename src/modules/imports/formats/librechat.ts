import type { NormalConversation, NormalMessage } from '../normal'
import { extraOf, type Fields, fields, idOrNull, isFields, list, listOrNull, moment, textOrNull } from '../read'

/** The export of LibreChat: `messages` in a list, or `messagesTree` where answers are nested in `children`. */
export const isLibreChat = (value: Fields): boolean => {
  const [first] = messagesOf(value)
  return isFields(first) && ('messageId' in first || 'parentMessageId' in first)
}

const messagesOf = ({ messagesTree, messages }: Fields): unknown[] => list(messagesTree ?? messages)

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
    messages: flat(messagesOf(value)).map(toMessage),
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
  const parts = list(message.content).filter(isFields)
  const others = parts.filter(({ type }) => type !== 'text' && type !== 'think')
  return {
    sourceId: idOrNull(message.messageId),
    parentSourceId: 'parentMessageId' in message ? (parent === NOBODY ? null : parent) : undefined,
    role: byUser ? 'user' : 'assistant',
    content: textOrNull(message.text) || wordsOf(parts.map(({ text }) => text)),
    extra: extraOf({ reasoning_content: wordsOf(parts.map(({ think }) => think)) }),
    metadata: extraOf({
      files: listOrNull(message.files),
      attachments: listOrNull(message.attachments),
      parts: listOrNull(others),
      error: message.error === true || null,
    }),
    createdAt: moment(message.createdAt),
    model: byUser ? null : textOrNull(message.model),
  }
}

/** Each is a text, or `{ value: 'Hello' }`. */
const wordsOf = (texts: unknown[]): string =>
  texts
    .map((text) => textOrNull(text) ?? textOrNull(fields(text).value) ?? '')
    .filter(Boolean)
    .join('\n')
