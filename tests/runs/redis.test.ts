import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import type Redis from 'ioredis'
import { MemoryBus } from '../../src/bus/memory'
import { logOf } from '../../src/lib/run-parts'
import type { RunBatch, RunEvent, RunWriter } from '../../src/runs/port'
import { RedisRunLog } from '../../src/runs/redis'
import { connectRedis, type OwnRedis, ownRedis } from '../support/redis'
import { until } from '../support/servers'
import { runLogContract } from './contract'

const START: RunEvent = { type: 'start', fields: { run_id: 'r' } }
const DONE: RunEvent = { type: 'done', finishReason: 'stop', usage: null, costUsd: null }
/** A tick that never comes by itself: what is written then is written by the test's will alone. */
const NEVER = 3_600_000

let shared: Redis
let own: OwnRedis
let redis: Redis
const logs: RedisRunLog[] = []

beforeAll(async () => {
  shared = await connectRedis()
  own = await ownRedis()
  redis = await connectRedis(own.url)
})
afterEach(async () => {
  for (const log of logs.splice(0)) await log.close()
})
afterAll(async () => {
  shared.disconnect()
  redis.disconnect()
  await own.close()
})

runLogContract('the Redis log, where the answer is made', () => {
  const log = new RedisRunLog({ redis: shared, bus: new MemoryBus(), keepMs: 500, tickMs: NEVER })
  return { log, expire: () => Bun.sleep(600), close: () => log.close() }
})

function open({ on = shared, bus = new MemoryBus(), tickMs = 5 } = {}): RedisRunLog {
  const log = new RedisRunLog({ redis: on, bus, tickMs })
  logs.push(log)
  return log
}

const newRun = () => crypto.randomUUID()
const words = (n: number) => Array.from({ length: n }, (_, i) => `w${i + 1} `)
const say = (writer: RunWriter, events: RunEvent[]) => {
  for (const event of events) writer.append(event)
}
const keyOf = (run: string) => `aco:run:${run}`

/** What another server finds after a number, up to the first gap; every piece is checked for its number. */
async function found(log: RedisRunLog, run: string, after = 0): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  for (;;) {
    const batch: RunBatch | undefined = await log.shared.next(run, after + events.length)
    if (!batch) return events
    expect(batch.seq).toBe(after + events.length + 1)
    expect(batch.events.length).toBeGreaterThan(0)
    events.push(...batch.events)
  }
}

test('gives another server everything after a number, and the number of the end', async () => {
  const [here, there] = [open({ tickMs: NEVER }), open()]
  const run = newRun()
  const writer = here.create(run)
  const all: RunEvent[] = [
    { type: 'start', fields: { run_id: run } },
    ...words(3000),
    { type: 'delta', index: 0, delta: { content: 'ü\u0000\ud800' } },
    { type: 'restart' },
    'again',
    DONE,
  ]
  say(writer, all)
  await here.close()
  for (const after of [0, 1, 511, 512, 513, 2999, all.length - 1]) {
    expect(await found(there, run, after)).toEqual(all.slice(after))
  }
  expect(await found(there, run, all.length)).toEqual([])
  expect(await found(there, run, 9999)).toEqual([])
  expect(await there.shared.end(run)).toBe(all.length)
  expect(there.read(run, 0)).toBeUndefined()
})

test('gives another server what somebody says who goes on, whatever number it has of the log before', async () => {
  const [here, there] = [open(), open()]
  const id = newRun()
  say(here.create(id), [START, 'from ', 'before'])
  const run = logOf({ id, continued: 1 })
  const writer = here.create(run)
  say(writer, [START])
  await until(async () => (await there.shared.next(run, 0)) !== undefined)
  expect(await there.shared.next(run, 0)).toEqual({ seq: 1, events: [START] })
  expect(await there.shared.next(run, 3)).toBeUndefined()
  const rest: RunEvent[] = [{ type: 'restart' }, 'a', DONE]
  say(writer, rest)
  await until(async () => (await there.shared.end(run)) === writer.seq)
  for (const after of [1, 3, 4_000_000])
    expect(await there.shared.next(run, after)).toEqual({ seq: writer.seq - 2, events: rest })
  expect(await there.shared.next(run, writer.seq - 2)).toEqual({ seq: writer.seq - 1, events: ['a', DONE] })
  expect(await there.shared.next(id, 1)).toEqual({ seq: 2, events: ['from ', 'before'] })
})

