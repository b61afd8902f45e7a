/** Starts helper processes with their own log file, and ends each of them, whatever happens. */
import { openSync } from 'node:fs'
import { join } from 'node:path'

export type Child = {
  name: string
  exitCode(): number | null
  logTail(lines?: number): Promise<string>
}

export type ChildOptions = {
  name: string
  command: string[]
  env: Record<string, string>
  cwd: string
  logDir: string
}

const GRACE_MS = 5_000
const running = new Set<Bun.Subprocess>()
let stopping = false

/** Spawns in a process group of its own, so that whatever the child starts ends with it. */
export function spawn<Out extends 'pipe' | number, In extends 'pipe' | 'ignore'>(
  command: string[],
  options: { stdin: In; stdout: Out; stderr: Out; cwd?: string; env?: Record<string, string>; timeout?: number },
): Bun.Subprocess<In, Out, Out> {
  if (stopping) throw new Error('no more children: the run is ending')
  const subprocess = Bun.spawn(command, { ...options, detached: true })
  running.add(subprocess)
  return subprocess
}

export function startChild({ name, command, env, cwd, logDir }: ChildOptions): Child {
  const path = join(logDir, `${name}.log`)
  const log = openSync(path, 'a')
  const subprocess = spawn(command, { cwd, env, stdin: 'ignore', stdout: log, stderr: log })
  return {
    name,
    exitCode: () => subprocess.exitCode,
    logTail: async (lines = 40) => (await Bun.file(path).text()).trimEnd().split('\n').slice(-lines).join('\n'),
  }
}

export async function stopChildren(): Promise<void> {
  stopping = true
  await Promise.all([...running].map(stop))
  running.clear()
}

async function stop(subprocess: Bun.Subprocess): Promise<void> {
  if (subprocess.exitCode === null) signalGroup(subprocess.pid, 'SIGTERM')
  const force = setTimeout(() => signalGroup(subprocess.pid, 'SIGKILL'), GRACE_MS)
  await subprocess.exited
  clearTimeout(force)
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // The group has ended already.
  }
}

/** Waits until the URL answers 200; throws with the child's log when it ends or takes too long. */
export async function waitUntilReady(child: Child, url: string, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (Date.now() < deadline) {
    if (child.exitCode() !== null)
      throw new Error(`${child.name} ended with ${child.exitCode()}\n${await child.logTail()}`)
    const response = await fetch(url, {
      signal: AbortSignal.timeout(2_000),
    }).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.status === 200) return
    await Bun.sleep(200)
  }
  throw new Error(`${child.name} is not ready after ${timeoutMs / 1000} s (${url})\n${await child.logTail()}`)
}

/** Only these reach a child: a developer's own keys or database must not take part in a test. */
export function plainEnv(extra: Record<string, string>): Record<string, string> {
  const env: Record<string, string> = {}
  for (const name of ['PATH', 'HOME', 'TMPDIR', 'LANG']) {
    const value = process.env[name]
    if (value !== undefined) env[name] = value
  }
  return { ...env, ...extra }
}
