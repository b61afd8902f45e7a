/** The results as a file for machines and a page for people. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Machine, root } from './lib/machine'
import { fixed, plus, table } from './lib/markdown'
import type { GovernedRow } from './phases/governed'
import type { HoldRow } from './phases/hold'
import type { IdleRow } from './phases/idle'
import type { LatencyRow, Spread } from './phases/latency'
import type { LibraryRow } from './phases/library'
import type { LimiterRow } from './phases/limiter'
import type { ProvidersRow } from './phases/providers'
import type { RemoteRow } from './phases/remote'
import type { SoakRow } from './phases/soak'
import type { SocketsRow } from './phases/sockets'
import type { StartRow } from './phases/start'
import type { ThroughputRow } from './phases/throughput'
import type { WorkersRow } from './phases/workers'
import type { Plan } from './plan'
import { instances } from './report-instances'

export interface Results {
  readonly machine: Machine
  readonly mode: 'full' | 'quick'
  readonly plan: Plan
  readonly seconds: number
  readonly start: readonly StartRow[]
  readonly latency: readonly LatencyRow[]
  readonly throughput: readonly ThroughputRow[]
  readonly hold: readonly HoldRow[]
  readonly idle: readonly IdleRow[]
  readonly governed: readonly GovernedRow[]
  readonly library: readonly LibraryRow[]
  readonly usage: readonly LibraryRow[]
  readonly providers: readonly ProvidersRow[]
  readonly limiter: readonly LimiterRow[]
  readonly remote: readonly RemoteRow[]
  readonly workers: readonly WorkersRow[]
  readonly sockets: readonly SocketsRow[]
  readonly soak: readonly SoakRow[]
  readonly problems: readonly string[]
  /** Measurements the time budget had no room for. */
  readonly leftOut: readonly string[]
}

/** Writes `<name>.json` and `<name>.md` into `bench/results` and returns the page. */
export function writeReport(results: Results, name: string): string {
  const dir = join(root, 'bench', 'results')
  mkdirSync(dir, { recursive: true })
  const page = markdown(results)
  writeFileSync(join(dir, `${name}.json`), `${JSON.stringify(results, null, 2)}\n`)
  writeFileSync(join(dir, `${name}.md`), page)
  return page
}

function markdown(results: Results): string {
  const { machine } = results
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`)
  const date = machine.date.slice(0, 16).replace('T', ' ')
  const load = fixed(machine.loadAverage, 2)
  const intro = [
    `# Benchmark, ${date} UTC${results.mode === 'quick' ? ' (quick smoke run)' : ''}`,
    '',
    `- ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GB; load average before the run ${load}`,
    `- ${versions.join(', ')}; commit ${machine.commit}`,
    `- Cores: ${machine.pinning}`,
    `- One run of ${fixed(results.seconds, 0)} s on one machine; compare the rows, not machines`,
  ]
  const parts = [
    firstToken(results),
    beyondCalls(results),
    perFrame(results),
    throughput(results),
    hold(results),
    memory(results),
    governed(results),
    library(results),
    usage(results),
    providers(results),
    ...instances(results),
    start(results),
  ]
  return `${[intro.join('\n'), ...parts, notes('Problems', results.problems), notes('Left out for lack of time', results.leftOut)].filter((part) => part !== '').join('\n\n')}\n`
}

function firstToken({ latency }: Results): string {
  const cell = (row: LatencyRow) => [
    isBase(row, latency) ? fixed(row.firstP50, 2) : plus(row.addedP50, 2),
    isBase(row, latency) ? fixed(row.firstP99, 2) : plus(row.addedP99, 2),
  ]
  const title = 'Time to first token: direct in ms, the others added over direct (median of interleaved rounds)'
  return byScenario(title, latency, cell)
}

/** ms at p50. */
const BEYOND_TARGET = 2

