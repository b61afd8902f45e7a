import { ChatServer, type Upstream } from '../hosts'
import type { LoadResult } from '../lib/job'
import { leaves, procSample } from '../lib/proc-stat'
import { limitCpu } from '../lib/quota'
import { median } from '../lib/samples'
import { postgresUrl, type Target } from '../targets'
import type { Context } from './context'

/** The same load on one worker and on two: medians of interleaved rounds. */
export interface WorkersRow {
  readonly what: string
  readonly unit: '/s' | '/CPU s'
  readonly one: number
  readonly two: number
  /** Two over one, round by round. */
  readonly ratio: number
  readonly range: readonly [number, number]
  readonly atLeast?: number
  /** Of the last round: by the one, and by each of two, as the kernel shared the connections out. */
  readonly coresOne: number
  readonly coresEach: readonly number[]
}

/** Workers on any core, as in production: nothing here is pinned but by its share. */
class WorkerServer extends ChatServer {
  protected override readonly cpus = undefined

  constructor(
    upstream: Upstream,
    databaseUrl: string,
    readonly workers: number,
  ) {
    super(upstream, databaseUrl, `server, ${workers} worker(s)`)
  }

  protected override env(): Record<string, string> {
    return { ...super.env(), WORKERS: String(this.workers) }
  }
}

interface Pair {
  readonly one: WorkerServer
  readonly two: WorkerServer
}

interface Sample {
  readonly rate: number
  readonly perCpuSecond: number
  readonly cores: number
  readonly coresEach: readonly number[]
}

interface Round {
  readonly one: Sample
  readonly two: Sample
}

export async function workersPhase(context: Context, targets: readonly Target[]): Promise<WorkersRow[]> {
  const url = postgresUrl(targets)
  if (url === undefined) return []
  const { rounds, seconds } = context.plan.workers
  const needs = 15 + (rounds + 1) * 4 * (seconds + 1)
  context.say('workers')
  return (await context.attempt('workers', needs, () => measure(context, url))) ?? []
}

async function measure(context: Context, url: string): Promise<WorkersRow[]> {
  const { upstream, plan } = context
  const pair = { one: new WorkerServer(upstream, url, 1), two: new WorkerServer(upstream, url, 2) }
  const servers = Object.values(pair)
  try {
    for (const server of servers) await ready(server)
    const free = await inTurns(context, pair)
    const { share } = plan.workers
    const limited = servers.flatMap(({ pid }) => leaves(pid)).map((pid) => limitCpu(pid, share))
    if (limited.includes(false)) context.leftOut.push('workers with a share of a core each: no control groups here')
    const bound = limited.includes(false) ? [] : await inTurns(context, pair)
    return [
      ...(bound.length === 0 ? [] : [row(`answers, ${share} of a core each`, '/s', bound, 1.8)]),
      row('answers, all on these cores', '/s', free),
      row('answers by CPU of the workers', '/CPU s', free),
    ]
  } finally {
    for (const server of servers) await server.stop()
  }
}

/** All workers listen: a supervisor may say it is ready with the first. */
async function ready(server: WorkerServer): Promise<void> {
  await server.start()
  await server.prepare()
  for (let left = 100; leaves(server.pid).length < server.workers; left--) {
    if (left === 0) throw new Error(`${server.name}: ${leaves(server.pid).length} processes`)
    await Bun.sleep(100)
  }
  await Bun.sleep(1000)
}

/** Who is first changes with each round; the very first one only warms the code. */
async function inTurns(context: Context, { one, two }: Pair): Promise<Round[]> {
  const rounds: Round[] = []
  for (let i = 0; i <= context.plan.workers.rounds; i++) {
    const samples = new Map<WorkerServer, Sample>()
    for (const server of i % 2 === 0 ? [one, two] : [two, one]) samples.set(server, await sample(context, server))
    const [a, b] = [samples.get(one), samples.get(two)]
    if (i > 0 && a && b) rounds.push({ one: a, two: b })
  }
  return rounds
}

const TOKENS = 100

async function sample(context: Context, server: WorkerServer): Promise<Sample> {
  const { seconds, connections } = context.plan.workers
  const pids = leaves(server.pid)
  const cpu = () => pids.map((pid) => procSample(pid)?.cpuSeconds ?? 0)
  const aim = {
    port: server.port,
    key: server.key,
    model: `bench:${TOKENS}x0`,
    tokens: TOKENS,
    shape: 'stateless',
  } as const
  const before = cpu()
  const counts = { concurrency: connections, requests: 1_000_000, seconds, warmup: 0, spreadMs: 0 }
  const result: LoadResult = await context.load.run({ mode: 'closed', aim, ...counts })
  const used = cpu().map((after, i) => after - (before[i] ?? 0))
  context.check(server.name, result)
  const sum = used.reduce((a, b) => a + b, 0)
  const coresEach = used.map((each) => each / result.seconds)
  return { rate: result.requestsPerSecond, perCpuSecond: result.complete / sum, cores: sum / result.seconds, coresEach }
}

function row(what: string, unit: WorkersRow['unit'], rounds: readonly Round[], atLeast?: number): WorkersRow {
  const pick = ({ rate, perCpuSecond }: Sample) => (unit === '/s' ? rate : perCpuSecond)
  const ratios = rounds.map(({ one, two }) => pick(two) / pick(one))
  const last = rounds.at(-1)
  return {
    what,
    unit,
    one: median(rounds.map(({ one }) => pick(one))),
    two: median(rounds.map(({ two }) => pick(two))),
    ratio: median(ratios),
    range: [Math.min(...ratios), Math.max(...ratios)],
    ...(atLeast === undefined ? {} : { atLeast }),
    coresOne: last?.one.cores ?? Number.NaN,
    coresEach: last?.two.coresEach ?? [],
  }
}