test('knows no end of what goes on, and nothing of what never was', async () => {
  const [here, there] = [open(), open()]
  const run = newRun()
  say(here.create(run), ['a', 'b'])
  await until(async () => (await found(there, run)).length === 2)
  expect(await there.shared.end(run)).toBeUndefined()
  expect(await found(there, newRun())).toEqual([])
  expect(await there.shared.end(newRun())).toBeUndefined()
})

test('appends by time and not by event: thousands of events in one tick are a few entries of one pipeline', async () => {
  const run = newRun()
  const here = open({ tickMs: NEVER })
  const writer = here.create(run)
  say(writer, words(2000))
  expect(await shared.exists(keyOf(run))).toBe(0)
  writer.append(DONE)
  await here.close()
  expect(await shared.xlen(keyOf(run))).toBe(4)
})

test('leaves the pace of the others alone when an answer ends', async () => {
  const here = open({ tickMs: NEVER })
  const [goesOn, ...ending] = [newRun(), newRun(), newRun(), newRun()]
  const writer = here.create(goesOn)
  for (const run of ending) {
    writer.append('x')
    say(here.create(run), ['a', DONE])
    await until(async () => (await found(here, run)).length === 2)
  }
  expect(await shared.exists(keyOf(goesOn))).toBe(0)
  expect(writer.delivered).toBe(0)
})

test('keeps a stream short, however long the answer is written', async () => {
  const here = new RedisRunLog({ redis: shared, bus: new MemoryBus(), tickMs: 1, maxEntries: 5 })
  logs.push(here)
  const run = newRun()
  const writer = here.create(run)
  const lengths: number[] = []
  for (const [i, word] of words(23).entries()) {
    writer.append(word)
    await until(async () => (await found(here, run)).length === i + 1)
    lengths.push(await shared.xlen(keyOf(run)))
  }
  expect(Math.max(...lengths)).toBe(5)
  writer.append(DONE)
  await until(async () => (await here.shared.end(run)) === 24)
  expect(await found(here, run)).toEqual([...words(23), DONE])
})

test('wakes who waits elsewhere', async () => {
  const bus = new MemoryBus()
  const [here, there] = [open({ bus }), open({ bus })]
  const run = newRun()
  let woken = 0
  const end = there.shared.onMore(run, () => woken++)
  const writer = here.create(run)
  writer.append('a')
  await until(() => woken === 1)
  writer.append(DONE)
  await until(() => woken === 2)
  end()
  say(here.create(run), ['b', DONE])
  await until(async () => (await found(there, run)).length === 2)
  expect(woken).toBe(2)
})

test('counts as delivered what may have been read elsewhere', async () => {
  const [here, there] = [open(), open()]
  const run = newRun()
  const writer = here.create(run)
  say(writer, ['a', 'b'])
  await until(() => writer.delivered === 2)
  writer.truncate(0)
  expect(writer.events(0)).toEqual(['a', 'b'])
  expect(writer.append(DONE)).toBe(3)
  await until(async () => (await there.shared.end(run)) === 3)
  expect(await found(there, run)).toEqual(['a', 'b', DONE])
})

test('lets nothing lie for ever', async () => {
  const here = open()
  const run = newRun()
  const writer = here.create(run)
  writer.append('a')
  await until(async () => (await shared.xlen(keyOf(run))) === 1)
  expect(await shared.ttl(keyOf(run))).toBeGreaterThan(7000)
  writer.append(DONE)
  await until(async () => (await shared.xlen(keyOf(run))) === 2)
  const ttl = await shared.ttl(keyOf(run))
  expect(ttl).toBeGreaterThan(3500)
  expect(ttl).toBeLessThanOrEqual(3600)
})