/** What this server adds to the two calls a turn in Edge mode cannot do without. */
function beyondCalls({ latency }: Results): string {
  const spread = ({ median, range: [least, most] }: Spread) =>
    `${plus(median, 2)} (${plus(least, 2)} to ${plus(most, 2)})`
  return table(
    'Edge mode: first token beyond the two calls, in ms (median of interleaved rounds, and their range)',
    ['', 'the two calls themselves, p50', 'beyond them, p50', 'p99', `p50 at most ${BEYOND_TARGET}`],
    latency.flatMap(({ scenario, beyondCalls }) => {
      if (beyondCalls === undefined) return []
      const { callsP50, p50, p99 } = beyondCalls
      return [[scenario, fixed(callsP50, 2), spread(p50), spread(p99), p50.median <= BEYOND_TARGET ? 'yes' : 'no']]
    }),
  )
}

function perFrame({ latency }: Results): string {
  const cell = (row: LatencyRow) => [
    isBase(row, latency) ? fixed(row.lateP50, 0) : plus(row.addedLateP50, 0),
    isBase(row, latency) ? fixed(row.lateP99, 0) : plus(row.addedLateP99, 0),
  ]
  return byScenario(
    'Time per frame, from the upstream writing it to the client reading it: µs, added as above',
    latency,
    cell,
  )
}

function isBase(row: LatencyRow, all: readonly LatencyRow[]): boolean {
  return row.target === all[0]?.target
}

function byScenario(title: string, rows: readonly LatencyRow[], cell: (row: LatencyRow) => string[]): string {
  const scenarios = [...new Set(rows.map((row) => row.scenario))]
  const lines = [...new Set(rows.map((row) => row.target))].map((target) => [
    target,
    ...scenarios.flatMap((scenario) => {
      const row = rows.find((r) => r.target === target && r.scenario === scenario)
      return row === undefined ? ['–', '–'] : cell(row)
    }),
  ])
  return table(title, ['', ...scenarios.flatMap((scenario) => [`${scenario}, p50`, 'p99'])], lines)
}

function throughput({ throughput: rows, plan }: Results): string {
  const { concurrency, tokens } = plan.throughput
  return table(
    `Closed loop, ${concurrency} workers, answers of ${tokens} tokens at full speed (direct = the bench's ceiling)`,
    ['', 'requests/s', 'frames/s', 'CPU per answer, ms', 'CPU per frame, µs', 'cores used'],
    rows.map((r) => [
      r.target,
      fixed(r.requestsPerSecond, 0),
      fixed(r.framesPerSecond, 0),
      fixed(r.cpuMsPerRequest, 2),
      fixed(r.cpuUsPerFrame, 1),
      fixed(r.cores, 2),
    ]),
  )
}

function hold({ hold: rows, plan }: Results): string {
  const { streams, tokensPerSecond, seconds } = plan.hold
  return table(
    `${streams} streams at once, ${tokensPerSecond} tokens/s each, ${seconds} s, target on one core`,
    [
      '',
      'complete',
      'open at once',
      'frames',
      'first token p99, ms',
      'frame p50, ms',
      'p99',
      'max',
      'p99 by thirds',
      'stream length p99',
      'cores used',
      'memory, MB',
      'upstream late by, ms',
    ],
    rows.map((r) => [
      r.target,
      `${r.complete}/${r.streams}`,
      String(r.peakOpen),
      `${r.receivedFrames}/${r.expectedFrames}`,
      fixed(r.firstToken.p99, 0),
      fixed(r.lateness.p50 / 1000, 2),
      fixed(r.lateness.p99 / 1000, 1),
      fixed(r.lateness.max / 1000, 0),
      r.thirds.map((third) => fixed(third.p99 / 1000, 1)).join(' → '),
      `${fixed(r.stretch.p99 * 100, 1)} %`,
      r.direct ? '–' : fixed(r.process?.cores, 2),
      r.direct ? '–' : fixed(r.process?.rssMb, 0),
      fixed(r.upstreamLagMs, 0),
    ]),
  )
}

