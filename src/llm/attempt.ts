import { type AppError, toAppError } from '../errors'
import { FAILED_LATENCY, type Loads } from './balance'
import type { Breaker, Permit } from './breaker'
import type { ChatEvent, ChatRequest } from './port'
import type { Deployment } from './routes'

/** Whoever wants to know how single requests to providers end. */
export interface AttemptObserver {
  /** `completed`, `aborted`, or an error code. */
  attempted(provider: string, outcome: string): void
}

export interface AttemptOptions {
  deployment: Deployment
  /** As this deployment is to get it. */
  request: ChatRequest
  /** It goes on with what another one said. */
  goesOn: boolean
  breaker: Breaker
  permit: Permit
}

interface AttemptDeps {
  loads: Loads
  observer: AttemptObserver
  /** Milliseconds. */
  now: () => number
}

/** One request to one deployment, from asking to its end, which is reported exactly once. */
export class Attempt {
  readonly deployment: Deployment
  readonly goesOn: boolean
  /** Why it failed before its first piece. */
  error: AppError | undefined
  /** What came with the first piece, that piece at the end. */
  held: ChatEvent[] = []
  /** What comes after that. */
  readonly rest: AsyncIterator<ChatEvent>
  /** Milliseconds until the first piece. */
  firstPieceMs: number | undefined
  private readonly abort = new AbortController()
  private readonly asked: number
  private ended = false

  constructor(
    private readonly options: AttemptOptions,
    private readonly deps: AttemptDeps,
  ) {
    const { deployment, request, goesOn } = options
    this.deployment = deployment
    this.goesOn = goesOn
    this.asked = deps.now()
    deps.loads.begin(deployment)
    this.rest = deployment.provider.stream(request, this.abort.signal)[Symbol.asyncIterator]()
  }

  /** Waits for the first piece, or for a whole answer without any. Never rejects: see `error`. */
  async begin(): Promise<this> {
    try {
      for (;;) {
        const { value, done } = await this.rest.next()
        if (done) break
        this.held.push(value)
        if (isPiece(value)) break
      }
      if (!this.ended) this.onSpoke()
    } catch (error) {
      this.error = this.failed(error)
    }
    return this
  }

  completed(): void {
    this.end('completed')
    this.options.permit.succeeded()
  }

  /** @returns what was thrown, as an AppError. */
  failed(thrown: unknown): AppError {
    const error = toAppError(thrown)
    error.provider ??= this.deployment.provider.name
    if (this.end(error.code)) this.blame(error)
    return error
  }

  /** Nobody needs it any more: closes the connection. */
  leave(reason?: unknown): void {
    if (!this.end('aborted')) return
    this.options.permit.abandoned()
    this.abort.abort(reason)
    void this.rest.return?.().catch(() => {})
  }

  private onSpoke(): void {
    const { deployment, permit } = this.options
    this.firstPieceMs = this.deps.now() - this.asked
    this.deps.loads.spoke(deployment, this.firstPieceMs)
    permit.spoke()
  }

  private blame(error: AppError): void {
    const { deployment, breaker, permit } = this.options
    if (error.fault === 'request') {
      permit.succeeded()
      return
    }
    if (this.firstPieceMs === undefined) this.deps.loads.spoke(deployment, FAILED_LATENCY)
    if (error.retryAfter !== undefined) breaker.rest(error.retryAfter * 1000)
    // Being asked too much is no illness, and neither is a name that it does not know.
    if (error.code === 'RATE_LIMIT_EXCEEDED' || error.code === 'NOT_FOUND') permit.abandoned()
    else permit.failed()
  }

  /** @returns whether this was the end; the first one counts. */
  private end(outcome: string): boolean {
    if (this.ended) return false
    this.ended = true
    this.deps.loads.end(this.options.deployment)
    this.deps.observer.attempted(this.options.deployment.provider.name, outcome)
    return true
  }
}

/** What a client sees: after it, another answer is not the same any more. */
export const isPiece = (event: ChatEvent): boolean =>
  typeof event === 'string' || event.type === 'delta' || event.type === 'finish'
