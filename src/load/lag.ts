import { monitorEventLoopDelay } from 'node:perf_hooks'

/** Milliseconds the event loop may be late, half of the times, before what is not urgent is refused. */
const TOO_LATE = 200
/** Milliseconds between two looks. */
const WINDOW = 1000

/** How late the event loop runs: what it has to do, it does one after the other, so all streams are as late as it is. */
export class Lag {
  private readonly histogram = monitorEventLoopDelay({ resolution: 20 })
  private readonly timer = setInterval(() => this.look(), WINDOW)
  private median = 0

  constructor() {
    this.histogram.enable()
    this.timer.unref()
  }

  /** Milliseconds, half of the times in the last second. */
  get ms(): number {
    return this.median
  }

  get tooMuch(): boolean {
    return this.median > TOO_LATE
  }

  close(): void {
    clearInterval(this.timer)
    this.histogram.disable()
  }

  private look(): void {
    this.median = this.histogram.count > 0 ? this.histogram.percentile(50) / 1e6 : this.median
    this.histogram.reset()
  }
}