function memory({ idle, soak, hold: held }: Results): string {
  const targets = [...new Set([...idle, ...soak].map((row) => row.target))]
  const lines = targets.map((target) => {
    const i = idle.find((row) => row.target === target)
    const s = soak.find((row) => row.target === target)
    const peak = Math.max(s?.peakMb ?? 0, held.find((row) => row.target === target)?.process?.peakMb ?? 0)
    return [
      target,
      i === undefined ? '–' : `${fixed(i.kbPerStream ?? undefined, 1)} (${i.open}/${i.streams} open)`,
      fixed(s?.startMb, 0),
      s === undefined ? '–' : `${fixed(s.afterFirstMb, 0)} (${s.firstStreams})`,
      s === undefined ? '–' : `${fixed(s.afterAllMb, 0)} (${s.allStreams})`,
      fixed(peak > 0 ? peak : undefined, 0),
    ]
  })
  const columns = [
    '',
    'KB per idle stream',
    'at start, MB',
    'after the first (streams)',
    'after all (streams)',
    'peak, MB',
  ]
  return table('Memory: idle streams, and short streams one after another', columns, lines)
}

function governed({ governed: rows }: Results): string {
  const met = ({ figure, atMost, atLeast }: GovernedRow) =>
    figure <= (atMost ?? Number.POSITIVE_INFINITY) && figure >= (atLeast ?? Number.NEGATIVE_INFINITY)
  const bound = ({ atMost, atLeast, figureUnit }: GovernedRow) =>
    atLeast === undefined ? (atMost === undefined ? '–' : `≤ ${atMost} ${figureUnit}`) : `≥ ${atLeast} ${figureUnit}`
  return table(
    'Every answer paid for (Postgres, people pay in advance, one API key, 10 connections) beside the same server without books: medians of interleaved rounds, and their range',
    ['', 'plain', 'governed', 'share, or added', 'range', 'promised', 'met'],
    rows.map((row) => [
      row.what,
      `${fixed(row.plain, 2)} ${row.unit}`,
      `${fixed(row.governed, 2)} ${row.unit}`,
      `${fixed(row.figure, 2)} ${row.figureUnit}`,
      row.range.map((end) => fixed(end, 2)).join(' to '),
      bound(row),
      bound(row) === '–' ? '–' : met(row) ? 'yes' : 'no',
    ]),
  )
}

function library({ library: rows, plan }: Results): string {
  const { people, messagesEach } = plan.library.size
  const title = `A database of ${people} people with ${10 * messagesEach} messages each, on Postgres; from asking to the last byte`
  return promised(title, rows)
}

function usage({ usage: rows, plan }: Results): string {
  const { people, theirs, mine } = plan.usage.size
  return promised(
    `A year of ${theirs + mine} answers of ${people + 1} people, on Postgres; from asking to the last byte`,
    rows,
  )
}

function promised(title: string, rows: readonly LibraryRow[]): string {
  return table(
    title,
    ['', 'p50, ms', 'p95, ms', 'figure', 'at most', 'met'],
    rows.map(({ what, p50, p95, figure, unit, atMost }) => [
      what,
      fixed(p50, 2),
      fixed(p95, 2),
      `${fixed(figure, 2)} ${unit}`,
      atMost === undefined ? '–' : `${atMost} ${unit}`,
      atMost === undefined ? '–' : figure <= atMost ? 'yes' : 'no',
    ]),
  )
}

function providers({ providers: rows }: Results): string {
  return table(
    'Routing, failover and translation, without the server around them: added time',
    ['', 'p50', 'p99', 'p50 at most', 'met'],
    rows.map(({ what, unit, p50, p99, atMost }) => [
      what,
      `${fixed(p50, 2)} ${unit}`,
      `${fixed(p99, 2)} ${unit}`,
      atMost === undefined ? '–' : `${atMost} ${unit}`,
      atMost === undefined ? '–' : p50 <= atMost ? 'yes' : 'no',
    ]),
  )
}

function start({ start: rows }: Results): string {
  return table(
    'Start',
    ['', 'first start (new database), ms', 'start to ready, ms', 'memory after start, MB'],
    rows.map((r) => [r.host, fixed(r.firstMs, 0), fixed(r.againMs, 0), fixed(r.rssMb, 0)]),
  )
}

function notes(title: string, list: readonly string[]): string {
  if (list.length === 0) return ''
  return [`## ${title}`, '', ...list.map((note) => `- ${note.split('\n').join(' ')}`)].join('\n')
}
