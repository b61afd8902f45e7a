import type { ChatMessage } from '../llm/port'
import type { Message } from '../store/port'

type Stored = Pick<Message, 'role' | 'content' | 'extra'>

/** What of a stored message goes back to a model. Reasoning and annotations are answers, not input. */
const RESENT = ['content', 'tool_calls', 'tool_call_id', 'name'] as const

/** A stored message in the words of the Chat Completions API. */
export function toChatMessage({ role, content, extra }: Stored): ChatMessage {
  const message: ChatMessage = { role, content }
  for (const key of RESENT) if (extra?.[key] !== undefined) message[key] = extra[key]
  return message
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
    return !node || identity(toChatMessage(node)) !== identity(message)
  })
  return differs === -1 ? sent.length : differs
}

/** Clients send back what they got with small liberties: no content is null, '' or absent. */
const identity = ({ role, content, tool_calls, tool_call_id }: ChatMessage) =>
  JSON.stringify([role, Array.isArray(content) ? content : (content ?? ''), tool_calls ?? null, tool_call_id ?? null])
