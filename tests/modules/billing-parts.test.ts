import { afterAll, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AppError } from '../../src/errors'
import { DEFAULT_TENANT, newId } from '../../src/lib/ids'
import { scaledParts, withMargin } from '../../src/lib/margin'
import { Catalog } from '../../src/llm/catalog'
import { estimated } from '../../src/llm/estimate'
import type { ChatEvent, ChatModel, UsageEvent } from '../../src/llm/port'
import { Rater } from '../../src/llm/rater'
import { Tokenizer } from '../../src/llm/tokenizer'
import { Journal } from '../../src/modules/billing/journal'
import { Billing } from '../../src/modules/billing/service'
import { Settler } from '../../src/modules/billing/settler'
import type { User } from '../../src/store/port'
import type { Settlement } from '../../src/store/port-money'
import { FakeBooks } from '../support/books'
import { deploymentOf, Scripted } from '../support/scripted'
import { until } from '../support/servers'

const tokenizer = new Tokenizer()
const dir = mkdtempSync(join(tmpdir(), 'orchestrator-billing-'))
afterAll(() => {
  tokenizer.close()
  rmSync(dir, { recursive: true, force: true })
})

const DOLLAR = 1_000_000_000n
const [INPUT, OUTPUT] = [1000n, 2000n]
const provider = Object.assign(new Scripted('p'), { cost: () => null })
const deployment = deploymentOf(provider, {
  model: 'gpt-4o-x',
  facts: { prices: { input: DOLLAR, output: 2n * DOLLAR }, priceSource: 'test' },
})
const rater = new Rater({
  catalog: new Catalog(() => undefined),
  estimate: (asked) => estimated(asked, tokenizer),
  policy: 'refuse',
  cancelled: 'cancel',
})
const user: User = {
  tenantId: DEFAULT_TENANT,
  userId: newId(),
  email: null,
  name: 'A',
  role: 'user',
  litellmKey: null,
  createdAt: null,
}

let books: FakeBooks
let faults: string[]
let billing: Billing
beforeEach(() => {
  books = new FakeBooks()
  faults = []
  billing = new Billing({
    ledger: books,
    rater,
    journal: new Journal(join(dir, newId()), newId()),
    tenants: async () => ({ marginBp: 0, billing: null }),
    mode: 'prepaid',
    signupCredit: 0n,
    totalMs: 60_000,
    onRefused: () => {},
    onWaiting: () => {},
    onFault: (message) => void faults.push(message),
    now: () => new Date(),
  })
})

