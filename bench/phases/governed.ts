import { GovernedServer, PlainServer } from '../governed-hosts'
import type { ChatServer } from '../hosts'
import type { Aim, LoadResult } from '../lib/job'
import { median } from '../lib/samples'
import { postgresUrl, type Target } from '../targets'
import type { Context } from './context'

/** What it costs that every answer is paid for: medians of interleaved rounds. */
export interface GovernedRow {
  readonly what: string
  readonly plain: number
  readonly governed: number
  readonly unit: 'ms' | '/s'
  /** The difference in ms, or the share in percent; round by round, then the median. */
  readonly figure: number
  readonly range: readonly [number, number]
  readonly figureUnit: 'ms' | '%'
  readonly atMost?: number
  readonly atLeast?: number
}

interface Round {
  readonly plain: LoadResult
  readonly governed: LoadResult
}

/** The same stateless chats of one API key to a server with books and to one without, both on Postgres. */
export async function governedPhase(context: Context, targets: readonly Target[]): Promise<GovernedRow[]> {
  const url = postgresUrl(targets)
  if (url === undefined) return []
  const { rounds, seconds, requests } = context.plan.governed
  const needs = 10 + rounds * 2 * (seconds + requests / 45 + 1)
  const rows = await context.attempt('governed', needs, () => measure(context, url))
  return rows ?? []
}

async function measure(context: Context, url: string): Promise<GovernedRow[]> {
  const pair = { plain: new PlainServer(context.upstream, url), governed: new GovernedServer(context.upstream, url) }
  const hosts = Object.values(pair)
  try {
    for (const host of hosts) {
      await host.start()
      await host.prepare()
    }
    context.say('governed: as fast as possible')
    const fast = await inTurns(context, pair, throughputJob)
    context.say('governed: at the pace of a model')
    const paced = await inTurns(context, pair, pacedJob)
    return [
      share(`answers of ${TOKENS} tokens at full speed`, fast, 70),
      added('first token, p50', paced, (r) => r.firstToken.p50, 1),
      added('first token, p99', paced, (r) => r.firstToken.p99, 8),
      added('end of the answer, p50', paced, (r) => r.total.p50),
      added('end of the answer, p99', paced, (r) => r.total.p99),
      cpu('CPU of the server per answer', fast),
    ]
  } finally {
    for (const host of hosts) await host.stop()
  }
}

const CONNECTIONS = 10
const TOKENS = 100
/** Of the paced answers. */
const FEW = { tokens: 20, perSecond: 100 }

type JobOf = (context: Context, host: ChatServer) => Parameters<Context['load']['run']>[0]

const aim = ({ port, key, pid }: ChatServer, tokens: number, perSecond: number): Aim => ({
  port,
  key,
  pid,
  model: `bench:${tokens}x${perSecond}`,
  tokens,
  shape: 'stateless',
})

const throughputJob: JobOf = ({ plan }, host) => ({
  mode: 'closed',
  aim: aim(host, TOKENS, 0),
  concurrency: CONNECTIONS,
  requests: 1_000_000,
  seconds: plan.governed.seconds,
  warmup: 5,
  spreadMs: 0,
})

const pacedJob: JobOf = ({ plan }, host) => ({
  mode: 'closed',
  aim: aim(host, FEW.tokens, FEW.perSecond),
  concurrency: CONNECTIONS,
  requests: plan.governed.requests,
  seconds: 20,
  warmup: 1,
  spreadMs: (FEW.tokens / FEW.perSecond) * 1000,
  pauseMs: 100,
})

/** Who is first changes with each round; the very first one only warms the code. */
async function inTurns(
  context: Context,
  { plain, governed }: { plain: ChatServer; governed: ChatServer },
  job: JobOf,
): Promise<Round[]> {
  const rounds: Round[] = []
  const run = async (host: ChatServer) => {
    const result = await context.load.run(job(context, host))
    context.check(host.name, result as LoadResult)
    return result as LoadResult
  }
  for (let i = 0; i <= context.plan.governed.rounds; i++) {
    const order = i % 2 === 0 ? [plain, governed] : [governed, plain]
    const results = new Map<ChatServer, LoadResult>()
    for (const host of order) results.set(host, await run(host))
    const [a, b] = [results.get(plain), results.get(governed)]
    if (i > 0 && a && b) rounds.push({ plain: a, governed: b })
  }
  return rounds
}

const rate = (r: LoadResult) => r.requestsPerSecond

function share(what: string, rounds: readonly Round[], atLeast: number): GovernedRow {
  const each = rounds.map(({ plain, governed }) => (rate(governed) / rate(plain)) * 100)
  return { ...row(what, rounds, rate), unit: '/s', figureUnit: '%', ...spread(each), atLeast }
}

function added(what: string, rounds: readonly Round[], pick: (r: LoadResult) => number, atMost?: number): GovernedRow {
  const each = rounds.map(({ plain, governed }) => pick(governed) - pick(plain))
  return {
    ...row(what, rounds, pick),
    unit: 'ms',
    figureUnit: 'ms',
    ...spread(each),
    ...(atMost === undefined ? {} : { atMost }),
  }
}

const cpu = (what: string, rounds: readonly Round[]) =>
  added(what, rounds, ({ process, complete }) => ((process?.cpuSeconds ?? Number.NaN) * 1000) / complete)

const row = (what: string, rounds: readonly Round[], pick: (r: LoadResult) => number) => ({
  what,
  plain: median(rounds.map(({ plain }) => pick(plain))),
  governed: median(rounds.map(({ governed }) => pick(governed))),
})

const spread = (each: readonly number[]) => ({
  figure: median(each),
  range: [Math.min(...each), Math.max(...each)] as const,
})
