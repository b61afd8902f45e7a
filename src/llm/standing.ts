import { FAILED_LATENCY, type Loads } from './balance'
import type { Breakers } from './breakers'
import type { Deployment } from './routes'

/** How it stands with a model, as seen from this process. */
export interface Standing {
  /** `ok`: nothing is wrong that we know of; `degraded`: some of its deployments are left alone; `down`: all are. */
  status: 'ok' | 'degraded' | 'down'
  deployments: number
  available: number
  /** Milliseconds to the first piece at the quickest deployment, averaged over the last minutes; null: none was seen. */
  firstTokenMs: number | null
}

export function standingOf(
  deployments: Deployment[],
  { breakers, loads }: { breakers: Breakers; loads: Loads },
): Standing {
  const left = deployments.filter((deployment) => {
    const breaker = breakers.find(deployment)
    return !breaker || (!breaker.open && breaker.wait === 0)
  })
  const latencies = deployments.flatMap((deployment) => loads.latencyOf(deployment) ?? [])
  const seen = latencies.filter((ms) => ms < FAILED_LATENCY)
  return {
    status: left.length === deployments.length ? 'ok' : left.length > 0 ? 'degraded' : 'down',
    deployments: deployments.length,
    available: left.length,
    firstTokenMs: seen.length > 0 ? Math.round(Math.min(...seen)) : null,
  }
}
