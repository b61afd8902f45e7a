/** Where and with what a run was made, and which cores it uses. */
import { readFileSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'
import { join } from 'node:path'
import { canPin } from './process'

export const root = join(import.meta.dir, '..', '..')

export interface Machine {
  readonly date: string
  readonly commit: string
  readonly cpu: string
  readonly cores: number
  readonly memoryGb: number
  readonly loadAverage: number
  readonly versions: Readonly<Record<string, string>>
  /** How processes were bound to cores, in words. */
  readonly pinning: string
}

const coreCount = cpus().length
const pinned = canPin && coreCount > 1

/** The core the measured process has, and those of the load, the upstream and the databases; undefined = anywhere. */
export const targetCpus = pinned ? '1' : undefined
export const otherCpus = pinned
  ? cpus()
      .map((_, i) => i)
      .filter((i) => i !== 1)
      .join(',')
  : undefined

export const allCpus = cpus()
  .map((_, i) => i)
  .join(',')

export function machine(postgres: string | undefined): Machine {
  const packages = ['elysia', '@electric-sql/pglite', 'pg', 'drizzle-orm', 'eventsource-parser']
  return {
    date: new Date().toISOString(),
    commit: commit(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: coreCount,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    loadAverage: loadavg()[0] ?? 0,
    versions: {
      bun: Bun.version,
      ...Object.fromEntries(packages.map((name) => [name, packageVersion(name)])),
      ...(postgres === undefined ? {} : { postgres }),
    },
    pinning: pinned
      ? `the measured process on core ${targetCpus} alone; load, upstream, Postgres and the fake Supabase on core ${otherCpus}`
      : 'nothing pinned (no taskset, or one core)',
  }
}

function packageVersion(name: string): string {
  try {
    const text = readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')
    return (JSON.parse(text) as { version: string }).version
  } catch {
    return 'unknown'
  }
}

function commit(): string {
  const git = Bun.which('git')
  if (git === null) return 'unknown'
  const run = (...args: string[]) =>
    Bun.spawnSync([git, '-C', root, ...args])
      .stdout.toString()
      .trim()
  const hash = run('rev-parse', '--short', '--verify', '-q', 'HEAD')
  if (hash === '') return 'none yet'
  return run('status', '--porcelain', '--', 'src') === '' ? hash : `${hash} + changes`
}
