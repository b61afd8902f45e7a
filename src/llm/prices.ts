import { millionths } from '../lib/money'
import type { Usage } from './port'

/** Nano-dollars per million tokens, of each kind. Absent: nobody has said. */
export interface Rates {
  input?: bigint | undefined
  /** Input that the provider had in its cache; without a rate of its own it is input. */
  cachedInput?: bigint | undefined
  /** Input that the provider put into its cache; likewise. */
  cacheWrite?: bigint | undefined
  output?: bigint | undefined
  /** Output that is thought; without a rate of its own it is output. */
  reasoning?: bigint | undefined
}

export interface Prices extends Rates {
  /** Other rates for all of a request with more input tokens than this, in ascending order. */
  above?: { tokens: number; rates: Rates }[] | undefined
}

/** Tokens by how they are paid. */
interface Counts {
  input: number
  cachedInput: number
  cacheWrite: number
  output: number
  reasoning: number
}

/** Nano-dollars that an answer costs, rounded half up once; null when a price that it needs is not known. */
export function costOf(usage: Usage, prices: Prices): bigint | null {
  const counts = countsOf(usage)
  if (!counts) return null
  const input = counts.input + counts.cachedInput + counts.cacheWrite
  const rates = prices.above?.findLast(({ tokens }) => input > tokens)?.rates ?? prices
  let sum = 0n
  for (const [kind, rate] of ratesByKind(rates)) {
    if (counts[kind] === 0) continue
    if (rate === undefined) return null
    sum += BigInt(counts[kind]) * rate
  }
  return millionths(sum)
}

const ratesByKind = ({ input, output, ...rates }: Rates): [keyof Counts, bigint | undefined][] => [
  ['input', input],
  ['cachedInput', rates.cachedInput ?? input],
  ['cacheWrite', rates.cacheWrite ?? input],
  ['output', output],
  ['reasoning', rates.reasoning ?? output],
]

/**
 * Undefined for counts that are none. `prompt_tokens` holds those of the caches, `completion_tokens` the thoughts, as
 * OpenAI counts; xAI's and Gemini's do not hold the thoughts, which their totals show. Names of cache counts: OpenAI's,
 * DeepSeek's (`prompt_cache_hit_tokens`), OpenRouter's and ours (`cache_write_tokens`), LiteLLM's.
 */
function countsOf(usage: Usage): Counts | undefined {
  const read = details(usage.prompt_tokens_details)
  const said = details(usage.completion_tokens_details)
  const cachedInput = read.cached_tokens ?? count(usage.prompt_cache_hit_tokens) ?? 0
  const cacheWrite = read.cache_write_tokens ?? read.cache_creation_tokens ?? 0
  const reasoning = said.reasoning_tokens ?? 0
  const [prompt, completion] = [count(usage.prompt_tokens), count(usage.completion_tokens)]
  if (prompt === undefined || completion === undefined) return undefined
  const apart = usage.total_tokens === prompt + completion + reasoning
  const output = apart ? completion : completion - reasoning
  const input = prompt - cachedInput - cacheWrite
  return input < 0 || output < 0 ? undefined : { input, cachedInput, cacheWrite, output, reasoning }
}

type Details = Partial<
  Record<'cached_tokens' | 'cache_write_tokens' | 'cache_creation_tokens' | 'reasoning_tokens', number>
>

function details(value: unknown): Details {
  if (typeof value !== 'object' || value === null) return {}
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, number]) => (count(number) === undefined ? [] : [[name, number]])),
  )
}

const count = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined
