import type { ChatServer } from '../hosts'
import { type Library, LibraryFiller } from '../lib/library'
import { procSample } from '../lib/proc-stat'
import { Samples } from '../lib/samples'
import type { Target } from '../targets'
import type { Context } from './context'

export interface LibraryRow {
  readonly what: string
  /** Milliseconds. */
  readonly p50: number
  readonly p95: number
  /** What is to be compared with the target: milliseconds, or a ratio of p95. */
  readonly figure: number
  readonly unit: 'ms' | '×' | 'MB'
  readonly atMost: number | undefined
}

type Ask = () => Promise<Response>

/** Reading, searching, writing and taking away in a database of a million messages: on Postgres only. */
export async function libraryPhase(context: Context, targets: readonly Target[]): Promise<LibraryRow[]> {
  const target = targets.find(({ name }) => name === 'postgres')
  if (!target) return []
  const { people, messagesEach } = context.plan.library.size
  // So many messages a second are written, the index on their words included.
  const needs = 30 + (people * 10 * messagesEach) / 5000
  const rows = await context.alone('library', needs, target, () => measure(context, target.host as ChatServer))
  return rows ?? []
}

async function measure(context: Context, server: ChatServer): Promise<LibraryRow[]> {
  const { size } = context.plan.library
  const filler = new LibraryFiller(server.databaseUrl ?? '', size)
  try {
    await filler.open(server.email)
    context.say(`library: writing ${size.people * 10 * size.messagesEach} messages of ${size.people} people`)
    const all = await filler.people()
    const search = await searched(context, server)
    context.say('library: writing what one of them has besides')
    const library = await filler.own()
    return [
      row(`search among ${all} messages of ${size.people + 1} people`, search, 50),
      ...(await used(context, server, library)),
      ...(await exported(context, server, library)),
    ]
  } finally {
    await filler.close()
  }
}

export const getter = (server: ChatServer) => (path: string) => () =>
  fetch(server.origin + path, { headers: server.headers })

/** Frequent and rare words, phrases, words there are not, and one that is written wrongly. */
const ASKED = ['w7', 'w431 w12', 'w9', '"w3 w5"', 'w15000', 'w2 or w1', 'nowhere', 'w43l1']

async function searched({ plan, say }: Context, server: ChatServer): Promise<Times> {
  say('library: searching')
  const get = getter(server)
  let turn = 0
  const ask = () => get(`/v1/conversations/search?q=${encodeURIComponent(ASKED[turn++ % ASKED.length] ?? '')}`)()
  const [times] = await sideBySide(plan.library.requests, [ask])
  return times
}

async function used({ plan, say }: Context, server: ChatServer, library: Library): Promise<LibraryRow[]> {
  say('library: reading and sending')
  const { requests, size } = plan.library
  const get = getter(server)
  const open = (id: string) => get(`/v1/conversations/${id}/messages?limit=50`)
  const [long, short] = await sideBySide(requests, [open(library.longId), open(library.shortId)])
  const send = (id: string) => () =>
    fetch(`${server.origin}/v1/chat/completions`, {
      method: 'POST',
      headers: server.headers,
      body: JSON.stringify({ message: 'hi', conversation_id: id, model: 'bench:4x0' }),
    })
  const [sendLong, sendShort] = await sideBySide(requests, [send(library.longId), send(library.shortId)])
  const [list] = await sideBySide(requests, [get('/v1/conversations?page=1&limit=20')])
  return [
    row('open a conversation of 10 messages', short),
    ratio(`open one of ${size.long} messages`, long, short),
    row('send into a conversation of 10 messages, to the end', sendShort),
    ratio(`send into one of ${size.long} messages`, sendLong, sendShort),
    row(`page 1 of the list of ${size.listed} conversations`, list, 10),
  ]
}

/** Milliseconds from asking to the last byte, the variants in turns so that the machine's moods meet them alike. */
export async function sideBySide<const T extends readonly Ask[]>(
  requests: number,
  variants: T,
): Promise<{ [K in keyof T]: Times }> {
  const samples = variants.map(() => new Samples())
  for (let i = -5; i < requests; i++) {
    for (const [n, ask] of variants.entries()) {
      const since = performance.now()
      const response = await ask()
      const body = await response.text()
      if (!response.ok) throw new Error(`${response.status}: ${body.slice(0, 300)}`)
      if (i >= 0) samples[n]?.add(performance.now() - since)
    }
  }
  return samples.map((s) => ({ p50: s.quantile(0.5), p95: s.quantile(0.95) })) as { [K in keyof T]: Times }
}

interface Times {
  readonly p50: number
  readonly p95: number
}

export const row = (what: string, { p50, p95 }: Times, atMost?: number): LibraryRow => ({
  what,
  p50,
  p95,
  figure: p95,
  unit: 'ms',
  atMost,
})

const ratio = (what: string, times: Times, than: Times): LibraryRow => ({
  what: `${what}: p95 beside the one above`,
  ...times,
  figure: times.p95 / than.p95,
  unit: '×',
  atMost: 1.2,
})

/** The server's memory while everything is streamed away: its first third beside its last. */
async function exported(context: Context, server: ChatServer, { exportTag }: Library): Promise<LibraryRow[]> {
  context.say('library: export')
  const before = procSample(server.pid)?.rssMb ?? 0
  const memory: number[] = []
  const watch = setInterval(() => memory.push(procSample(server.pid)?.rssMb ?? 0), 50)
  let bytes = 0
  const since = performance.now()
  try {
    const response = await fetch(`${server.origin}/v1/export/conversations`, {
      method: 'POST',
      headers: server.headers,
      body: JSON.stringify({ format: 'json', filter: { tag: exportTag } }),
    })
    if (!response.ok || !response.body) throw new Error(`export: ${response.status} ${await response.text()}`)
    for await (const chunk of response.body) bytes += chunk.byteLength
  } finally {
    clearInterval(watch)
  }
  const took = performance.now() - since
  const third = Math.floor(memory.length / 3)
  const highest = (from: number, to: number) => Math.max(before, ...memory.slice(from, to))
  const [early, late] = [highest(0, third), highest(memory.length - third, memory.length)]
  const what = `export of ${(bytes / 1e6).toFixed(0)} MB in ${(took / 1000).toFixed(1)} s: memory ${before.toFixed(0)} MB before, at most ${early.toFixed(0)} in the first third`
  return [
    {
      what: `${what}, ${late.toFixed(0)} in the last`,
      p50: took,
      p95: took,
      figure: late - early,
      unit: 'MB',
      atMost: 20,
    },
  ]
}
