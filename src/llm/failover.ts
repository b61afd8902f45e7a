import { AppError, toAppError } from '../errors'
import { Attempt, isPiece } from './attempt'
import { priced } from './bill'
import { Candidates } from './candidates'
import { keyFor } from './keys'
import type { FailoverDeps, Plan } from './plan'
import type { ChatEvent, ChatRequest } from './port'
import type { Deployment } from './routes'
import { Said } from './said'

/** Times one deployment after another goes on with an answer that broke off. */
const RESCUES = 3

/**
 * Asks one deployment after another until one speaks, and goes on with the next when it breaks off: with what was said
 * where the next one can, otherwise anew, behind a `restart`.
 * @throws AppError what went wrong, when nobody is left who could answer, or when the request itself is at fault.
 */
export async function* answer(
  plan: Plan,
  { request, signal }: { request: ChatRequest; signal: AbortSignal },
  deps: FailoverDeps,
): AsyncGenerator<ChatEvent> {
  const { observer } = deps
  const made = new Answer(plan, { request, outer: signal }, deps)
  let outcome: string = 'aborted'
  observer.streamBegan()
  try {
    for (let attempt = await made.first(); ; ) {
      yield* made.opening(attempt)
      try {
        for (;;) {
          const { value, done } = await attempt.rest.next()
          if (done) break
          const event = made.heard(value, attempt)
          if (event !== undefined) yield event
        }
        attempt.completed()
        const missing = await made.missingUsage(attempt)
        if (missing) yield missing
        outcome = 'completed'
        return
      } catch (error) {
        attempt = await made.rescue(attempt, error)
      }
    }
  } catch (error) {
    if (!signal.aborted) outcome = toAppError(error).code
    throw error instanceof AppError ? await plan.explain(error) : error
  } finally {
    made.close()
    observer.streamEnded(made.provider, outcome)
  }
}

class Answer {
  /** Who was asked last. */
  provider = 'none'
  private readonly candidates: Candidates
  private readonly said = new Said()
  private readonly running = new Set<Attempt>()
  private readonly abort = new AbortController()
  private readonly timer: ReturnType<typeof setTimeout>
  private readonly onOuterAbort: () => void
  /** Deployments that did not take what was said as a beginning. */
  private readonly refusing = new Set<Deployment>()
  /** Who failed last, for those who count. */
  private failed: Deployment | undefined
  private spoken = false
  /** Whoever speaks has said what it took. */
  private counted = false
  private rescues = 0

  constructor(
    private readonly plan: Plan,
    private readonly asked: { request: ChatRequest; outer: AbortSignal },
    private readonly deps: FailoverDeps,
  ) {
    const { outer } = asked
    this.candidates = new Candidates(plan, deps)
    this.abort.signal.addEventListener('abort', () => this.leaveAll(), { once: true })
    this.timer = setTimeout(() => this.abort.abort(tooLong(deps.totalMs)), deps.totalMs)
    this.onOuterAbort = () => this.abort.abort(outer.reason)
    if (outer.aborted) this.onOuterAbort()
    else outer.addEventListener('abort', this.onOuterAbort, { once: true })
    deps.budget.earn()
  }

  /** The first attempt that speaks. @throws AppError what went wrong when none does. */
  async first(): Promise<Attempt> {
    const racing = new Map<Attempt, Promise<Attempt>>()
    const race = (attempt: Attempt) => racing.set(attempt, attempt.begin())
    let hedges = this.plan.hedgeAfterMs === undefined ? 0 : 1
    for (;;) {
      if (racing.size === 0) race(await this.next())
      const winner = await this.soonest([...racing.values()], hedges > 0)
      this.abort.signal.throwIfAborted()
      if (!winner) {
        hedges--
        const second = this.admit()
        if (second) race(second)
        continue
      }
      racing.delete(winner)
      if (!winner.error) {
        for (const other of racing.keys()) this.leave(other)
        return winner
      }
      this.lost(winner, winner.error)
    }
  }

  /** What the reader gets before what comes from now on: who speaks, and whether it is the same answer still. */
  *opening(attempt: Attempt): Generator<ChatEvent> {
    this.counted = false
    const { provider, model } = attempt.deployment
    const { variant } = this.plan
    if (!this.spoken && attempt.firstPieceMs !== undefined) {
      this.deps.observer.streamSpoke(provider.name, attempt.firstPieceMs)
    }
    if (this.spoken && attempt.goesOn) this.said.onContinued()
    else if (this.spoken) {
      this.said.reset()
      yield { type: 'restart' }
    }
    yield { type: 'served', provider: provider.name, model, ...(variant === undefined ? {} : { variant }) }
    for (const event of attempt.held) {
      const heard = this.heard(event, attempt)
      if (heard !== undefined) yield heard
    }
    attempt.held = []
  }

