import type { NormalConversation } from '../normal'
import { type Fields, isFields, list } from '../read'
import { fromAssistantUi, isAssistantUi } from './assistant-ui'
import { fromChatGpt, isChatGpt } from './chatgpt'
import { fromClaude, isClaude } from './claude'
import { fromLibreChat, isLibreChat } from './librechat'
import { fromOpenWebUi, isOpenWebUi } from './open-webui'
import { fromOpenAi, isMessages, isOpenAi } from './openai'
import { fromOwn, isOwn } from './own'

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

/** Of each conversation of a document, how to read it; undefined for what is none of the known formats. A list may mix them. */
export function recognise(body: unknown): (() => NormalConversation | undefined)[] | undefined {
  if (isMessages(body)) return [() => fromOpenAi({ messages: body })]
  const found = listed(body).map((value) => {
    const messages = isMessages(value) ? { messages: value } : value
    if (!isFields(messages)) return undefined
    const format = FORMATS.find(({ is }) => is(messages))
    return format && (() => format.from(messages))
  })
  // A file of ours may be empty.
  const known = isFile(body) ? body.format === MARK || found.some(Boolean) : found.some(Boolean)
  return known ? found.map((read) => read ?? (() => undefined)) : undefined
}

const MARK = 'ai-chat-orchestrator'

/** One conversation, a list of them, or a file of ours around one. */
function listed(body: unknown): unknown[] {
  if (Array.isArray(body)) return body.flatMap((value) => (isFile(value) ? list(value.conversations) : [value]))
  return isFile(body) ? list(body.conversations) : [body]
}

const isFile = (value: unknown): value is Fields => isFields(value) && Array.isArray(value.conversations)
