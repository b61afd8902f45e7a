import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type CallInit, type TestApp, testApp } from '../support/app'

let app: TestApp
let token: string
beforeAll(async () => {
  app = await testApp()
  token = (await app.signUp()).token
})
afterAll(() => app.close())

const call = (path: string, init: CallInit = {}) => app.call(`/v1/conversations${path}`, { token, ...init })
const get = async (path: string, as = token) => (await (await call(path, { token: as })).json()).data
const patch = (id: string, json: unknown, headers: Record<string, string> = {}) =>
  call(`/${id}`, { method: 'PATCH', json, headers })

/** A conversation of one answered message, as the chat answers it. */
const chat = async (message = 'Hello', more: object = {}, as = token) => {
  const answer = await app.call('/v1/chat/completions', { token: as, json: { message, stream: false, ...more } })
  expect(answer.status).toBe(200)
  return answer.json()
}
const newConversation = async (message?: string, as?: string): Promise<string> =>
  (await chat(message, {}, as)).conversation_id

test('lists conversations in pages, the latest first', async () => {
  const { token: other } = await app.signUp()
  expect(await get('', other)).toEqual({ items: [], pagination: { page: 1, limit: 20, total: 0, pages: 0 } })
  const ids: string[] = []
  for (const message of ['one', 'two', 'three']) ids.unshift(await newConversation(message, other))
  const { items, pagination } = await get('?page=1&limit=2', other)
  expect(pagination).toEqual({ page: 1, limit: 2, total: 3, pages: 2 })
  expect(items.map(({ id }: { id: string }) => id)).toEqual(ids.slice(0, 2))
  expect((await get('?page=2&limit=2', other)).items).toMatchObject([{ id: String(ids[2]), title: 'one' }])
  expect((await get('?page=1000000', other)).items).toEqual([])
  await chat('more', { conversation_id: ids[2] }, other)
  expect((await get('', other)).items[0]).toMatchObject({ id: String(ids[2]) })
})

test('shows one conversation with an ETag that says which state it is', async () => {
  const { conversation_id: id, message_id, branch_id } = await chat('What is tea?')
  const answer = await call(`/${id}`)
  expect(answer.headers.get('etag')).toBe('"1"')
  expect(await answer.json()).toEqual({
    success: true,
    data: {
      id,
      title: 'What is tea?',
      model: 'demo/eliza',
      system_prompt: null,
      settings: null,
      metadata: null,
      tags: [],
      pinned_at: null,
      archived_at: null,
      active_leaf_id: message_id,
      active_branch_id: branch_id,
      rev: 1,
      created_at: expect.any(String),
      updated_at: expect.any(String),
    },
  })
})

test('shows the messages of the active branch, or of the one that ends where it is asked', async () => {
  const first = await chat('one')
  const id = first.conversation_id
  const second = await chat('two', { conversation_id: id })
  const { items, pagination } = await get(`/${id}/messages?limit=3`)
  expect(pagination).toEqual({ page: 1, limit: 3, total: 4, pages: 2 })
  expect(items.map(({ role }: { role: string }) => role)).toEqual(['assistant', 'user', 'assistant'])
  expect(items.at(-1)).toEqual({
    id: second.message_id,
    conversation_id: id,
    parent_id: items.at(-2).id,
    role: 'assistant',
    content: second.choices[0].message.content,
    extra: null,
    branch_id: second.branch_id,
    metadata: null,
    status: 'complete',
    model: 'demo/eliza',
    finish_reason: 'stop',
    usage: expect.objectContaining({ total_tokens: expect.any(Number) }),
    cost_usd: 0,
    siblings: { index: 1, count: 1, prev: null, next: null },
    created_at: expect.any(String),
    completed_at: expect.any(String),
  })
  expect((await get(`/${id}/messages?limit=3&page=2`)).items).toMatchObject([{ content: 'one' }])
  const older = await get(`/${id}/messages?leaf=${first.message_id}`)
  expect(older.items).toHaveLength(2)
  expect(older.items[1].id).toBe(first.message_id)
})

test('renames a conversation and keeps the rest', async () => {
  const id = await newConversation()
  const before = await get(`/${id}`)
  const answer = await patch(id, { title: '  Tea  ' })
  expect(answer.headers.get('etag')).toBe('"2"')
  const { data } = await answer.json()
  expect(data).toEqual({ ...before, title: 'Tea', rev: 2, updated_at: expect.any(String) })
  expect(await get(`/${id}`)).toEqual(data)
})

test('changes model and system prompt, and takes them back with null', async () => {
  const id = await newConversation()
  await patch(id, { model: 'demo/eliza', system_prompt: 'Be brief' })
  expect(await get(`/${id}`)).toMatchObject({ model: 'demo/eliza', system_prompt: 'Be brief' })
  await patch(id, { model: null, system_prompt: null })
  expect(await get(`/${id}`)).toMatchObject({ model: null, system_prompt: null, title: 'Hello' })
})

test('is not deleted by a tab that has not seen what was said since', async () => {
  const id = await newConversation()
  const remove = (headers: Record<string, string>) => call(`/${id}`, { method: 'DELETE', headers })
  const { rev } = await get(`/${id}`)
  await chat('More', { conversation_id: id })
  const refused = await remove({ 'if-match': `"${rev}"` })
  expect(refused.status).toBe(409)
  const { current } = (await refused.json()).error.details
  expect(current.rev).toBeGreaterThan(rev)
  expect((await remove({ 'if-match': `"${current.rev}"` })).status).toBe(200)
})

