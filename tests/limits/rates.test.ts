import { afterEach, expect, test } from 'bun:test'
import { AppError } from '../../src/errors'
import { MemoryLimiter } from '../../src/limits/memory'
import { HOLD_MS, type Limiter } from '../../src/limits/port'
import { Rates } from '../../src/limits/rates'
import type { RateSettings } from '../../src/limits/rules'
import type { ChatEvent, ChatModel } from '../../src/llm/port'
import type { User } from '../../src/store/port'

const NONE: RateSettings = {
  requests: undefined,
  tokens: undefined,
  streams: undefined,
  key: undefined,
  address: undefined,
  routes: new Map(),
}
const person = (fields: Partial<User> = {}): User => ({
  tenantId: 't',
  userId: crypto.randomUUID(),
  email: null,
  name: 'Test',
  role: 'user',
  litellmKey: null,
  createdAt: null,
  ...fields,
})

const opened: Rates[] = []
afterEach(() => Promise.all(opened.splice(0).map((rates) => rates.close())))

function begin(settings: Partial<RateSettings> = {}) {
  let now = 0
  const memory = new MemoryLimiter({ now: () => now })
  let asked = 0
  const limiter: Limiter = {
    mode: 'memory',
    take: (ask) => {
      asked++
      return memory.take(ask)
    },
    correct: (buckets) => memory.correct(buckets),
    renew: (holds) => memory.renew(holds),
    release: (holds) => memory.release(holds),
    close: () => memory.close(),
  }
  const refused: string[] = []
  const rates = new Rates({
    limiter,
    settings: { ...NONE, ...settings },
    newId: () => crypto.randomUUID(),
    now: () => now,
    onRefused: (limit) => refused.push(limit),
  })
  opened.push(rates)
  return {
    rates,
    refused,
    asked: () => asked,
    pass(ms: number) {
      now += ms
    },
  }
}

const enter = async (rates: Rates, user: User, tokens = 1) => rates.enter({ user, tokens: () => tokens, streams: true })
const codeOf = (work: Promise<unknown>) => work.then(() => 'in').catch((error: AppError) => error.code)

async function* says(events: ChatEvent[], failure?: Error): AsyncGenerator<ChatEvent> {
  yield* events
  if (failure) throw failure
}
const model = (events: ChatEvent[], failure?: Error): ChatModel => ({ stream: () => says(events, failure) })
const request = { model: 'm', messages: [], params: {} }
const usage = (total_tokens: number): ChatEvent => ({
  type: 'usage',
  usage: { prompt_tokens: total_tokens, completion_tokens: 0, total_tokens },
})
const read = (answerer: ChatModel) => Array.fromAsync(answerer.stream(request, new AbortController().signal))

test('asks nobody where nothing is limited', async () => {
  const { rates, asked } = begin()
  expect(rates.limitsAddresses).toBe(false)
  expect(rates.address('203.0.113.7')).toBeUndefined()
  expect(rates.request(person({ keyId: 'k' }), 'GET /v1/keys')).toBeUndefined()
  const answerer = model(['hi'])
  expect((await enter(rates, person())).around(answerer)).toBe(answerer)
  expect(asked()).toBe(0)
})

test('asks once for everything that limits a request', async () => {
  const rate = { perMinute: 60, burst: 60 }
  const { rates, asked } = begin({ requests: rate, key: rate, routes: new Map([['GET /v1/keys', rate]]) })
  const user = person({ keyId: 'k', rateLimits: { user: null, tenant: { requests_per_minute: 600 } } })
  const verdict = await rates.request(user, 'GET /v1/keys')
  expect(verdict?.levels.map(({ name, capacity }) => [name, capacity])).toEqual([
    ['user', 60],
    ['tenant', 600],
    ['key', 60],
    ['route', 60],
  ])
  expect(asked()).toBe(1)
})

test('estimates only where tokens are limited', async () => {
  const { rates } = begin({ streams: 1 })
  const tokens = () => {
    throw new Error('Nobody needs it')
  }
  expect(await codeOf(rates.enter({ user: person(), tokens, streams: true }))).toBe('in')
})

test('corrects the tokens by what the answer took, and keeps what was taken when nobody says', async () => {
  const { rates, refused } = begin({ tokens: { perMinute: 100, burst: 100 } })
  const user = person()
  const events: ChatEvent[] = ['hi', usage(90)]
  expect(await read((await enter(rates, user, 20)).around(model(events)))).toEqual(events)
  expect(await codeOf(enter(rates, user, 11))).toBe('RATE_LIMIT_EXCEEDED')
  expect(refused).toEqual(['user-tokens'])
  const other = person()
  await read((await enter(rates, other, 60)).around(model(['hi'])))
  expect(await codeOf(enter(rates, other, 41))).toBe('RATE_LIMIT_EXCEEDED')
  expect(await codeOf(enter(rates, other, 40))).toBe('in')
})

test('gives everything back when a provider failed before it spoke, and what was taken not when it did later', async () => {
  const { rates } = begin({ tokens: { perMinute: 100, burst: 100 }, streams: 1 })
  const user = person()
  const broken = new AppError('UPSTREAM_ERROR', 'broken')
  expect(await codeOf(read((await enter(rates, user, 100)).around(model([], broken))))).toBe('UPSTREAM_ERROR')
  expect(await codeOf(read((await enter(rates, user, 100)).around(model(['hi'], broken))))).toBe('UPSTREAM_ERROR')
  expect(await codeOf(enter(rates, user, 1))).toBe('RATE_LIMIT_EXCEEDED')
})

test('frees a place when the reader leaves while the model is silent', async () => {
  const { rates } = begin({ streams: 1 })
  const user = person()
  const silence: AsyncIterable<ChatEvent> = {
    [Symbol.asyncIterator]: () => ({
      next: () => new Promise(() => {}),
      return: async () => ({ done: true, value: undefined }),
    }),
  }
  const pass = await enter(rates, user)
  const answer = pass.over(silence, new AbortController().signal)[Symbol.asyncIterator]()
  void answer.next()
  expect(await codeOf(enter(rates, user))).toBe('RATE_LIMIT_EXCEEDED')
  await answer.return?.()
  expect(await codeOf(enter(rates, user))).toBe('in')
})

test('holds a place for as long as the answer is made, and not for one that nobody ever reads', async () => {
  const { rates, pass } = begin({ streams: 1 })
  const [reader, forgetful] = [person(), person()]
  const wait = Promise.withResolvers<void>()
  const slow: ChatModel = {
    async *stream() {
      yield 'hi'
      await wait.promise
    },
  }
  const reading = read((await enter(rates, reader)).around(slow))
  ;(await enter(rates, forgetful)).around(slow)
  for (let i = 0; i < 10; i++) {
    pass(HOLD_MS / 3)
    await rates.renew()
  }
  expect(await codeOf(enter(rates, reader))).toBe('RATE_LIMIT_EXCEEDED')
  expect(await codeOf(enter(rates, forgetful))).toBe('in')
  wait.resolve()
  await reading
  expect(await codeOf(enter(rates, reader))).toBe('in')
})

test('gives back what was taken for an answer that was not begun', async () => {
  const { rates } = begin({ tokens: { perMinute: 10, burst: 10 }, streams: 1 })
  const user = person()
  const left = await enter(rates, user, 10)
  left.leave()
  left.leave()
  const begun = await enter(rates, user, 10)
  const answerer = begun.around(model(['hi', usage(10)]))
  // Its run goes on, whatever becomes of the request.
  begun.leave()
  expect(await codeOf(enter(rates, user, 1))).toBe('RATE_LIMIT_EXCEEDED')
  await read(answerer)
})
