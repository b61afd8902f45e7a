import { describe, expect, test } from 'bun:test'
import { AppError } from '../../src/errors'
import { Loads } from '../../src/llm/balance'
import { Breakers } from '../../src/llm/breakers'
import { answer } from '../../src/llm/failover'
import type { Plan } from '../../src/llm/plan'
import type { ChatEvent, ChatRequest, Usage } from '../../src/llm/port'
import { RetryBudget } from '../../src/llm/retry-budget'
import type { Deployment } from '../../src/llm/routes'
import { deploymentOf, Scripted, STOP } from '../support/scripted'

const down = new AppError('UPSTREAM_UNAVAILABLE', 'down')
const cut = new AppError('UPSTREAM_ERROR', 'cut')
const late = new AppError('UPSTREAM_TIMEOUT', 'late')
const badKey = new AppError('UPSTREAM_ERROR', 'bad key', { fault: 'key' })
const unknown = new AppError('NOT_FOUND', 'unknown', { fault: 'deployment' })
const invalid = new AppError('BAD_REQUEST', 'invalid')
const busy = (retryAfter?: number) => new AppError('RATE_LIMIT_EXCEEDED', 'busy', { retryAfter })
const META: ChatEvent = { type: 'meta', fields: { fingerprint: 'x' } }
const REQUEST: ChatRequest = { model: 'm', messages: [{ role: 'user', content: 'Hi' }], params: {} }

/** A router's inside, with a clock that stands still and pauses that are over at once and written down. */
function bench(now = () => 0) {
  const notes: string[] = []
  const pauses: number[] = []
  const deps = {
    breakers: new Breakers({ now, onOpen: () => {} }),
    loads: new Loads(now),
    budget: new RetryBudget(),
    observer: {
      streamBegan: () => notes.push('began'),
      streamSpoke: (name: string) => notes.push(`${name} spoke`),
      streamEnded: (name: string, outcome: string) => notes.push(`answer of ${name} ${outcome}`),
      attempted: (name: string, outcome: string) => notes.push(`${name} ${outcome}`),
      failedOver: (from: string, to: string, when: string) => notes.push(`${from} > ${to} ${when}`),
    },
    rate: ({ provider }: Deployment, { usage }: { usage: Usage }) => {
      const costNanos = provider.cost(usage)
      return costNanos === null ? null : { costNanos, parts: {}, version: 'test' }
    },
    totalMs: 60_000,
    now,
    random: () => 1,
    sleep: async (ms: number) => {
      pauses.push(ms)
    },
  }
  return { deps, notes, pauses }
}

interface Ask {
  on?: ReturnType<typeof bench>
  request?: Partial<ChatRequest>
  plan?: Partial<Plan>
  signal?: AbortSignal
  /** Called with each event; true leaves. */
  leave?: (event: ChatEvent) => boolean
}

/** Asks, and says what came and how it ended. */
async function ask(deployments: (Deployment | Scripted)[], { on = bench(), ...more }: Ask = {}) {
  const plan: Plan = {
    deployments: deployments.map((d) => (d instanceof Scripted ? deploymentOf(d) : d)),
    owner: '',
    explain: (error) => error,
    ...more.plan,
  }
  const signal = more.signal ?? new AbortController().signal
  const events: ChatEvent[] = []
  let error: unknown
  try {
    for await (const event of answer(plan, { request: { ...REQUEST, ...more.request }, signal }, on.deps)) {
      events.push(event)
      if (more.leave?.(event)) break
    }
  } catch (thrown) {
    error = thrown
  }
  return { events, error, said: events.map(inShort).join(''), ...on }
}

const inShort = (event: ChatEvent): string => {
  if (typeof event === 'string') return event
  if (event.type === 'served') return `[${event.provider}]`
  return event.type === 'restart' ? '[restart]' : ''
}