const served: ChatEvent = { type: 'served', provider: 'p', model: 'gpt-4o-x' }
const stop: ChatEvent = { type: 'finish', index: 0, reason: 'stop' }
const usageOf = (prompt_tokens: number, completion_tokens: number): UsageEvent => {
  const usage = { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
  const rated = rater.rate(deployment, { usage })
  return { type: 'usage', usage, costNanos: rated?.costNanos ?? null, costParts: rated?.parts }
}

/** A model that says these things, a function among them being called, and silence until it is aborted. */
class Saying implements ChatModel {
  asked = 0
  constructor(private readonly script: (ChatEvent | Error | 'silence' | (() => void))[]) {}
  async *stream(_: unknown, signal: AbortSignal): AsyncGenerator<ChatEvent> {
    this.asked++
    for (const step of this.script) {
      signal.throwIfAborted()
      if (typeof step === 'function') step()
      else if (step instanceof Error) throw step
      else if (step !== 'silence') yield step
      else await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    }
  }
}

const govern = (model: ChatModel, signal = new AbortController().signal, more: object = {}) =>
  billing
    .govern(model, { user, model: 'm', deployments: [deployment], ...more })
    .stream({ model: 'm', messages: [{ role: 'user', content: 'hi' }], params: {} }, signal)

async function all(events: AsyncIterable<ChatEvent>) {
  const heard: ChatEvent[] = []
  for await (const event of events) heard.push(event)
  return heard
}
const thrown = (events: AsyncIterable<ChatEvent>) =>
  all(events).then(
    () => undefined,
    (error: AppError) => error,
  )

/** What the request alone takes: its four tokens of frame, and the words `user` and `hi` with a line between them. */
const PROMPT = 4n + 3n

describe('without a reservation', () => {
  test.each([
    [
      'the balance is used up',
      { outcome: 'insufficient' as const, available: 0n, budget: null },
      'INSUFFICIENT_BALANCE',
    ],
    ['nobody knows the price', { outcome: 'unpriced' as const }, 'FORBIDDEN'],
    ['the books cannot be written', new AppError('UPSTREAM_UNAVAILABLE', 'away'), 'UPSTREAM_UNAVAILABLE'],
  ])('nobody is asked when %s', async (_, answer, code) => {
    books.answers = [answer]
    const model = new Saying([served, 'text', stop])
    expect((await thrown(govern(model)))?.code).toBe(code as 'FORBIDDEN')
    expect(model.asked).toBe(0)
    expect(books.settled).toEqual([])
  })

  test('nobody is asked when the reader left before it was made; it is given back', async () => {
    const abort = new AbortController()
    const { promise, resolve } = Promise.withResolvers<void>()
    books.before = promise
    const model = new Saying([served, 'text', stop])
    const answer = thrown(govern(model, abort.signal))
    abort.abort()
    resolve()
    await answer
    expect(model.asked).toBe(0)
    expect(books.voided).toEqual(books.reserved.map(({ id }) => id))
  })
})

describe('an answer', () => {
  test('is settled before its end goes on, and tells what is charged last', async () => {
    const seen: number[] = []
    const events = govern(new Saying([served, ' the', ' the', stop, usageOf(7, 2)]))
    const heard: ChatEvent[] = []
    for await (const event of events) {
      heard.push(event)
      seen.push(books.settled.length)
    }
    expect(heard).toEqual([served, ' the', ' the', stop, usageOf(7, 2)])
    expect(seen).toEqual([0, 0, 0, 1, 1])
    expect(books.settled).toMatchObject([{ amount: 7n * INPUT + 2n * OUTPUT, usage: { status: 'completed' } }])
  })

  test('that begins anew is charged for what counts', async () => {
    const abort = new AbortController()
    const model = new Saying([
      served,
      ' the the the the',
      { type: 'restart' },
      served,
      ' the',
      () => abort.abort(),
      'silence',
    ])
    await all(govern(model, abort.signal))
    expect(books.settled).toMatchObject([{ amount: PROMPT * INPUT + OUTPUT, usage: { status: 'stopped' } }])
  })

  test('whose reader does not look at it any more is settled when the server ends', async () => {
    const events = govern(new Saying([served, ' the', ' the', 'silence']))[Symbol.asyncIterator]()
    await events.next()
    await events.next()
    await billing.close(0)
    expect(books.settled).toMatchObject([{ amount: PROMPT * INPUT + OUTPUT, usage: { status: 'interrupted' } }])
    expect(await events.next()).toMatchObject({ done: true })
    expect(books.settled).toHaveLength(1)
  })

  test('that the server stops is interrupted, one that its reader leaves is stopped', async () => {
    for (const reason of [new AppError('UPSTREAM_UNAVAILABLE', 'restarting'), undefined]) {
      const abort = new AbortController()
      await all(govern(new Saying([served, ' the', () => abort.abort(reason), 'silence']), abort.signal))
    }
    expect(books.settled.map(({ usage }) => usage?.status)).toEqual(['interrupted', 'stopped'])
  })

  test('that somebody else charged before is charged as it was', async () => {
    books.settle = async () => [{ outcome: 'closed', state: 'expired' }]
    await all(govern(new Saying([served, ' the', stop, usageOf(7, 1)])))
    expect(faults).toEqual(['A reservation was closed before its answer ended'])
  })
})

describe('an answer with tools', () => {
  const results: ChatEvent = { type: 'delta', index: 0, delta: { tool_results: [{ content: 'sunny' }] } }
  const step: ChatEvent[] = [served, ' the', usageOf(7, 1), results]

  test('is charged the sum of its steps, once', async () => {
    const heard = await all(govern(new Saying([...step, served, ' the', usageOf(30, 2), stop])))
    expect(heard.filter((event) => typeof event === 'object' && event.type === 'usage')).toEqual([usageOf(30, 2)])
    expect(books.settled).toMatchObject([{ amount: 30n * INPUT + 2n * OUTPUT }])
  })

  test('that is stopped while a tool is called is charged the steps there were', async () => {
    const abort = new AbortController()
    await all(govern(new Saying([served, ' the', usageOf(7, 1), () => abort.abort(), 'silence']), abort.signal))
    expect(books.settled).toMatchObject([{ amount: 7n * INPUT + OUTPUT, usage: { costBasis: 'provider' } }])
  })

  test('that is stopped in its second step is charged the first one and what was delivered since', async () => {
    const abort = new AbortController()
    await all(govern(new Saying([...step, served, ' the the', () => abort.abort(), 'silence']), abort.signal))
    const [settlement] = books.settled
    const first = 7n * INPUT + OUTPUT
    expect(settlement?.amount).toBeGreaterThan(first + PROMPT * INPUT + 2n * OUTPUT)
    expect(settlement?.amount).toBeLessThan(first + 60n * INPUT + 2n * OUTPUT)
    expect(settlement?.usage).toMatchObject({ costBasis: 'estimated', completionTokens: 3 })
  })

  test('ends before its next word when the next step cannot be paid', async () => {
    books.extensions = [{ outcome: 'insufficient', available: 0n, budget: null }]
    const long = 'sunny '.repeat(100_000)
    const answered: ChatEvent = { type: 'delta', index: 0, delta: { tool_results: [{ content: long }] } }
    const heard = await all(govern(new Saying([served, ' the', usageOf(7, 1), answered, served, ' more', stop])))
    expect(heard).not.toContain(' more')
    expect(heard).toContainEqual({ type: 'finish', index: 0, reason: 'budget' })
  })
})

describe('the margin', () => {
  test('is rounded half up', () => {
    expect(withMargin(10_000n, 1)).toBe(10_001n)
    expect(withMargin(5000n, 1)).toBe(5001n)
    expect(withMargin(4999n, 1)).toBe(4999n)
    expect(withMargin(0n, 5000)).toBe(0n)
  })

  test('is in the parts, which add up', () => {
    const parts = { input: 333n, output: 333n, reasoning: 334n }
    const scaled = scaledParts(parts, { from: 1000n, to: 1235n })
    expect(Object.values(scaled).reduce((a, b) => a + b, 0n)).toBe(1235n)
    expect(scaledParts(parts, { from: 1000n, to: 1000n })).toEqual(parts)
  })
})

const settlementOf = (): Settlement => ({ id: newId(), amount: 5n, at: new Date('2026-01-01'), lowAt: 7n })

describe('settlements that cannot be written', () => {
  test('wait on disk and in memory, and one that the database will not have holds up no other', async () => {
    const folder = join(dir, newId())
    const counts: number[] = []
    const settler = new Settler({
      ledger: books,
      journal: new Journal(folder, newId()),
      onWaiting: (count) => counts.push(count),
      onFault: (message) => void faults.push(message),
    })
    const [poison, ...others] = Array.from({ length: 5 }, settlementOf)
    const bad = poison as Settlement
    let away = true
    books.refuses = ({ id }) => away || id === bad.id
    await Promise.all([bad, ...others].map((one) => settler.settle(one)))
    expect(settler.count).toBe(5)
    expect(readdirSync(folder)).toHaveLength(1)
    away = false
    await until(() => settler.count === 1)
    expect(books.settled).toEqual(others)
    expect(settler.has(bad.id)).toBe(true)
    books.refuses = () => false
    await until(() => settler.count === 0 && readdirSync(folder).length === 0)
    await settler.close(0)
  })

  test('are read again by the next process, without the half line of one that died', async () => {
    const folder = join(dir, newId())
    const [first, second] = [settlementOf(), settlementOf()]
    await new Journal(folder, 'a').add([first])
    await new Journal(folder, 'b').add([second])
    writeFileSync(join(folder, 'settlements-c.jsonl'), '{"id":"half')
    const next = new Journal(folder, 'd')
    expect(await next.open()).toEqual([first, second])
    expect(readdirSync(folder)).toEqual(['settlements-d.jsonl'])
    await next.clear()
    expect(readdirSync(folder)).toEqual([])
  })
})
