import type { RatedBy, UsageToRate } from './catalog'
import { differs } from './metering'
import type { RoutingObserver } from './plan'
import type { UsageEvent } from './port'
import type { Deployment } from './routes'

export interface BillDeps {
  /** What an answer costs; null while nobody has said. */
  rate: (deployment: Deployment, usage: UsageToRate) => RatedBy | null
  observer: RoutingObserver
}

/** What an answer took, with what it costs. Where the provider says its cost, too, it is seen whether they agree. */
export function priced(event: UsageEvent, deployment: Deployment, { rate, observer }: BillDeps): UsageEvent {
  if (typeof event.costNanos === 'bigint') return event
  const rated = rate(deployment, event)
  const bill: UsageEvent = { ...event, costNanos: rated?.costNanos ?? null }
  if (!rated) return bill
  const { reportedNanos } = event
  if (reportedNanos !== undefined) {
    observer.costCompared?.(deployment.provider.name, differs(rated.costNanos, reportedNanos))
  }
  return { ...bill, costParts: rated.parts, priceVersion: rated.version }
}
