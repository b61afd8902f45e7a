import { answersFor, CrowdServer, openFiles } from '../crowd-host'
import type { Aim, CrowdResult } from '../lib/job'
import { postgresUrl, type Target } from '../targets'
import type { Context } from './context'

export interface SocketsRow extends CrowdResult {
  readonly what: string
  readonly streams: number
  /** Open and silent, and with an answer; KB of the process for each. */
  readonly kbOpen: number | undefined
  readonly kbEach: number | undefined
  readonly upstreamLagMs: number
}

const TRANSPORTS = [
  { what: 'WebSocket', shape: 'socket' },
  { what: 'SSE', shape: 'stored' },
] as const
type Transport = (typeof TRANSPORTS)[number]

/** Ten thousand connections to one process, each with a stored answer of a token per second, on Postgres. */
export async function socketsPhase(context: Context, targets: readonly Target[]): Promise<SocketsRow[]> {
  const url = postgresUrl(targets)
  if (url === undefined) return []
  const { openSeconds, rampSeconds, seconds } = context.plan.crowd
  const needs = 15 + openSeconds + rampSeconds + seconds * 1.25
  const rows: SocketsRow[] = []
  for (const transport of TRANSPORTS) {
    const what = `${context.plan.crowd.connections} connections, ${transport.what}`
    context.say(what)
    const row = await context.attempt(what, needs, () => measure(context, url, transport))
    if (row === undefined) continue
    context.check(what, row)
    rows.push(row)
  }
  return rows
}

async function measure(context: Context, url: string, { what, shape }: Transport): Promise<SocketsRow> {
  const { connections, people, ...crowd } = context.plan.crowd
  const server = new CrowdServer(context.upstream, url)
  try {
    await server.start()
    const keys = await server.people(people)
    const isSocket = shape === 'socket'
    const streams = answersFor(connections, isSocket)
    const open = isSocket ? connections : streams
    await context.upstream.takeWorstLagMs()
    const result = await context.load.run({
      ...{ mode: 'crowd', aim: aim(server, keys, crowd.seconds, shape), streams },
      ...{ ...crowd, open },
    })
    const fewer = streams < connections ? `, answers on ${streams}: ${openFiles()} files at most` : ''
    return row(`${what}${fewer}`, streams, result, await context.upstream.takeWorstLagMs())
  } finally {
    await server.stop()
  }
}

const aim = (server: CrowdServer, keys: readonly string[], tokens: number, shape: Aim['shape']): Aim => ({
  port: server.port,
  key: '',
  keys,
  pid: server.pid,
  model: `bench:${tokens}x1`,
  tokens,
  shape,
})

function row(what: string, streams: number, result: CrowdResult, upstreamLagMs: number): SocketsRow {
  const { rssBeforeMb: before, rssOpenMb: silent, open, process } = result
  const kb = (more: number | undefined | null, less: number | null, count: number) =>
    less === null || more === undefined || more === null ? undefined : ((more - less) * 1024) / count
  const kbOpen = result.sockets ? kb(silent, before, open) : undefined
  const kbAnswer = kb(process?.rssMb, silent, streams)
  const kbEach = kbAnswer === undefined ? undefined : (kbOpen ?? 0) + kbAnswer
  return { ...result, what, streams, kbOpen, kbEach, upstreamLagMs }
}
