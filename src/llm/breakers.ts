import { LRUCache } from 'lru-cache'
import { Breaker } from './breaker'
import type { Provider } from './port'

/** Breakers kept at most, and milliseconds after which one that nobody asked for is forgotten. */
const KEEP = 10_000
const KEEP_MS = 600_000

interface Kept {
  provider: string
  /** Whether it is about the server's own key: a person's is that person's matter. */
  shared: boolean
  breaker: Breaker
}

export interface BreakersOptions {
  /** Milliseconds. */
  now: () => number
  /** A deployment is left alone from now on. Only told of the server's own keys. */
  onOpen: (provider: string, model: string) => void
}

/** A breaker for each model at each provider, for each owner of a key. */
export class Breakers {
  private readonly ids = new WeakMap<Provider, number>()
  private lastId = 0
  // Bounded: people choose models by name and bring keys of their own.
  private readonly all = new LRUCache<string, Kept>({ max: KEEP, ttl: KEEP_MS, updateAgeOnGet: true })

  constructor(private readonly options: BreakersOptions) {}

  /** @param owner whose key is used: a hash of it, or '' for the server's own. */
  of({ provider, model }: { provider: Provider; model: string }, owner: string): Breaker {
    const key = `${this.idOf(provider)} ${owner} ${model}`
    const known = this.all.get(key)
    if (known) return known.breaker
    const { now, onOpen } = this.options
    const shared = owner === ''
    const breaker = new Breaker({ now, onOpen: shared ? () => onOpen(provider.name, model) : undefined })
    this.all.set(key, { provider: provider.name, shared, breaker })
    return breaker
  }

  /** The one for the server's own key, if anybody was ever stopped or let through by it. */
  find({ provider, model }: { provider: Provider; model: string }): Breaker | undefined {
    return this.all.peek(`${this.idOf(provider)}  ${model}`)?.breaker
  }

  /** How many are open, by provider; those of people's own keys are not counted. */
  open(): Map<string, number> {
    const counts = new Map<string, number>()
    for (const { provider, shared, breaker } of this.all.values()) {
      if (shared) counts.set(provider, (counts.get(provider) ?? 0) + (breaker.open ? 1 : 0))
    }
    return counts
  }

  /** Two keys of one provider are two providers here, whatever they are called. */
  private idOf(provider: Provider): number {
    const known = this.ids.get(provider)
    if (known) return known
    this.lastId++
    this.ids.set(provider, this.lastId)
    return this.lastId
  }
}
