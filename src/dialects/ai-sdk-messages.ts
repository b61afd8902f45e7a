import { AppError } from '../errors'
import type { ChatMessage } from '../llm/port'

/** A part of a UI message, as far as we look into it. */
export interface UiPart {
  type: string
  [key: string]: unknown
}

/** A message as the AI SDK's `useChat` keeps it: what a page shows in one bubble. */
export interface UiMessage {
  id?: string | undefined
  role: 'system' | 'user' | 'assistant'
  parts: UiPart[]
}

/** The same in the words of Chat Completions: an answer with tool calls is several messages there. */
export interface UiTurn {
  id: string | undefined
  role: UiMessage['role']
  /** Empty when there is nothing in it for a model. */
  messages: ChatMessage[]
}

/** The body of a chat request, as far as we look into it. */
export interface UiBody {
  id: string
  messages?: UiMessage[] | undefined
  message?: UiMessage | undefined
  trigger?: 'submit-message' | 'regenerate-message' | undefined
  messageId?: string | null | undefined
  model?: string | null | undefined
  system?: string | null | undefined
  temperature?: number | null | undefined
  max_tokens?: number | null | undefined
  tools?: object[] | Record<string, object> | null | undefined
  tool_choice?: unknown
}

/** What a page asks for, in our words. */
export interface UiRequest {
  /** The page's own name for the chat, or the id of one of the person's conversations. */
  chatId: string
  trigger: 'submit-message' | 'regenerate-message'
  /** The message that is edited or answered again, when the page names it. */
  messageId: string | undefined
  turns: UiTurn[]
  /** The turns are all that the page shows; otherwise there is at most one, to be added to what is stored. */
  whole: boolean
  /** System messages, for this turn only. */
  instructions: ChatMessage[]
  /** The rest, in the words of Chat Completions. */
  params: { model?: string | undefined; [key: string]: unknown }
  /** The body as it came, for the idempotency fingerprint. */
  body: unknown
}

/** @throws AppError VALIDATION_ERROR for messages that cannot be said to a model. */
export function uiRequest(body: UiBody): UiRequest {
  const {
    id,
    messages,
    message,
    trigger = 'submit-message',
    system,
    model,
    temperature,
    max_tokens,
    tool_choice,
  } = body
  const messageId = body.messageId ?? undefined
  const sent = messages ? cut(messages, trigger, messageId) : message ? [message] : []
  const turns = uiTurns(sent)
  const tools = toolList(body.tools)
  return {
    chatId: id,
    trigger,
    messageId,
    turns: turns.filter(({ role }) => role !== 'system'),
    whole: messages !== undefined,
    instructions: [
      ...(system ? [{ role: 'system', content: system }] : []),
      ...turns.flatMap((turn) => (turn.role === 'system' ? turn.messages : [])),
    ],
    params: { model: model ?? undefined, temperature, max_tokens, ...(tools.length ? { tools, tool_choice } : {}) },
    body,
  }
}

/** The history before the answer that is made again. Pages cut it themselves, unless they were told otherwise. */
function cut(messages: UiMessage[], trigger: UiRequest['trigger'], messageId: string | undefined): UiMessage[] {
  if (trigger === 'submit-message') return messages
  const named = messages.findIndex(({ id }) => id !== undefined && id === messageId)
  if (messages[named]?.role === 'assistant') return messages.slice(0, named)
  return messages.slice(0, (named === -1 ? messages.findLastIndex(({ role }) => role === 'user') : named) + 1)
}

/** Either OpenAI's list, or tools by name as assistant-ui's transport sends them. */
function toolList(tools: UiBody['tools']): object[] {
  if (!tools || Array.isArray(tools)) return tools ?? []
  return Object.entries(tools).map(([name, { description, parameters }]: [string, ToolText]) => ({
    type: 'function',
    function: { name, description, parameters },
  }))
}

interface ToolText {
  description?: string
  parameters?: object
}

/** @throws AppError VALIDATION_ERROR for files that are no images and for calls at the end that have no result yet. */
export function uiTurns(messages: UiMessage[]): UiTurn[] {
  return messages.map(({ id, role, parts }, i) => {
    const said = role === 'assistant' ? answered(parts, i === messages.length - 1) : spoken(role, parts)
    return { id, role, messages: said }
  })
}

/** What the page was told to show instead of what came before, so it is no part of the answer. */
const RESTART = 'data-restart'

function spoken(role: string, parts: UiPart[]): ChatMessage[] {
  const content = parts.flatMap((part): { type: string; text?: string }[] => {
    if (part.type === 'text') return part.text ? [{ type: 'text', text: String(part.text) }] : []
    return part.type === 'file' ? [image(part)] : []
  })
  if (content.length === 0) return []
  const plain = content.every(({ type }) => type === 'text')
  return [{ role, content: plain ? content.map(({ text }) => text).join('\n') : content }]
}

function image({ mediaType, url }: UiPart) {
  const kind = String(mediaType ?? '')
  if (!/^image\/[\w.+-]+$/i.test(kind)) {
    throw refused(`A file of type ${kind.slice(0, 100) || 'unknown'} cannot be sent to a model here. Images can`)
  }
  const address = String(url ?? '')
  const data = /^data:(image\/[\w.+-]+);base64,[\w+/=]+$/i.exec(address)?.[1]
  if (data ? data.toLowerCase() === kind.toLowerCase() : /^https:\/\/[^\s/]+/i.test(address)) {
    return { type: 'image_url', image_url: { url: address } }
  }
  throw refused('An image must be a base64 data: URL of its own media type, or an https: address')
}

/** Each step of an answer is a message with its text and its calls; their results follow it. */
function answered(parts: UiPart[], isLast: boolean): ChatMessage[] {
  const steps: UiPart[][] = [[]]
  for (const part of parts) {
    if (part.type === 'step-start') steps.push([])
    else if (part.type === RESTART) steps[steps.length - 1] = []
    else steps.at(-1)?.push(part)
  }
  return steps.flatMap((step) => {
    const text = step.flatMap((part) => (part.type === 'text' ? [String(part.text ?? '')] : [])).join('')
    const tools = step.filter(isCall)
    if (!text && tools.length === 0) return []
    const calls = tools.length ? { tool_calls: tools.map(call) } : {}
    return [{ role: 'assistant', content: text || null, ...calls }, ...tools.map((tool) => result(tool, isLast))]
  })
}

type Call = UiPart & { toolCallId: string }

const isCall = (part: UiPart): part is Call =>
  (part.type.startsWith('tool-') || part.type === 'dynamic-tool') && typeof part.toolCallId === 'string'

function call({ type, toolCallId, toolName, input, rawInput }: Call) {
  const name = type === 'dynamic-tool' ? String(toolName ?? '') : type.slice('tool-'.length)
  return { id: toolCallId, type: 'function', function: { name, arguments: textOf(input ?? rawInput ?? {}) } }
}

/** Every call needs a result, or no provider goes on with the conversation: also one that nobody waited for. */
function result({ toolCallId, state, output, errorText }: Call, isLast: boolean): ChatMessage {
  const message = (content: string) => ({ role: 'tool', tool_call_id: toolCallId, content })
  if (state === 'output-available') return message(textOf(output ?? null))
  if (state === 'output-error') return message(`Error: ${textOf(errorText ?? 'it failed')}`)
  if (state === 'output-denied') return message('The user did not allow this call.')
  if (isLast) throw refused('A tool call of the last answer has no result yet')
  return message('There is no result: the user went on without it.')
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

const refused = (message: string) => new AppError('VALIDATION_ERROR', message)
