import type { Usage } from '../llm/port'

/** What of the request a response repeats. Kept with the answer, so that it can be told again. */
export interface Echo {
  instructions: string | null
  previous_response_id: string | null
  metadata: Record<string, unknown>
  tools: unknown[]
  tool_choice: unknown
  parallel_tool_calls: boolean
  temperature: number | null
  top_p: number | null
  max_output_tokens: number | null
  text: unknown
  reasoning: unknown
  truncation: string
  user: string | null
  background: boolean
  store: boolean
}

/** What a response repeats of its request, or of none. */
export function echoOf(body: Record<string, unknown>): Echo {
  const number = (value: unknown) => (typeof value === 'number' ? value : null)
  const text = (value: unknown) => (typeof value === 'string' ? value : null)
  return {
    instructions: text(body.instructions),
    previous_response_id: text(body.previous_response_id),
    metadata: (body.metadata as Echo['metadata'] | null | undefined) ?? {},
    tools: Array.isArray(body.tools) ? body.tools : [],
    tool_choice: body.tool_choice ?? 'auto',
    parallel_tool_calls: body.parallel_tool_calls !== false,
    temperature: number(body.temperature),
    top_p: number(body.top_p),
    max_output_tokens: number(body.max_output_tokens),
    text: body.text ?? { format: { type: 'text' } },
    reasoning: body.reasoning ?? { effort: null, summary: null },
    truncation: text(body.truncation) ?? 'disabled',
    user: text(body.user),
    background: body.background === true,
    store: body.store !== false,
  }
}

export interface ResponseHeader {
  /** `resp_…` */
  id: string
  /** Unix seconds. */
  created: number
  model: string
  echo: Echo
  /** What its items are named after: the id of the stored message, where there is one. */
  key: string
}

export type ResponseStatus = 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled'

export type Kind = 'message' | 'reasoning'

/** A piece of content, as far as it has come. */
export interface Part {
  type: 'output_text' | 'refusal' | 'summary_text'
  text: string
}

/** A message or a thought on its way. */
export interface Item {
  kind: Kind
  id: string
  index: number
  parts: Part[]
}

/** A call of a function on its way. */
export interface Call {
  id: string
  index: number
  callId: string
  name: string
  arguments: string
}

/** A part as items have it. */
export function partOf({ type, text }: Part): object {
  if (type === 'output_text') return { type, annotations: [], logprobs: [], text }
  return type === 'refusal' ? { type, refusal: text } : { type, text }
}

/** An item as it stands. */
export function shown(item: Item | Call, status: 'in_progress' | 'completed' | 'incomplete'): object {
  if (!('kind' in item)) {
    const { id, callId: call_id, name, arguments: text } = item
    return { id, type: 'function_call', status, call_id, name, arguments: text }
  }
  const { id, kind, parts } = item
  if (kind === 'reasoning') return { id, type: kind, summary: parts.map(partOf) }
  return { id, type: kind, status, role: 'assistant', content: parts.map(partOf) }
}

/** Token counts in the words of this API. */
export function usageOf(usage: Usage | null) {
  if (!usage) return null
  const input = usage.prompt_tokens_details as { cached_tokens?: number } | null | undefined
  const output = usage.completion_tokens_details as { reasoning_tokens?: number } | null | undefined
  return {
    input_tokens: usage.prompt_tokens,
    input_tokens_details: { cached_tokens: input?.cached_tokens ?? 0 },
    output_tokens: usage.completion_tokens,
    output_tokens_details: { reasoning_tokens: output?.reasoning_tokens ?? 0 },
    total_tokens: usage.total_tokens,
  }
}
