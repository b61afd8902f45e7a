import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type CallInit, type TestApp, testApp } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'

let app: TestApp
let provider: FakeProvider
let token: string
beforeAll(async () => {
  provider = startFakeProvider()
  app = await testApp({ OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: 'sk-test', DEFAULT_MODEL: 'echo' })
  token = (await app.signUp()).token
})
afterAll(async () => {
  await app.close()
  await provider.stop()
})

const call = (path: string, init: CallInit = {}) => app.call(`/v1/conversations${path}`, { token, ...init })
const dataOf = async (answer: Response) => (await answer.json()).data
const get = async (path: string, as = token) => dataOf(await call(path, { token: as }))
const make = async (json: object, init: CallInit = {}) => dataOf(await call('', { json, ...init }))
const patch = (id: string, json: unknown) => call(`/${id}`, { method: 'PATCH', json })
const chat = async (json: object, as = token) =>
  (await app.call('/v1/chat/completions', { token: as, json: { stream: false, ...json } })).json()
const newcomer = async () => (await app.signUp()).token

describe('a new conversation', () => {
  test('is named by its first message, unless somebody has named it', async () => {
    const named = async (json: object) => {
      const { id } = await make(json)
      await chat({ message: 'What is a fjord?', conversation_id: id })
      await chat({ message: 'And a bay?', conversation_id: id })
      return (await get(`/${id}`)).title
    }
    expect(await named({ model: 'echo' })).toBe('What is a fjord?')
    expect(await named({ model: 'echo', title: 'Coasts' })).toBe('Coasts')
  })

  test('is empty, has what it is given, and goes on in its branch', async () => {
    const given = {
      title: ' Plans ',
      model: 'echo',
      system_prompt: 'Be brief',
      settings: { temperature: 0.5 },
      metadata: { colour: 'red' },
      tags: ['b', ' a ', 'a'],
    }
    const answer = await call('', { json: given })
    expect(answer.status).toBe(201)
    expect(answer.headers.get('etag')).toBe('"1"')
    const made = await dataOf(answer)
    expect(made).toEqual({
      ...given,
      title: 'Plans',
      tags: ['b', 'a'],
      id: expect.any(String),
      pinned_at: null,
      archived_at: null,
      active_leaf_id: null,
      active_branch_id: expect.any(String),
      rev: 1,
      created_at: expect.any(String),
      updated_at: made.created_at,
    })
    expect(await get(`/${made.id}`)).toEqual(made)
    const { branch_id } = await chat({ message: 'one two', conversation_id: made.id })
    expect(branch_id).toBe(made.active_branch_id)
    expect(provider.requests.at(-1)?.body).toMatchObject({
      temperature: 0.5,
      messages: [
        { role: 'system', content: 'Be brief' },
        { role: 'user', content: 'one two' },
      ],
    })
  })

  test('is made once for one idempotency key of one person', async () => {
    const headers = { 'idempotency-key': 'the-same' }
    const made = await make({ title: 'Once' }, { headers })
    expect(await make({ title: 'Once' }, { headers })).toEqual(made)
    const someone = await newcomer()
    const others = await make({ title: 'Once' }, { headers, token: someone })
    expect(others.id).not.toBe(made.id)
    expect((await call('', { json: { title: 'x' }, headers: { 'idempotency-key': 'has spaces' } })).status).toBe(422)
    const other = await call('', { json: { title: 'Another' }, headers })
    expect([other.status, (await other.json()).error.message]).toEqual([
      422,
      expect.stringContaining('Idempotency-Key'),
    ])
    await call(`/${made.id}`, { method: 'PATCH', json: { title: 'Renamed' } })
    expect(await make({ title: 'Once' }, { headers })).toMatchObject({ id: made.id, title: 'Renamed' })
  })

  test.each([
    ['nothing', {}],
    ['an empty title', { title: '' }],
    ['a title of 1 MB', { title: 'a'.repeat(1_000_000) }],
    ['an id', { id: crypto.randomUUID() }],
    ['settings that are none', { settings: 'hot' }],
    ['a temperature that is none', { settings: { temperature: 9 } }],
    ['a route', { settings: { api_base: 'http://evil' } }],
    ['callbacks', { settings: { success_callback: ['x'] } }],
    ['what each turn says', { settings: { messages: [] } }],
    ['several answers', { settings: { n: 3 } }],
    ['large settings', { settings: { stop: 'x'.repeat(8192) } }],
    ['large metadata', { metadata: { x: 'x'.repeat(16_384) } }],
    ['metadata that is a list', { metadata: [1] }],
    ['too many tags', { tags: Array.from({ length: 51 }, (_, i) => `t${i}`) }],
    ['a tag of nothing', { tags: [' '] }],
    ['a long tag', { tags: ['x'.repeat(51)] }],
    ['a tag that is a number', { tags: [7] }],
  ])('is not made of %s', async (_, json) => {
    const before = (await get('')).pagination.total
    expect((await call('', { json })).status).toBe(422)
    expect((await get('')).pagination.total).toBe(before)
    const { id } = await make({ title: 'Stays' })
    expect((await patch(id, json)).status).toBe(422)
    expect(await get(`/${id}`)).toMatchObject({ title: 'Stays', rev: 1 })
  })

  test('keeps of NUL and half surrogates what a database can hold, in keys and values', async () => {
    const body = '{"tags":["\\u0000"],"settings":{"a\\u0000":"\\ud800"},"metadata":{"\\udfff":1}}'
    const made = await dataOf(await call('', { method: 'POST', body, headers: { 'content-type': 'application/json' } }))
    expect(made).toMatchObject({ tags: ['\uFFFD'], settings: { 'a\uFFFD': '\uFFFD' }, metadata: { '\uFFFD': 1 } })
  })
})

