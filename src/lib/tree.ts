import type { ChatMessage } from '../llm/port'
import type { Message } from '../store/port'
import { stepMessages, takenApart } from './steps'

type Stored = Pick<Message, 'role' | 'content' | 'extra'>

/**
 * What of a stored message goes back to a model. Annotations are answers, not input, and so is reasoning, unless it is
 * signed: a model of Anthropic that called a tool wants its thoughts back with the result.
 */
const RESENT = ['content', 'tool_calls', 'tool_call_id', 'name'] as const
const SIGNED = ['reasoning_content', 'reasoning_details'] as const

/** A stored message in the words of the Chat Completions API, as its reader has it: steps are not shown. */
export function toChatMessage({ role, content, extra }: Stored): ChatMessage {
  const message: ChatMessage = { role, content }
  for (const key of RESENT) if (extra?.[key] !== undefined) message[key] = extra[key]
  if (extra?.reasoning_details) for (const key of SIGNED) if (extra[key] !== undefined) message[key] = extra[key]
  return message
}

/**
 * A stored message as models are to see it: an answer with steps is its calls, their results and its end, in the order
 * in which they came.
 */
export function toChatMessages(stored: Stored): ChatMessage[] {
  const { steps, content, extra } = takenApart(stored.content, stored.extra)
  if (steps.length === 0) return [toChatMessage(stored)]
  const end = toChatMessage({ ...stored, content, extra })
  return [...stepMessages(steps), ...(content || end.tool_calls ? [end] : [])]
}

/** A Chat Completions message as it is stored: its text, and beside it what text cannot hold. */
export function fromChatMessage({ role, content, ...rest }: ChatMessage): Stored {
  const extra: Record<string, unknown> = typeof content === 'string' || content == null ? rest : { content, ...rest }
  return {
    role: role as Stored['role'],
    content: textOf(content),
    extra: Object.keys(extra).length > 0 ? extra : null,
  }
}

/** What goes beside an edited text: the parts that are no text stay, and the new text stands where the first one stood. */
export function withText(extra: Stored['extra'], text: string): Stored['extra'] {
  if (!Array.isArray(extra?.content)) return extra
  const parts: unknown[] = extra.content
  const at = parts.findIndex(hasText)
  const others = parts.filter((part) => !hasText(part))
  return { ...extra, content: others.toSpliced(Math.max(0, at), 0, { type: 'text', text }) }
}

/** The text of a message's content: a string, or the text parts of a list. */
export function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.flatMap((part: unknown) => (hasText(part) ? [part.text] : [])).join('\n')
}

const hasText = (part: unknown): part is { text: string } =>
  typeof part === 'object' && part !== null && 'text' in part && typeof part.text === 'string'

/**
 * How many of the messages a client sent are the path we have stored. What follows is new; where they part in the
 * middle, a branch begins.
 */
export function commonPrefix(sent: ChatMessage[], path: Stored[]): number {
  const differs = sent.findIndex((message, i) => {
    const node = path[i]
    return !node || !isSame(node, message)
  })
  return differs === -1 ? sent.length : differs
}

/** Some clients collect the calls that were made here, and send them back; others see only the text. */
function isSame(node: Stored, message: ChatMessage): boolean {
  const shown = toChatMessage(node)
  if (!node.extra?.steps) return identity(shown) === identity(message)
  return identity({ ...shown, tool_calls: null }) === identity({ ...message, tool_calls: null })
}

/** Clients send back what they got with small liberties: no content is null, '' or absent. */
const identity = ({ role, content, tool_calls, tool_call_id }: ChatMessage) =>
  JSON.stringify([role, Array.isArray(content) ? content : (content ?? ''), tool_calls ?? null, tool_call_id ?? null])
