import { LRUCache } from 'lru-cache'
import { nanosOf } from '../lib/money'
import type { ModelFacts } from './facts'
import type { Kind } from './metering'
import type { Prices, Rates } from './prices'

/** The package that prices come from when nobody nearer knows them, and the day it was published. */
export const PRICE_BOOK = { name: '@pydantic/genai-prices', version: '0.1.8', date: '2026-09-23' }

type Package = typeof import('@pydantic/genai-prices')
type PackagePrices = NonNullable<ReturnType<Package['calcPrice']>>['model_price']

/** Models remembered, and milliseconds for which: some prices change with the hour. */
const KEEP = 5000
const MINUTE = 60_000

/** Prices and context windows of well-known services. Made for their public price lists: contracts are not in it. */
export class PriceBook {
  private loading: Promise<Package> | undefined
  private book: Package | undefined
  // Looking one up takes a sixth of a millisecond among OpenRouter's hundreds.
  private readonly found = new LRUCache<string, { facts: ModelFacts | undefined }>({ max: KEEP })

  /** Loads the package, once: 20 MB of memory and a twentieth of a second that a server without a provider saves. */
  async open(): Promise<void> {
    this.loading ??= import('@pydantic/genai-prices')
    this.book = await this.loading
  }

  /**
   * What is known of a model at the service of this address; nothing before `open`, and nothing of unknown services:
   * what has the same name elsewhere may be another model or have another price.
   */
  facts(asked: Asked): ModelFacts | undefined {
    if (!this.book) return undefined
    const key = `${asked.baseUrl} ${asked.model} ${Math.floor(asked.at.getTime() / MINUTE)}`
    const known = this.found.get(key) ?? { facts: this.lookUp(asked) }
    this.found.set(key, known)
    return known.facts
  }

  private lookUp({ baseUrl, model, at }: Asked): ModelFacts | undefined {
    try {
      const providerId = this.book?.findProvider({ providerApiUrl: baseUrl })?.id
      if (!providerId) return undefined
      const found = this.book?.calcPrice({}, model, { providerId, timestamp: at })
      return found ? factsOf(found) : undefined
    } catch {
      // Its own checks of its own data.
      return undefined
    }
  }
}

interface Asked {
  baseUrl: string
  /** The service's own word for it. */
  model: string
  at: Date
}

function factsOf({ model, model_price }: NonNullable<ReturnType<Package['calcPrice']>>): ModelFacts {
  const prices = pricesOf(model_price)
  return {
    displayName: model.name,
    contextWindow: model.context_window,
    deprecated: model.deprecated,
    ...(prices ? { prices, priceSource: `${PRICE_BOOK.name} ${PRICE_BOOK.version}` } : {}),
  }
}

const NAMES = {
  input: 'input_mtok',
  cachedInput: 'cache_read_mtok',
  cacheWrite: 'cache_write_mtok',
  cacheWriteHour: 'cache_write_1h_mtok',
  audioInput: 'input_audio_mtok',
  cachedAudio: 'cache_audio_read_mtok',
  imageInput: 'input_image_mtok',
  output: 'output_mtok',
  reasoning: 'output_reasoning_mtok',
  audioOutput: 'output_audio_mtok',
} as const satisfies Partial<Record<Kind, string>>
/** US dollars for a thousand requests. */
const REQUESTS = 'requests_kcount'

/** Some prices are higher for long requests; each step then has all rates. */
function pricesOf(said: PackagePrices): Prices | undefined {
  const starts = new Set<number>()
  for (const name of Object.values(NAMES)) {
    const price = said[name]
    if (typeof price === 'object') for (const { start } of price.tiers) starts.add(start)
  }
  const rates = ratesAt(said, 0)
  if (rates.input === undefined && rates.output === undefined) return undefined
  const steps = [...starts].sort((a, b) => a - b)
  if (steps.length === 0) return rates
  return { ...rates, above: steps.map((tokens) => ({ tokens, rates: ratesAt(said, tokens + 1) })) }
}

function ratesAt(said: PackagePrices, tokens: number): Rates {
  const rateOf = (name: string): bigint | undefined => {
    const price = said[name]
    if (typeof price !== 'object') return price === undefined ? undefined : nanosOf(price)
    return nanosOf(price.tiers.findLast(({ start }) => tokens > start)?.price ?? price.base)
  }
  const requests = rateOf(REQUESTS)
  return {
    ...Object.fromEntries(Object.entries(NAMES).map(([rate, name]) => [rate, rateOf(name)])),
    ...(requests === undefined ? {} : { request: requests * 1000n }),
  }
}
