import { Gathering, type Listener } from './gathering'
import { type FromWorker, WORKER } from './messages'

/** Deaths in a row, each soon after the start, after which it is of no use to start one more. */
const MOST_FAILURES = 5
/** Milliseconds a worker has to live for its death to be an accident. */
const STEADY = 10_000
const FIRST_PAUSE = 200
/** Milliseconds that workers get beyond what they themselves take to end. */
const SPARE = 5000

export interface SupervisorOptions {
  /** How many. */
  count: number
  /** What each runs, with the environment of this process and one name more. */
  command: string[]
  env: Record<string, string | undefined>
  /** Milliseconds a worker takes to end at most. */
  drainMs: number
  log: (level: 'info' | 'warn' | 'error', facts: object, message: string) => void
}

interface Worker extends Listener {
  place: number
  process: Bun.Subprocess
  ready: boolean
}

/** Keeps so many workers alive, and nothing else: it holds no connection and answers no request. */
export class Supervisor {
  private readonly workers = new Map<number, Worker>()
  private readonly failures = new Map<number, number>()
  private readonly gathering = new Gathering()
  private readonly ended = Promise.withResolvers<number>()
  private stopping = false
  /** What this process ends with. */
  private code = 0

  constructor(private readonly options: SupervisorOptions) {}

  /** @returns the exit code, when all have ended. */
  run(): Promise<number> {
    for (let place = 1; place <= this.options.count; place++) this.spawn(place)
    return this.ended.promise
  }

  /** Has all of them end their work and go. A second time means now. */
  stop(): void {
    if (this.stopping) {
      this.code = 1
      this.signal('SIGKILL')
      return
    }
    this.stopping = true
    this.signal('SIGTERM')
    setTimeout(() => this.late(), this.options.drainMs + SPARE).unref()
    this.over()
  }

  signal(signal: NodeJS.Signals): void {
    for (const { process } of this.workers.values()) process.kill(signal)
  }

  private spawn(place: number): void {
    const { command, env } = this.options
    const begun = performance.now()
    const child = Bun.spawn(command, {
      env: { ...env, [WORKER]: String(place) },
      stdio: ['ignore', 'inherit', 'inherit'],
      ipc: (message: FromWorker) => this.hear(worker, message),
    })
    const worker: Worker = {
      place,
      process: child,
      ready: false,
      // One that has just died hears nothing, and that is no harm.
      send: (message) => void (child.exitCode === null && child.send(message)),
    }
    this.workers.set(place, worker)
    void child.exited.then(() => this.died(worker, performance.now() - begun))
  }

  private hear(worker: Worker, message: FromWorker): void {
    if (message.kind === 'ready') worker.ready = true
    else if (message.kind === 'told') this.gathering.told(worker, message)
    else this.gathering.begin(worker, message.id, this.others(worker))
  }

  private others(worker: Worker): Worker[] {
    return [...this.workers.values()].filter((other) => other !== worker && other.ready)
  }

  private died(worker: Worker, lived: number): void {
    const { place, process } = worker
    const { exitCode, signalCode } = process
    this.workers.delete(place)
    this.gathering.gone(worker)
    if (this.stopping) {
      // One that was still starting knows no other way to end.
      if (exitCode !== 0 && (worker.ready || signalCode !== 'SIGTERM')) this.code = 1
      this.over()
    } else this.replace(worker, lived)
  }

  private replace({ place, process: { exitCode, signalCode } }: Worker, lived: number): void {
    const failures = lived < STEADY ? (this.failures.get(place) ?? 0) + 1 : 0
    this.failures.set(place, failures)
    const facts = { worker: place, code: exitCode, signal: signalCode }
    if (failures >= MOST_FAILURES) {
      this.giveUp(facts)
      return
    }
    this.options.log('warn', facts, 'a worker ended; another takes its place')
    const pause = failures === 0 ? 0 : FIRST_PAUSE * 2 ** (failures - 1)
    setTimeout(() => this.stopping || this.spawn(place), pause)
  }

  private giveUp(facts: object): void {
    this.options.log('error', facts, `a worker ended ${MOST_FAILURES} times right after its start; giving up`)
    this.code = 1
    this.stop()
  }

  private late(): void {
    this.options.log('error', { workers: [...this.workers.keys()] }, 'workers did not end in time and are killed')
    this.code = 1
    this.signal('SIGKILL')
  }

  private over(): void {
    if (this.workers.size === 0) this.ended.resolve(this.code)
  }
}
