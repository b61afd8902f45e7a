import { fromChatMessage } from '../../../lib/tree'
import type { NormalConversation, NormalMessage } from '../normal'
import { type Fields, idOrNull, isFields, list, moment, textOrNull } from '../read'

/** What a message says something with; those of calls and refusals may have no `content`. */
const SAID = ['content', 'tool_calls', 'function_call', 'refusal', 'audio']

/** What is an element of such a list. */
export const isMessage = (value: unknown): value is Fields & { role: string } =>
  isFields(value) && typeof value.role === 'string' && SAID.some((name) => name in value)

/** A list of Chat Completions messages. */
export const isMessages = (value: unknown): value is Fields[] =>
  Array.isArray(value) && value.length > 0 && value.every(isMessage)

/** The same in an object, as fine-tuning files have it on each line. */
export const isOpenAi = (value: Fields): boolean => isMessages(value.messages)

export function fromOpenAi(value: Fields): NormalConversation {
  return {
    source: 'openai',
    sourceId: idOrNull(value.id),
    title: textOrNull(value.title),
    createdAt: moment(value.created ?? value.created_at),
    updatedAt: null,
    model: textOrNull(value.model),
    systemPrompt: null,
    tags: [],
    archived: false,
    pinned: false,
    messages: list(value.messages).filter(isMessage).map(toMessage),
    activeSourceId: null,
  }
}

function toMessage({ id, created_at, model, ...message }: Fields & { role: string }): NormalMessage {
  const { content, extra } = fromChatMessage(message)
  return {
    sourceId: idOrNull(id),
    parentSourceId: undefined,
    role: message.role,
    content,
    extra,
    createdAt: moment(created_at),
    model: textOrNull(model),
  }
}
