import { afterAll, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DEFAULT_TENANT, newId } from '../../src/lib/ids'
import { Catalog } from '../../src/llm/catalog'
import { estimated } from '../../src/llm/estimate'
import type { ChatEvent, ChatModel, ChatRequest, UsageEvent } from '../../src/llm/port'
import type { Prices } from '../../src/llm/prices'
import { Rater } from '../../src/llm/rater'
import { Tokenizer } from '../../src/llm/tokenizer'
import { Journal } from '../../src/modules/billing/journal'
import { Billing } from '../../src/modules/billing/service'
import type { User } from '../../src/store/port'
import { SqlWallets } from '../../src/store/sql/wallets'
import { FakeBooks } from '../support/books'
import { deploymentOf, Scripted } from '../support/scripted'
import { until } from '../support/servers'

const tokenizer = new Tokenizer()
afterAll(() => tokenizer.close())

const DOLLAR = 1_000_000_000n
const [INPUT, OUTPUT] = [1000n, 2000n]
/** What the request alone takes: four tokens of frame, and the words `user` and `hi` with a line between them. */
const PROMPT = 7n
const TOTAL_MS = 60_000
const provider = Object.assign(new Scripted('p'), { cost: () => null })
const rater = new Rater({
  catalog: new Catalog(() => undefined),
  estimate: (asked) => estimated(asked, tokenizer),
  policy: 'refuse',
  cancelled: 'cancel',
})
const costing = (prices: Prices, maxOutputTokens?: number, from = provider) =>
  deploymentOf(from, { model: 'gpt-4o-x', facts: { prices, priceSource: 'test', maxOutputTokens } })
const PRICES = { input: DOLLAR, output: 2n * DOLLAR }
const deployment = costing(PRICES)
const draining = costing(PRICES, undefined, Object.assign(new Scripted('p'), { cost: () => null, cancelled: 'drain' }))
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
let billing: Billing
let later = 0
beforeEach(() => {
  books = new FakeBooks()
  later = 0
  billing = new Billing({
    ledger: books,
    rater,
    journal: new Journal(join(tmpdir(), `orchestrator-holes-${newId()}`), newId()),
    tenants: async () => ({ marginBp: 0, billing: null }),
    mode: 'prepaid',
    signupCredit: 0n,
    totalMs: TOTAL_MS,
    onRefused: () => {},
    onWaiting: () => {},
    onFault: () => {},
    now: () => new Date(Date.now() + later),
  })
})

