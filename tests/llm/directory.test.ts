import { afterEach, describe, expect, setSystemTime, test } from 'bun:test'
import { AppError } from '../../src/errors'
import { ModelDirectory } from '../../src/llm/directory'
import type { Provider } from '../../src/llm/port'

afterEach(() => {
  setSystemTime()
})

const down = new AppError('UPSTREAM_UNAVAILABLE', 'down')

/** A provider that lists what `lists` holds at the time, or fails, and counts how often it is asked. */
function fake(name: string, ...models: string[]) {
  const state = { models, failing: false, asked: 0 }
  const provider: Provider = {
    name,
    listsAll: false,
    personalKeys: false,
    cost: () => null,
    async *stream() {},
    async models() {
      state.asked++
      if (state.failing) throw down
      return state.models.map((id) => ({ id, ownedBy: name, created: 0 }))
    },
  }
  return { provider, state }
}

const ids = async (directory: ModelDirectory) => (await directory.list()).map(({ id, ownedBy }) => `${ownedBy}/${id}`)

describe('the list', () => {
  test('has each model once, as the first provider has it', async () => {
    const directory = new ModelDirectory([fake('a', 'x', 'y').provider, fake('b', 'y', 'z').provider], undefined)
    expect(await ids(directory)).toEqual(['a/x', 'a/y', 'b/z'])
  })

  test('has what there is while one provider is down, and fails when all are', async () => {
    const [a, b] = [fake('a', 'x'), fake('b', 'z')]
    const directory = new ModelDirectory([a.provider, b.provider], undefined)
    a.state.failing = true
    expect(await ids(directory)).toEqual(['b/z'])
    const lonely = new ModelDirectory([a.provider], undefined)
    expect(lonely.list()).rejects.toBe(down)
    expect(lonely.defaultModel()).rejects.toBe(down)
  })

  test('is asked for once in five minutes, and served old while it is asked for again', async () => {
    const { provider, state } = fake('a', 'x')
    const directory = new ModelDirectory([provider], undefined)
    await directory.list()
    await directory.list()
    expect(state.asked).toBe(1)
    state.models = ['new']
    setSystemTime(Date.now() + 301_000)
    expect(await ids(directory)).toEqual(['a/x'])
    expect(await ids(directory)).toEqual(['a/new'])
    expect(state.asked).toBe(2)
  })

  test('stays while its provider is down', async () => {
    const { provider, state } = fake('a', 'x')
    const directory = new ModelDirectory([provider], undefined)
    await directory.list()
    state.failing = true
    for (let hour = 1; hour < 4; hour++) {
      setSystemTime(Date.now() + 3_600_000)
      expect(await ids(directory)).toEqual(['a/x'])
    }
    expect(state.asked).toBeGreaterThan(1)
  })
})

describe('the default model', () => {
  test('is the chosen one, else the first', async () => {
    expect(await new ModelDirectory([fake('a', 'x').provider], 'chosen').defaultModel()).toBe('chosen')
    expect(await new ModelDirectory([fake('a', 'x', 'y').provider], undefined).defaultModel()).toBe('x')
    const empty = new ModelDirectory([fake('a').provider], undefined)
    expect(empty.defaultModel()).rejects.toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' })
  })
})

describe('the provider of a model', () => {
  test('is the first that lists it, else the first of all', async () => {
    const [a, b] = [fake('a', 'x'), fake('b', 'x', 'z')]
    const directory = new ModelDirectory([a.provider, b.provider], undefined)
    expect(await directory.providerOf('x')).toBe(a.provider)
    expect(await directory.providerOf('z')).toBe(b.provider)
    expect(await directory.providerOf('unlisted')).toBe(a.provider)
    a.state.failing = true
    expect(await directory.providerOf('z')).toBe(b.provider)
  })

  test('is none when all providers list all they have', async () => {
    const [a, b] = [fake('a', 'x'), fake('b', 'z')]
    const closed = { ...a.provider, listsAll: true }
    const alone = new ModelDirectory([closed], undefined)
    expect(await alone.providerOf('x')).toBe(closed)
    expect(alone.providerOf('y')).rejects.toMatchObject({ code: 'NOT_FOUND' })
    expect(await new ModelDirectory([closed, b.provider], undefined).providerOf('y')).toBe(b.provider)
  })

  test('asks nobody when there is only one', async () => {
    const { provider, state } = fake('a')
    expect(await new ModelDirectory([provider], 'm').providerOf('anything')).toBe(provider)
    expect(state.asked).toBe(0)
  })
})

test('checks each provider by name, for those who look after it', async () => {
  const [a, b] = [fake('a', 'x'), fake('b')]
  b.state.failing = true
  const [first, second] = new ModelDirectory([a.provider, b.provider], undefined).checks()
  expect([first?.name, second?.name]).toEqual(['a', 'b'])
  expect(first?.check()).resolves.toBeUndefined()
  expect(second?.check()).rejects.toBe(down)
})
