import type { NormalConversation, NormalMessage } from '../normal'
import { extraOf, type Fields, fields, idOrNull, isFields, list, listOrNull, moment, textOrNull } from '../read'

/** An assistant-ui repository: `{ headId, messages: [{ parentId, message }] }`. */
export const isAssistantUi = (value: Fields): boolean => {
  const [first] = list(value.messages)
  return isFields(first) && isFields(first.message) && 'parentId' in first
}

export function fromAssistantUi(value: Fields): NormalConversation {
  return {
    source: 'assistant-ui',
    sourceId: idOrNull(value.id) ?? idOrNull(value.threadId) ?? idOrNull(value.remoteId),
    title: textOrNull(value.title),
    createdAt: moment(value.createdAt),
    updatedAt: moment(value.updatedAt),
    model: null,
    systemPrompt: null,
    tags: [],
    archived: value.status === 'archived',
    pinned: false,
    messages: list(value.messages).filter(isFields).map(toMessage),
    activeSourceId: idOrNull(value.headId),
  }
}

/** Of a part: what it says. Other kinds are kept as they are, for whoever knows them. */
const isText = ({ type }: Fields) => type === 'text'
const isThought = ({ type }: Fields) => type === 'reasoning'

function toMessage(item: Fields): NormalMessage {
  const message = fields(item.message)
  const parts = list(message.content ?? message.parts).filter(isFields)
  const said = (is: (part: Fields) => boolean) =>
    parts
      .filter(is)
      .map(({ text }) => textOrNull(text) ?? '')
      .join('\n')
  const others = parts.filter((part) => !isText(part) && !isThought(part))
  const custom = fields(fields(message.metadata).custom)
  return {
    sourceId: idOrNull(message.id),
    parentSourceId: 'parentId' in item ? idOrNull(item.parentId) : undefined,
    role: textOrNull(message.role) ?? '',
    content: textOrNull(message.content) ?? said(isText),
    extra: extraOf({ reasoning_content: said(isThought) }),
    metadata: extraOf({ parts: listOrNull(others), attachments: listOrNull(message.attachments) }),
    createdAt: moment(message.createdAt),
    model: textOrNull(custom.model),
  }
}
