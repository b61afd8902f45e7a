import { nanosOf } from '../lib/money'
import type { Prices, Rates } from './prices'

export const CAPABILITIES = ['vision', 'tools', 'reasoning', 'json', 'pdf', 'audio'] as const
/** `json`: it keeps to a JSON schema that it is given. */
export type Capability = (typeof CAPABILITIES)[number]

/** What is known of a model; whatever is absent is unknown. */
export interface ModelFacts {
  displayName?: string | undefined
  /** Who made it or serves it, in the words of the source. */
  vendor?: string | undefined
  /** Tokens of a request and its answer together. */
  contextWindow?: number | undefined
  /** Tokens an answer may have at most. */
  maxOutputTokens?: number | undefined
  /** Complete: what is not in it the model cannot do. */
  capabilities?: Capability[] | undefined
  prices?: Prices | undefined
  /** Whose word the prices are. */
  priceSource?: string | undefined
  deprecated?: boolean | undefined
  /** The day from which it is not to be used any more, `2026-11-21`. */
  deprecatedAt?: string | undefined
}

/** The first word on each fact counts; prices go with the name of their source. */
export function merged(sources: (ModelFacts | undefined)[]): ModelFacts {
  const all: ModelFacts = {}
  for (const facts of sources) {
    if (!facts) continue
    const { prices, priceSource, ...others } = facts
    if (prices && !all.prices) Object.assign(all, { prices, priceSource })
    for (const [name, value] of Object.entries(others)) {
      if (value !== undefined && all[name as keyof ModelFacts] === undefined) Object.assign(all, { [name]: value })
    }
  }
  return all
}

/** Numbers that others send: whole and above zero, or nothing. */
export const positive = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : undefined

/** US dollars a token, as others write them, in nano-dollars a million tokens. */
export function perToken(usd: unknown): bigint | undefined {
  const number = typeof usd === 'string' && usd !== '' ? Number(usd) : usd
  if (typeof number !== 'number' || !Number.isFinite(number) || number < 0) return undefined
  return nanosOf(Number((number * 1_000_000).toPrecision(12)))
}

/** Whether there is a price at all. Services that do not know one often say 0, so 0 for everything is no price. */
export const isPriced = ({ input, output }: Rates): boolean => Boolean(input || output)
