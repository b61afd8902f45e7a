import { nanosOf } from '../lib/money'
import type { InfoEntry, PricesEntry } from './models-file-schema'
import type { Prices, Rates } from './prices'

/** The prices that a models file gives a model, later ones included; undefined when it gives none. */
export function filePrices({ prices, prices_from }: InfoEntry): Prices | undefined {
  if (!prices && !prices_from) return undefined
  const from = prices_from
    ?.map((later) => ({ day: later.day, prices: pricesOf(later.prices) }))
    .sort((a, b) => (a.day < b.day ? -1 : 1))
  return { ...pricesOf(prices ?? {}), ...(from ? { from } : {}) }
}

function pricesOf({ above, tiers, ...rates }: PricesEntry): Prices {
  const steps = above?.map(({ tokens, ...step }) => ({ tokens, rates: ratesOf({ ...rates, ...step }) }))
  return {
    ...ratesOf(rates),
    ...(steps ? { above: steps.sort((a, b) => a.tokens - b.tokens) } : {}),
    ...(tiers ? { tiers: Object.fromEntries(Object.entries(tiers).map(([tier, said]) => [tier, ratesOf(said)])) } : {}),
  }
}

/** US dollars a million tokens; of seconds and requests, each. Only what is said. */
function ratesOf(said: Omit<PricesEntry, 'above' | 'tiers'>): Rates {
  const rates: Rates = {
    input: nanosOf(said.input ?? ''),
    cachedInput: nanosOf(said.cached_input ?? ''),
    cacheWrite: nanosOf(said.cache_write ?? ''),
    cacheWriteHour: nanosOf(said.cache_write_hour ?? ''),
    output: nanosOf(said.output ?? ''),
    reasoning: nanosOf(said.reasoning ?? ''),
    imageInput: nanosOf(said.image_input ?? ''),
    audioInput: nanosOf(said.audio_input ?? ''),
    cachedAudio: nanosOf(said.cached_audio ?? ''),
    audioOutput: nanosOf(said.audio_output ?? ''),
    audioSeconds: perMillion(said.audio_second),
    request: perMillion(said.request),
  }
  return Object.fromEntries(Object.entries(rates).filter(([, rate]) => rate !== undefined))
}

function perMillion(each: number | undefined): bigint | undefined {
  const nanos = nanosOf(each ?? '')
  return nanos === undefined ? undefined : nanos * 1_000_000n
}