const served: ChatEvent = { type: 'served', provider: 'p', model: 'gpt-4o-x' }
const stop: ChatEvent = { type: 'finish', index: 0, reason: 'stop' }
const delta = (said: Record<string, unknown>): ChatEvent => ({ type: 'delta', index: 0, delta: said })
function usageOf(prompt_tokens: number, completion_tokens: number): UsageEvent {
  const usage = { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
  return { type: 'usage', usage, costNanos: rater.rate(deployment, { usage })?.costNanos ?? null }
}

/** A model that says these things; functions are called, `silence` lasts until it is aborted. */
class Saying implements ChatModel {
  requests: ChatRequest[] = []
  constructor(private readonly script: (ChatEvent | 'silence' | (() => void))[]) {}
  async *stream(request: ChatRequest, signal: AbortSignal): AsyncGenerator<ChatEvent> {
    this.requests.push(request)
    for (const step of this.script) {
      signal.throwIfAborted()
      if (typeof step === 'function') step()
      else if (step !== 'silence') yield step
      else await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    }
  }
}

interface Asking {
  signal?: AbortSignal
  from?: typeof deployment
  params?: Record<string, unknown>
}

const ask = (
  model: ChatModel,
  { signal = new AbortController().signal, from = deployment, params = {} }: Asking = {},
) =>
  billing
    .govern(model, { user, model: 'm', deployments: [from], tools: true })
    .stream({ model: 'm', messages: [{ role: 'user', content: 'hi' }], params }, signal)

async function all(events: AsyncIterable<ChatEvent>) {
  const heard: ChatEvent[] = []
  for await (const event of events) heard.push(event)
  return heard
}

describe('a reader who leaves', () => {
  test('between two words pays each word once, also where the provider is read to the end and never says', async () => {
    const events = ask(new Saying([served, ' the', ' the', stop]), { from: draining })
    for await (const event of events) if (event === ' the') break
    await until(() => books.settled.length === 1)
    expect(books.settled[0]?.amount).toBe(PROMPT * INPUT + 2n * OUTPUT)
  })

  test('pays what was said behind an early word about usage', async () => {
    const abort = new AbortController()
    const model = new Saying([served, ' the', usageOf(7, 1), ' the the', () => abort.abort(), 'silence'])
    await all(ask(model, { signal: abort.signal }))
    expect(books.settled[0]?.amount).toBe(7n * INPUT + 3n * OUTPUT)
  })

  test('pays no more than was counted where all of it is counted first', async () => {
    const abort = new AbortController()
    const words = [' the', ' the']
    await all(
      ask(new Saying([served, usageOf(7, 9), ...words, () => abort.abort(), 'silence']), { signal: abort.signal }),
    )
    await all(ask(new Saying([served, usageOf(7, 1), ...words, stop])))
    await all(ask(new Saying([served, usageOf(7, 0), ...words, stop])))
    const charged = [9n, 1n, 2n].map((tokens) => 7n * INPUT + tokens * OUTPUT)
    expect(books.settled.map(({ amount }) => amount)).toEqual(charged)
  })

  test.each([{ images: [{ image_url: { url: 'data:x' } }] }, { audio: { data: 'UklGRg==' } }])(
    'with %j pays what the provider reports for it: nobody else can count it',
    async (said) => {
      const events = ask(new Saying([served, delta(said), stop, usageOf(7, 1290)]))
      for await (const event of events) if (typeof event === 'object' && event.type === 'delta') break
      await until(() => books.settled.length === 1)
      const usage = { costBasis: 'drained', status: 'stopped' }
      expect(books.settled).toMatchObject([{ amount: 7n * INPUT + 1290n * OUTPUT, usage }])
    },
  )
})

describe('an answer that nobody reads on', () => {
  /** Begun, and left alone with its second word. */
  async function begun() {
    const events = ask(new Saying([served, ' the', ' the', 'silence']))[Symbol.asyncIterator]()
    await events.next()
    await events.next()
    return events
  }

  test('is ended and paid before its money would be given back', async () => {
    const events = await begun()
    const ahead = TOTAL_MS + 290_000
    later = ahead
    const before = performance.now()
    const clock = spyOn(performance, 'now').mockImplementation(() => before + ahead)
    await billing.sweep()
    clock.mockRestore()
    await until(() => books.settled.length === 1)
    expect(books.settled).toMatchObject([{ amount: PROMPT * INPUT + OUTPUT, usage: { status: 'interrupted' } }])
    expect(await events.next()).toMatchObject({ done: true })
  })

  test('goes on when only the clock says that it is old, and its money is kept back longer', async () => {
    const events = await begun()
    later = 86_400_000
    await billing.sweep()
    expect([books.settled, books.extended]).toEqual([[], [1n]])
    expect(await events.next()).toMatchObject({ value: ' the' })
    await events.return?.(undefined)
    expect(books.settled).toHaveLength(1)
  })
})

test('a model is not asked to read what tools answered when that cannot be paid', async () => {
  books.extensions = [{ outcome: 'insufficient', available: 0n, budget: null }]
  let again = false
  const results = delta({ tool_results: [{ content: 'sunny '.repeat(100_000) }] })
  const asksAgain = () => {
    again = true
  }
  const heard = await all(ask(new Saying([served, ' the', usageOf(7, 1), results, asksAgain, served, ' more', stop])))
  expect(again).toBe(false)
  expect(heard).toContainEqual({ type: 'finish', index: 0, reason: 'budget' })
  expect(books.settled[0]?.amount).toBe(7n * INPUT + OUTPUT)
})

describe('max_tokens', () => {
  const sent = async (asking: Asking, available: bigint) => {
    books.answers = [{ outcome: 'reserved', limited: true, available }]
    const model = new Saying([served, stop, usageOf(7, 1)])
    await all(ask(model, asking))
    return model.requests[0]?.params.max_tokens
  }

  test('is as small as the balance has it, also where much is asked for and much can be paid', async () => {
    const tokens = await sent({ params: { max_tokens: 100_000 } }, 9000n * OUTPUT)
    expect(tokens).toBeLessThan(9000)
    expect(tokens).toBeGreaterThan(8900)
    expect(await sent({ params: { max_tokens: 100 } }, 9000n * OUTPUT)).toBe(100)
  })

  test('is said where the model could give more than can be paid, and only there', async () => {
    expect(await sent({ from: costing(PRICES, 64_000) }, 9000n * OUTPUT)).toBeLessThan(9000)
    expect(await sent({ from: costing(PRICES, 8000) }, 9000n * OUTPUT)).toBeUndefined()
    expect(await sent({}, 9000n * OUTPUT)).toBeUndefined()
  })
})

describe('what nobody has said the price of', () => {
  const heard = [{ type: 'input_audio', input_audio: { data: '', format: 'wav' } }]
  const reserved = async (prices: Prices, params: Record<string, unknown> = {}, content: unknown = 'hi') => {
    const asked = { user, model: 'm', deployments: [costing(prices)] as [typeof deployment] }
    const request = { model: 'm', messages: [{ role: 'user', content }], params }
    await all(billing.govern(new Saying([served, stop, usageOf(7, 1)]), asked).stream(request, AbortSignal.any([])))
    return books.reserved.at(-1)?.unpriced ?? false
  }

  test('is told to the books, which refuse it to whoever is limited', async () => {
    expect(await reserved(PRICES)).toBe(false)
    expect(await reserved({ input: DOLLAR })).toBe(true)
    expect(await reserved(PRICES, { service_tier: 'priority' })).toBe(true)
    expect(await reserved({ ...PRICES, tiers: { priority: PRICES } }, { service_tier: 'priority' })).toBe(false)
    expect(await reserved(PRICES, { service_tier: 'flex' })).toBe(false)
    expect(await reserved(PRICES, { modalities: ['text', 'audio'] })).toBe(true)
    expect(await reserved(PRICES, {}, heard)).toBe(true)
    expect(await reserved({ ...PRICES, audioInput: DOLLAR }, {}, heard)).toBe(false)
  })

  test('is not the words of vectors, which have none', async () => {
    const asked = { user, model: 'm', deployments: [costing({ input: DOLLAR })] as [typeof deployment] }
    const made = { vectors: [[1]], usage: { prompt_tokens: 3, total_tokens: 3 }, by: deployment }
    await billing.embed(asked, [{ role: 'user', content: 'hi' }], async () => made)
    expect(books.reserved[0]?.unpriced).toBeUndefined()
    expect(books.settled[0]?.amount).toBe(3n * INPUT)
  })
})

test.each([1.5, Number.POSITIVE_INFINITY, 'many', -3, null])(
  'a number of answers such as %p breaks nothing',
  async (n) => {
    books.answers = [{ outcome: 'insufficient', available: 0n, budget: null }]
    const refused = await all(ask(new Saying([stop]), { params: { n } })).then(
      () => undefined,
      (error) => error.code,
    )
    expect(refused).toBe('INSUFFICIENT_BALANCE')
  },
)

test('a balance is looked at again after a while, also for somebody who asks all the time', async () => {
  let looked = 0
  const balance = async () => {
    looked++
    return { balance: DOLLAR, available: DOLLAR } as never
  }
  const wallets = new SqlWallets({ balance, entries: async () => ({ items: [], total: 1 }) }, 200)
  while (looked < 2) {
    await wallets.of(user)
    await Bun.sleep(5)
  }
  expect(looked).toBe(2)
})
