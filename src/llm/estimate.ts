import { estimateRequest } from '../lib/token-estimate'
import { claudeTraits } from './claude'
import { countsOf } from './metering'
import type { ChatRequest, Usage, UsageEvent } from './port'
import type { Tokenizer } from './tokenizer'

/** What of an answer has been given out, calls of tools included. */
export interface Delivered {
  said: string
  thought: string
}

/** Whose words are to be counted. */
export interface ToEstimate {
  request: Pick<ChatRequest, 'messages' | 'params'>
  delivered: Delivered
  /** The provider's own word for the model. */
  model: string
}

/** What roles and separators cost, for each message and each tool. */
const FRAME = 4

/**
 * What an answer took, for a provider that does not say, or that was left before it could: the request and what was
 * delivered, counted. Thoughts that were not shown cannot be counted, nor what was in the provider's cache.
 */
export async function estimated({ request, delivered, model }: ToEstimate, tokenizer: Tokenizer): Promise<UsageEvent> {
  const { texts, others } = partsOf(request)
  const [asked = 0, said = 0, thought = 0] = await tokenizer.count([texts, delivered.said, delivered.thought])
  const percent = percentOf(model)
  const scaled = (tokens: number) => Math.ceil((tokens * percent) / 100)
  const [prompt, reasoning] = [scaled(asked) + others, scaled(thought)]
  const completion = scaled(said) + reasoning
  const usage: Usage = {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    ...(reasoning > 0 ? { completion_tokens_details: { reasoning_tokens: reasoning } } : {}),
    // For the record, which keeps the usage as it is.
    cost_basis: 'estimated',
  }
  const counts = countsOf(usage)
  return { type: 'usage', usage, ...(counts ? { counts } : {}), costBasis: 'estimated' }
}

/**
 * Tokens of other models for a hundred of OpenAI's. Anthropic says that its tokenizer since Opus 4.7 makes 1.0 to 1.35
 * times as many as the one before, and that one made a sixth more than OpenAI's; what is written of Gemini, Llama,
 * DeepSeek and Mistral lies between 5 and 15 % more, for English. All of it is nearer than nothing, and no more.
 */
export function percentOf(model: string): number {
  if (/\b(?:gpt-(?:4o|4\.|[5-9]|oss)|chatgpt|codex|o[1-9](?:-|$))/i.test(model)) return 100
  if (/claude/i.test(model)) return claudeTraits(model).sampling ? 116 : 135
  return /gemini|gemma/i.test(model) ? 105 : 110
}

/** All words of a request in one text, and tokens for what are no words: images, files, frames. */
function partsOf({ messages, params }: ToEstimate['request']): { texts: string; others: number } {
  const items = [...messages, ...(Array.isArray(params.tools) ? params.tools : [])]
  const words: string[] = []
  let others = 0
  for (const item of items) {
    others += FRAME
    collect(item)
  }
  return { texts: words.join('\n'), others }

  function collect(value: unknown): void {
    if (typeof value === 'string') words.push(value)
    else if (Array.isArray(value)) for (const part of value) collect(part)
    else if (typeof value !== 'object' || value === null) return
    else if ('image_url' in value || 'file' in value || 'input_audio' in value) {
      others += estimateRequest({ messages: [blank(value)] })
    } else for (const part of Object.values(value)) collect(part)
  }
}

/** A part without its bytes, which are no words. */
const blank = (part: object): object => ('input_audio' in part ? { file: {} } : part)

/** The words in a piece of an answer that is more than text. */
export function wordsOf(delta: Record<string, unknown>): Delivered {
  const calls = Array.isArray(delta.tool_calls) ? delta.tool_calls : []
  const called = calls.flatMap((call) => {
    const { name, arguments: args } = record(record(call).function)
    return [textOf(name), textOf(args)]
  })
  return {
    said: [textOf(delta.content), textOf(delta.refusal), ...called].join(''),
    thought: textOf(delta.reasoning_content) || textOf(delta.reasoning),
  }
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')
