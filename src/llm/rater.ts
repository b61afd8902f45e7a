import type { UnknownPrice } from '../lib/unknown-price'
import type { Catalog, RatedBy, UsageToRate } from './catalog'
import type { ToEstimate } from './estimate'
import { countsOf } from './metering'
import type { ChatRequest, Provider, UsageEvent } from './port'
import { pricesByPolicy, rate } from './prices'
import type { Deployment } from './routes'
import { Tally } from './tally'
import { type Terms, termsOf } from './terms'
import { addedEvents } from './usage'

export interface RaterDeps {
  catalog: Pick<Catalog, 'ready' | 'facts' | 'rate'>
  /** Counts where no provider did. */
  estimate: (asked: ToEstimate) => Promise<UsageEvent>
  /** What is to be done about answers whose price nobody knows. */
  policy: UnknownPrice
  /** What becomes of a stream whose reader left, where the provider's own entry does not say. */
  cancelled: NonNullable<Provider['cancelled']>
}

/** Tokens as the record of usage has them. */
export interface TokenSums {
  prompt: number
  completion: number
  cached: number
  reasoning: number
}

/** Knows what answers cost: before they are made, while they are made, and afterwards. */
export class Rater {
  constructor(private readonly deps: RaterDeps) {}

  /** What a request may cost at any of these deployments. */
  async terms(deployments: Deployment[], request: Pick<ChatRequest, 'messages' | 'params'>): Promise<Terms> {
    await Promise.all(deployments.map(({ provider }) => this.deps.catalog.ready(provider)))
    return termsOf(deployments, request, this.deps)
  }

  /** What an answer costs, or what the policy for unknown prices says; null when nobody does. */
  rate(deployment: Deployment, asked: UsageToRate): RatedBy | null {
    const { catalog, policy } = this.deps
    const known = catalog.rate(deployment, asked)
    // A price that is known in part is none that a policy is for.
    if (known || catalog.facts(deployment).prices) return known
    const prices = pricesByPolicy(policy)
    const counts = asked.counts ?? countsOf(asked.usage)
    const rated = prices && counts ? rate(counts, prices) : null
    return rated && { ...rated, version: policy === 'free' ? 'unknown_price:free' : 'unknown_price:at' }
  }

  /** An empty count of what is given out. */
  tally(): Tally {
    return new Tally()
  }

  /** What was given out, counted and rated, where no provider did. */
  async estimated(asked: Omit<ToEstimate, 'model'>, deployment: Deployment): Promise<UsageEvent> {
    const event = await this.deps.estimate({ ...asked, model: deployment.model })
    const rated = this.rate(deployment, event)
    if (!rated) return { ...event, costNanos: null }
    return { ...event, costNanos: rated.costNanos, costParts: rated.parts, priceVersion: rated.version }
  }

  /** Tokens of a text that a model said; of a name that nobody knows the tokenizer of, rather too many. */
  async count(text: string, model: string): Promise<number> {
    const request = { messages: [], params: {} }
    const { usage } = await this.deps.estimate({ request, delivered: { said: text, thought: '' }, model })
    return usage.completion_tokens
  }

  /** Both in one. */
  added(before: UsageEvent | undefined, event: UsageEvent): UsageEvent {
    return before ? addedEvents(before, event) : event
  }

  /** Nano-dollars that reading from the provider's cache saved. */
  saved(deployment: Deployment, event: UsageEvent): bigint {
    const counts = event.counts ?? countsOf(event.usage)
    if (!counts || counts.cachedInput === 0) return 0n
    const { usage, serviceTier } = event
    const fresh = { ...counts, input: counts.input + counts.cachedInput, cachedInput: 0 }
    const [without, paid] = [fresh, counts].map((of) => this.rate(deployment, { usage, serviceTier, counts: of }))
    const saved = (without?.costNanos ?? 0n) - (paid?.costNanos ?? 0n)
    return saved > 0n ? saved : 0n
  }

  sums({ usage, counts = countsOf(usage) }: UsageEvent): TokenSums {
    if (!counts) return { prompt: 0, completion: 0, cached: 0, reasoning: 0 }
    const { input, cachedInput, cacheWrite, cacheWriteHour, audioInput, cachedAudio, imageInput } = counts
    return {
      prompt: input + cachedInput + cacheWrite + cacheWriteHour + audioInput + cachedAudio + imageInput,
      completion: counts.output + counts.reasoning + counts.audioOutput,
      cached: cachedInput + cachedAudio,
      reasoning: counts.reasoning,
    }
  }

  /** Whether this provider is read to the end when its reader has left. */
  drains({ provider }: Deployment): boolean {
    return (provider.cancelled ?? this.deps.cancelled) === 'drain'
  }
}