describe('one deployment', () => {
  test('is passed on as it speaks, after who it is, with what it costs', async () => {
    const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }
    const a = new Scripted('a', [[META, 'Hel', 'lo', STOP, { type: 'usage', usage }]])
    const { events, error, notes } = await ask([a], { plan: { variant: 'B' } })
    expect(error).toBeUndefined()
    expect(events).toEqual([
      { type: 'served', provider: 'a', model: 'a-model', variant: 'B' },
      META,
      'Hel',
      'lo',
      STOP,
      { type: 'usage', usage, costNanos: 7n, costParts: {}, priceVersion: 'test' },
    ])
    expect(a.requests).toEqual([{ ...REQUEST, model: 'a-model', apiKey: undefined }])
    expect(notes).toEqual(['began', 'a spoke', 'a completed', 'answer of a completed'])
  })

  test("gets a person's key only where people have keys", async () => {
    const [a, b] = [new Scripted('a', [[down]]), new Scripted('b', [['x', STOP]])]
    b.personalKeys = true
    await ask([a, b], { request: { apiKey: 'sk-mine' }, plan: { owner: 'me' } })
    expect([a.requests[0]?.apiKey, b.requests[0]?.apiKey]).toEqual([undefined, 'sk-mine'])
  })

  test('that fails in passing is asked again twice, with jitter, while the budget lasts', async () => {
    const on = bench()
    const a = new Scripted('a', [[down], [cut], ['x', STOP], [down]])
    expect(await ask([a], { on })).toMatchObject({ said: '[a]x', pauses: [250, 500] })
    while (on.deps.budget.take()) {}
    expect((await ask([a], { on })).error).toBe(down)
    expect(a.requests).toHaveLength(4)
  })

  test.each([
    ['the request', invalid],
    ['the key', badKey],
    ["the model's name", unknown],
    ['the time', late],
  ])('is not asked again when %s is at fault', async (_, failure) => {
    const a = new Scripted('a', [[failure]])
    expect((await ask([a])).error).toBe(failure)
    expect(a.requests).toHaveLength(1)
  })

  test('that wants to be left alone is waited for up to five seconds, otherwise until others ask', async () => {
    const clock = { now: 0 }
    const on = bench(() => clock.now)
    on.deps.sleep = async (ms) => {
      on.pauses.push(ms)
      clock.now += ms
    }
    const patient = new Scripted('a', [[busy(5)], ['x', STOP]])
    expect(await ask([patient], { on })).toMatchObject({ said: '[a]x', pauses: [5000] })

    const second = new Scripted('b', [[busy(6)], ['y', STOP]])
    const b = deploymentOf(second)
    expect((await ask([b], { on })).error).toMatchObject({ code: 'RATE_LIMIT_EXCEEDED', retryAfter: 6 })
    clock.now += 500
    expect((await ask([b], { on })).error).toMatchObject({ code: 'RATE_LIMIT_EXCEEDED', retryAfter: 6 })
    expect(second.requests).toHaveLength(1)
    clock.now += 5600
    expect((await ask([b], { on })).said).toBe('[b]y')
  })

  test('that is asked too much says so, however often, and is asked again', async () => {
    const on = bench()
    const a = new Scripted('a', [...Array.from({ length: 12 }, () => [busy()]), ['x', STOP]])
    const b = deploymentOf(a)
    while (a.requests.length < 12) expect((await ask([b], { on })).error).toMatchObject({ code: 'RATE_LIMIT_EXCEEDED' })
    expect((await ask([b], { on })).said).toBe('[a]x')
  })

  test('that failed too often answers 503 and when to come again, and is asked once then', async () => {
    const clock = { now: 0 }
    const on = bench(() => clock.now)
    const scripted = new Scripted('a', [[late], [late], [late], [late], [late], ['silence']])
    const a = deploymentOf(scripted)
    for (let i = 0; i < 5; i++) expect((await ask([a], { on })).error).toBe(late)
    clock.now += 1500
    expect((await ask([a], { on })).error).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE', retryAfter: 4 })
    clock.now += 3500
    const abort = new AbortController()
    const probe = ask([a], { on, signal: abort.signal })
    expect((await ask([a], { on })).error).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE', retryAfter: 1 })
    expect(scripted.requests).toHaveLength(6)
    abort.abort()
    await probe
    const next = ask([a], { on, signal: AbortSignal.timeout(20) })
    await next
    expect(scripted.requests).toHaveLength(7)
  })

  test('that breaks off in the middle leaves what it said, and the error', async () => {
    const { said, error, notes } = await ask([new Scripted('a', [['x', cut]])])
    expect([said, error]).toEqual(['[a]x', cut])
    expect(notes).toEqual(['began', 'a spoke', 'a UPSTREAM_ERROR', 'answer of a UPSTREAM_ERROR'])
  })
})

