import type { UiTurn } from '../../dialects/ai-sdk-messages'
import { toChatMessage } from '../../lib/tree'
import type { ChatMessage } from '../../llm/port'
import type { Message } from '../../store/port'

export interface Placed {
  /** The stored message that the new ones go below; null = a new beginning of the conversation. */
  parentId: string | null
  /** What is not stored yet. Empty when a stored message is to be answered (again). */
  sent: ChatMessage[]
}

/**
 * Lays a page's history over a stored path. Ids decide where the history has one of ours (each answer does); the rest is
 * compared by what it says. Where the two part a branch begins: that is what an edit is, and an answer made again.
 */
export function place(turns: UiTurn[], path: Message[]): Placed {
  const start = lastKnown(turns, path)
  let at = start.node
  for (let i = start.turn; i < turns.length; i++) {
    const turn = turns[i] as UiTurn
    const step = turn.role === 'assistant' ? overAnswer(turn, path, at) : overQuestion(turn, path, at)
    at = step.at
    const more = turns.slice(i + 1)
    if (step.rest)
      return { parentId: path[at - 1]?.id ?? null, sent: [...step.rest, ...more.flatMap((t) => t.messages)] }
    // Whatever else is stored of this answer was said as well, even if the page missed it.
    if (turn.role === 'assistant' && more.length > 0) at = endOfAnswer(path, at)
  }
  return { parentId: path[at - 1]?.id ?? null, sent: [] }
}

interface Step {
  /** The first node that is not covered yet. */
  at: number
  /** What of the turn is new; undefined when all of it is stored. */
  rest?: ChatMessage[]
}

/** The last turn that bears the id of a stored message: everything before it is known. */
function lastKnown(turns: UiTurn[], path: Message[]): { turn: number; node: number } {
  const nodes = new Map(path.map(({ id }, i) => [id, i]))
  for (let turn = turns.length - 1; turn >= 0; turn--) {
    const node = nodes.get(turns[turn]?.id ?? '')
    if (node !== undefined) return { turn, node }
  }
  return { turn: 0, node: 0 }
}

function overQuestion({ messages }: UiTurn, path: Message[], from: number): Step {
  const [message] = messages
  if (!message) return { at: from }
  // The page may not have kept an answer that failed before its first word.
  let at = from
  while (isSilent(path[at])) at++
  const node = path[at]
  return node?.role === 'user' && sameContent(node, message) ? { at: at + 1 } : { at, rest: messages }
}

function overAnswer({ id, messages }: UiTurn, path: Message[], from: number): Step {
  const trusted = id !== undefined && path[from]?.id === id
  const end = endOfAnswer(path, from)
  let at = from
  let taken = 0
  for (const message of messages) {
    const node = path[at]
    if (!node || at >= end || !fits(node, message, trusted)) break
    at++
    taken++
  }
  // An answer without words, or of which the page kept none.
  if (trusted && at === from) at++
  return taken < messages.length ? { at, rest: messages.slice(taken) } : { at }
}

/** An answer is all that is said until the user speaks again: text, calls, results, more text. */
function endOfAnswer(path: Message[], from: number): number {
  const end = path.findIndex(({ role }, i) => i >= from && role === 'user')
  return end === -1 ? path.length : end
}

/** @param trusted its id says which answer this is; the page may lack what came after it was stopped. */
function fits(node: Message, message: ChatMessage, trusted: boolean): boolean {
  if (node.role !== message.role) return false
  if (node.role === 'tool') return node.extra?.tool_call_id === message.tool_call_id
  return trusted || (sameContent(node, message) && callIds(node.extra?.tool_calls) === callIds(message.tool_calls))
}

const sameContent = (node: Message, { content }: ChatMessage): boolean =>
  JSON.stringify(toChatMessage(node).content || '') === JSON.stringify(content || '')

const callIds = (calls: unknown): string =>
  JSON.stringify(Array.isArray(calls) ? calls.map((call: { id?: unknown }) => call.id) : [])

const isSilent = (node: Message | undefined): boolean => node?.role === 'assistant' && !node.content && !node.extra
