import { describe, expect, test } from 'bun:test'
import { AppError } from '../../src/errors'
import type { ProviderKeys } from '../../src/llm/keys'
import { type Asker, Router } from '../../src/llm/router'
import { Scripted, STOP } from '../support/scripted'

const observer = {
  streamBegan: () => {},
  streamSpoke: () => {},
  streamEnded: () => {},
  attempted: () => {},
  failedOver: () => {},
}
const keys = (entries: Record<string, string | null>): ProviderKeys => new Map(Object.entries(entries))
const badKey = new AppError('UPSTREAM_ERROR', 'refused', { fault: 'key' })

function bench(scripts = [[STOP]] as ConstructorParameters<typeof Scripted>[1], names = ['a']) {
  const providers = names.map((name) => Object.assign(new Scripted(name, scripts), { lists: ['x'] }))
  const router = new Router({ providers, observer, totalMs: 60_000 })
  /** Asks, and gives the keys that providers got, or the error's code. */
  const ask = async (more: Partial<Asker> = {}) => {
    const asker: Asker = { tenantId: 't', userId: 'u', ...more }
    const before = providers.map(({ requests }) => requests.length)
    const apiKey = asker.personalKey ?? undefined
    try {
      const model = await router.route('x', asker)
      const request = { model: 'x', messages: [], params: {}, apiKey }
      await Array.fromAsync(model.stream(request, new AbortController().signal))
    } catch (error) {
      if (!(error instanceof AppError) || error.fault !== 'key') return error instanceof AppError ? error.code : error
    }
    return providers.flatMap(({ requests }, i) => requests.slice(before[i]).map((request) => request.apiKey ?? null))
  }
  return { providers, ask }
}

describe('the key that a provider gets', () => {
  test('is the tenant’s for that provider, and otherwise the server’s', async () => {
    const { ask } = bench([[badKey]], ['a', 'b'])
    expect(await ask({ providerKeys: keys({ b: 'kb' }) })).toEqual([null, 'kb'])
    expect(await ask({ providerKeys: keys({ other: 'ko' }) })).toEqual([null, null])
    expect(await ask()).toEqual([null, null])
  })

  test('is the person’s own before the tenant’s, where people have keys', async () => {
    const { providers, ask } = bench()
    const providerKeys = keys({ a: 'tenant' })
    expect(await ask({ personalKey: 'mine', providerKeys })).toEqual(['tenant'])
    Object.assign(providers[0] ?? {}, { personalKeys: true })
    expect(await ask({ personalKey: 'mine', providerKeys })).toEqual(['mine'])
    expect(await ask({ providerKeys })).toEqual(['tenant'])
    expect(await ask()).toBe('FORBIDDEN')
    expect(await ask({ serverKey: true })).toEqual([null])
  })

  test('is never the server’s where the tenant has one that cannot be read', async () => {
    const { providers, ask } = bench([[STOP]], ['a', 'b'])
    const providerKeys = keys({ a: null })
    expect(await ask({ providerKeys })).toEqual([null])
    expect(providers.map(({ requests }) => requests.length)).toEqual([0, 1])
    expect(await ask({ providerKeys: keys({ a: null, b: null }), serverKey: true })).toBe('UPSTREAM_UNAVAILABLE')
    expect(providers.map(({ requests }) => requests.length)).toEqual([0, 1])
  })

  test('that fails is left alone for those who use it, and not for others', async () => {
    const { ask } = bench([[badKey]])
    const bad = { providerKeys: keys({ a: 'bad' }) }
    const answers = []
    for (let i = 0; i < 20; i++) answers.push(await ask(bad))
    expect(answers[0]).toEqual(['bad'])
    expect(answers.at(-1)).toBe('UPSTREAM_UNAVAILABLE')
    expect(await ask()).toEqual([null])
    expect(await ask({ providerKeys: keys({ a: 'a new one' }) })).toEqual(['a new one'])
  })
})

describe('a list of models', () => {
  test('shuts what is not on it, and chooses among what is', async () => {
    const provider = Object.assign(new Scripted('a'), { lists: ['x', 'y', 'z'] })
    const router = new Router({ providers: [provider], observer, totalMs: 60_000, defaultModel: 'x' })
    const asker: Asker = { tenantId: 't', userId: 'u', models: ['y', 'gone'] }
    expect((await router.list(asker)).map(({ id }) => id)).toEqual(['y'])
    expect(await router.defaultModel(asker)).toBe('y')
    const codeOf = (work: Promise<unknown>) => work.then(String, (error: AppError) => error.code)
    expect(await codeOf(router.resolve('x', asker))).toBe('FORBIDDEN')
    expect(await codeOf(router.resolve('unknown', asker))).toBe('FORBIDDEN')
    expect(await codeOf(router.defaultModel({ ...asker, models: [] }))).toBe('FORBIDDEN')
    expect(await router.defaultModel({ ...asker, models: null })).toBe('x')
    expect(await router.defaultModel()).toBe('x')
  })
})
