import { createHash } from 'node:crypto'
import { millionths } from '../lib/money'
import type { UnknownPrice } from '../lib/unknown-price'
import { type Counts, countsOf, KINDS, type Kind } from './metering'
import type { Usage } from './port'

/**
 * Nano-dollars per million of each kind: tokens, seconds of audio, requests. Absent: nobody has said. What is cached or
 * seen is then input, what is thought is output, a request is free; audio has no price, as it costs many times the text.
 */
export type Rates = { [K in Kind]?: bigint | undefined }

export interface Prices extends Rates {
  /** Other rates for all of a request with more input tokens than this, in ascending order. */
  above?: { tokens: number; rates: Rates }[] | undefined
  /** Other rates where the provider says that it served so: `priority`, `flex`, `batch`. */
  tiers?: Record<string, Rates> | undefined
  /** What holds from a day on (`2026-11-21`, UTC), in ascending order. */
  from?: { day: string; prices: Prices }[] | undefined
}

export interface Rated {
  /** Nano-dollars, rounded half up once. */
  costNanos: bigint
  /** The same by kind; adds up to it. Kinds that cost nothing are left out. */
  parts: Partial<Record<Kind, bigint>>
}

/** What is asked for beside the counts. */
export interface RateOptions {
  /** As the provider named it. */
  tier?: string | undefined
}

/** The cost of an answer; null when a price that it needs is not known. */
export function rate(counts: Counts, prices: Prices, { tier }: RateOptions = {}): Rated | null {
  const rates = ratesFor(counts, prices, tier)
  if (!rates) return null
  const parts: Rated['parts'] = {}
  let sum = 0n
  for (const kind of KINDS) {
    if (counts[kind] === 0) continue
    const price = priceOf(kind, rates)
    if (price === undefined) return null
    const before = millionths(sum)
    sum += BigInt(counts[kind]) * price
    // What rounding takes from one part it gives to the next, so that they add up.
    const part = millionths(sum) - before
    if (part > 0n) parts[kind] = part
  }
  return { costNanos: millionths(sum), parts }
}

/** The same for usage as a provider reports it, or as it was stored. */
export function costOf(usage: Usage, prices: Prices, options?: RateOptions): bigint | null {
  const counts = countsOf(usage)
  return counts ? (rate(counts, prices, options)?.costNanos ?? null) : null
}

/** The prices that held at a moment. */
export function pricesAt(all: Prices, at: Date): Prices {
  // The same object where it can be: its name is remembered.
  if (!all.from) return all
  const { from, ...prices } = all
  const day = at.toISOString().slice(0, 10)
  return from.findLast((later) => later.day <= day)?.prices ?? prices
}

/** A name for exactly these prices: two that are the same have the same name, wherever and whenever they are read. */
export function versionOf(prices: Prices, source = 'unknown'): string {
  const text = JSON.stringify(sorted(prices), (_, value) => (typeof value === 'bigint' ? String(value) : value))
  return `${source}#${createHash('sha256').update(text).digest('hex').slice(0, 12)}`
}

/** The prices to go by where there are none; null: the request is to be refused. */
export function pricesByPolicy(policy: UnknownPrice): Prices | null {
  if (policy === 'refuse') return null
  const price = policy === 'free' ? 0n : policy.at
  return { input: price, output: price, audioInput: price, audioOutput: price, audioSeconds: price }
}

/**
 * Tiers that cost more than the usual price; others cost the same or less, so that the usual price is never too little.
 * OpenAI https://openai.com/api-priority-processing, xAI https://docs.x.ai/developers/advanced-api-usage/priority-processing.
 */
const DEARER = new Set(['priority'])

/** Whether this tier may cost more than anybody has said. */
export const isDearer = (tier: string, { tiers = {} }: Prices): boolean =>
  DEARER.has(tier) && !Object.hasOwn(tiers, tier)

function ratesFor(counts: Counts, { above = [], tiers = {}, ...usual }: Prices, tier = ''): Rates | undefined {
  const served = Object.hasOwn(tiers, tier) ? tiers[tier] : undefined
  if (served) return served
  if (DEARER.has(tier)) return undefined
  const input = inputTokens(counts)
  return above.findLast(({ tokens }) => input > tokens)?.rates ?? usual
}

const inputTokens = (counts: Counts): number =>
  counts.input +
  counts.cachedInput +
  counts.cacheWrite +
  counts.cacheWriteHour +
  counts.audioInput +
  counts.cachedAudio +
  counts.imageInput

function priceOf(kind: Kind, rates: Rates): bigint | undefined {
  const own = rates[kind]
  if (own !== undefined) return own
  switch (kind) {
    case 'cachedInput':
    case 'cacheWrite':
    case 'imageInput':
      return rates.input
    case 'cacheWriteHour':
      return rates.cacheWrite ?? rates.input
    case 'cachedAudio':
      return rates.audioInput
    case 'reasoning':
      return rates.output
    case 'request':
      return 0n
    default:
      return undefined
  }
}

/** In an order that does not depend on who wrote them down; what is undefined is not there. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)]),
  )
}