test('refuses an update of an older state and shows the current one', async () => {
  const id = await newConversation()
  expect((await patch(id, { title: 'First' }, { 'if-match': '"1"' })).status).toBe(200)
  const answer = await patch(id, { title: 'Second' }, { 'if-match': '"1"' })
  expect(answer.status).toBe(409)
  const { error } = await answer.json()
  const current = await get(`/${id}`)
  expect(current.title).toBe('First')
  expect(error).toMatchObject({ code: 'CONFLICT', details: { current } })
  for (const etag of ['"2"', 'W/"3"', '*']) {
    expect((await patch(id, { title: 'Third' }, { 'if-match': etag })).status).toBe(200)
  }
  for (const etag of ['2', '"two"', '', '"1", "2"', '"-1"']) {
    expect((await patch(id, { title: 'Fourth' }, { 'if-match': etag })).status).toBe(422)
  }
  expect((await get(`/${id}`)).title).toBe('Third')
})

test.each([
  ['nothing', {}],
  ['an empty title', { title: '' }],
  ['a title of spaces', { title: ' \n ' }],
  ['a very long title', { title: 'a'.repeat(201) }],
  ['a title that is no text', { title: 7 }],
  ['no title but null', { title: null }],
  ['only what is unknown', { role: 'admin' }],
  ['a list', ['title']],
])('refuses to change a conversation by %s', async (_, body) => {
  const id = await newConversation()
  const answer = await patch(id, body)
  expect(answer.status).toBe(422)
  expect(await get(`/${id}`)).toMatchObject({ title: 'Hello', rev: 1 })
})

test('takes nothing of what is not the caller to choose', async () => {
  const id = await newConversation()
  const before = await get(`/${id}`)
  const wishes = {
    id: crypto.randomUUID(),
    user_id: crypto.randomUUID(),
    tenant_id: 'x',
    rev: 99,
    active_leaf_id: null,
  }
  await patch(id, { title: 'Mine', ...wishes })
  const after = await get(`/${id}`)
  expect({ ...after, title: before.title, rev: before.rev, updated_at: before.updated_at }).toEqual(before)
  expect(after.rev).toBeLessThan(99)
})

test('deletes a conversation with everything in it', async () => {
  const id = await newConversation()
  const answer = await call(`/${id}`, { method: 'DELETE' })
  expect(await answer.json()).toEqual({ success: true, data: { id, deleted: true } })
  expect((await call(`/${id}`)).status).toBe(404)
  expect((await call(`/${id}/messages`)).status).toBe(404)
  expect((await call(`/${id}`, { method: 'DELETE' })).status).toBe(404)
})

test.each([
  '?page=0',
  '?page=-1',
  '?page=1.5',
  '?page=x',
  '?page=1e12',
  '?page=99999999999999999999',
  '?limit=0',
  '?limit=101',
  '?limit=1e3',
  '/not-an-id',
  '/not-an-id/messages',
])('refuses %s with the fields that are wrong', async (path) => {
  const answer = await call(path)
  expect(answer.status).toBe(422)
  expect((await answer.json()).error).toMatchObject({
    code: 'VALIDATION_ERROR',
    details: { fields: [{ path: path.startsWith('/') ? 'id' : path.slice(1).split('=')[0] }] },
  })
})

test('refuses pages of messages that are none', async () => {
  const id = await newConversation()
  for (const query of ['page=0', 'page=1e12', 'limit=101', 'leaf=x']) {
    expect((await call(`/${id}/messages?${query}`)).status).toBe(422)
  }
  expect((await get(`/${id}/messages?page=1000000`)).items).toEqual([])
})

describe("somebody else's conversation", () => {
  const requests: [string, string, CallInit][] = [
    ['show', '', {}],
    ['change', '', { method: 'PATCH', json: { title: 'Taken' } }],
    ['change with If-Match', '', { method: 'PATCH', json: { title: 'Taken' }, headers: { 'if-match': '"1"' } }],
    ['delete', '', { method: 'DELETE' }],
    ['read whole', '/full', {}],
    ['sum up', '/stats', {}],
    ['read', '/messages', {}],
  ]
  test.each(requests)('is to %s like one that never was, byte by byte', async (_, path, init) => {
    const id = await newConversation()
    const before = await get(`/${id}`)
    const { token: stranger } = await app.signUp()
    const seen = await Promise.all(
      [id, crypto.randomUUID()].map(async (one) => {
        const answer = await call(`/${one}${path}`, { ...init, token: stranger })
        const { 'x-request-id': requestId, ...headers } = answer.headers.toJSON()
        return { status: answer.status, headers, text: (await answer.text()).replace(String(requestId), '') }
      }),
    )
    expect(seen[0]?.status).toBe(404)
    expect(seen[0]).toEqual(seen[1])
    expect(await get(`/${id}`)).toEqual(before)
  })

  test('lends no message to another conversation', async () => {
    const { message_id } = await chat()
    const id = await newConversation()
    expect((await call(`/${id}/messages?leaf=${message_id}`)).status).toBe(404)
  })
})