describe('before the first piece', () => {
  test.each([
    ['is away', down],
    ['is silent for too long', late],
    ['refuses the key', badKey],
    ['does not know the model', unknown],
    ['is asked too much', busy(60)],
  ])('one that %s is replaced unseen and at once', async (_, failure) => {
    const [a, b] = [new Scripted('a', [[META, failure]]), new Scripted('b', [['x', STOP]])]
    const { said, events, notes, pauses } = await ask([a, b])
    expect(said).toBe('[b]x')
    expect(events).not.toContain(META)
    expect(pauses).toEqual([])
    expect(notes).toEqual([
      'began',
      `a ${failure.code}`,
      'a > b before',
      'b spoke',
      'b completed',
      'answer of b completed',
    ])
  })

  test('what is wrong with the request is an answer: nobody else is asked', async () => {
    const [a, b] = [new Scripted('a', [[invalid]]), new Scripted('b')]
    expect((await ask([a, b])).error).toBe(invalid)
    expect(b.requests).toEqual([])
  })

  test('a content filter is an answer, too', async () => {
    const filtered: ChatEvent = { type: 'finish', index: 0, reason: 'content_filter' }
    const [a, b] = [new Scripted('a', [[filtered]]), new Scripted('b')]
    expect((await ask([a, b])).events).toContain(filtered)
    expect(b.requests).toEqual([])
  })

  test('when all fail, the one that may pass is told', async () => {
    const all = [new Scripted('a', [[unknown]]), new Scripted('b', [[late]]), new Scripted('c', [[badKey]])]
    expect((await ask(all)).error).toBe(late)
  })

  test('those that are left alone are passed over', async () => {
    const on = bench()
    const [a, b] = [deploymentOf(new Scripted('a', [[busy(60)]])), new Scripted('b', [['x', STOP]])]
    await ask([a, b], { on })
    on.notes.length = 0
    expect((await ask([a, b], { on })).notes).toEqual(['began', 'b spoke', 'b completed', 'answer of b completed'])
    expect(b.requests).toHaveLength(2)
  })

  test('the second one is asked, too, when the first is quiet, and the slower one is let go', async () => {
    const [a, b] = [new Scripted('a', [['silence']]), new Scripted('b', [['x', STOP]])]
    const { said, notes, pauses } = await ask([a, b], { plan: { hedgeAfterMs: 300 } })
    expect([said, pauses, a.aborted]).toEqual(['[b]x', [300], 1])
    expect(notes).toEqual(['began', 'a aborted', 'b spoke', 'b completed', 'answer of b completed'])
  })

  test('a hedge that fails leaves the first one its chance', async () => {
    const a = new Scripted('a', [['x', STOP]])
    const slow = a.stream.bind(a)
    a.stream = async function* (request, signal) {
      await Bun.sleep(20)
      yield* slow(request, signal)
    }
    const b = new Scripted('b', [[down]])
    expect((await ask([a, b], { plan: { hedgeAfterMs: 1 } })).said).toBe('[a]x')
    expect(b.requests).toHaveLength(1)
  })

  test('nobody is asked for somebody who has left', async () => {
    const a = new Scripted('a')
    const { error, notes } = await ask([a], { signal: AbortSignal.abort() })
    expect(error).toMatchObject({ name: 'AbortError' })
    expect(a.requests).toEqual([])
    expect(notes).toEqual(['began', 'answer of none aborted'])
  })
})

