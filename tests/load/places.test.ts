import { afterEach, expect, test } from 'bun:test'
import type { AppError } from '../../src/errors'
import type { ChatEvent, ChatModel, ChatRequest } from '../../src/llm/port'
import { Places, type Standing } from '../../src/load/places'
import { until } from '../support/servers'

const REQUEST: ChatRequest = { model: 'm', messages: [], params: {} }
const never = new AbortController().signal
const releases: (() => void)[] = []
afterEach(() => {
  for (const release of releases.splice(0)) release()
})

/** `most` places, all taken. */
async function fullHouse(most: number, queue: number, patienceMs = 60_000) {
  const shed: Standing[] = []
  const places = new Places({ most, queue, patienceMs, onShed: (standing) => shed.push(standing) })
  const held = await Promise.all(Array.from({ length: most }, () => places.take('metered')))
  releases.push(...held)
  return { places, held, shed }
}

/** What somebody gets who asks: a way to give it back, or why not. */
function ask(places: Places, standing: Standing, signal?: AbortSignal) {
  const asked = { release: undefined as (() => void) | undefined, error: undefined as AppError | undefined }
  const over = places.take(standing, signal).then(
    (release) => {
      asked.release = release
    },
    (error) => {
      asked.error = error
    },
  )
  return Object.assign(asked, { over })
}

test('gives so many places, lets so many wait, and refuses the next at once', async () => {
  const { places, held, shed } = await fullHouse(5, 3)
  const waiting = [1, 2, 3].map(() => ask(places, 'metered'))
  const ninth = ask(places, 'metered')
  await ninth.over
  expect(ninth.error).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE', status: 503, details: { reason: 'overloaded' } })
  expect(ninth.error?.retryAfter).toBeGreaterThan(0)
  expect({ taken: places.taken, waiting: places.waiting, shed }).toEqual({ taken: 5, waiting: 3, shed: ['metered'] })
  held[0]?.()
  await waiting[0]?.over
  expect(waiting.map(({ release }) => release !== undefined)).toEqual([true, false, false])
  for (const release of held) release()
  await Promise.all(waiting.map(({ over }) => over))
  expect({ taken: places.taken, waiting: places.waiting }).toEqual({ taken: 3, waiting: 0 })
  for (const { release } of waiting) release?.()
  expect(places.taken).toBe(0)
})

test('lets whoever has paid go first, and those of one standing in their order', async () => {
  const { places, held } = await fullHouse(1, 10)
  const order: string[] = []
  const standings: Standing[] = ['background', 'metered', 'paid', 'background', 'metered', 'paid']
  const all = standings.map(async (standing, i) => {
    const release = await places.take(standing)
    order.push(`${standing} ${i}`)
    release()
  })
  held[0]?.()
  await Promise.all(all)
  expect(order).toEqual(['paid 2', 'paid 5', 'metered 1', 'metered 4', 'background 0', 'background 3'])
  expect(places.taken).toBe(0)
})

test('makes room in a full queue by refusing the last of a lower standing', async () => {
  const { places, shed } = await fullHouse(1, 2)
  const background = ask(places, 'background')
  const metered = ask(places, 'metered')
  const paid = ask(places, 'paid')
  await background.over
  expect(background.error).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' })
  const late = ask(places, 'background')
  const also = ask(places, 'metered')
  await Promise.all([late.over, also.over])
  expect([late.error?.status, also.error?.status, paid.error, metered.error]).toEqual([503, 503, undefined, undefined])
  expect(shed).toEqual(['background', 'background', 'metered'])
  expect(places.waiting).toBe(2)
})

test('refuses who has waited too long', async () => {
  const { places, shed } = await fullHouse(1, 2, 20)
  const asked = ask(places, 'paid')
  await asked.over
  expect(asked.error).toMatchObject({ status: 503 })
  expect({ waiting: places.waiting, shed }).toEqual({ waiting: 0, shed: ['paid'] })
})

test('forgets who leaves while waiting, and counts a place that is given back twice once', async () => {
  const { places, held, shed } = await fullHouse(2, 2)
  const reader = new AbortController()
  const asked = ask(places, 'metered', reader.signal)
  const left = new Error('left')
  reader.abort(left)
  await asked.over
  expect(asked.error as Error | undefined).toBe(left)
  expect({ waiting: places.waiting, shed }).toEqual({ waiting: 0, shed: [] })
  held[0]?.()
  held[0]?.()
  expect(places.taken).toBe(1)
})

