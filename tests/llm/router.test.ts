import { afterEach, describe, expect, setSystemTime, test } from 'bun:test'
import { AppError } from '../../src/errors'
import { armOf, FAILED_LATENCY, inOrder, Loads } from '../../src/llm/balance'
import type { ChatEvent } from '../../src/llm/port'
import { type Asker, Router, type RouterOptions } from '../../src/llm/router'
import type { Deployment, Route } from '../../src/llm/routes'
import { deploymentOf, Scripted, STOP } from '../support/scripted'

afterEach(() => {
  setSystemTime()
})

const down = new AppError('UPSTREAM_UNAVAILABLE', 'down')
const unknown = new AppError('NOT_FOUND', 'The model is unknown.', { fault: 'deployment' })
const ME: Asker = { tenantId: 'home', userId: 'me' }

const observer = {
  streamBegan: () => {},
  streamSpoke: () => {},
  streamEnded: () => {},
  attempted: () => {},
  failedOver: () => {},
}

const routerOf = (providers: Scripted[], options: Partial<RouterOptions> = {}) =>
  new Router({ providers, observer, totalMs: 60_000, ...options })

/** A provider that lists these models and answers with its name. */
function fake(name: string, ...models: string[]): Scripted {
  const provider = new Scripted(name, [[name, STOP]])
  provider.lists = models
  return provider
}

const ids = async (router: Router, asker?: Asker) => (await router.list(asker)).map(({ id }) => id)

/** What is said by whoever answers for a model. */
async function say(router: Router, model: string, asker = ME): Promise<string> {
  const answerer = await router.route(model, asker)
  const signal = new AbortController().signal
  const events: ChatEvent[] = await Array.fromAsync(answerer.stream({ model, messages: [], params: {} }, signal))
  return events.filter((event) => typeof event === 'string').join('')
}

const routeOf = (model: string, deployments: [Deployment, ...Deployment[]], more: Partial<Route> = {}): Route => ({
  model,
  strategy: 'ordered',
  deployments,
  ...more,
})

describe('the list', () => {
  test('has each model once, as the first provider has it', async () => {
    const models = await routerOf([fake('a', 'x', 'y'), fake('b', 'y', 'z')]).list()
    expect(models.map(({ id, ownedBy }) => `${ownedBy}/${id}`)).toEqual(['a/x', 'a/y', 'b/z'])
  })

  test('has what there is while one provider is down, and fails when all are', async () => {
    const [a, b] = [fake('a', 'x'), fake('b', 'z')]
    a.listing = down
    expect(await ids(routerOf([a, b]))).toEqual(['z'])
    const lonely = routerOf([a])
    expect(lonely.list()).rejects.toBe(down)
    expect(lonely.defaultModel()).rejects.toBe(down)
  })

  test('is asked for with a key of one’s own after it was refused to somebody without', async () => {
    const a = fake('a', 'x')
    a.personalKeys = true
    a.listing = down
    const router = routerOf([a])
    const failure = (asker?: typeof ME) =>
      router.list(asker).then(
        () => undefined,
        (error: unknown) => error,
      )
    expect([await failure(), await failure()]).toEqual([down, down])
    expect(a.listed).toBe(1)
    a.listing = undefined
    expect(await ids(router, { ...ME, personalKey: 'sk-mine' })).toEqual(['x'])
  })

  test('is asked for once in five minutes, and served old while it is asked for again', async () => {
    const a = fake('a', 'x')
    const router = routerOf([a])
    await Promise.all([router.list(), router.list()])
    await router.list()
    expect(a.listed).toBe(1)
    a.lists = ['new']
    setSystemTime(Date.now() + 301_000)
    expect(await ids(router)).toEqual(['x'])
    expect(await ids(router)).toEqual(['new'])
    expect(a.listed).toBe(2)
  })

  test('stays while its provider is down, and one that never told is asked again after ten seconds', async () => {
    const [a, b] = [fake('a', 'x'), fake('b', 'y')]
    b.listing = down
    const router = routerOf([a, b])
    expect(await ids(router)).toEqual(['x'])
    await router.list()
    expect(b.listed).toBe(1)
    a.listing = down
    b.listing = undefined
    setSystemTime(Date.now() + 3_600_000)
    expect(await ids(router)).toEqual(['x', 'y'])
  })

  test('has the routes first, and hides what a person may not use', async () => {
    const router = routerOf([fake('a', 'x', 'secret')])
    const d = deploymentOf(fake('a'))
    router.use([
      routeOf('house', [d]),
      routeOf('secret', [d], { allow: { users: ['you'] } }),
      routeOf('team', [d], { allow: { tenants: ['home'] } }),
    ])
    expect(await ids(router)).toEqual(['house', 'x'])
    expect(await ids(router, ME)).toEqual(['house', 'team', 'x'])
    expect(await ids(router, { tenantId: 'other', userId: 'you' })).toEqual(['house', 'secret', 'x'])
  })
})

