import type { ChatEvent, ChoiceDelta, Usage } from '../llm/port'

export interface Choice {
  index: number
  /** The whole message, as the Chat Completions API would have sent it without streaming. */
  message: Record<string, unknown>
  finishReason: string | null
  logprobs: Record<string, unknown> | null
}

/** Keys that name a thing; a provider that repeats them does not mean to lengthen them. */
const NAMES = new Set(['index', 'id', 'type', 'name', 'role'])

/** Collects a streamed answer into the one that a plain request would have got. Knows no field by name but `content`. */
export class Accumulator {
  usage: Usage | null = null
  meta: Record<string, unknown> = {}
  private readonly text: string[] = []
  private readonly byIndex = new Map<number, Choice>()

  add(event: ChatEvent): void {
    if (typeof event === 'string') this.text.push(event)
    else if (event.type === 'delta') this.delta(event)
    else if (event.type === 'finish') this.choice(event.index).finishReason = event.reason
    else if (event.type === 'usage') this.usage = event.usage
    else Object.assign(this.meta, event.fields)
  }

  /** All choices by index; there is always a choice 0. */
  choices(): Choice[] {
    const { message } = this.choice(0)
    message.content = this.text.length > 0 ? this.text.join('') : (message.content ?? null)
    return [...this.byIndex.values()].sort((a, b) => a.index - b.index)
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
    const { content, ...rest } = delta
    // Choice 0's text may come both as bare strings and inside deltas; one list keeps its order.
    if (index === 0 && typeof content === 'string') this.text.push(content)
    else if (content !== undefined) merge(choice.message, { content })
    merge(choice.message, rest)
    if (isObject(logprobs)) {
      choice.logprobs ??= {}
      merge(choice.logprobs, logprobs)
    }
  }
}

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
