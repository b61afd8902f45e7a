/** What every phase works with. */
import type { Upstream } from '../hosts'
import type { LoadResult } from '../lib/job'
import type { LoadProcess } from '../lib/load-process'
import { root } from '../lib/machine'
import type { Plan } from '../plan'
import type { Target } from '../targets'

export class Context {
  /** Everything that did not go as it should; printed with the results. */
  readonly problems: string[] = []
  /** Measurements the time budget had no room for. */
  readonly leftOut: string[] = []
  readonly #began = performance.now()

  constructor(
    readonly plan: Plan,
    readonly upstream: Upstream,
    readonly load: LoadProcess,
  ) {}

  get elapsedSeconds(): number {
    return (performance.now() - this.#began) / 1000
  }

  get remainingSeconds(): number {
    return this.plan.budgetSeconds - this.elapsedSeconds
  }

  readonly say = (text: string): void => {
    process.stderr.write(`${this.elapsedSeconds.toFixed(0).padStart(4)}s  ${text}\n`)
  }

  /** One measurement; a failure or a lack of time is noted and the run goes on with the next. */
  async attempt<T>(what: string, needsSeconds: number, measure: () => Promise<T>): Promise<T | undefined> {
    if (this.remainingSeconds < needsSeconds) {
      this.leftOut.push(what)
      this.say(`left out for lack of time: ${what}`)
      return undefined
    }
    try {
      return await measure()
    } catch (error) {
      this.problem(`${what}: ${error instanceof Error ? error.message : String(error)}`)
      return undefined
    }
  }

  /** Like `attempt`, for a target that gets a new process and the core to itself. */
  alone<T>(
    what: string,
    needsSeconds: number,
    { host, direct }: Target,
    measure: () => Promise<T>,
  ): Promise<T | undefined> {
    return this.attempt(what, needsSeconds, async () => {
      if (direct) return measure()
      try {
        await host.restart()
        return await measure()
      } finally {
        await host.stop()
      }
    })
  }

  /** Notes answers that were not complete. */
  check(what: string, result: Pick<LoadResult, 'problems'>): void {
    for (const [why, count] of Object.entries(result.problems)) this.problem(`${what}: ${count} × ${why}`)
  }

  problem(text: string): void {
    const clean = text.replaceAll(root, '.')
    this.problems.push(clean)
    this.say(`! ${clean}`)
  }
}
