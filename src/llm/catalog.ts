import { type ModelFacts, merged } from './facts'
import { countsOf } from './metering'
import type { ModelInfo, Provider, Usage, UsageEvent } from './port'
import { PRICE_BOOK, PriceBook } from './price-book'
import { type Prices, pricesAt, type Rated, rate, versionOf } from './prices'
import type { Deployment } from './routes'

/** Milliseconds after which a provider is asked again for what it knows of its models, in the background. */
const FRESH_FOR = 3_600_000
/** Milliseconds for which a provider that did not tell is not asked again. */
const FAILED_FOR = 60_000
/** Milliseconds a provider has to tell. */
const WAIT = 5000

interface Told {
  details: Map<string, ModelFacts>
  at: number
}

export interface VersionedPrices {
  prices: Prices
  version: string
}

/** A cost, and the name of the prices that made it. */
export interface RatedBy extends Rated {
  version: string
}

export type UsageToRate = Pick<UsageEvent, 'usage' | 'counts' | 'serviceTier'>

/** A deployment, as far as it matters to what is known of it. */
export type Known = Pick<Deployment, 'provider' | 'model' | 'facts'>

/**
 * What is known of models: first what this server's own list says, then the provider's details (LiteLLM's), then its
 * list, then the price book. Nothing here waits for a provider: what is not known yet is unknown, and asked for.
 */
export class Catalog {
  private readonly told = new WeakMap<Provider, Told>()
  private readonly asking = new WeakMap<Provider, Promise<void>>()
  private readonly versions = new WeakMap<Prices, string>()

  /** @param book another one, for tests. */
  constructor(
    private readonly listed: (provider: Provider, model: string) => ModelInfo | undefined,
    private readonly book = new PriceBook(),
  ) {}

  /** What the prices come from that nobody nearer knows. */
  readonly priceBook = PRICE_BOOK

  /** Has all that is known of these providers' models at hand. Waits only for those that have never told. Never fails. */
  async open(providers: Provider[]): Promise<void> {
    await Promise.all(
      providers.map(async (provider) => {
        await this.ready(provider)
        if (this.told.has(provider)) this.renew(provider)
        else await this.ask(provider)
      }),
    )
  }

  /** Has the price book at hand, if it may know this provider: read once, from the disk. */
  async ready({ baseUrl }: Provider): Promise<void> {
    if (baseUrl && isPublic(baseUrl)) await this.book.open()
  }

  /** @param at when: prices change. */
  facts({ provider, model, facts }: Known, at = new Date()): ModelFacts {
    const { baseUrl } = provider
    const all = merged([
      facts,
      this.detailsOf(provider)?.get(model),
      this.listed(provider, model)?.facts,
      baseUrl === undefined ? undefined : this.book.facts({ baseUrl, model, at }),
    ])
    return all.prices ? { ...all, prices: pricesAt(all.prices, at) } : all
  }

  /** The prices of a deployment at a moment, with the name that an answer keeps of them. */
  pricesAt(deployment: Known, at = new Date()): VersionedPrices | undefined {
    const { prices, priceSource } = this.facts(deployment, at)
    return prices && { prices, version: this.version(prices, priceSource) }
  }

  /** What an answer of this deployment costs; null when its price is not known. */
  rate(deployment: Known, asked: UsageToRate, at = new Date()): RatedBy | null {
    const counts = asked.counts ?? countsOf(asked.usage)
    const known = this.pricesAt(deployment, at)
    const free = deployment.provider.cost(asked.usage)
    if (free !== null) return { costNanos: free, parts: {}, version: known?.version ?? deployment.provider.name }
    const rated = known && counts ? rate(counts, known.prices, { tier: asked.serviceTier }) : null
    return rated && known ? { ...rated, version: known.version } : null
  }

  /** Nano-dollars that an answer of this deployment costs; null when its price is not known. */
  costOf(deployment: Known, usage: Usage): bigint | null {
    return this.rate(deployment, { usage })?.costNanos ?? null
  }

  private version(prices: Prices, source: string | undefined): string {
    // The same object again for most answers.
    const known = this.versions.get(prices) ?? versionOf(prices, source)
    this.versions.set(prices, known)
    return known
  }

  private detailsOf(provider: Provider): Map<string, ModelFacts> | undefined {
    this.renew(provider)
    return this.told.get(provider)?.details
  }

  private renew(provider: Provider): void {
    const told = this.told.get(provider)
    if (!told || Date.now() - told.at > FRESH_FOR) void this.ask(provider)
  }

  /** Never throws: what was told before stays. */
  private ask(provider: Provider): Promise<void> {
    if (!provider.details) return Promise.resolve()
    const asking = this.asking.get(provider)
    if (asking) return asking
    const asked = provider
      .details(AbortSignal.timeout(WAIT))
      .then(
        (details) => ({ details, at: Date.now() }),
        () => ({ details: this.told.get(provider)?.details ?? new Map(), at: Date.now() - FRESH_FOR + FAILED_FOR }),
      )
      .then((told) => void this.told.set(provider, told))
      .finally(() => this.asking.delete(provider))
    this.asking.set(provider, asked)
    return asked
  }
}

/** An address within a company or a machine is no service that a public book would know. */
function isPublic(url: string): boolean {
  const host = URL.canParse(url) ? new URL(url).hostname : ''
  return /\.[a-z]{2,}$/i.test(host) && !/\.(?:internal|local|lan|test)$/i.test(host)
}
