import { type Child, readiness, spawn } from '../support/child'
import { until } from '../support/servers'

/** Milliseconds after which a server that drains should be gone, whatever happens to what it depends on. */
const DRAIN_LIMIT = 30_000
const START_LIMIT = 60_000

/** One server of several: ended in every way there is, and started again by whoever looks after it. */
export class Instance {
  private child: Child | undefined
  private readonly past: Child[] = []
  readonly faults: string[] = []

  constructor(
    readonly name: string,
    private readonly env: Record<string, string>,
  ) {}

  get base(): string {
    return `http://127.0.0.1:${this.env.PORT}`
  }

  get up(): boolean {
    return this.child !== undefined
  }

  /** Tries until it is ready, as an orchestrator does. */
  async start(): Promise<void> {
    const deadline = Date.now() + START_LIMIT
    while (Date.now() < deadline) {
      const child = await spawn(this.env)
      this.past.push(child)
      let ended = false
      void child.exited.then(() => {
        ended = true
        if (this.child === child) this.died(child)
      })
      await until(async () => ended || (await readiness(child)) === 200, START_LIMIT)
      if (!ended) {
        this.child = child
        return
      }
      // The first time nothing is broken yet: it would not work the next time either.
      if (this.past.length === 1) break
      await Bun.sleep(300)
    }
    throw new Error(`${this.name} does not start: ${this.past.at(-1)?.err()}`)
  }

  /** SIGKILL: nothing is said, saved or closed. */
  async kill(): Promise<void> {
    const { child } = this
    this.child = undefined
    child?.kill('SIGKILL')
    await child?.exited
  }

  /** SIGTERM: it has to end by itself, and well. */
  async drain(): Promise<void> {
    const { child } = this
    this.child = undefined
    if (!child) return
    child.kill('SIGTERM')
    const code = await Promise.race([child.exited, Bun.sleep(DRAIN_LIMIT)])
    if (code !== 0) this.faults.push(`${this.name} ended with ${code ?? 'nothing at all'} when it was told to stop`)
    child.kill('SIGKILL')
  }

  /** What is in its logs that must not be there. */
  complaints(): string[] {
    const bad = /unhandled rejection|uncaught exception|INTERNAL_ERROR|was settled before|segmentation|panic/i
    return this.past.flatMap(({ out, err }) =>
      `${out()}${err()}`
        .split('\n')
        .filter((line) => bad.test(line))
        .slice(0, 3)
        .map((line) => `${this.name} wrote: ${line.slice(0, 2000)}`),
    )
  }

  logs(): string {
    return this.past.map(({ out, err }) => out() + err()).join('\n---\n')
  }

  private died({ err, out }: Child): void {
    this.child = undefined
    this.faults.push(`${this.name} ended by itself: ${(out() + err()).slice(-1000)}`)
  }
}