test.each<[string, (run: string) => Promise<unknown>]>([
  ['is flushed', () => redis.flushall()],
  ['loses the beginning', (run) => redis.xtrim(keyOf(run), 'MAXLEN', 1)],
  [
    'goes back to an older state',
    async (run) => redis.xdel(keyOf(run), (await redis.xrange(keyOf(run), '2-0', '+'))[0]?.[0] ?? ''),
  ],
  ['has something else in its place', (run) => redis.set(keyOf(run), 'x')],
])('writes the stream anew when Redis %s in the middle', async (_, harm) => {
  const here = open({ on: redis })
  const run = newRun()
  const writer = here.create(run)
  const all: RunEvent[] = []
  for (const event of words(4)) {
    all.push(event)
    writer.append(event)
    await until(async () => (await found(here, run)).length === all.length)
  }
  await harm(run)
  writer.append(DONE)
  await until(async () => Bun.deepEquals(await found(here, run).catch(() => []), [...all, DONE]))
})

test('goes on while Redis is away, and gives it everything when it is back', async () => {
  const here = open({ on: redis })
  const [run, ended] = [newRun(), newRun()]
  const writer = here.create(run)
  say(writer, words(10))
  await until(async () => (await found(here, run)).length === 10)
  await own.kill()
  await until(() => redis.status !== 'ready')
  say(writer, words(10))
  say(here.create(ended), ['a', DONE])
  const before = writer.delivered
  expect(here.read(run, 0)).toBeDefined()
  await own.start()
  await until(async () => redis.status === 'ready' && (await found(here, ended)).length === 2)
  await until(async () => (await found(here, run)).length === 20)
  expect(before).toBeLessThanOrEqual(20)
  expect(await found(here, run)).toEqual([...words(10), ...words(10)])
  expect(await found(here, ended)).toEqual(['a', DONE])
})

test.each<[string, [string, string], [string, string]]>([
  ['is full', ['maxmemory', '1'], ['maxmemory', '0']],
  ['is read-only', ['min-replicas-to-write', '1'], ['min-replicas-to-write', '0']],
])('goes on while Redis %s, and gives it everything afterwards', async (_, [name, bad], [, good]) => {
  const here = open({ on: redis })
  const run = newRun()
  await redis.config('SET', name, bad)
  const writer = here.create(run)
  say(writer, words(3))
  await until(() => writer.delivered === 3)
  expect(await found(here, run)).toEqual([])
  await redis.config('SET', name, good)
  writer.append(DONE)
  await until(async () => (await found(here, run)).length === 4)
})

test('says what hung on the way no more than once when Redis answers again', async () => {
  const here = open({ on: redis })
  const run = newRun()
  const writer = here.create(run)
  say(writer, words(5))
  await until(async () => (await found(here, run)).length === 5)
  // Longer than commands are waited for: they are given up here, and done there afterwards.
  await redis.client('PAUSE', 2500)
  say(writer, words(5))
  await until(() => writer.delivered === 10)
  await Bun.sleep(1200)
  say(writer, [...words(5), DONE])
  const all = [...words(5), ...words(5), ...words(5), DONE]
  await until(async () => (await found(here, run).catch(() => [])).length === all.length)
  expect(await found(here, run)).toEqual(all)
  expect(await here.shared.end(run)).toBe(all.length)
})

test('gives up answers that ended while Redis was away for long, and not those that go on', async () => {
  const here = open({ on: redis })
  await own.kill()
  await until(() => redis.status !== 'ready')
  const going = newRun()
  here.create(going).append('a')
  const ended = Array.from({ length: 1001 }, newRun)
  for (const run of ended) here.create(run).append(DONE)
  await own.start()
  await until(async () => redis.status === 'ready' && (await found(here, ended[1000] ?? '')).length === 1)
  await until(async () => (await found(here, going)).length === 1)
  expect(await found(here, ended[1] ?? '')).toEqual([DONE])
  expect(await found(here, ended[0] ?? '')).toEqual([])
})
