import type { UsageEvent } from '../llm/port'
import type { RunCost } from '../runs/port'
import type { UsageRecord } from '../store/port-money'
import { scaledParts } from './margin'
import { toUsd } from './money'

type Told = Pick<UsageEvent, 'costBasis' | 'priceVersion'> & { costParts?: Partial<Record<string, bigint>> | undefined }
type Recorded = Pick<UsageRecord, 'parts' | 'costNanos' | 'chargeNanos' | 'costBasis' | 'priceVersion'>

/** How a charge came about, as clients are told. */
export function costOf({ costParts = {}, costBasis = 'provider', priceVersion }: Told): RunCost {
  const parts: Record<string, number> = {}
  for (const [kind, nanos] of Object.entries(costParts)) {
    if (nanos) parts[kind.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)] = toUsd(nanos)
  }
  return { parts, basis: costBasis, price_version: priceVersion ?? null }
}

/** The same of an answer that was charged for some time ago: it keeps the prices that it was rated with. */
export function recordedCost({ parts, costNanos, chargeNanos, costBasis, priceVersion }: Recorded): RunCost {
  const known = parts && costNanos !== null
  const costParts = known ? scaledParts(parts, { from: costNanos, to: chargeNanos }) : undefined
  return costOf({ costParts, costBasis, priceVersion: priceVersion ?? undefined })
}
