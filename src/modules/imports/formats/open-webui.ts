import { textOf } from '../../../lib/tree'
import type { NormalConversation, NormalMessage } from '../normal'
import { extraOf, type Fields, fields, idOrNull, isFields, list, moment, textOrNull, texts } from '../read'

/** The export of Open WebUI: rows with a `chat`, whose history maps ids to messages. */
export const isOpenWebUi = (value: Fields): boolean =>
  isFields(value.chat) && (isFields(fields(value.chat.history).messages) || Array.isArray(value.chat.messages))

export function fromOpenWebUi(value: Fields): NormalConversation {
  const chat = fields(value.chat)
  const history = fields(chat.history)
  const models = texts(chat.models)
  return {
    source: 'open-webui',
    sourceId: idOrNull(value.id) ?? idOrNull(chat.id),
    title: textOrNull(value.title) ?? textOrNull(chat.title),
    createdAt: moment(value.created_at) ?? moment(chat.timestamp),
    updatedAt: moment(value.updated_at),
    model: models[0] ?? null,
    systemPrompt: textOrNull(chat.system) ?? textOrNull(fields(chat.params).system),
    tags: [...texts(chat.tags), ...texts(fields(value.meta).tags)],
    archived: value.archived === true,
    pinned: value.pinned === true,
    messages: isFields(history.messages)
      ? fromHistory(history.messages)
      : list(chat.messages).filter(isFields).map(toMessage),
    activeSourceId: idOrNull(history.currentId),
  }
}

/** Alternatives stand in the order of `childrenIds`, which is that of their making. */
const fromHistory = (history: Fields): NormalMessage[] =>
  Object.entries(history).flatMap(([key, node]) =>
    isFields(node) ? [{ ...toMessage(node), sourceId: idOrNull(node.id) ?? key }] : [],
  )

const toMessage = (message: Fields): NormalMessage => ({
  sourceId: idOrNull(message.id),
  parentSourceId: 'parentId' in message ? idOrNull(message.parentId) : undefined,
  role: textOrNull(message.role) ?? '',
  content: textOf(message.content),
  metadata: extraOf({ files: list(message.files).length > 0 ? message.files : null }),
  createdAt: moment(message.timestamp),
  model: textOrNull(message.model),
})
