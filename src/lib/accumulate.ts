import type { ChatEvent, ChoiceDelta, Usage } from '../llm/port'
import { openCalls, type Step, type ToolCall, type ToolOutcome } from './steps'

export interface Choice {
  index: number
  /** The whole message, as the Chat Completions API would have sent it without streaming. */
  message: Record<string, unknown>
  finishReason: string | null
  logprobs: Record<string, unknown> | null
}

/** Keys that name a thing; a provider that repeats them does not mean to lengthen them. */
const NAMES = new Set(['index', 'id', 'type', 'name', 'role'])

/**
 * Collects a streamed answer into the one that a plain request would have got. Knows no field by name but `content`, and
 * `tool_results`, which end a step: what was said and called before them goes into the `steps` of the message.
 */
export class Accumulator {
  usage: Usage | null = null
  meta: Record<string, unknown> = {}
  private readonly text: string[] = []
  private readonly steps: Step[] = []
  /** Pieces of text, and calls, that belong to the steps. */
  private stepped = { pieces: 0, calls: 0 }
  private readonly byIndex = new Map<number, Choice>()

  add(event: ChatEvent): void {
    if (typeof event === 'string') this.text.push(event)
    else if (event.type === 'delta') this.delta(event)
    else if (event.type === 'finish') this.choice(event.index).finishReason = event.reason
    else if (event.type === 'usage') this.usage = event.usage
    else if (event.type === 'meta') Object.assign(this.meta, event.fields)
    else if (event.type === 'restart') this.reset()
  }

  private reset(): void {
    this.usage = null
    this.meta = {}
    this.text.length = 0
    this.steps.length = 0
    this.stepped = { pieces: 0, calls: 0 }
    this.byIndex.clear()
  }

  /** All choices by index; there is always a choice 0. */
  choices(): Choice[] {
    const { message } = this.choice(0)
    message.content = this.text.length > 0 ? this.text.join('') : (message.content ?? null)
    const choices = [...this.byIndex.values()].sort((a, b) => a.index - b.index)
    const [first, ...others] = choices
    const last = this.steps.at(-1)
    if (!first || !last) return choices
    const calls = [...openCalls(last), ...callsOf(message)]
    const { tool_calls: _, ...rest } = message
    return [
      { ...first, message: { ...rest, ...(calls.length > 0 ? { tool_calls: calls } : {}), steps: this.steps } },
      ...others,
    ]
  }

  private choice(index: number): Choice {
    const known = this.byIndex.get(index)
    if (known) return known
    const choice: Choice = {
      index,
      message: { role: 'assistant', content: null },
      finishReason: null,
      logprobs: null,
    }
    this.byIndex.set(index, choice)
    return choice
  }

  private delta({ index, delta, logprobs }: ChoiceDelta): void {
    const choice = this.choice(index)
    const { content, tool_results, ...rest } = index === 0 ? this.counted(delta) : delta
    // Choice 0's text may come both as bare strings and inside deltas; one list keeps its order.
    if (index === 0 && typeof content === 'string') this.text.push(content)
    else if (content !== undefined) merge(choice.message, { content })
    merge(choice.message, rest)
    if (isObject(logprobs)) {
      choice.logprobs ??= {}
      merge(choice.logprobs, logprobs)
    }
    if (Array.isArray(tool_results)) this.endStep(choice.message, tool_results as ToolOutcome[])
  }

  /** Calls are numbered through the whole answer; a step counts its own from 0. */
  private counted(delta: Record<string, unknown>): Record<string, unknown> {
    const { calls } = this.stepped
    if (calls === 0 || !Array.isArray(delta.tool_calls)) return delta
    const own = (piece: unknown) =>
      isObject(piece) && typeof piece.index === 'number' ? { ...piece, index: piece.index - calls } : piece
    return { ...delta, tool_calls: delta.tool_calls.map(own) }
  }

  private endStep(message: Record<string, unknown>, results: ToolOutcome[]): void {
    const { reasoning_content, reasoning_details } = message
    const calls = callsOf(message)
    this.steps.push({
      content: this.text.slice(this.stepped.pieces).join(''),
      tool_calls: calls,
      tool_results: structuredClone(results),
      ...(typeof reasoning_content === 'string' ? { reasoning_content } : {}),
      ...(Array.isArray(reasoning_details) ? { reasoning_details } : {}),
    })
    for (const key of ['tool_calls', 'reasoning_content', 'reasoning_details']) delete message[key]
    this.stepped = { pieces: this.text.length, calls: this.stepped.calls + calls.length }
  }
}

const callsOf = ({ tool_calls }: Record<string, unknown>): ToolCall[] =>
  Array.isArray(tool_calls) ? (tool_calls as ToolCall[]) : []

function merge(target: Record<string, unknown>, delta: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(delta)) {
    if (key === '__proto__' || value === null || value === undefined) continue
    const old = target[key]
    if (typeof value === 'string' && typeof old === 'string' && !NAMES.has(key)) target[key] = old + value
    else if (Array.isArray(value)) target[key] = mergeList(Array.isArray(old) ? old : [], value)
    else if (isObject(value) && isObject(old)) merge(old, value)
    else target[key] = isObject(value) ? structuredClone(value) : value
  }
}

/** Items with an `index` are pieces of the item at that place (tool calls); others are whole (log probabilities). */
function mergeList(list: unknown[], pieces: unknown[]): unknown[] {
  for (const piece of pieces) {
    if (!isObject(piece)) {
      list.push(piece)
      continue
    }
    const { index, ...rest } = piece
    const at = typeof index === 'number' && list[index] !== undefined ? index : list.length
    const item = list[at]
    if (isObject(item)) merge(item, rest)
    else list[at] = structuredClone(rest)
  }
  return list
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
