/**
 * The benchmark: this server beside a direct connection and bare proxies, in one run on one machine.
 *
 *   bun bench/run.ts [--quick] [--only stateless,pglite] [--phases hold,soak | --skip soak,idle] [--out latest]
 *
 * Targets: direct (always), bare, parse, stateless, pglite, postgres, two-calls, edge (brings two-calls).
 * Phases: latency, throughput, hold, idle, governed, library, usage, workers, remote and sockets (on Postgres),
 * limiter, providers, soak.
 * Postgres comes from BENCH_DATABASE_URL, or is a private cluster for this run. Everything talks to 127.0.0.1, every
 * child process and directory is gone afterwards. Results: bench/results/latest.md and latest.json.
 */
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import { type Host, Upstream } from './hosts'
import { LoadProcess } from './lib/load-process'
import { machine } from './lib/machine'
import { cleanUp } from './lib/process'
import { Context } from './phases/context'
import { governedPhase } from './phases/governed'
import { holdPhase } from './phases/hold'
import { idlePhase } from './phases/idle'
import { type LatencyRow, latencyPhase } from './phases/latency'
import { libraryPhase } from './phases/library'
import { limiterPhase } from './phases/limiter'
import { providersPhase } from './phases/providers'
import { remotePhase } from './phases/remote'
import { soakPhase } from './phases/soak'
import { socketsPhase } from './phases/sockets'
import { startPhase } from './phases/start'
import { throughputPhase } from './phases/throughput'
import { usagePhase } from './phases/usage'
import { workersPhase } from './phases/workers'
import { full, quick } from './plan'
import { type Results, writeReport } from './report'
import { assemble, TARGET_NAMES, type Target, type TargetName } from './targets'

const PHASES = [
  ...(['latency', 'throughput', 'hold', 'idle', 'governed', 'library', 'usage', 'providers'] as const),
  ...(['limiter', 'remote', 'workers', 'soak', 'sockets'] as const),
] as const
type Phase = (typeof PHASES)[number]

/** A smoke test leaves out what needs no smoke test. */
const QUICK_TARGETS = ['direct', 'bare', 'stateless', 'pglite', 'postgres', 'two-calls', 'edge'] as const

interface Options {
  readonly quick: boolean
  /** The name of the files with the results. */
  readonly out: string
  readonly targets: ReadonlySet<TargetName>
  readonly phases: ReadonlySet<Phase>
}

function options(): Options {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      phases: { type: 'string' },
      skip: { type: 'string' },
      out: { type: 'string', default: 'latest' },
    },
  })
  const wanted = pick('phases', values.phases, PHASES) ?? PHASES
  const unwanted = pick('skip', values.skip, PHASES) ?? []
  return {
    quick: values.quick,
    out: basename(values.out),
    targets: new Set(pick('only', values.only, TARGET_NAMES) ?? (values.quick ? QUICK_TARGETS : TARGET_NAMES)),
    phases: new Set(wanted.filter((phase) => !unwanted.includes(phase))),
  }
}

function pick<T extends string>(flag: string, given: string | undefined, known: readonly T[]): T[] | undefined {
  const words = given?.split(',').map((word) => word.trim())
  return words?.map((word) => {
    const found = known.find((name) => name === word)
    if (found === undefined) throw new Error(`--${flag}: "${word}" is not one of ${known.join(', ')}`)
    return found
  })
}

async function bench({ quick: isQuick, targets: wished, phases }: Options): Promise<Results> {
  const plan = isQuick ? quick : full
  const upstream = new Upstream('fake upstream')
  const load = new LoadProcess()
  const context = new Context(plan, upstream, load)
  await upstream.start()
  const cast = await assemble(upstream, wished)
  const where = machine(cast.postgres?.version)
  for (const missing of cast.missing) context.problem(`not measured: ${missing}`)

  const hosts = [...new Set(cast.targets.map((target) => target.host))].filter((host) => host !== upstream)
  const start = await startPhase(context, hosts)
  const targets = cast.targets.filter((target) => target.direct || start.some((row) => row.host === target.host.name))
  const broad = targets.filter(({ supabase }) => supabase === undefined)
  const run = async <T>(phase: Phase, rows: () => Promise<T[]>) => (phases.has(phase) ? await rows() : [])

  const latency = await run('latency', () => latencies(context, targets))
  const throughput = await run('throughput', () => throughputPhase(context, broad))
  await stopAll(context, hosts)
  const hold = await run('hold', () => holdPhase(context, broad))
  const idle = await run('idle', () => idlePhase(context, broad))
  const governed = await run('governed', () => governedPhase(context, broad))
  const library = await run('library', () => libraryPhase(context, broad))
  const usage = await run('usage', () => usagePhase(context, broad))
  const providers = await run('providers', () => providersPhase(context))
  const limiter = await run('limiter', () => limiterPhase(context))
  const remote = await run('remote', () => remotePhase(context, broad))
  const workers = await run('workers', () => workersPhase(context, broad))
  const soak = await run('soak', () => soakPhase(context, broad))
  const sockets = await run('sockets', () => socketsPhase(context, broad))

  const single = { start, latency, throughput, hold, idle, governed, library, usage, providers, soak }
  const measured = { ...single, limiter, remote, workers, sockets }
  const { problems, leftOut, elapsedSeconds: seconds } = context
  await Promise.all([load.stop(), upstream.stop(), cast.postgres?.stop(), cast.supabase?.stop()])
  return {
    machine: where,
    mode: isQuick ? 'quick' : 'full',
    plan,
    seconds,
    ...measured,
    problems,
    leftOut,
  }
}

async function latencies(context: Context, targets: readonly Target[]): Promise<LatencyRow[]> {
  const rows: LatencyRow[] = []
  for (const scenario of context.plan.scenarios) {
    const here = targets.filter(({ supabase }) => scenario.edge || supabase === undefined)
    rows.push(...(await latencyPhase(context, here, scenario)))
  }
  return rows
}

/** From here on each process is measured alone. */
async function stopAll(context: Context, hosts: readonly Host[]): Promise<void> {
  for (const host of hosts) await context.attempt(`end of ${host.name}`, 0, () => host.stop())
}

/** Leaves nothing behind, however the run ends; a run that hangs is ended too. */
function guard(isQuick: boolean): void {
  const abandon = (why: string) => {
    process.stderr.write(`bench: ${why}\n`)
    cleanUp()
    process.exit(1)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => abandon(signal))
  process.on('unhandledRejection', (reason) => abandon(String(reason)))
  setTimeout(() => abandon('took too long'), (isQuick ? quick : full).budgetSeconds * 1.05 * 1000).unref()
}

const chosen = options()
guard(chosen.quick)
try {
  const results = await bench(chosen)
  process.stdout.write(writeReport(results, chosen.out))
  process.exitCode = results.problems.length > 0 ? 1 : 0
} finally {
  cleanUp()
}