test('the default model is the chosen one, else the first', async () => {
  expect(await routerOf([fake('a', 'x')], { defaultModel: 'chosen' }).defaultModel()).toBe('chosen')
  expect(await routerOf([fake('a', 'x', 'y')]).defaultModel(ME)).toBe('x')
  expect(await routerOf([fake('a', 'text-embedding-3', 'y')]).defaultModel(ME)).toBe('y')
  expect(routerOf([fake('a')]).defaultModel()).rejects.toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' })
})

describe('a model without a route', () => {
  test('is asked of all that list it, in order, else of those that may have more than they list', async () => {
    const [a, b] = [fake('a', 'x'), fake('b', 'x', 'z')]
    const router = routerOf([a, b])
    expect([await say(router, 'x'), await say(router, 'z'), await say(router, 'unlisted')]).toEqual(['a', 'b', 'a'])
    const failing = new Scripted('a', [[down]])
    failing.lists = ['x']
    expect(await say(routerOf([failing, b]), 'x')).toBe('b')
  })

  test('is found although another provider does not tell what it has', async () => {
    const [a, b] = [fake('a'), fake('b', 'z')]
    a.listing = down
    expect(await say(routerOf([a, b]), 'z')).toBe('b')
  })

  test('asks nobody for a list when there is only one that could answer', async () => {
    const a = fake('a')
    expect(await say(routerOf([a]), 'anything')).toBe('a')
    expect(a.listed).toBe(0)
  })

  test('is 404 with near names where all is listed, and so is one that the provider does not know', async () => {
    const a = fake('a', 'openai/gpt-4o-mini', 'claude-sonnet', 'eliza')
    const closed = routerOf([Object.assign(fake('a', ...a.lists), { listsAll: true })])
    expect(closed.route('gpt-4o-mni', ME)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: 'There is no model gpt-4o-mni. GET /v1/models lists what there is. Did you mean openai/gpt-4o-mini?',
      details: { near: ['openai/gpt-4o-mini'] },
    })
    const wild = closed.route('something else', ME)
    expect(wild).rejects.toMatchObject({ code: 'NOT_FOUND', details: undefined })
    const open = new Scripted('a', [[unknown]])
    open.lists = a.lists
    expect(say(routerOf([open]), 'elisa')).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: 'The model is unknown. Did you mean eliza?',
    })
  })

  test("takes a key of one's own where there is no other way", async () => {
    const [a, b] = [Object.assign(fake('a', 'x', 'y'), { personalKeys: true }), fake('b', 'y')]
    const router = routerOf([a, b])
    expect(router.route('x', ME)).rejects.toMatchObject({ code: 'FORBIDDEN' })
    expect(await say(router, 'y')).toBe('b')
    expect(await say(router, 'x', { ...ME, personalKey: 'sk-mine' })).toBe('a')
    expect(await say(router, 'x', { ...ME, serverKey: true })).toBe('a')
  })
})

