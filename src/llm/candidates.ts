import { AppError, ERRORS } from '../errors'
import type { Breaker, Permit } from './breaker'
import { keyOwner } from './keys'
import type { FailoverDeps, Plan } from './plan'
import type { Deployment } from './routes'

/** Times an answer asks a deployment again that failed before. */
const RETRIES = 2
/** Milliseconds of the first pause before that; the next one is twice as long. */
const PAUSE = 250
/** Milliseconds that an answer waits for a deployment that asked to be left alone. */
const PATIENCE = 5000

/** Who may still be asked for one answer: first everybody once, then those again that may have recovered. */
export class Candidates {
  private readonly queue: Deployment[]
  /** They could not be asked, or failed in a way that may pass. */
  private readonly later: Deployment[] = []
  private retries = 0
  private worst: AppError | undefined

  constructor(
    private readonly plan: Plan,
    private readonly deps: Pick<FailoverDeps, 'breakers' | 'budget' | 'sleep' | 'random'>,
  ) {
    this.queue = [...plan.deployments]
  }

  /** Nobody is left who was not asked yet. */
  get none(): boolean {
    return this.queue.length === 0
  }

  /** The next one that its breaker lets us ask. */
  admit(): { deployment: Deployment; breaker: Breaker; permit: Permit } | undefined {
    for (let deployment = this.queue.shift(); deployment; deployment = this.queue.shift()) {
      const breaker = this.breakerOf(deployment)
      const permit = breaker.admit()
      if (permit) return { deployment, breaker, permit }
      this.later.push(deployment)
    }
    return undefined
  }

  /** It is asked next, once more: not its fault. */
  sooner(deployment: Deployment): void {
    this.queue.unshift(deployment)
  }

  failed(deployment: Deployment, error: AppError): void {
    this.worst = moreTelling(this.worst, error)
    if (mayPass(error)) this.later.push(deployment)
  }

  /** What to say when nobody answers. */
  failure(): AppError {
    return this.worst ?? this.nobody()
  }

  /** Waits until one may be asked again. @throws AppError when that takes too long, or would be once too often. */
  async again(signal: AbortSignal): Promise<void> {
    const soonest = this.soonest(this.later.filter((deployment) => !this.breakerOf(deployment).open))
    const waits = soonest ? this.breakerOf(soonest).wait : 0
    if (!soonest || waits > PATIENCE || this.retries === RETRIES || !this.deps.budget.take()) throw this.failure()
    this.retries++
    this.later.splice(this.later.indexOf(soonest), 1)
    await this.deps.sleep(waits > 0 ? waits : this.jitter(), signal)
    this.queue.push(soonest)
  }

  /** Half fixed, half random ("equal jitter"), so that those who failed together do not come back together. */
  private jitter(): number {
    const pause = PAUSE * 2 ** (this.retries - 1)
    return pause / 2 + (this.deps.random() * pause) / 2
  }

  private nobody(): AppError {
    const soonest = this.soonest(this.plan.deployments)
    const breakers = this.plan.deployments.map((deployment) => this.breakerOf(deployment))
    const wait = soonest ? this.breakerOf(soonest).wait : 0
    const retryAfter = Math.max(1, Math.ceil(wait / 1000))
    return breakers.some(({ open }) => open)
      ? new AppError('UPSTREAM_UNAVAILABLE', 'This model has failed too often, and is left alone for a moment', {
          retryAfter,
        })
      : new AppError('RATE_LIMIT_EXCEEDED', 'The model provider has had too many requests', { retryAfter })
  }

  private soonest(deployments: Deployment[]): Deployment | undefined {
    let best: { deployment: Deployment; wait: number } | undefined
    for (const deployment of deployments) {
      const { wait } = this.breakerOf(deployment)
      if (!best || wait < best.wait) best = { deployment, wait }
    }
    return best?.deployment
  }

  private breakerOf(deployment: Deployment): Breaker {
    const { owner, tenantKeys: tenant } = this.plan
    return this.deps.breakers.of(deployment, keyOwner(deployment.provider, { owner, tenant }))
  }
}

/** Asking again at once would only wait again, or be refused again. */
const mayPass = ({ code, fault }: AppError): boolean =>
  ERRORS[code].retry && fault === 'deployment' && code !== 'UPSTREAM_TIMEOUT'

/** Of what went wrong, what to tell: rather what may go better later than what never will. */
const moreTelling = (first: AppError | undefined, second: AppError): AppError =>
  first && (ERRORS[first.code].retry || !ERRORS[second.code].retry) ? first : second
