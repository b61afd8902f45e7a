import type { ChatMessage } from '../llm/port'

/** A call of a tool as the Chat Completions API writes it. */
export interface ToolCall {
  id: string
  type: 'function'
  function: { name: string; arguments: string }
}

/** What a call gave, as streams and stored messages show it. */
export interface ToolOutcome {
  tool_call_id: string
  name: string
  content: string
  is_error: boolean
}

/**
 * A part of an answer that ended with calls of tools which this server made: what the model said, what it called, what
 * came back. An answer that a person's decision goes on with begins with results only: the calls are in the one before.
 */
export interface Step {
  content: string
  tool_calls: ToolCall[]
  tool_results: ToolOutcome[]
  reasoning_content?: string
  /** Signatures of the reasoning; only with them does it go back to the model. */
  reasoning_details?: unknown[]
}

type Fields = Record<string, unknown>

/** The steps of a stored answer. */
const stepsOf = (extra: Fields | null): Step[] => (Array.isArray(extra?.steps) ? (extra.steps as Step[]) : [])

/** The calls of a step that this server did not make: the client's, and those that wait for a decision. */
export function openCalls({ tool_calls, tool_results }: Step): ToolCall[] {
  const answered = new Set(tool_results.map(({ tool_call_id }) => tool_call_id))
  return tool_calls.filter(({ id }) => !answered.has(id))
}

/** The steps as a model is to see them again. */
export function stepMessages(steps: Step[]): ChatMessage[] {
  return steps.flatMap(({ content, tool_calls, tool_results, reasoning_content, reasoning_details }) => [
    ...(tool_calls.length > 0
      ? [
          {
            role: 'assistant',
            content,
            tool_calls,
            ...(reasoning_details ? { reasoning_details, ...(reasoning_content ? { reasoning_content } : {}) } : {}),
          },
        ]
      : []),
    ...tool_results.map(toolMessage),
  ])
}

/** A result as a model is to see it. */
export const toolMessage = ({ tool_call_id, content, is_error }: ToolOutcome): ChatMessage => ({
  role: 'tool',
  tool_call_id,
  content,
  ...(is_error ? { is_error } : {}),
})

/** The steps as a stream says them. */
export function stepDeltas(steps: Step[]): Fields[] {
  let before = 0
  return steps.flatMap(({ content, tool_calls, tool_results, ...thoughts }) => {
    const calls = tool_calls.map((call, i) => ({ index: before + i, ...call }))
    before += calls.length
    const said = { ...thoughts, ...(content ? { content } : {}), ...(calls.length > 0 ? { tool_calls: calls } : {}) }
    return [...(Object.keys(said).length > 0 ? [said] : []), { tool_results }]
  })
}

/**
 * A stored answer taken apart: its steps, and what the model said after the last of them. The text of the message is
 * that of all steps and of the end, one after the other, so that searching and showing it needs to know of no steps.
 */
export function takenApart(content: string, extra: Fields | null): { steps: Step[]; content: string; extra: Fields } {
  const { steps: _, ...rest } = extra ?? {}
  const steps = stepsOf(extra)
  const said = steps.map((step) => step.content).join('')
  const known = new Set(steps.flatMap(({ tool_calls }) => tool_calls.map(({ id }) => id)))
  const calls = (Array.isArray(rest.tool_calls) ? (rest.tool_calls as ToolCall[]) : []).filter(
    ({ id }) => !known.has(id),
  )
  if (steps.length > 0) {
    delete rest.tool_calls
    if (calls.length > 0) rest.tool_calls = calls
  }
  return { steps, content: content.startsWith(said) ? content.slice(said.length) : content, extra: rest }
}

/** A call's arguments; undefined when they are no JSON object. Many models write nothing when a tool takes nothing. */
export function argumentsOf({ function: { arguments: text } }: ToolCall): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text?.trim() || '{}')
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

const NOT_CALLED = 'This tool was not called.'

/**
 * The same messages, with a result for every call that has none: an answer was stopped, or nobody decided. Providers
 * refuse a conversation that goes on behind an open call.
 * @param waiting ids of calls whose results are about to come.
 */
export function settled(messages: ChatMessage[], waiting: Set<string>): ChatMessage[] {
  const whole: ChatMessage[] = []
  let open: ToolCall[] = []
  const settle = () => {
    for (const { id } of open) whole.push({ role: 'tool', tool_call_id: id, content: NOT_CALLED })
    open = []
  }
  for (const [i, message] of messages.entries()) {
    if (message.role !== 'tool') settle()
    if (message.role !== 'assistant' || !Array.isArray(message.tool_calls)) {
      whole.push(message)
      continue
    }
    const calls = message.tool_calls as ToolCall[]
    const results = resultsAfter(messages, i)
    open = calls.filter(({ id }) => !results.has(id) && !waiting.has(id))
    // A call that was stopped in the middle of its arguments.
    const tool_calls = calls.map((call) => (open.includes(call) && !argumentsOf(call) ? withoutArguments(call) : call))
    whole.push({ ...message, tool_calls })
  }
  settle()
  return whole
}

const withoutArguments = (call: ToolCall): ToolCall => ({ ...call, function: { ...call.function, arguments: '{}' } })

/** Ids of the results that directly follow a message. */
function resultsAfter(messages: ChatMessage[], at: number): Set<unknown> {
  const end = messages.findIndex(({ role }, i) => i > at && role !== 'tool')
  return new Set(messages.slice(at + 1, end === -1 ? undefined : end).map(({ tool_call_id }) => tool_call_id))
}