describe('a route', () => {
  test('comes before the providers, and a new list of routes takes its place', async () => {
    const router = routerOf([fake('a', 'x')])
    router.use([routeOf('x', [deploymentOf(fake('b'))])])
    expect(await say(router, 'x')).toBe('b')
    router.use([])
    expect(await say(router, 'x')).toBe('a')
  })

  test('is refused to whom it is not open, and is never a near name for them', async () => {
    const router = routerOf([Object.assign(fake('a'), { listsAll: true })])
    router.use([routeOf('secret', [deploymentOf(fake('b'))], { allow: { tenants: ['other'], users: ['you'] } })])
    expect(router.route('secret', ME)).rejects.toMatchObject({ code: 'FORBIDDEN' })
    expect(router.route('secrets', ME)).rejects.toMatchObject({ code: 'NOT_FOUND', details: undefined })
    expect(await say(router, 'secret', { tenantId: 'home', userId: 'you' })).toBe('b')
    expect(await say(router, 'secret', { tenantId: 'other', userId: 'me' })).toBe('b')
  })

  test('with arms serves each person by the same arm, and says which', async () => {
    const [a, b] = [deploymentOf(fake('a')), deploymentOf(fake('b'))]
    const split = [
      { name: 'A', weight: 3, deployments: ['a'] },
      { name: 'B', weight: 1, deployments: ['b'] },
    ]
    const route = routeOf('x', [a, b], { split })
    const router = routerOf([])
    router.use([route])
    const names = Array.from({ length: 400 }, (_, i) => armOf(route, `person ${i}`)?.name)
    expect(names.filter((name) => name === 'A').length).toBeWithin(260, 340)
    expect(Array.from({ length: 400 }, (_, i) => armOf(route, `person ${i}`)?.name)).toEqual(names)
    for (const i of [0, 1, 2, 3, 4, 5, 6, 7]) {
      const asker = { ...ME, userId: `person ${i}` }
      const answerer = await router.route('x', asker)
      const signal = new AbortController().signal
      const [served] = await Array.fromAsync(answerer.stream({ model: 'x', messages: [], params: {} }, signal))
      const name = names[i]
      expect(served).toMatchObject({ type: 'served', variant: name, provider: name?.toLowerCase() })
    }
  })

  test('shows to those who look after it how many of its models are left alone', async () => {
    const timeout = new AppError('UPSTREAM_TIMEOUT', 'late')
    const opened: string[] = []
    const a = new Scripted('a', [[timeout]])
    const router = routerOf([a], { onOpen: (...what) => opened.push(what.join(' ')) })
    const [check] = router.checks()
    expect(await check?.check()).toBeUndefined()
    for (let i = 0; i < 5; i++) await say(router, 'x').catch(() => {})
    expect(await check?.check()).toEqual({ degraded: '1 deployment(s) left alone after failures' })
    expect([opened, [...router.open()]]).toEqual([['a x'], [['a', 1]]])
    a.listing = down
    expect(check?.check()).rejects.toBe(down)
  })
})

describe('the order', () => {
  const NAMES = ['a', 'b', 'c']
  const [a, b, c] = NAMES.map((name, i) => deploymentOf(fake(name), { weight: i + 1 })) as [
    Deployment,
    Deployment,
    Deployment,
  ]
  const order = (strategy: Route['strategy'], loads = new Loads(() => 0), random = Math.random) =>
    inOrder([a, b, c], strategy, { loads, random })
      .map(({ id }) => id)
      .join('')

  test('of an ordered route is its own', () => {
    expect(order('ordered')).toBe('abc')
  })

  test('of a weighted one follows the weights, and names everybody', () => {
    const first = { a: 0, b: 0, c: 0 }
    for (let i = 0; i < 6000; i++) {
      const drawn = order('weighted')
      expect([...drawn].sort().join('')).toBe('abc')
      first[drawn[0] as keyof typeof first]++
    }
    expect(first.a).toBeWithin(850, 1150)
    expect(first.b).toBeWithin(1800, 2200)
    expect(first.c).toBeWithin(2750, 3250)
  })

  test('of a least-busy one counts what is under way for each part of the weight', () => {
    const loads = new Loads(() => 0)
    expect(order('least-busy', loads)).toBe('abc')
    for (const [deployment, times] of [
      [a, 2],
      [b, 2],
      [c, 5],
    ] as const) {
      for (let i = 0; i < times; i++) loads.begin(deployment)
    }
    expect(order('least-busy', loads)).toBe('bca')
    for (let i = 0; i < 5; i++) loads.end(c)
    expect(order('least-busy', loads)).toBe('cba')
  })

  test('of a fastest one tries those that are not known one at a time, then asks the quickest', () => {
    const clock = { now: 0 }
    const loads = new Loads(() => clock.now)
    loads.spoke(a, 900)
    expect(order('fastest', loads)).toBe('bca')
    loads.begin(b)
    expect(order('fastest', loads)).toBe('cab')
    loads.spoke(b, 100)
    loads.spoke(c, FAILED_LATENCY)
    expect(order('fastest', loads)).toBe('bac')
    for (let i = 0; i < 20; i++) loads.spoke(b, 2000)
    expect(order('fastest', loads)).toBe('abc')
    clock.now += 301_000
    loads.end(b)
    expect(order('fastest', loads)).toBe('abc')
    loads.spoke(a, 1)
    expect(order('fastest', loads)).toBe('bca')
  })
})
