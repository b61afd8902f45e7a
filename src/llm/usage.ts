import { addedCounts } from './metering'
import type { Usage, UsageEvent } from './port'

type Tree = Record<string, unknown>

/** Two requests' counts in one: numbers are added, and so are those of the details. */
export function added(a: Usage, b: Usage): Usage {
  return sum(a, b) as Usage
}

function sum(a: Tree, b: Tree): Tree {
  const total: Tree = { ...a }
  for (const [key, value] of Object.entries(b)) {
    const before = total[key]
    if (typeof value === 'number' && typeof before === 'number') total[key] = before + value
    else if (isTree(value) && isTree(before)) total[key] = sum(before, value)
    else if (value !== null && value !== undefined) total[key] = value
  }
  return total
}

const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value)

/** What two requests of one answer took. A cost is known when both are; what was estimated stays so. */
export function addedEvents(a: UsageEvent, b: UsageEvent): UsageEvent {
  const parts = a.costParts && b.costParts ? addedNanos(a.costParts, b.costParts) : undefined
  const reported = plus(a.reportedNanos, b.reportedNanos)
  return {
    ...a,
    ...b,
    usage: added(a.usage, b.usage),
    counts: a.counts && b.counts ? addedCounts(a.counts, b.counts) : undefined,
    reportedNanos: reported ?? undefined,
    costNanos: plus(a.costNanos, b.costNanos),
    costParts: parts,
    costBasis: a.costBasis === 'estimated' ? a.costBasis : b.costBasis,
  }
}

type Nanos = bigint | null | undefined
type Parts = Record<string, bigint | undefined>

const plus = (a: Nanos, b: Nanos): bigint | null => (typeof a === 'bigint' && typeof b === 'bigint' ? a + b : null)

const addedNanos = (a: Parts, b: Parts): Parts => {
  const total: Parts = { ...a }
  for (const [kind, nanos = 0n] of Object.entries(b)) total[kind] = (total[kind] ?? 0n) + nanos
  return total
}