describe('after the first piece', () => {
  test('another one begins anew, and the reader is told', async () => {
    const [a, b] = [new Scripted('a', [['Hel', cut]]), new Scripted('b', [['Good day', STOP]])]
    const { said, error, notes } = await ask([a, b])
    expect([said, error]).toEqual(['[a]Hel[restart][b]Good day', undefined])
    expect(notes).toContain('a > b after')
    expect(notes.filter((note) => note.includes('spoke'))).toEqual(['a spoke'])
    expect(b.requests[0]?.messages).toEqual(REQUEST.messages)
  })

  test('one that can goes on with what was said, and nothing is said twice', async () => {
    const a = new Scripted('a', [['Hello ', 'there,  ', cut]])
    const b = new Scripted('b', [[' ', ' world', STOP]])
    const { said } = await ask([a, deploymentOf(b, { prefill: true })], { request: { params: { max_tokens: 10 } } })
    expect(said).toBe('[a]Hello there,  [b]world')
    expect(b.requests[0]).toMatchObject({
      messages: [...REQUEST.messages, { role: 'assistant', content: 'Hello there,' }],
      params: { max_tokens: 8 },
    })
  })

  test('goes on with the beginning that the client wrote as well', async () => {
    const messages = [...REQUEST.messages, { role: 'assistant', content: 'Once ' }]
    const [a, b] = [new Scripted('a', [['upon', cut]]), new Scripted('b', [[' a time', STOP]])]
    expect((await ask([a, deploymentOf(b, { prefill: true })], { request: { messages } })).said).toBe(
      '[a]upon[b] a time',
    )
    expect(b.requests[0]?.messages.at(-1)).toEqual({ role: 'assistant', content: 'Once upon' })
    expect(b.requests[0]?.messages).toHaveLength(2)
  })

  test.each([
    ['a call of a tool', { tool_calls: [{ index: 0, id: 'c', function: { name: 'f', arguments: '{' } }] }],
    ['a thought', { reasoning_content: 'Hm' }],
  ])('%s is not gone on with, but begun anew', async (_, delta) => {
    const [a, b] = [
      new Scripted('a', [['x', { type: 'delta', index: 0, delta }, cut]]),
      new Scripted('b', [['y', STOP]]),
    ]
    expect((await ask([a, deploymentOf(b, { prefill: true })])).said).toBe('[a]x[restart][b]y')
  })

  test('one that refuses to go on is asked to begin anew', async () => {
    const [a, b] = [new Scripted('a', [['x', cut]]), new Scripted('b', [[invalid], ['y', STOP]])]
    expect((await ask([a, deploymentOf(b, { prefill: true })])).said).toBe('[a]x[restart][b]y')
    expect(b.requests.map(({ messages }) => messages.length)).toEqual([2, 1])
  })

  test('for a reader that cannot begin anew only those are asked that can go on', async () => {
    const [a, b, c] = [new Scripted('a', [['x', cut]]), new Scripted('b'), new Scripted('c', [['y', STOP]])]
    const request = { mayRestart: false }
    expect(await ask([a, b], { request })).toMatchObject({ said: '[a]x', error: cut })
    const again = new Scripted('a', [['x', cut]])
    expect((await ask([again, b, deploymentOf(c, { prefill: true })], { request })).said).toBe('[a]x[c]y')
    expect(b.requests).toEqual([])
  })

  test('three times at most, each by another one, and then the error is that of the answer that was seen', async () => {
    const all = ['a', 'b', 'c', 'd', 'e'].map((name) => new Scripted(name, [[name, cut]]))
    const { said, error } = await ask(all)
    expect([said, error]).toEqual(['[a]a[restart][b]b[restart][c]c[restart][d]d', cut])
    expect(all.map(({ requests }) => requests.length)).toEqual([1, 1, 1, 1, 0])
    const first = new AppError('UPSTREAM_ERROR', 'the one that was seen')
    expect((await ask([new Scripted('a', [['x', first]]), new Scripted('b', [[down]])])).error).toBe(first)
    expect((await ask([new Scripted('a', [['x', first]]), new Scripted('b', [[invalid]])])).error).toBe(first)
  })

  test.each([
    ['several answers at once', { params: { n: 2 } }, cut],
    ['an error of the request in the middle', {}, invalid],
  ])('%s are not rescued', async (_, request, failure) => {
    const [a, b] = [new Scripted('a', [['x', failure]]), new Scripted('b')]
    expect((await ask([a, b], { request })).error).toBe(failure)
    expect(b.requests).toEqual([])
  })
})

describe('leaving', () => {
  test("by abort closes what is open, and is nobody's fault", async () => {
    const abort = new AbortController()
    const a = new Scripted('a', [['x', 'silence']])
    const leave = () => {
      setTimeout(() => abort.abort(), 1)
      return false
    }
    const { error, notes } = await ask([a, new Scripted('b')], { signal: abort.signal, leave })
    expect(error).toMatchObject({ name: 'AbortError' })
    expect(a.aborted).toBe(1)
    expect(notes.slice(2)).toEqual(['a aborted', 'answer of a aborted'])
  })

  test('in the middle of reading does the same', async () => {
    const a = new Scripted('a', [['x', 'y', STOP]])
    const { notes } = await ask([a], { leave: (event) => event === 'x' })
    expect(notes.slice(2)).toEqual(['a aborted', 'answer of a aborted'])
  })

  test('ends the whole when it takes too long, whoever speaks', async () => {
    const on = bench()
    on.deps.totalMs = 20
    const [a, b] = [new Scripted('a', [['x', cut]]), new Scripted('b', [['y', 'silence']])]
    const { said, error } = await ask([a, b, new Scripted('c')], { on })
    expect(said).toBe('[a]x[restart][b]y')
    expect(error).toMatchObject({ code: 'UPSTREAM_TIMEOUT', message: expect.stringContaining('0.02 s') })
    expect(b.aborted).toBe(1)
  })
})
