import { afterEach, expect, test } from 'bun:test'
import { MemoryOutbox } from '../support/memory-outbox'
import { until } from '../support/servers'
import { endRelays, event, receiver, relay, status } from '../support/webhook-relay'

const HOUR = 3_600_000

afterEach(endRelays)

test.each([
  ['answers 500', () => status(500)],
  ['answers 404', () => status(404)],
  ['sends elsewhere', () => status(307, { location: 'http://127.0.0.1:1/' })],
])('tries again later, under the same id, when the receiver %s', async (_, refusal) => {
  const { url, deliveries } = receiver((_, nth) => (nth === 1 ? refusal() : status(200)))
  const { outbox, clock, tried } = relay(url)
  const told = event()
  outbox.add(told)
  await until(() => outbox.kept.get(told.id)?.attempts === 1)
  expect(outbox.kept.get(told.id)?.error).toMatch(/^The receiver answered HTTP \d+$/)
  const wait = (outbox.kept.get(told.id)?.due ?? 0) - clock.at
  expect(wait).toBeGreaterThanOrEqual(5000)
  expect(wait).toBeLessThanOrEqual(10_000)
  clock.at += wait
  await until(() => outbox.kept.size === 0)
  expect(deliveries.map(({ headers }) => headers['webhook-id'])).toEqual([told.id, told.id])
  expect(deliveries[1]?.text).toBe(String(deliveries[0]?.text))
  expect(tried).toEqual(['balance.low failed', 'balance.low delivered'])
})

test('tries again when the receiver is down, and when it is silent', async () => {
  const dead = receiver()
  await dead.stop()
  const silent = receiver(() => new Promise(() => {}))
  for (const [url, why] of [
    [dead.url, /^The receiver cannot be reached \(\w+\)$/],
    [silent.url, /^The receiver did not answer within 0\.05 s$/],
  ] as const) {
    const { outbox } = relay(url, { timeoutMs: 50 })
    const told = event()
    outbox.add(told)
    await until(() => outbox.kept.get(told.id)?.attempts === 1)
    expect(outbox.kept.get(told.id)?.error).toMatch(why)
  }
})

test.each([
  ['120', () => '120', 120_000],
  ['1', () => '1', 5000],
  ['a date', () => new Date(Date.now() + 60_000).toUTCString(), 55_000],
  ['999999999', () => '999999999', 24 * HOUR],
  ['soon', () => 'soon', 5000],
])('waits as long as Retry-After: %s asks, within reason', async (_, header, least) => {
  const { url } = receiver(() => status(429, { 'retry-after': header() }))
  const { outbox, clock } = relay(url)
  const told = event()
  outbox.add(told)
  await until(() => outbox.kept.get(told.id)?.attempts === 1)
  const wait = (outbox.kept.get(told.id)?.due ?? 0) - clock.at
  expect(wait).toBeGreaterThanOrEqual(least)
  expect(wait).toBeLessThanOrEqual(Math.max(least + 10_000, 10_000))
})

test('waits longer each time, at most six hours, and gives up after three days', async () => {
  const { url, deliveries } = receiver(() => status(503))
  const { outbox, clock, log, tried } = relay(url)
  const told = event({ createdAt: new Date(clock.at) })
  outbox.add(told)
  const waits: number[] = []
  const begun = clock.at
  for (let tries = 1; outbox.kept.size > 0; tries++) {
    await until(() => outbox.kept.size === 0 || outbox.kept.get(told.id)?.attempts === tries)
    const due = outbox.kept.get(told.id)?.due
    if (due === undefined) break
    waits.push(due - clock.at)
    clock.at = due
  }
  for (const [i, wait] of waits.entries()) {
    const longest = Math.min(6 * HOUR, 10_000 * 2 ** i)
    expect(wait).toBeGreaterThanOrEqual(longest / 2)
    expect(wait).toBeLessThanOrEqual(longest)
  }
  expect(clock.at - begun).toBeGreaterThan(60 * HOUR)
  expect(clock.at - begun).toBeLessThanOrEqual(72 * HOUR)
  expect(deliveries).toHaveLength(waits.length + 1)
  expect(log).toEqual([
    {
      level: 'error',
      facts: {
        event_id: told.id,
        type: 'balance.low',
        tries: waits.length + 1,
        reason: 'The receiver answered HTTP 503',
      },
      message: 'an event is given up: nobody will be told',
    },
  ])
  expect(tried.at(-1)).toBe('balance.low dropped')
})

test('does not give up what it had no chance to tell, because it was away itself', async () => {
  const { url } = receiver((_, nth) => status(nth === 1 ? 500 : 200))
  const { outbox, clock, log } = relay(url)
  const old = event({ createdAt: new Date(clock.at - 100 * HOUR) })
  outbox.add(old)
  await until(() => outbox.kept.get(old.id)?.attempts === 1)
  clock.at += 10_000
  await until(() => outbox.kept.size === 0)
  expect(log).toEqual([])
})

test('gives up at once what the receiver says is gone', async () => {
  const { url, deliveries } = receiver(() => status(410))
  const { outbox, log, tried } = relay(url)
  outbox.add(event())
  await until(() => outbox.kept.size === 0)
  expect(deliveries).toHaveLength(1)
  expect(log).toHaveLength(1)
  expect(tried).toEqual(['balance.low dropped'])
})

test('tells again, under the same id, what was sent but not written down', async () => {
  const { url, deliveries } = receiver()
  const outbox = new MemoryOutbox()
  const told = event()
  outbox.add(told)
  const done = outbox.done.bind(outbox)
  outbox.done = async () => {
    throw new Error('the database is away')
  }
  const { log, clock } = relay(url, { outbox })
  await until(() => log.length === 1)
  expect(log[0]?.message).toBe('what became of an event could not be written down')
  outbox.done = done
  expect(deliveries).toHaveLength(1)
  clock.at += 60_000
  await until(() => outbox.kept.size === 0)
  expect(deliveries.map(({ body }) => body.id)).toEqual([told.id, told.id])
})

test('goes on when the database was away, and says so once', async () => {
  const { url, deliveries } = receiver()
  const outbox = new MemoryOutbox()
  const claim = outbox.claim.bind(outbox)
  let refused = 0
  outbox.claim = async () => {
    refused += 1
    throw new Error('away')
  }
  const { log } = relay(url, { outbox })
  await until(() => refused > 3)
  expect(log).toHaveLength(1)
  outbox.add(event())
  outbox.claim = claim
  await until(() => deliveries.length === 1)
})