/** Says as much as it is told to; ends, like a provider's stream, when its signal aborts. */
function scripted(events: ChatEvent[], after: 'ends' | 'fails' | 'hangs'): ChatModel {
  return {
    async *stream(_, signal) {
      yield* events
      if (after === 'fails') throw new Error('broke')
      if (after === 'hangs' && !signal.aborted) {
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      }
    },
  }
}

test.each(['ends', 'fails'] as const)('has the place of a stored answer back when that %s', async (after) => {
  const places = new Places({ most: 1, queue: 0 })
  const model = places.keep(scripted(['a', 'b'], after), await places.take('metered'))
  const heard: ChatEvent[] = []
  const read = async () => {
    for await (const event of model.stream(REQUEST, never)) heard.push(event)
  }
  const failure = await read().catch((error: Error) => error.message)
  expect(failure).toBe(after === 'fails' ? 'broke' : undefined)
  expect(heard).toEqual(['a', 'b'])
  expect(places.taken).toBe(0)
})

test('has the place back of an answer whose reader stops reading', async () => {
  const places = new Places({ most: 1, queue: 0 })
  const model = places.keep(scripted(['a', 'b'], 'hangs'), await places.take('metered'))
  for await (const event of model.stream(REQUEST, never)) if (event === 'a') break
  expect(places.taken).toBe(0)
})

test('lends no place to an answer that nobody begins to read', async () => {
  const places = new Places({ most: 1, queue: 0 })
  const events = places.borrow((signal) => scripted(['a'], 'ends').stream(REQUEST, signal), {
    standing: 'metered',
    signal: never,
  })
  expect(places.taken).toBe(0)
  expect(await Array.fromAsync(events)).toEqual(['a'])
  expect(places.taken).toBe(0)
})

/** Reads until the end. */
async function readAll(events: AsyncIterable<ChatEvent>, heard: ChatEvent[]) {
  for await (const event of events) heard.push(event)
}

test('ends an answer that nobody keeps when its reader leaves, and when the process ends', async () => {
  const places = new Places({ most: 5, queue: 0 })
  const reader = new AbortController()
  const borrow = (signal: AbortSignal, after: 'ends' | 'hangs', events: ChatEvent[] = ['a']) =>
    places.borrow((end) => scripted(events, after).stream(REQUEST, end), { standing: 'metered', signal })
  const left: ChatEvent[] = []
  const leaving = readAll(borrow(reader.signal, 'hangs'), left)
  await until(() => left.length === 1)
  reader.abort()
  await leaving
  expect(places.taken).toBe(0)

  const cut: ChatEvent[] = []
  const complete: ChatEvent[] = []
  const cutting = readAll(borrow(never, 'hangs'), cut).catch((error: AppError) => error)
  const finish: ChatEvent = { type: 'finish', index: 0, reason: 'stop' }
  // It has said how it ended: nothing is missing.
  const completing = readAll(borrow(never, 'hangs', ['b', finish]), complete)
  await until(() => cut.length === 1 && complete.length === 2)
  await places.close(0)
  expect(await cutting).toMatchObject({
    code: 'UPSTREAM_UNAVAILABLE',
    details: { reason: 'server_draining', resumable: false },
  })
  await completing
  expect([cut, complete]).toEqual([['a'], ['b', finish]])
  expect(places.taken).toBe(0)
  const late = ask(places, 'paid')
  await late.over
  expect(late.error).toMatchObject({ details: { reason: 'server_draining' } })
})

test('waits for answers that nobody keeps before it closes', async () => {
  const places = new Places({ most: 1, queue: 0 })
  const { promise: go, resolve } = Promise.withResolvers<void>()
  const source = async function* (): AsyncGenerator<ChatEvent> {
    yield 'a'
    await go
    yield 'b'
  }
  const heard: ChatEvent[] = []
  const reading = readAll(places.borrow(source, { standing: 'metered', signal: never }), heard)
  await until(() => heard.length === 1)
  const closing = places.close(60_000)
  resolve()
  await Promise.all([reading, closing])
  expect(heard).toEqual(['a', 'b'])
})
