import { afterEach, describe, expect, test } from 'bun:test'
import { logOf } from '../../src/lib/run-parts'
import type { RunBatch, RunEnded, RunEvent, RunLog } from '../../src/runs/port'

export interface TestLog {
  log: RunLog
  /** Makes the time pass after which finished runs are forgotten. */
  expire: () => Promise<void> | void
  close: () => Promise<void> | void
}

const DONE: RunEnded = { type: 'done', finishReason: 'stop', usage: null, costUsd: null }
const START: RunEvent = { type: 'start', fields: { run_id: 'r' } }
const newRun = () => crypto.randomUUID()
const words = (n: number) => Array.from({ length: n }, (_, i) => `w${i + 1} `)

/** What every run log promises. */
export function runLogContract(name: string, open: () => Promise<TestLog> | TestLog): void {
  describe(`${name} as a run log`, () => {
    let opened: TestLog
    afterEach(() => opened.close())
    const start = async () => {
      opened = await open()
      return opened.log
    }

    test('numbers events from 1 without gaps', async () => {
      const writer = (await start()).create(newRun())
      expect(writer.seq).toBe(0)
      expect([START, 'a', 'b', DONE].map((event) => writer.append(event))).toEqual([1, 2, 3, 4])
      expect(writer.seq).toBe(4)
      expect(writer.events(1)).toEqual(['a', 'b', DONE])
    })

    test('gives a late reader everything after its number, in order, and then the end', async () => {
      const log = await start()
      const run = newRun()
      const writer = log.create(run)
      const all = [START, ...words(2000), DONE]
      for (const event of all) writer.append(event)
      for (const after of [0, 1, 700, 2001]) {
        expect(await read(log, run, after)).toEqual(all.slice(after))
      }
      expect(await read(log, run, 2002)).toEqual([])
      expect(await read(log, run, 5000)).toEqual([])
    })

    test('numbers what somebody says who goes on with it beyond all that was said before', async () => {
      const log = await start()
      const run = logOf({ id: newRun(), continued: 1 })
      const writer = log.create(run)
      const all: RunEvent[] = [START, { type: 'restart' }, 'a', 'b', DONE]
      expect(all.map((event) => writer.append(event))).toEqual([1, 10_000_002, 10_000_003, 10_000_004, 10_000_005])
      const last = writer.seq
      expect(last).toBe(10_000_005)
      const got = async (after: number) => Array.fromAsync(reading(log, run, after))
      expect(await got(0)).toEqual([
        { seq: 1, events: [START] },
        { seq: last - 3, events: all.slice(1) },
      ])
      // Numbers of the log before have none of it but the beginning.
      for (const after of [1, 57, 4_000_000])
        expect(await got(after)).toEqual([{ seq: last - 3, events: all.slice(1) }])
      expect(await got(last - 2)).toEqual([{ seq: last - 1, events: ['b', DONE] }])
      expect(await got(last)).toEqual([])
    })

    test('gives readers what comes while they wait', async () => {
      const log = await start()
      const run = newRun()
      const writer = log.create(run)
      const first = read(log, run, 0)
      writer.append(START)
      const second = read(log, run, 1)
      for (const word of words(50)) {
        writer.append(word)
        await Promise.resolve()
      }
      const third = read(log, run, 20)
      writer.append(DONE)
      const all = [START, ...words(50), DONE]
      expect(await first).toEqual(all)
      expect(await second).toEqual(all.slice(1))
      expect(await third).toEqual(all.slice(20))
    })

    test('keeps a waiting reader waiting until there is something', async () => {
      const log = await start()
      const run = newRun()
      const writer = log.create(run)
      writer.append(START)
      const reader = reading(log, run, 1)
      let got: unknown
      const next = reader.next().then((result) => {
        got = result.value
      })
      await Bun.sleep(1)
      expect(got).toBeUndefined()
      writer.append('a')
      await next
      expect(got).toEqual({ seq: 2, events: ['a'] })
      await reader.return?.()
    })

    test('lets a reader go at once, also while it waits', async () => {
      const log = await start()
      const run = newRun()
      const writer = log.create(run)
      const stays = read(log, run, 0)
      const reader = reading(log, run, 0)
      const waiting = reader.next()
      await reader.return?.()
      expect(await waiting).toEqual({ done: true, value: undefined })
      expect(await reader.next()).toEqual({ done: true, value: undefined })
      writer.append('a')
      writer.append(DONE)
      expect(await reader.next()).toEqual({ done: true, value: undefined })
      expect(await stays).toEqual(['a', DONE])
    })

    test.each<RunEnded>([
      DONE,
      { type: 'error', error: { message: 'x', code: 'UPSTREAM_ERROR', details: null, request_id: null } },
    ])('ends every reader after the terminal event, %j', async (terminal) => {
      const log = await start()
      const run = newRun()
      const writer = log.create(run)
      const readers = [read(log, run, 0), read(log, run, 1)]
      writer.append('a')
      writer.append(terminal)
      expect(await Promise.all(readers)).toEqual([['a', terminal], [terminal]])
    })

    test('counts as delivered what a reader took, and everything while one listens', async () => {
      const log = await start()
      const run = newRun()
      const writer = log.create(run)
      for (const event of ['a', 'b', 'c']) writer.append(event)
      expect(writer.delivered).toBe(0)
      const reader = reading(log, run, 0)
      await reader.next()
      expect(writer.delivered).toBe(3)
      writer.append('d')
      expect(writer.delivered).toBe(4)
      await reader.return?.()
      expect(writer.delivered).toBe(3)
    })

    test('forgets what nobody was given, and never what somebody was', async () => {
      const log = await start()
      const run = newRun()
      const writer = log.create(run)
      writer.append('a')
      const reader = reading(log, run, 0)
      await reader.next()
      await reader.return?.()
      for (const event of ['b', 'c', 'd']) writer.append(event)
      writer.truncate(3)
      expect(writer.events(0)).toEqual(['a', 'b', 'c'])
      writer.truncate(0)
      expect(writer.events(0)).toEqual(['a'])
      expect(writer.append(DONE)).toBe(2)
      expect(await read(log, run, 0)).toEqual(['a', DONE])
    })

    test('keeps runs apart and knows nothing of others', async () => {
      const log = await start()
      const [one, two] = [newRun(), newRun()]
      const writers = [log.create(one), log.create(two)]
      for (const [i, writer] of writers.entries()) {
        writer.append(`run ${i}`)
        writer.append(DONE)
      }
      expect(await read(log, one, 0)).toEqual(['run 0', DONE])
      expect(await read(log, two, 0)).toEqual(['run 1', DONE])
      expect(log.read(newRun(), 0)).toBeUndefined()
    })

    test('forgets finished runs in time, and running ones never', async () => {
      const log = await start()
      const [finished, running] = [newRun(), newRun()]
      log.create(finished).append(DONE)
      const writer = log.create(running)
      writer.append('a')
      await opened.expire()
      expect(log.read(finished, 0)).toBeUndefined()
      writer.append(DONE)
      expect(await read(log, running, 0)).toEqual(['a', DONE])
    })
  })
}

function reading(log: RunLog, run: string, after: number): AsyncIterableIterator<RunBatch> {
  const reader = log.read(run, after)
  if (!reader) throw new Error('The log does not hold the run')
  return reader
}

/** Reads to the end; fails on a gap, a repeat or an empty batch. */
async function read(log: RunLog, run: string, after: number): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  for await (const batch of reading(log, run, after)) {
    expect(batch.seq).toBe(after + events.length + 1)
    expect(batch.events.length).toBeGreaterThan(0)
    events.push(...batch.events)
  }
  return events
}
