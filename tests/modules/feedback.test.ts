import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type CallInit, type TestApp, testApp } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { readSse } from '../support/read-sse'

let provider: FakeProvider
let app: TestApp
let token: string
let stranger: string

beforeAll(async () => {
  provider = startFakeProvider()
  app = await testApp({
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: 'sk-test',
    DEFAULT_MODEL: 'echo',
    ADMIN_EMAIL: 'Owner@example.com',
    ADMIN_PASSWORD: 'correct horse battery',
  })
  token = (await app.signUp()).token
  stranger = (await app.signUp()).token
})
afterAll(async () => {
  await app.close()
  await provider.stop()
})

interface Said {
  conversation_id: string
  branch_id: string
  message_id: string
  run_id: string
}
const say = async (json: object): Promise<Said> =>
  (await app.call('/v1/chat/completions', { token, json: { message: 'good morning', stream: false, ...json } })).json()
const at = (id: string, init: CallInit = {}) => app.call(`/v1/messages/${id}/feedback`, { token, ...init })
const give = (id: string, json: object, init: CallInit = {}) => at(id, { method: 'PUT', json, ...init })
const dataOf = async (answer: Response | Promise<Response>) => (await (await answer).json()).data

describe('feedback', () => {
  test('is kept with what it was about', async () => {
    const { conversation_id, branch_id, message_id } = await say({})
    const opinion = { kind: 'thumbs_up', rating: 4, tags: ['clear', 'short'], comment: 'Nice', metadata: { ui: 2 } }
    const given = await give(message_id, opinion)
    expect(given.status).toBe(200)
    const data = await dataOf(given)
    expect(data).toMatchObject({ ...opinion, conversation_id, message_id, model: 'echo' })
    expect(data.snapshot).toEqual({
      role: 'assistant',
      question: 'good morning',
      answer: 'good morning',
      model: 'echo',
      branch_id,
      status: 'complete',
      finish_reason: 'stop',
      version: 1,
      versions: 1,
    })
    expect(await dataOf(at(message_id))).toEqual(data)
  })

  test('is one, and changeable: said again by POST or PUT it replaces the older one', async () => {
    const { message_id } = await say({})
    const first = await dataOf(give(message_id, { kind: 'thumbs_up', comment: 'Good', tags: ['a'] }))
    const second = await dataOf(give(message_id, { kind: 'flag' }, { method: 'POST' }))
    expect(second).toMatchObject({ id: first.id, created_at: first.created_at, kind: 'flag', comment: null, tags: [] })
    expect(await dataOf(at(message_id))).toEqual(second)
  })

  test('knows which of several answers it is about', async () => {
    const { conversation_id, message_id } = await say({ message: 'say it' })
    const again = await app.call('/v1/chat/regenerate', { token, json: { conversation_id, message_id } })
    const other: Said = await again.json()
    const { snapshot } = await dataOf(give(other.message_id, { rating: 1 }))
    expect(snapshot).toMatchObject({ question: 'say it', branch_id: other.branch_id, version: 2, versions: 2 })
  })

  test('may be about a question', async () => {
    const { conversation_id } = await say({ message: 'my question' })
    const path = await dataOf(app.call(`/v1/conversations/${conversation_id}/messages`, { token }))
    const { snapshot, model } = await dataOf(give(path.items[0].id, { kind: 'flag' }))
    expect(snapshot).toMatchObject({ role: 'user', question: 'my question', answer: null })
    expect(model).toBeNull()
  })

  test('keeps the first part of a long answer', async () => {
    const { message_id } = await say({ message: 'x'.repeat(31_999) })
    const { conversation_id } = await dataOf(give(message_id, { rating: 3 }))
    const longer = await say({ conversation_id, model: 'tokens:9000' })
    const { snapshot } = await dataOf(give(longer.message_id, { rating: 3 }))
    expect(snapshot.answer).toHaveLength(32_000)
  })

  test('of a conversation comes as a list, the one changed last first', async () => {
    const one = await say({})
    const two = await say({ conversation_id: one.conversation_id })
    await give(one.message_id, { rating: 1 })
    await give(two.message_id, { rating: 2 })
    const list = async (query: string) =>
      dataOf(app.call(`/v1/conversations/${one.conversation_id}/feedback${query}`, { token }))
    const { items, pagination } = await list('')
    expect(items.map(({ rating }: { rating: number }) => rating)).toEqual([2, 1])
    expect(pagination).toEqual({ page: 1, limit: 20, total: 2, pages: 1 })
    expect((await list('?page=2&limit=1')).items).toMatchObject([{ rating: 1 }])
  })

  test('is taken back, and goes with its message', async () => {
    const { conversation_id, message_id } = await say({})
    expect(await dataOf(at(message_id))).toBeNull()
    await give(message_id, { rating: 1 })
    const remove = () => dataOf(at(message_id, { method: 'DELETE' }))
    expect(await remove()).toEqual({ message_id, deleted: true })
    expect(await remove()).toEqual({ message_id, deleted: false })
    await give(message_id, { rating: 1 })
    await app.call(`/v1/conversations/${conversation_id}`, { method: 'DELETE', token })
    expect((await at(message_id)).status).toBe(404)
    expect((await give(message_id, { rating: 1 })).status).toBe(404)
  })

  test('waits until the answer is done', async () => {
    const response = await app.call('/v1/chat/completions', { token, json: { model: 'silent-after:1', message: 'x' } })
    const { frames } = await readSse(response, (seen) => seen.length > 1)
    const { message_id, run_id } = frames[0]?.data ?? {}
    expect((await give(String(message_id), { rating: 1 })).status).toBe(409)
    await app.call(`/v1/runs/${run_id}/stop`, { method: 'POST', token })
    const { snapshot } = await dataOf(give(String(message_id), { rating: 1 }))
    expect(snapshot).toMatchObject({ status: 'stopped' })
  })

  test('by model, of a tenant, for its administrators', async () => {
    const { message_id } = await say({})
    await give(message_id, { kind: 'thumbs_up', rating: 4 })
    const ask = (query = '', as = token) => app.call(`/v1/admin/feedback${query}`, { token: as })
    const refused = await ask()
    expect(refused.status).toBe(403)
    expect((await refused.json()).error.message).toBe('This is for administrators')
    const login = { email: 'owner@example.com', password: 'correct horse battery' }
    const { tokens } = await (await app.call('/api/v1/auth/login', { json: login })).json()
    const owner = tokens.access_token
    const { models } = (await (await ask('', owner)).json()).data
    const echo = models.find(({ model }: { model: string }) => model === 'echo')
    expect(echo.thumbs_up).toBeGreaterThan(0)
    expect(echo.mean_rating).toBeWithin(1, 6)
    const past = (await (await ask('?to=2020-01-31T00:00:00Z', owner)).json()).data
    expect(past).toEqual({ from: '2020-01-01T00:00:00.000Z', to: '2020-01-31T00:00:00.000Z', models: [] })
    expect((await ask('?from=yesterday', owner)).status).toBe(422)
  })
})

