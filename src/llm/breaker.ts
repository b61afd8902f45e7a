/** Failures in a row after which a deployment is left alone. */
const IN_A_ROW = 5
/** Or: this share of failures, among at least so many answers of the last half minute. */
const SHARE = 0.5
const ENOUGH = 10
/** Milliseconds until a first look whether it is back; doubles with each look that fails, up to the last. */
const FIRST_PAUSE = 5000
const LAST_PAUSE = 60_000

/** Leave to ask once. Exactly one of `succeeded`, `failed` and `abandoned` ends it; what is said after that is ignored. */
export interface Permit {
  /** The first piece is here. */
  spoke(): void
  /** It answered: to the end, or by saying what is wrong with the request. */
  succeeded(): void
  failed(): void
  /** Nobody waited for the outcome. */
  abandoned(): void
}

export interface BreakerOptions {
  /** Milliseconds, of any clock that only goes forward. */
  now: () => number
  /** It opens: too much went wrong. */
  onOpen?: (() => void) | undefined
}

/** Says whether something that may be broken is worth asking. When it was, one request at a time tries again. */
export class Breaker {
  private tripped = false
  private probing = false
  private openUntil = 0
  private restUntil = 0
  private inARow = 0
  /** How often it opened without an answer that was whole since. */
  private trips = 0
  private readonly recent: Recent

  constructor(private readonly options: BreakerOptions) {
    this.recent = new Recent(options.now)
  }

  /** @returns undefined while it must be left alone. */
  admit(): Permit | undefined {
    const now = this.options.now()
    if (now < this.restUntil) return undefined
    if (!this.tripped) return this.permit(false)
    if (now < this.openUntil || this.probing) return undefined
    this.probing = true
    return this.permit(true)
  }

  /** It asked to be left alone for so many milliseconds: nothing is wrong with it. */
  rest(ms: number): void {
    this.restUntil = Math.max(this.restUntil, this.options.now() + ms)
  }

  /** Whether it was found broken and has not shown since that it works. */
  get open(): boolean {
    return this.tripped
  }

  /** Milliseconds until it may be asked; while somebody is trying, until that may be known. */
  get wait(): number {
    const until = this.tripped && !this.probing ? Math.max(this.openUntil, this.restUntil) : this.restUntil
    return Math.max(until - this.options.now(), this.probing ? 1000 : 0)
  }

  private permit(probe: boolean): Permit {
    let trying = probe
    let ended = false
    const end = (then: () => void) => {
      if (ended) return
      ended = true
      then()
    }
    return {
      spoke: () => {
        if (!trying || ended) return
        trying = false
        this.onTrial()
      },
      succeeded: () => end(() => this.good(trying)),
      failed: () => end(() => this.bad(trying)),
      abandoned: () => end(() => trying && this.release()),
    }
  }

  private release(): void {
    this.probing = false
  }

  /** It talks again, so others may ask. The next failure is enough to leave it alone, for longer than before. */
  private onTrial(): void {
    this.release()
    this.tripped = false
    this.inARow = IN_A_ROW - 1
  }

  private good(probe: boolean): void {
    // An answer begun before it broke says nothing about now.
    if (this.tripped && !probe) return
    if (probe) this.release()
    this.tripped = false
    this.inARow = 0
    this.trips = 0
    this.recent.add(true)
  }

  private bad(probe: boolean): void {
    if (this.tripped && !probe) return
    if (probe) this.release()
    this.inARow++
    this.recent.add(false)
    if (probe || this.inARow >= IN_A_ROW || this.recent.isBad()) this.trip()
  }

  private trip(): void {
    this.tripped = true
    this.openUntil = this.options.now() + Math.min(LAST_PAUSE, FIRST_PAUSE * 2 ** this.trips++)
    this.inARow = 0
    this.recent.clear()
    this.options.onOpen?.()
  }
}

const SLOTS = 6
const SLOT_MS = 5000

/** How the answers of the last half minute went, counted in slots of five seconds. */
class Recent {
  private readonly good = new Array<number>(SLOTS).fill(0)
  private readonly bad = new Array<number>(SLOTS).fill(0)
  private slot = 0

  constructor(private readonly now: () => number) {}

  add(good: boolean): void {
    this.advance()
    const counts = good ? this.good : this.bad
    const at = this.slot % SLOTS
    counts[at] = (counts[at] ?? 0) + 1
  }

  isBad(): boolean {
    const bad = sum(this.bad)
    const all = bad + sum(this.good)
    return all >= ENOUGH && bad / all >= SHARE
  }

  clear(): void {
    this.good.fill(0)
    this.bad.fill(0)
  }

  private advance(): void {
    const slot = Math.floor(this.now() / SLOT_MS)
    for (let next = Math.max(this.slot + 1, slot - SLOTS + 1); next <= slot; next++) {
      this.good[next % SLOTS] = 0
      this.bad[next % SLOTS] = 0
    }
    this.slot = slot
  }
}

const sum = (counts: number[]): number => counts.reduce((total, count) => total + count, 0)
