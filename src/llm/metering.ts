import { nanosOf } from '../lib/money'
import type { Usage } from './port'

/** What is paid for, each in its own way. No token is counted under two of them. */
export const KINDS = [
  'input',
  'cachedInput',
  'cacheWrite',
  'cacheWriteHour',
  'audioInput',
  'cachedAudio',
  'imageInput',
  'output',
  'reasoning',
  'audioOutput',
  'audioSeconds',
  'request',
] as const
export type Kind = (typeof KINDS)[number]

/** Tokens by kind; `audioSeconds` are seconds, `request` is how many requests these are. */
export type Counts = Record<Kind, number>

/** Whether anything was counted: some providers that do not count say zero, or nothing that adds up. */
export const saysSomething = (counts: Counts | undefined): counts is Counts =>
  counts !== undefined && KINDS.some((kind) => kind !== 'request' && counts[kind] > 0)

type Details = Record<string, number>

/**
 * What providers report as usage, in one form; undefined for counts that are none. Works as well on usage that was
 * stored, so that old answers can be rated again. `prompt_tokens` hold the tokens of the caches, of audio and of images,
 * `completion_tokens` the thoughts, as OpenAI counts; who counts otherwise is known by their total.
 */
export function countsOf(usage: Usage): Counts | undefined {
  const input = inputOf(usage)
  const output = outputOf(usage)
  if (!input || !output) return undefined
  return { ...input, ...output, audioSeconds: count(usage.prompt_audio_seconds) ?? 0, request: 1 }
}

/**
 * Names of what came from the cache: OpenAI's, Mistral's (`prompt_token_details`, `num_cached_tokens`), DeepSeek's
 * (`prompt_cache_hit_tokens`), Moonshot's (`cached_tokens`), Anthropic's at LiteLLM; of what went into it: OpenAI's,
 * OpenRouter's and ours (`cache_write_tokens`), LiteLLM's.
 */
function inputOf(usage: Usage) {
  const said = { ...details(usage.prompt_token_details), ...details(usage.prompt_tokens_details) }
  const anthropic = { read: count(usage.cache_read_input_tokens), written: count(usage.cache_creation_input_tokens) }
  const cached =
    said.cached_tokens ??
    count(usage.prompt_cache_hit_tokens) ??
    count(usage.num_cached_tokens) ??
    count(usage.cached_tokens) ??
    anthropic.read ??
    0
  const written = said.cache_write_tokens ?? said.cache_creation_tokens ?? anthropic.written ?? 0
  const prompt = count(usage.prompt_tokens)
  if (prompt === undefined) return undefined
  // Some versions of LiteLLM leave them out of the prompt, as Anthropic does.
  const outside = (anthropic.read ?? 0) + (anthropic.written ?? 0)
  return splitInput({ prompt: outside > prompt ? prompt + outside : prompt, cached, written, said, usage })
}

interface Input {
  prompt: number
  cached: number
  written: number
  said: Details
  usage: Usage
}

/** What is cached is text as far as there is any, unless it is told apart. */
function splitInput({ prompt, cached, written, said, usage }: Input) {
  const { image_tokens: image = 0 } = said
  // Mistral's audio is paid by the second; its tokens are in the total, but not in the prompt.
  const audio = count(usage.prompt_audio_seconds) ? 0 : (said.audio_tokens ?? 0)
  const beyondText = Math.max(0, cached + written - (prompt - audio))
  const cachedAudio = details(nested(usage, 'cached_tokens_details')).audio_tokens ?? Math.min(audio, beyondText)
  const cachedInput = cached - cachedAudio
  const audioInput = audio - cachedAudio
  const fresh = prompt - cachedInput - written - audio
  const imageInput = Math.min(image, fresh)
  const hour = details(nested(usage, 'cache_creation_token_details')).ephemeral_1h_input_tokens ?? 0
  const cacheWriteHour = Math.min(hour, written)
  const counts = {
    input: fresh - imageInput,
    cachedInput,
    cacheWrite: written - cacheWriteHour,
    cacheWriteHour,
    audioInput,
    cachedAudio,
    imageInput,
  }
  return nonNegative(counts)
}

/**
 * Thoughts are among OpenAI's completion tokens, but not among xAI's, nor Gemini's, which do not name them at all: then
 * the total is more than the sum, and what is more is thought.
 */
function outputOf(usage: Usage) {
  const said = details(usage.completion_tokens_details)
  const [prompt = 0, completion] = [count(usage.prompt_tokens), count(usage.completion_tokens)]
  if (completion === undefined) return undefined
  const total = count(usage.prompt_audio_seconds) ? 0 : (count(usage.total_tokens) ?? 0)
  const apart = Math.max(0, total - prompt - completion - outsidePrompt(usage))
  const reasoning = Math.max(said.reasoning_tokens ?? 0, apart)
  const audioOutput = said.audio_tokens ?? 0
  return nonNegative({ output: completion + apart - reasoning - audioOutput, reasoning, audioOutput })
}

/** Tokens of the caches that the total may have while the prompt has not. */
function outsidePrompt(usage: Usage): number {
  const outside = (count(usage.cache_read_input_tokens) ?? 0) + (count(usage.cache_creation_input_tokens) ?? 0)
  return outside > (count(usage.prompt_tokens) ?? 0) ? outside : 0
}

/** US dollars per tick, https://docs.x.ai/developers/cost-tracking: ten of them are a nano-dollar. */
const TICKS = 10n

/**
 * What the provider itself says that the answer costs, in nano-dollars: OpenRouter's and LiteLLM's `cost`, xAI's ticks.
 * With a key of one's own at OpenRouter, `cost` is only its fee.
 */
export function reportedNanos({ cost, cost_in_usd_ticks: ticks, is_byok, cost_details }: Usage): bigint | undefined {
  const inTicks = count(ticks)
  if (inTicks !== undefined) return (BigInt(inTicks) + TICKS / 2n) / TICKS
  const own = is_byok === true ? dollars(record(cost_details).upstream_inference_cost) : 0n
  const said = dollars(cost)
  return said === undefined ? undefined : said + (own ?? 0n)
}

/** A cost as others write it, `0.000612` or `2.4e-05`; undefined for what is none. */
export function dollars(usd: unknown): bigint | undefined {
  const number = typeof usd === 'string' && usd.trim() !== '' ? Number(usd) : usd
  if (typeof number !== 'number' || !Number.isFinite(number) || number < 0 || number > 1e9) return undefined
  return nanosOf(number)
}

/** Whether two costs differ by more than one part in a hundred of the one that was reported. */
export function differs(ours: bigint, reported: bigint): boolean {
  const apart = ours > reported ? ours - reported : reported - ours
  // Both are rounded, so that a nano-dollar says nothing.
  return apart > 1n && apart * 100n > reported
}

/** The counts of several requests. */
export const addedCounts = (a: Counts, b: Counts): Counts =>
  Object.fromEntries(KINDS.map((kind) => [kind, a[kind] + b[kind]])) as Counts

const nested = (usage: Usage, name: string): unknown => record(usage.prompt_tokens_details)[name]

const nonNegative = <T extends Record<string, number>>(counts: T): T | undefined =>
  Object.values(counts).some((value) => value < 0) ? undefined : counts

const details = (value: unknown): Details =>
  Object.fromEntries(
    Object.entries(record(value)).flatMap(([name, number]) =>
      count(number) === undefined ? [] : [[name, number as number]],
    ),
  )

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}

const count = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined
