/** Something due again and again. `due` is in milliseconds of `performance.now()`. */
export interface Paced {
  due: number
  readonly periodMs: number
  /** Does one beat; false means it has ended and is forgotten. */
  beat(): boolean
}

const SLOTS = 4096

/**
 * One timer for all paced streams: a wheel with a slot per millisecond. A stream costs one array entry per token, not
 * a timer, so thousands of streams are cheap. A late tick catches up; the pace is kept, only the beat is late.
 */
export class Wheel {
  #slots: Paced[][] = Array.from({ length: SLOTS }, () => [])
  #size = 0
  #tick = 0
  #timer: ReturnType<typeof setInterval> | undefined
  #worstLagMs = 0

  /** Adds a stream whose first beat is one period from now. Periods must be under 4 s. */
  add(stream: Paced): void {
    stream.due = performance.now() + stream.periodMs
    if (this.#size === 0) this.#start()
    this.#size++
    this.#place(stream)
  }

  /** The latest any beat was since this was last asked, in milliseconds: was the upstream itself short of time? */
  takeWorstLagMs(): number {
    const worst = this.#worstLagMs
    this.#worstLagMs = 0
    return worst
  }

  #start(): void {
    this.#tick = Math.floor(performance.now())
    this.#timer ??= setInterval(() => this.#turn(), 1)
  }

  #place(stream: Paced): void {
    const slot = Math.max(Math.ceil(stream.due), this.#tick + 1) % SLOTS
    this.#slots[slot]?.push(stream)
  }

  #turn(): void {
    const now = performance.now()
    while (this.#tick + 1 <= now) {
      this.#tick++
      this.#serve(this.#tick % SLOTS, now)
    }
    if (this.#size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #serve(slot: number, now: number): void {
    const due = this.#slots[slot]
    if (due === undefined || due.length === 0) return
    this.#slots[slot] = []
    for (const stream of due) {
      this.#worstLagMs = Math.max(this.#worstLagMs, now - stream.due)
      if (stream.beat()) {
        stream.due += stream.periodMs
        this.#place(stream)
      } else this.#size--
    }
  }
}
