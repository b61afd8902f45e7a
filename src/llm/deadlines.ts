import { AppError } from '../errors'

/** All in milliseconds. */
export interface Timeouts {
  /** Until the provider's response headers. */
  connect: number
  /** From the request until the first event. */
  firstToken: number
  /** Between two reads of the body, once it talks. */
  idle: number
  /** From the request until the end. */
  total: number
}

/** Milliseconds that a provider may take, after the last word, for what else belongs to an answer: its usage, its end. */
const ENDING = 2000

const MESSAGES = {
  connect: (s: number) => `The model provider did not respond within ${s} s`,
  firstToken: (s: number) => `The model provider did not begin its answer within ${s} s`,
  idle: (s: number) => `The model provider fell silent for ${s} s in the middle of its answer`,
  total: (s: number) => `The answer took longer than ${s} s and was cut off`,
}

/**
 * Watches one request. One timer for the phase and one for the whole; progress only notes the time, because moving a
 * timer for each of 20,000 tokens a second would cost more than the tokens.
 */
export class Deadlines {
  private readonly controller = new AbortController()
  private phase: 'connect' | 'firstToken' | 'idle' = 'connect'
  private since = performance.now()
  private timer: ReturnType<typeof setTimeout> | undefined
  /** Milliseconds of silence once it talks. */
  private quiet: number
  private readonly total: ReturnType<typeof setTimeout>
  private readonly onOuterAbort: () => void

  constructor(
    private readonly timeouts: Timeouts,
    private readonly outer: AbortSignal,
  ) {
    this.quiet = timeouts.idle
    this.total = setTimeout(() => this.expire('total'), timeouts.total)
    this.onOuterAbort = () => this.controller.abort(outer.reason)
    if (outer.aborted) this.onOuterAbort()
    else outer.addEventListener('abort', this.onOuterAbort, { once: true })
    this.arm(timeouts.connect)
  }

  /** Fires on the caller's abort and on any deadline; the reason is what to throw. */
  get signal(): AbortSignal {
    return this.controller.signal
  }

  /** The headers are here; the clock of the first token has been running since the request. */
  connected(): void {
    this.phase = 'firstToken'
    this.arm(this.timeouts.firstToken - (performance.now() - this.since))
  }

  /** Bytes arrived. */
  progress(): void {
    this.since = performance.now()
  }

  /** The first event arrived: from now on only silence counts. */
  talking(): void {
    if (this.phase === 'idle') return
    this.phase = 'idle'
    this.progress()
    this.arm(this.timeouts.idle)
  }

  /** The last word is here: nobody waits long for what may follow it. */
  ending(): void {
    if (this.quiet <= ENDING) return
    this.quiet = ENDING
    this.arm(ENDING)
  }

  /** Ends the watch. Must be called, or timers leak. */
  done(): void {
    clearTimeout(this.timer)
    clearTimeout(this.total)
    this.outer.removeEventListener('abort', this.onOuterAbort)
  }

  private arm(ms: number): void {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.check(), Math.max(0, ms))
  }

  private check(): void {
    const quiet = performance.now() - this.since
    if (this.phase === 'idle' && quiet < this.quiet) this.arm(this.quiet - quiet)
    else this.expire(this.phase)
  }

  private expire(what: keyof Timeouts): void {
    this.controller.abort(new AppError('UPSTREAM_TIMEOUT', MESSAGES[what](this.timeouts[what] / 1000)))
  }
}