describe('settings', () => {
  test('are for turns that do not bring their own', async () => {
    const { id } = await make({ settings: { temperature: 0.5, max_tokens: 9, top_p: 0.1 } })
    const sent = async (more: object) => {
      await chat({ message: 'hello', conversation_id: id, ...more })
      const body: Record<string, unknown> = { ...provider.requests.at(-1)?.body }
      const names = ['temperature', 'max_tokens', 'max_completion_tokens', 'top_p'].filter((name) => name in body)
      return Object.fromEntries(names.map((name) => [name, body[name]]))
    }
    expect(await sent({})).toEqual({ temperature: 0.5, max_tokens: 9, top_p: 0.1 })
    expect(await sent({ temperature: 1, top_p: null })).toEqual({ temperature: 1, max_tokens: 9 })
    expect(await sent({ max_completion_tokens: 4 })).toEqual({ temperature: 0.5, max_completion_tokens: 4, top_p: 0.1 })
    await patch(id, { settings: null })
    expect(await sent({})).toEqual({})
  })

  test('are for answers made again and for OpenAI clients, too', async () => {
    const { id } = await make({ settings: { temperature: 0.25 } })
    const { message_id } = await chat({ message: 'hello', conversation_id: id })
    await app.call('/v1/chat/regenerate', { token, json: { conversation_id: id, message_id } })
    expect(provider.requests.at(-1)?.body).toMatchObject({ temperature: 0.25 })
    await chat({ messages: [{ role: 'user', content: 'more' }], conversation_id: id, model: 'echo' })
    expect(provider.requests.at(-1)?.body).toMatchObject({ temperature: 0.25 })
  })
})

