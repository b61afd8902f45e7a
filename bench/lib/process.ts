/** Starting, awaiting and ending the processes of a run, each by its own id. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Subprocess } from 'bun'

/** In a process started by a run: ends with its parent, however that ended (its stdin closes). */
export function exitWithParent(): void {
  if (process.env.BENCH_CHILD !== '1') return
  void (async () => {
    for await (const _line of console);
    process.exit(0)
  })()
}

export interface SpawnOptions {
  readonly command: readonly string[]
  /** The whole environment, besides PATH and HOME. */
  readonly env: Readonly<Record<string, string>>
  readonly cpus: string | undefined
  readonly cwd?: string
  readonly ownStdout?: boolean
}

type Child = Subprocess<'pipe', 'pipe', 'pipe'>

const children = new Set<Child>()
const MAX_LOG = 8_000

/** A child process and the end of what it wrote. */
export class Managed {
  #log = ''

  /** With `ownStdout` the caller reads stdout, else it goes to the log with stderr. */
  constructor(
    readonly child: Child,
    ownStdout: boolean,
  ) {
    children.add(child)
    void this.#collect(child.stderr)
    if (!ownStdout) void this.#collect(child.stdout)
  }

  get pid(): number {
    return this.child.pid
  }

  get log(): string {
    return this.#log
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  /** SIGTERM, then SIGKILL after `graceMs`. */
  async stop(graceMs = 4_000): Promise<void> {
    if (!this.ended) this.child.kill('SIGTERM')
    const impatience = setTimeout(() => this.child.kill('SIGKILL'), graceMs)
    await this.child.exited
    clearTimeout(impatience)
    children.delete(this.child)
  }

  async #collect(output: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder()
    for await (const bytes of output) {
      this.#log = (this.#log + decoder.decode(bytes, { stream: true })).slice(-MAX_LOG)
    }
  }
}

const taskset = Bun.which('taskset')

/** Whether processes can be bound to a core here. */
export const canPin = taskset !== null

/** The command bound to those cores, where that is possible. */
export function pin(cores: string | undefined, command: readonly string[]): string[] {
  return taskset === null || cores === undefined ? [...command] : [taskset, '-c', cores, ...command]
}

/** Binds this process to those cores, where that is possible, until it is called again. */
export function pinSelf(cores: string): void {
  if (taskset !== null) Bun.spawnSync([taskset, '-cp', cores, String(process.pid)])
}

export function start(options: SpawnOptions): Managed {
  const child = Bun.spawn({
    cmd: pin(options.cpus, options.command),
    env: {
      PATH: process.env.PATH ?? '',
      HOME: process.env.HOME ?? '',
      BENCH_CHILD: '1',
      ...options.env,
    },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  return new Managed(child, options.ownStdout ?? false)
}

const cleanups: (() => void)[] = []

/** Has `undo` done when the run is over, however it ended. Latest first. */
export function atEnd(undo: () => void): void {
  cleanups.unshift(undo)
}

/** Kills the children that are left and undoes the rest. May be called twice. */
export function cleanUp(): void {
  for (const child of children) child.kill('SIGKILL')
  children.clear()
  for (const undo of cleanups.splice(0)) undo()
}

/** A new directory that is removed at the end. */
export function tempDir(name: string): string {
  const dir = mkdtempSync(join(tmpdir(), `chat-bench-${name}-`))
  atEnd(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Waits until `url` answers 200 and returns the milliseconds since `since` (of `performance.now()`). */
export async function untilReady(managed: Managed, url: string, since: number, limitMs = 20_000): Promise<number> {
  while (performance.now() - since < limitMs) {
    if (managed.ended) throw new Error(`the process ended before it was ready:\n${managed.log}`)
    if (await answers(url)) return performance.now() - since
    await Bun.sleep(3)
  }
  throw new Error(`not ready after ${limitMs} ms: ${url}\n${managed.log}`)
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) })
    await response.arrayBuffer()
    return response.status === 200
  } catch {
    return false
  }
}

/** A port nobody listens on now. */
export function freePort(): number {
  const probe = Bun.listen({
    hostname: '127.0.0.1',
    port: 0,
    socket: { data() {} },
  })
  const { port } = probe
  probe.stop(true)
  return port
}