describe('refuses', () => {
  const WRONG: [string, unknown][] = [
    ['nothing', {}],
    ['only what is empty', { kind: null, rating: null, tags: [], comment: ' ' }],
    ['only metadata', { metadata: { a: 1 } }],
    ['an unknown kind', { kind: 'love' }],
    ['too many stars', { rating: 6 }],
    ['no star', { rating: 0 }],
    ['half a star', { rating: 1.5 }],
    ['stars in words', { rating: 'five' }],
    ['tags that are none', { tags: 'clear' }],
    ['an empty tag', { tags: [''] }],
    ['a long tag', { tags: ['x'.repeat(51)] }],
    ['21 tags', { tags: Array.from({ length: 21 }, (_, i) => `t${i}`) }],
    ['a long comment', { comment: 'x'.repeat(10_001) }],
    ['a comment of another type', { comment: ['x'] }],
    ['metadata that is a list', { rating: 1, metadata: [1] }],
    ['a lot of metadata', { rating: 1, metadata: { a: 'x'.repeat(16_000) } }],
    ['null', null],
    ['a list', []],
  ]
  test.each(WRONG)('%s', async (_, json) => {
    const { message_id } = await say({})
    for (const method of ['PUT', 'POST']) expect((await at(message_id, { method, json })).status).toBe(422)
    expect(await dataOf(at(message_id))).toBeNull()
  })

  test('a rating that is none, in words', async () => {
    const { message_id } = await say({})
    const { error } = await (await give(message_id, { rating: 0 })).json()
    expect(error.message).toBe('rating: must be of type integer and within its limits, or null')
  })

  test('a message that is nobody’s, no id, or somebody else’s', async () => {
    const { conversation_id, message_id } = await say({})
    await give(message_id, { rating: 5 })
    const ask = async (id: string, as: string | undefined) => [
      (await give(id, { rating: 1 }, { token: as })).status,
      (await at(id, { token: as })).status,
      (await at(id, { method: 'DELETE', token: as })).status,
    ]
    expect(await ask(crypto.randomUUID(), token)).toEqual([404, 404, 404])
    expect(await ask('none', token)).toEqual([422, 422, 422])
    expect(await ask(message_id, stranger)).toEqual([404, 404, 404])
    expect(await ask(message_id, undefined)).toEqual([401, 401, 401])
    const list = (id: string, as: string | undefined, query = '') =>
      app.call(`/v1/conversations/${id}/feedback${query}`, { token: as })
    expect((await list(conversation_id, stranger)).status).toBe(404)
    expect((await list(crypto.randomUUID(), token)).status).toBe(404)
    expect((await list(conversation_id, token, '?limit=101')).status).toBe(422)
    expect(await dataOf(at(message_id))).toMatchObject({ rating: 5 })
  })

  test('nothing that a database cannot hold: it is replaced', async () => {
    const { message_id } = await say({})
    const body =
      '{"comment":"a\\u0000\\ud800","tags":["\\udfff"],"metadata":{"\\u0000":"\\ud800"},"__proto__":{"polluted":true}}'
    const headers = { 'content-type': 'application/json' }
    const given = await at(message_id, { method: 'PUT', headers, body })
    expect(given.status).toBe(200)
    expect(await dataOf(given)).toMatchObject({
      comment: 'a\uFFFD\uFFFD',
      tags: ['\uFFFD'],
      metadata: { '\uFFFD': '\uFFFD' },
      rating: null,
    })
  })
})
