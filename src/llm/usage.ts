import type { Usage } from './port'

type Counts = Record<string, unknown>

/** Two requests' counts in one: numbers are added, and so are those of the details. */
export function added(a: Usage, b: Usage): Usage {
  return sum(a, b) as Usage
}

function sum(a: Counts, b: Counts): Counts {
  const total: Counts = { ...a }
  for (const [key, value] of Object.entries(b)) {
    const before = total[key]
    if (typeof value === 'number' && typeof before === 'number') total[key] = before + value
    else if (isCounts(value) && isCounts(before)) total[key] = sum(before, value)
    else if (value !== null && value !== undefined) total[key] = value
  }
  return total
}

const isCounts = (value: unknown): value is Counts =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
