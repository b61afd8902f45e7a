import { AppError } from '../../errors'
import type { ChatEvent, ChatModel, ChatRequest, UsageEvent } from '../../llm/port'
import type { Rater } from '../../llm/rater'
import type { Said, UsageStatus } from '../../store/port-money'
import type { Asked } from './admission'
import { Allowance, type AllowanceDeps } from './allowance'
import type { Held } from './amounts'
import { charged, type Ending } from './bill'
import { Count } from './count'
import { Keep } from './keep'

export interface MeteredDeps extends AllowanceDeps {
  rater: Pick<Rater, 'tally' | 'estimated' | 'added' | 'sums' | 'saved' | 'drains' | 'rate' | 'count'>
  /** Keeps money back. @throws AppError when there is none. */
  admit: (asked: Asked, request: ChatRequest) => Promise<Held>
  /** Nobody was asked after all. */
  release: (held: Held) => Promise<void>
  /** @returns what was charged; the charge itself while that is not known. Never throws. */
  settle: (held: Held, ending: Ending) => Promise<bigint>
  /** What was charged for an answer that its reader took for ended before. Never throws. */
  amend: (held: Held, usage: UsageEvent) => Promise<void>
  /** Something that is not over before it is settled. */
  watch: (over: Promise<void>, unsettled: Unsettled) => void
}

/** An answer that is not settled yet. */
export interface Unsettled {
  /** Ends it at once. */
  stop: () => void
  /** Sees to it that its money is not given back before it is settled. */
  hold: () => Promise<void>
  /** What it has said, when that is kept nowhere and has grown since it was last asked. */
  said: () => Said | undefined
}

export interface Metering {
  answerer: ChatModel
  asked: Asked
  request: ChatRequest
  /** Aborts when whoever reads the answer has left. */
  signal: AbortSignal
}

const LEFT = Symbol('the reader left')
type Pulled = IteratorResult<ChatEvent> | typeof LEFT
/** How it ended, while the reader was there. */
type Way = 'completed' | 'budget' | 'failed'

/** An answer that money is kept back for. */
interface Begun {
  held: Held
  keep: Keep
  count: Count
  allowance: Allowance | undefined
  source: AsyncIterator<ChatEvent>
}

interface Settling {
  status: UsageStatus
  finishReason: string | null
  /** The provider was read to the end without a reader. */
  drained?: boolean
  /** The reader has left, and is not told any more. */
  late?: boolean
}

/**
 * One answer, counted while it is made, and settled once when it has ended: however that came about, and before its last
 * event goes on. What comes last is its usage with what is charged.
 */
export class MeteredAnswer {
  private readonly abort = new AbortController()
  /** Whether its provider may be read to the end without a reader. */
  private drains: boolean
  private onLeft: () => void = () => {}
  private pulling: Promise<IteratorResult<ChatEvent>> | undefined
  /** It is settled, or somebody sees to that. */
  private settled = false
  /** It is read to the end without a reader. */
  private draining = false
  /** Tokens that were last told to have been said. */
  private noted: number | undefined
  private readonly over = Promise.withResolvers<void>()

  constructor(
    private readonly metering: Metering,
    private readonly deps: MeteredDeps,
  ) {
    this.drains = metering.asked.deployments.some((deployment) => deps.rater.drains(deployment))
  }

  /** One generator for all of it: each more that an event passes through costs as much as all that is done with it. */
  async *make(): AsyncGenerator<ChatEvent> {
    const { signal } = this.metering
    const begun = await this.begin()
    const { source, count, allowance } = begun
    // Asking a signal costs more than all the counting.
    let gone = signal.aborted
    const left = () => {
      gone = true
      this.leave(begun)
    }
    signal.addEventListener('abort', left, { once: true })
    let way: Way = 'completed'
    let failure: unknown
    try {
      try {
        for (;;) {
          if (gone) {
            if (this.drainable(begun)) return this.drainLater(begun)
            throw signal.reason
          }
          const pulled = this.drains ? await this.pull(source) : await source.next()
          if (pulled === LEFT) return this.drainLater(begun)
          this.pulling = undefined
          if (pulled.done) break
          const event = pulled.value
          const mayBeOver = count.hear(event)
          this.drains ||= count.uncounted
          if (typeof event === 'object' && event.type === 'served') begun.keep.prolong()
          if (isPassed(event)) yield event
          if (!mayBeOver || !(await allowance?.over())) continue
          way = 'budget'
          break
        }
      } catch (error) {
        way = 'failed'
        failure = error
      }
      if (!this.settled) yield* this.last(begun, way)
      if (failure !== undefined && !signal.aborted) throw failure
    } finally {
      signal.removeEventListener('abort', left)
      // The reader left between two events.
      if (!this.settled && this.drainable(begun)) this.drainLater(begun)
      if (!this.settled) await this.end(begun, { status: this.leaving(), finishReason: null })
    }
  }

