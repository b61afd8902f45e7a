/** What is compared, in the order of the report. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { EdgeServer, FakeSupabase, TwoCallsProxy } from './edge-hosts'
import { BareProxy, ChatServer, type Host, type Upstream } from './hosts'
import type { Aim } from './lib/job'
import { root } from './lib/machine'
import { openPostgres, type Postgres } from './lib/postgres'

export const TARGET_NAMES = ['direct', 'bare', 'parse', 'stateless', 'pglite', 'postgres', 'two-calls', 'edge'] as const
export type TargetName = (typeof TARGET_NAMES)[number]

export interface Target {
  readonly name: TargetName
  readonly label: string
  readonly shape: Aim['shape']
  readonly host: Host
  /** The upstream itself: everything else is compared with it. */
  readonly direct: boolean
  /** Of the comparison in Edge mode: what it calls. Measured in the scenarios that say so, and in no other phase. */
  readonly supabase: FakeSupabase | undefined
}

export interface Cast {
  readonly targets: readonly Target[]
  readonly postgres: Postgres | undefined
  readonly supabase: FakeSupabase | undefined
  /** Targets that cannot run here, and why. */
  readonly missing: readonly string[]
}

/** The wished targets that can run here. `direct` is always among them. */
export async function assemble(upstream: Upstream, wished: ReadonlySet<TargetName>): Promise<Cast> {
  const missing: string[] = []
  const targets: Target[] = []
  const add = (name: TargetName, label: string, host: Host, shape: Aim['shape'] = 'stateless') =>
    targets.push({ name, label, host, shape, direct: host === upstream, supabase: undefined })

  add('direct', 'direct to the upstream', upstream)
  if (wished.has('bare')) add('bare', 'bare Bun proxy, pass-through', new BareProxy('pass', upstream))
  if (wished.has('parse')) add('parse', 'bare Bun proxy, parse + re-emit', new BareProxy('parse', upstream))
  const servers = (['stateless', 'pglite', 'postgres', 'edge'] as const).filter((name) => wished.has(name))
  if (servers.length > 0 && !existsSync(join(root, 'src/index.ts'))) {
    return {
      targets,
      postgres: undefined,
      supabase: undefined,
      missing: [`${servers.join(', ')}: src/index.ts does not exist`],
    }
  }
  const embedded = new ChatServer(upstream)
  if (wished.has('stateless')) add('stateless', 'this server, stateless', embedded)
  if (wished.has('pglite')) add('pglite', 'this server, stored, PGlite', embedded, 'stored')
  let postgres: Postgres | undefined
  if (wished.has('postgres')) {
    try {
      postgres = await openPostgres()
      add('postgres', 'this server, stored, Postgres', new ChatServer(upstream, postgres.url), 'stored')
    } catch (error) {
      missing.push(`postgres: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  const supabase = wished.has('two-calls') || wished.has('edge') ? new FakeSupabase('fake Supabase') : undefined
  await supabase?.start()
  if (supabase) targets.push(...edgeTargets(upstream, supabase, wished))
  return { targets, postgres, supabase, missing }
}

/** Edge mode comes with its base line: a difference to nothing says nothing. */
function edgeTargets(upstream: Upstream, supabase: FakeSupabase, wished: ReadonlySet<TargetName>): Target[] {
  const calls: Target = {
    name: 'two-calls',
    label: 'bare Bun proxy, two Edge calls first',
    shape: 'stateless',
    host: new TwoCallsProxy(upstream, supabase),
    direct: false,
    supabase,
  }
  if (!wished.has('edge')) return [calls]
  const host = new EdgeServer(upstream, supabase)
  return [calls, { ...calls, name: 'edge', label: 'this server, Edge mode', shape: 'continued', host }]
}

/** Where the database of the run is, when there is Postgres. */
export function postgresUrl(targets: readonly Target[]): string | undefined {
  const host = targets.find(({ name }) => name === 'postgres')?.host
  return host instanceof ChatServer ? host.databaseUrl : undefined
}

/** How to ask `target` for an answer of `tokens` tokens at a pace (0 = as fast as possible). */
export function aimAt(target: Target, tokens: number, perSecond: number | 'idle'): Aim {
  const { port, key, pid } = target.host
  const model = perSecond === 'idle' ? 'bench:idle' : `bench:${tokens}x${perSecond}`
  return { port, key, pid, model, tokens, shape: target.shape }
}