describe('the list', () => {
  const titles = async (query: string, as: string) => {
    const { items, pagination } = await get(query, as)
    expect(pagination.total).toBe(items.length)
    return items.map(({ title }: { title: string }) => title)
  }

  test('counts what is in each conversation', async () => {
    const me = await newcomer()
    const { conversation_id, message_id } = await chat({ message: 'Tea' }, me)
    await app.call('/v1/chat/regenerate', { token: me, json: { conversation_id, message_id } })
    await make({ title: 'Empty' }, { token: me })
    expect((await get('?sort=title', me)).items).toMatchObject([
      { title: 'Empty', message_count: 0, branch_count: 1 },
      { title: 'Tea', message_count: 3, branch_count: 2 },
    ])
  })

  test('shows pinned ones first, and archived ones when asked', async () => {
    const me = await newcomer()
    const ids: Record<string, string> = {}
    for (const title of ['a', 'b', 'c']) ids[title] = (await make({ title, tags: [`${title}!`] }, { token: me })).id
    const change = (title: string, json: object) => call(`/${ids[title]}`, { method: 'PATCH', json, token: me })
    const pinned = await dataOf(await change('a', { pinned: true }))
    expect(pinned).toMatchObject({ pinned_at: pinned.updated_at, archived_at: null, rev: 2 })
    await change('c', { archived: true })
    await change('b', { title: 'B' })
    expect(await titles('', me)).toEqual(['a', 'B'])
    expect(await titles('?archived=all', me)).toEqual(['a', 'B', 'c'])
    expect(await titles('?archived=true', me)).toEqual(['c'])
    expect(await titles('?pinned=false', me)).toEqual(['B'])
    expect(await titles('?sort=-updated_at', me)).toEqual(['B', 'a'])
    expect(await titles('?sort=-created_at&archived=all', me)).toEqual(['c', 'B', 'a'])
    expect(await titles('?tag=b!', me)).toEqual(['B'])
    await change('a', { pinned: false })
    await change('c', { archived: false })
    expect(await titles('', me)).toEqual(['c', 'a', 'B'])
  })

  test('is narrowed by title, model, time and numbers', async () => {
    const me = await newcomer()
    await make({ title: '100% Tea', model: 'one' }, { token: me })
    await chat({ message: 'tea' }, me)
    for (const [query, expected] of [
      ['?q=TEA&sort=title', ['100% Tea', 'tea']],
      ['?q=%25', ['100% Tea']],
      ['?q=_', []],
      ["?q='%22%3B--", []],
      ['?q=%00', []],
      ['?model=one', ['100% Tea']],
      ['?model=nobody', []],
      ['?min_messages=1', ['tea']],
      ['?max_messages=0', ['100% Tea']],
      ['?has_branches=true', []],
      ['?has_branches=false&sort=-title', ['tea', '100% Tea']],
      ['?created_before=2020-01-01T00:00:00Z', []],
      ['?created_after=2020-01-01T00:00:00Z&sort=title', ['100% Tea', 'tea']],
    ] as const) {
      expect([query, await titles(query, me)]).toEqual([query, [...expected]])
    }
  })

  test.each([
    'sort=rev',
    'sort=',
    'archived=maybe',
    'pinned=1',
    'has_branches=x',
    'min_messages=-1',
    'max_messages=1.5',
    'max_messages=1e12',
    'created_after=yesterday',
    'created_before=2026-02-30T25:00:00Z',
    'created_after=0000-01-01T00:00:00Z',
    'created_before=9999-12-31T23:59:59-23:59',
    `q=${'x'.repeat(201)}`,
    'q=',
    `tag=${'x'.repeat(51)}`,
    `model=${'x'.repeat(201)}`,
  ])('refuses %s', async (query) => {
    const answer = await call(`?${query}`)
    expect(answer.status).toBe(422)
    expect((await answer.json()).error.message).toContain(query.split('=')[0])
  })
})

describe('the whole tree', () => {
  test('has every message of every branch, in pages', async () => {
    const first = await chat({ message: 'one' })
    const id = first.conversation_id
    const again = await (
      await app.call('/v1/chat/regenerate', { token, json: { conversation_id: id, message_id: first.message_id } })
    ).json()
    const { conversation, branches, messages } = await get(`/${id}/full`)
    expect(conversation).toEqual(await get(`/${id}`))
    expect(branches).toMatchObject([
      { id: first.branch_id, name: 'Main', leaf_id: first.message_id, message_count: 2, preview: 'one', active: false },
      { id: again.branch_id, leaf_id: again.message_id, parent_message_id: messages.items[0].id, active: true },
    ])
    expect(messages.pagination).toEqual({ page: 1, limit: 1000, total: 3, pages: 1 })
    expect(messages.items.map((m: { id: string; siblings: object }) => [m.id, m.siblings])).toEqual([
      [expect.any(String), { index: 1, count: 1, prev: null, next: null }],
      [first.message_id, { index: 1, count: 2, prev: null, next: again.message_id }],
      [again.message_id, { index: 2, count: 2, prev: first.message_id, next: null }],
    ])
    expect((await get(`/${id}/full?page=2&limit=2`)).messages).toMatchObject({
      items: [{ id: again.message_id }],
      pagination: { page: 2, limit: 2, total: 3, pages: 2 },
    })
    for (const query of ['limit=1001', 'limit=0', 'page=0', 'page=x']) {
      expect((await call(`/${id}/full?${query}`)).status).toBe(422)
    }
  })

  test('is summed up', async () => {
    const { conversation_id: id } = await chat({ message: 'one two three' })
    const { usage } = await chat({ message: 'four', conversation_id: id })
    expect(usage.total_tokens).toBeGreaterThan(0)
    const stats = await get(`/${id}/stats`)
    expect(stats).toEqual({
      messages: 4,
      branches: 1,
      answers: 2,
      prompt_tokens: expect.any(Number),
      completion_tokens: 4,
      total_tokens: stats.prompt_tokens + 4,
      cost_usd: 0,
      models: [{ model: 'echo', answers: 2 }],
      first_message_at: expect.any(String),
      last_message_at: expect.any(String),
    })
    const { id: empty } = await make({ title: 'Empty' })
    const none = { messages: 0, branches: 1, answers: 0, models: [], first_message_at: null, last_message_at: null }
    expect(await get(`/${empty}/stats`)).toMatchObject(none)
    expect((await get(`/${empty}/full`)).messages.items).toEqual([])
  })
})
