/** The part of the page about many connections and many servers. */
import { fixed, table } from './lib/markdown'
import type { Results } from './report'

type Several = Pick<Results, 'limiter' | 'remote' | 'workers' | 'sockets' | 'plan'>

export const instances = (results: Several): string[] => [
  sockets(results),
  workers(results),
  remote(results),
  limiter(results),
]

function sockets({ sockets: rows, plan }: Several): string {
  const { connections, seconds, people } = plan.crowd
  return table(
    `${connections} connections to one process on one core, stored answers of ${seconds} tokens at 1/s on each, of ${people} people, on Postgres`,
    [
      '',
      'open',
      'complete',
      'answering at once',
      'KB each, silent',
      'KB each, answering',
      'first token p99, ms',
      'token p50, ms',
      'p99',
      'max',
      'p99 by thirds',
      'cores used',
      'memory, MB',
      'upstream late by, ms',
    ],
    rows.map((r) => [
      r.what,
      String(r.open),
      `${r.complete}/${r.streams}`,
      String(r.peakOpen),
      fixed(r.kbOpen, 1),
      fixed(r.kbEach, 1),
      fixed(r.firstToken.p99, 0),
      fixed(r.lateness.p50 / 1000, 1),
      fixed(r.lateness.p99 / 1000, 0),
      fixed(r.lateness.max / 1000, 0),
      r.thirds.map((third) => fixed(third.p99 / 1000, 0)).join(' → '),
      fixed(r.process?.cores, 2),
      fixed(r.process?.rssMb, 0),
      fixed(r.upstreamLagMs, 0),
    ]),
  )
}

function workers({ workers: rows }: Several): string {
  return table(
    'One worker and two (Postgres, stateless answers of 100 tokens at full speed): medians of interleaved rounds',
    ['', 'one', 'two', 'two / one', 'range', 'at least', 'met', 'cores used by one', 'by each of two'],
    rows.map(({ what, unit, one, two, ratio, range, atLeast, coresOne, coresEach }) => [
      what,
      `${fixed(one, 0)} ${unit}`,
      `${fixed(two, 0)} ${unit}`,
      fixed(ratio, 2),
      range.map((end) => fixed(end, 2)).join(' to '),
      fixed(atLeast, 1),
      atLeast === undefined ? '–' : ratio >= atLeast ? 'yes' : 'no',
      fixed(coresOne, 2),
      coresEach.map((cores) => fixed(cores, 2)).join(', '),
    ]),
  )
}

/** ms at p50. */
const REMOTE_AT_MOST = 60

function remote({ remote: rows }: Several): string {
  const [row] = rows
  if (row === undefined) return ''
  const line = (what: string, { complete, lateness, process }: (typeof row)['local'], atMost?: number) => [
    what,
    `${complete}/${row.streams}`,
    fixed(lateness.p50 / 1000, 1),
    fixed(lateness.p99 / 1000, 1),
    fixed(lateness.max / 1000, 0),
    fixed(process?.cores, 2),
    fixed(atMost, 0),
    atMost === undefined ? '–' : lateness.p50 / 1000 <= atMost ? 'yes' : 'no',
  ]
  return table(
    `${row.streams} answers of ${row.tokensPerSecond} tokens/s, each read from two servers on one Redis: a token's delay from the upstream`,
    ['', 'complete', 'p50, ms', 'p99', 'max', 'cores used', 'p50 at most', 'met'],
    [line('at the server that makes it', row.local), line('at the other, through Redis', row.remote, REMOTE_AT_MOST)],
  )
}

function limiter({ limiter: rows, plan }: Several): string {
  return table(
    `Counting a request, without the server around it: µs, medians of ${plan.limiter.rounds} interleaved rounds of ${plan.limiter.requests}`,
    ['', 'p50', 'p99', 'CPU', 'CPU, 64 at once', 'per second, 64 at once', 'p50 at most', 'met'],
    rows.map(({ what, p50, p99, cpuUs, cpuAtOnceUs, perSecond, atMost }) => [
      what,
      fixed(p50, 1),
      fixed(p99, 0),
      fixed(cpuUs, 1),
      fixed(cpuAtOnceUs, 1),
      fixed(perSecond, 0),
      fixed(atMost, 0),
      atMost === undefined ? '–' : p50 <= atMost ? 'yes' : 'no',
    ]),
  )
}
