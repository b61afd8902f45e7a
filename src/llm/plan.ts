import type { AppError } from '../errors'
import type { AttemptObserver } from './attempt'
import type { Loads } from './balance'
import type { BillDeps } from './bill'
import type { Breakers } from './breakers'
import type { ToEstimate } from './estimate'
import type { ProviderKeys } from './keys'
import type { UsageEvent } from './port'
import type { RetryBudget } from './retry-budget'
import type { Deployment } from './routes'

/** Whoever wants to know how answers come about. */
export interface RoutingObserver extends AttemptObserver {
  streamBegan(): void
  /** The first piece of an answer came, so many milliseconds after asking this provider. */
  streamSpoke(provider: string, ms: number): void
  /** `completed`, `aborted`, or an error code; of the last provider that was asked. */
  streamEnded(provider: string, outcome: string): void
  /** Another deployment was asked because one failed, before its first piece or after it. */
  failedOver(from: string, to: string, when: 'before' | 'after'): void
  /** A provider said what an answer costs, and this server did: by more than one part in a hundred another sum, or not. */
  costCompared?(provider: string, differs: boolean): void
}

export interface FailoverDeps {
  breakers: Breakers
  loads: Loads
  budget: RetryBudget
  observer: RoutingObserver
  rate: BillDeps['rate']
  /** Counts for a provider that did not. Absent: then there is no usage. */
  estimate?: ((asked: ToEstimate) => Promise<UsageEvent>) | undefined
  /** Milliseconds an answer may take in all, whoever makes it. */
  totalMs: number
  /** Milliseconds, of a clock that only goes forward. */
  now: () => number
  /** Waits so many milliseconds; rejects with the signal's reason when it aborts. */
  sleep: (ms: number, signal: AbortSignal) => Promise<void>
  /** From 0 to 1, below 1. */
  random: () => number
}

/** Who is to be asked, and how. */
export interface Plan {
  /** In the order in which they are asked. */
  deployments: Deployment[]
  /** The arm of an A/B test. */
  variant?: string | undefined
  hedgeAfterMs?: number | undefined
  /** Whose key the request brings; '' for nobody's. */
  owner: string
  /** The tenant's own keys, used in place of the server's. Secret. */
  tenantKeys?: ProviderKeys | undefined
  /** Makes more of an error for the client. */
  explain: (error: AppError) => AppError | Promise<AppError>
}
