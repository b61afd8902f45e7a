import type { NormalConversation } from '../normal'
import { type Fields, isFields, list } from '../read'
import { fromAssistantUi, isAssistantUi } from './assistant-ui'
import { fromChatGpt, isChatGpt } from './chatgpt'
import { fromClaude, isClaude } from './claude'
import { fromLibreChat, isLibreChat } from './librechat'
import { fromOpenWebUi, isOpenWebUi } from './open-webui'
import { fromOpenAi, isMessages, isOpenAi } from './openai'
import { fromOwn, isOwn } from './own'

export { isMessage } from './openai'

/** How a conversation of each product is recognised and brought into the one form. The first that fits is it. */
const FORMATS: { is: (value: Fields) => boolean; from: (value: Fields) => NormalConversation }[] = [
  { is: isOwn, from: fromOwn },
  { is: isChatGpt, from: fromChatGpt },
  { is: isClaude, from: fromClaude },
  { is: isOpenWebUi, from: fromOpenWebUi },
  { is: isLibreChat, from: fromLibreChat },
  { is: isAssistantUi, from: fromAssistantUi },
  { is: isOpenAi, from: fromOpenAi },
]

export const ACCEPTED =
  'our own JSON or NDJSON, the export of ChatGPT, Claude, Open WebUI or LibreChat, an assistant-ui repository, or a list of OpenAI messages'

/** How to read one conversation; undefined for what is none of the known formats. A document may mix them. */
export function recognise(value: unknown): (() => NormalConversation) | undefined {
  const messages = isMessages(value) ? { messages: value } : value
  if (!isFields(messages)) return undefined
  const format = FORMATS.find(({ is }) => is(messages))
  return format && (() => format.from(messages))
}

const isFile = (value: unknown): value is Fields => isFields(value) && Array.isArray(value.conversations)

/** What may be a conversation: those of a file around several, or the value itself. */
export const conversationsOf = (value: unknown): unknown[] => (isFile(value) ? list(value.conversations) : [value])

/** Whether it is a file of ours. That may be empty. */
export const isOurs = (value: unknown): boolean => isFile(value) && value.format === 'ai-chat-orchestrator'