  private async begin(): Promise<Begun> {
    const { answerer, asked, request, signal } = this.metering
    const { rater } = this.deps
    signal.throwIfAborted()
    const held = await this.deps.admit(asked, request)
    if (signal.aborted) {
      await this.deps.release(held)
      throw signal.reason
    }
    const allowance = held.limited ? new Allowance(held, this.deps) : undefined
    const source = answerer.stream(held.request, this.abort.signal)[Symbol.asyncIterator]()
    const keep = new Keep(held.id, this.deps)
    const begun = { held, keep, allowance, source, count: new Count({ asked, held, allowance, rater }) }
    const stop = () => this.stop(begun)
    const hold = async () => void ((await keep.ends()) && stop())
    this.deps.watch(this.over.promise, { stop, hold, said: () => this.said(begun) })
    return begun
  }

  private said({ held, count }: Begun): Said | undefined {
    const tokens = Math.ceil(count.said)
    if (held.usage.runId || !count.served || tokens === this.noted) return undefined
    this.noted = tokens
    return { id: held.id, tokens }
  }

  /** How the answer ends for the caller. */
  private async *last(begun: Begun, way: Way): AsyncGenerator<ChatEvent> {
    const { count } = begun
    const ends = way === 'failed' ? [] : way === 'budget' ? count.cut() : count.endings()
    const failed = this.metering.signal.aborted ? this.leaving() : 'failed'
    const usage = await this.end(begun, {
      status: way === 'failed' ? failed : 'completed',
      finishReason: ends.find(({ index }) => index === 0)?.reason ?? ends[0]?.reason ?? null,
    })
    yield* ends
    if (usage) yield usage
  }

  /** The end for the books. @returns the usage with what is charged, for the caller; undefined when there was none. */
  private async end(
    { held, count, source }: Begun,
    { status, finishReason, drained, late }: Settling,
  ): Promise<UsageEvent | undefined> {
    this.settled = true
    this.draining = false
    this.close(source)
    const { served, firstTokenMs, ms: latencyMs } = count
    try {
      const taken = await count.taken(status === 'failed')
      const usage = drained && taken ? { ...taken, costBasis: taken.costBasis ?? 'drained' } : taken
      const at = this.deps.now()
      const charge = await this.deps.settle(held, { status, finishReason, usage, served, firstTokenMs, latencyMs, at })
      const told = usage && charged(usage, charge)
      if (late && told) await this.deps.amend(held, told)
      return told
    } finally {
      this.over.resolve()
    }
  }

  /** The server ends: now, even if whoever reads the answer does not look at it any more. */
  private stop(begun: Begun): void {
    if (this.settled && !this.draining) this.close(begun.source)
    else void this.end(begun, { status: 'interrupted', finishReason: null, late: this.draining })
  }

  /** The next event, or that the reader left, whichever comes first. */
  private pull(source: AsyncIterator<ChatEvent>): Promise<Pulled> {
    return new Promise((resolve, reject) => {
      this.onLeft = () => resolve(LEFT)
      this.pulling = source.next()
      this.pulling.then(resolve, reject)
    })
  }

  private leave(begun: Begun): void {
    if (this.drainable(begun)) this.onLeft()
    else this.abort.abort(this.metering.signal.reason)
  }

  /** Whether somebody is speaking who is heard to the end. */
  private drainable({ count }: Begun): boolean {
    return this.drains && count.asking && (count.uncounted || this.deps.rater.drains(count.speaker))
  }

  private drainLater(begun: Begun): void {
    this.settled = true
    this.draining = true
    void this.drain(begun)
  }

  /** Reads on for the usage, without the reader. */
  private async drain(begun: Begun): Promise<void> {
    const { source, count, allowance } = begun
    const ending = { status: this.leaving(), finishReason: null, late: true }
    try {
      for (;;) {
        const { value, done } = await (this.pulling ?? source.next())
        this.pulling = undefined
        if (done) break
        if (count.hear(value) && (await allowance?.over())) break
        // Behind a usage tools would be called, for nobody.
        if (this.metering.asked.tools && !count.asking) break
      }
      if (this.draining) await this.end(begun, { ...ending, drained: true })
    } catch {
      if (this.draining) await this.end(begun, ending)
    }
  }

  private leaving(): UsageStatus {
    return this.metering.signal.reason instanceof AppError ? 'interrupted' : 'stopped'
  }

  private close(source: AsyncIterator<ChatEvent>): void {
    this.abort.abort(this.metering.signal.reason)
    void source.return?.().catch(() => {})
  }
}

/** The end is told when it is paid for. */
const isPassed = (event: ChatEvent): boolean =>
  typeof event === 'string' || (event.type !== 'usage' && event.type !== 'finish')