  /** An event as the reader gets it. */
  heard(event: ChatEvent, { deployment }: Attempt): ChatEvent | undefined {
    const rest = this.said.follow(event)
    if (rest === undefined) return undefined
    if (isPiece(rest)) this.spoken = true
    this.said.add(rest)
    if (typeof rest === 'string' || rest.type !== 'usage') return rest
    this.counted = true
    return priced(rest, deployment, this.deps)
  }

  /** What an answer took whose provider did not say: it is charged all the same. */
  async missingUsage({ deployment }: Attempt): Promise<ChatEvent | undefined> {
    const { estimate } = this.deps
    if (this.counted || !estimate) return undefined
    const delivered = this.said.delivered()
    const event = await estimate({ request: this.asked.request, delivered, model: deployment.model })
    return priced(event, deployment, this.deps)
  }

  /** Somebody else who goes on. @throws what was thrown when there is nobody, or when going on would be wrong. */
  async rescue(attempt: Attempt, thrown: unknown): Promise<Attempt> {
    this.abort.signal.throwIfAborted()
    const error = attempt.failed(thrown)
    this.running.delete(attempt)
    this.failed = attempt.deployment
    const several = Number(this.asked.request.params.n ?? 1) > 1
    if (error.fault === 'request' || several || this.rescues === RESCUES) throw thrown
    this.rescues++
    try {
      return await this.first()
    } catch (failure) {
      // What happens behind the scenes is nothing to the reader: for them the answer broke off.
      throw this.abort.signal.aborted ? failure : thrown
    }
  }

  close(): void {
    clearTimeout(this.timer)
    this.asked.outer.removeEventListener('abort', this.onOuterAbort)
    this.leaveAll()
  }

  /** Waits for the first of these; undefined when it is time to ask one more. */
  private async soonest(attempts: Promise<Attempt>[], hedging: boolean): Promise<Attempt | undefined> {
    const { hedgeAfterMs = 0 } = this.plan
    if (!hedging || this.candidates.none) return Promise.race(attempts)
    const timer = new AbortController()
    const late = this.deps.sleep(hedgeAfterMs, timer.signal).then(
      () => undefined,
      () => undefined,
    )
    try {
      return await Promise.race([...attempts, late])
    } finally {
      timer.abort()
    }
  }

  private async next(): Promise<Attempt> {
    for (;;) {
      this.abort.signal.throwIfAborted()
      const attempt = this.admit()
      if (attempt) return attempt
      // What was said is shown: from here on nobody is asked twice, and nobody waited for.
      if (this.spoken) throw this.candidates.failure()
      await this.candidates.again(this.abort.signal)
    }
  }

  /** Asks the next one that may be asked; undefined when there is none now. */
  private admit(): Attempt | undefined {
    const { request } = this.asked
    for (;;) {
      const next = this.candidates.admit()
      if (!next) return undefined
      const { deployment, permit } = next
      const continued =
        this.spoken && deployment.prefill && !this.refusing.has(deployment) ? this.said.continued(request) : undefined
      if (this.spoken && !continued && request.mayRestart === false) {
        permit.abandoned()
        continue
      }
      const options = { ...next, request: this.addressed(continued ?? request, deployment), goesOn: Boolean(continued) }
      const attempt = new Attempt(options, this.deps)
      this.running.add(attempt)
      this.onAsked(deployment)
      return attempt
    }
  }

  /** A request in the words of one deployment. */
  private addressed(request: ChatRequest, { provider, model }: Deployment): ChatRequest {
    const apiKey = keyFor(provider, { personal: request.apiKey, tenant: this.plan.tenantKeys })
    return { ...request, model, apiKey }
  }

  private onAsked(deployment: Deployment): void {
    const { failed } = this
    this.provider = deployment.provider.name
    if (failed && failed !== deployment) {
      this.deps.observer.failedOver(failed.provider.name, this.provider, this.spoken ? 'after' : 'before')
    }
    this.failed = undefined
  }

  /** One that did not speak. @throws AppError when another one would not do better. */
  private lost(attempt: Attempt, error: AppError): void {
    const { deployment, goesOn } = attempt
    this.running.delete(attempt)
    if (error.code === 'BAD_REQUEST' && goesOn) {
      this.refusing.add(deployment)
      this.candidates.sooner(deployment)
      return
    }
    if (error.fault === 'request') throw error
    this.failed = deployment
    this.candidates.failed(deployment, error)
  }

  private leave(attempt: Attempt): void {
    this.running.delete(attempt)
    attempt.leave(this.abort.signal.reason)
  }

  private leaveAll(): void {
    for (const attempt of this.running) this.leave(attempt)
  }
}

const tooLong = (ms: number) =>
  new AppError('UPSTREAM_TIMEOUT', `The answer took longer than ${ms / 1000} s and was cut off`)
