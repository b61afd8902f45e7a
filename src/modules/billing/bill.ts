import { scaledParts, withMargin } from '../../lib/margin'
import type { UsageEvent } from '../../llm/port'
import type { Rater } from '../../llm/rater'
import type { Deployment } from '../../llm/routes'
import type { CostBasis, NewUsage, UsageStatus } from '../../store/port-money'
import { type Held, MOST, outputCost, promptCost } from './amounts'

/** How an answer ended. */
export interface Ending {
  status: UsageStatus
  finishReason: string | null
  /** What it took; undefined when that was nothing. */
  usage: UsageEvent | undefined
  /** Who made it; undefined when nobody was reached. */
  served: Deployment | undefined
  firstTokenMs: number | null
  latencyMs: number
  at: Date
}

type Known = Pick<Rater, 'sums' | 'saved'>

/** Nano-dollars: the provider's, with the tenant's margin. What has a price at first has one in the end. */
export function chargeOf({ terms, marginBp }: Held, usage: UsageEvent | undefined, rater: Known): bigint {
  if (!usage) return 0n
  if (typeof usage.costNanos === 'bigint') return capped(withMargin(usage.costNanos, marginBp))
  const { prompt, completion } = rater.sums(usage)
  if (terms.unpriced) return 0n
  return capped(promptCost({ terms, marginBp }, prompt) + outputCost({ terms, marginBp }, completion))
}

/** Whoever reports more does not mean it. */
const capped = (nanos: bigint): bigint => (nanos < MOST ? nanos : MOST)

/** The usage as the caller is told it: with what they are charged. */
export function charged(usage: UsageEvent, charge: bigint): UsageEvent {
  const { costNanos: cost, costParts } = usage
  // Nobody knows its price, and nothing is charged: that is not the same as free.
  if (typeof cost !== 'bigint' && charge === 0n) return usage
  const parts = costParts && typeof cost === 'bigint' ? scaledParts(costParts, { from: cost, to: charge }) : undefined
  return { ...usage, costNanos: charge, costParts: parts }
}

export function recordOf(held: Held, ending: Ending, rater: Known): NewUsage {
  const { promptNanos: _, outputRate: __, promptTokens: ___, ...beginning } = held.usage
  const { usage, served, at, ...rest } = ending
  const sums = usage ? rater.sums(usage) : { prompt: 0, completion: 0, cached: 0, reasoning: 0 }
  return {
    ...beginning,
    ...rest,
    id: held.id,
    provider: served?.provider.name ?? null,
    providerModel: served?.model ?? null,
    promptTokens: sums.prompt,
    completionTokens: sums.completion,
    cachedTokens: sums.cached,
    reasoningTokens: sums.reasoning,
    usage: usage?.usage ?? null,
    costNanos: usage ? cappedCost(usage.costNanos) : 0n,
    chargeNanos: chargeOf(held, usage, rater),
    reportedNanos: cappedCost(usage?.reportedNanos),
    savedNanos: usage && served ? rater.saved(served, usage) : 0n,
    parts: partsOf(usage),
    costBasis: basisOf(usage),
    priceVersion: usage?.priceVersion ?? null,
    completedAt: at,
  }
}

const cappedCost = (nanos: bigint | null | undefined) => (typeof nanos === 'bigint' ? capped(nanos) : null)

const basisOf = (usage: UsageEvent | undefined): CostBasis => usage?.costBasis ?? 'provider'

function partsOf(usage: UsageEvent | undefined): Record<string, bigint> | null {
  if (!usage?.costParts) return null
  const parts = Object.entries(usage.costParts).filter((entry): entry is [string, bigint] => entry[1] !== undefined)
  return parts.length > 0 ? Object.fromEntries(parts) : null
}
