import { createHash } from 'node:crypto'
import type { Deployment, Route } from './routes'

/** The weight of the newest latency in the average. */
const NEWEST = 0.3
/** Milliseconds after which a latency says nothing about now. */
const LATENCY_GOOD_FOR = 300_000
/** Milliseconds that a failure counts as. */
export const FAILED_LATENCY = 30_000

/** How busy and how quick one deployment is, as seen from this process. */
interface Load {
  inFlight: number
  /** Milliseconds to the first piece, averaged; undefined while nothing is known. */
  latency: number | undefined
  /** When that was last seen. */
  at: number
}

/** What `least-busy` and `fastest` choose by. Held by the deployments themselves: a new list of routes starts anew. */
export class Loads {
  private readonly loads = new WeakMap<Deployment, Load>()

  /** @param now milliseconds. */
  constructor(private readonly now: () => number) {}

  begin(deployment: Deployment): void {
    this.of(deployment).inFlight++
  }

  end(deployment: Deployment): void {
    this.of(deployment).inFlight--
  }

  /** It took so many milliseconds to the first piece. */
  spoke(deployment: Deployment, ms: number): void {
    const load = this.of(deployment)
    const known = this.latencyOf(deployment)
    load.latency = known === undefined ? ms : known + NEWEST * (ms - known)
    load.at = this.now()
  }

  inFlight(deployment: Deployment): number {
    return this.of(deployment).inFlight
  }

  latencyOf(deployment: Deployment): number | undefined {
    const { latency, at } = this.of(deployment)
    return this.now() - at > LATENCY_GOOD_FOR ? undefined : latency
  }

  private of(deployment: Deployment): Load {
    const known = this.loads.get(deployment)
    if (known) return known
    const load: Load = { inFlight: 0, latency: undefined, at: 0 }
    this.loads.set(deployment, load)
    return load
  }
}

/** A number from 0 to 1, below 1. */
type Random = () => number

/** The deployments in the order in which they are to be asked. */
export function inOrder(
  deployments: Deployment[],
  strategy: Route['strategy'],
  { loads, random }: { loads: Loads; random: Random },
): Deployment[] {
  if (deployments.length < 2) return [...deployments]
  switch (strategy) {
    case 'ordered':
      return [...deployments]
    case 'weighted':
      // Efraimidis and Spirakis (2006): each comes first, and then next, with a probability of its weight.
      return sortedBy(deployments, ({ weight }) => (weight > 0 ? -Math.log(1 - random()) / weight : Number.MAX_VALUE))
    case 'least-busy':
      return sortedBy(deployments, (d) => (d.weight > 0 ? loads.inFlight(d) / d.weight : Number.MAX_VALUE))
    case 'fastest':
      // One that is not known is tried at once, but not by everybody at once.
      return sortedBy(deployments, (d) => loads.latencyOf(d) ?? (loads.inFlight(d) > 0 ? FAILED_LATENCY : -1))
  }
}

/** Each key is asked for once; equals keep their order. */
function sortedBy(deployments: Deployment[], key: (deployment: Deployment) => number): Deployment[] {
  return deployments
    .map((deployment) => ({ deployment, key: key(deployment) }))
    .sort((a, b) => a.key - b.key)
    .map(({ deployment }) => deployment)
}

/** The arm of an A/B test that a person falls into: the same for as long as the arms and their weights are the same. */
export function armOf({ model, split = [] }: Route, userId: string) {
  const total = split.reduce((sum, { weight }) => sum + weight, 0)
  if (total <= 0) return undefined
  const hash = createHash('sha256').update(`${model}\n${userId}`).digest()
  let left = (hash.readUIntBE(0, 6) / 2 ** 48) * total
  return split.find(({ weight }) => {
    left -= weight
    return left < 0
  })
}
