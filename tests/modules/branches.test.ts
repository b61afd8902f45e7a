import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type CallInit, type TestApp, testApp } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { until } from '../support/servers'

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

const call = (path: string, init: CallInit = {}) => app.call(`/v1${path}`, { token, ...init })
const data = async (answer: Response | Promise<Response>) => (await (await answer).json()).data
const chat = async (message: string, more: object = {}) => {
  const answer = await call('/chat/completions', { json: { message, model: 'echo', stream: false, ...more } })
  expect(answer.status).toBe(200)
  return answer.json()
}
const said = async (id: string) =>
  (await data(call(`/conversations/${id}/messages`))).items.map(({ content }: { content: string }) => content)
const list = async (id: string, query = '') => data(call(`/conversations/${id}/branches${query}`))

/** "one" with two answers: on Main, and on "Second", which is shown. */
async function forked() {
  const first = await chat('one')
  const id: string = first.conversation_id
  const json = { conversation_id: id, message_id: first.message_id, branch_name: 'Second', stream: false }
  const second = await (await call('/chat/regenerate', { json })).json()
  const base = `/conversations/${id}/branches`
  return { id, first, second, main: String(first.branch_id), other: String(second.branch_id), base }
}

test('lists branches with where they end', async () => {
  const { id, first, second, main, other } = await forked()
  const { items, pagination } = await list(id)
  expect(pagination).toEqual({ page: 1, limit: 20, total: 2, pages: 1 })
  expect(items).toMatchObject([
    { id: main, name: 'Main', leaf_id: first.message_id, parent_message_id: null, active: false },
    { id: other, name: 'Second', leaf_id: second.message_id, active: true },
  ])
  expect(items[0]).toEqual({
    id: main,
    conversation_id: id,
    name: 'Main',
    parent_message_id: null,
    leaf_id: first.message_id,
    message_count: 2,
    preview: 'one',
    active: false,
    created_at: expect.any(String),
    viewed_at: expect.any(String),
  })
  expect((await list(id, '?page=2&limit=1')).items).toMatchObject([{ id: other }])
})

test('begins a branch at a message, where what is said next belongs', async () => {
  const { id, first, base } = await forked()
  await chat('two', { conversation_id: id, parent_message_id: first.message_id })
  const json = { parent_message_id: first.message_id, name: '  Aside ' }
  const answer = await call(base, { json })
  expect(answer.headers.get('etag')).toBe('"4"')
  const made = await data(answer)
  expect(made).toMatchObject({ name: 'Aside', leaf_id: first.message_id, message_count: 2, active: true })
  expect(await data(call(base, { json: { ...json, name: 'Other' } }))).toMatchObject({ id: made.id, name: 'Aside' })
  const next = await chat('aside', { conversation_id: id })
  expect(next.branch_id).toBe(made.id)
  expect(await said(id)).toEqual(['one', 'one', 'aside', 'aside'])
})

test('makes one branch of a request that comes again with the same key', async () => {
  const { id, first, base } = await forked()
  await chat('two', { conversation_id: id, parent_message_id: first.message_id })
  const create = () =>
    data(call(base, { json: { parent_message_id: first.message_id }, headers: { 'idempotency-key': 'k' } }))
  const made = await create()
  await chat('three', { conversation_id: id })
  expect(await create()).toMatchObject({ id: made.id, message_count: 4 })
  expect((await list(id)).items).toHaveLength(3)
  const elsewhere = { parent_message_id: (await data(call(`/messages/${first.message_id}`))).parent_id }
  expect((await call(base, { json: elsewhere, headers: { 'idempotency-key': 'k' } })).status).toBe(422)
})

test('shows, renames and compares branches', async () => {
  const { id, first, second, main, other, base } = await forked()
  const shown = await call(`${base}/${main}/activate`, { method: 'POST' })
  expect(await data(shown)).toMatchObject({ id: main, active: true })
  const conversation = await call(`/conversations/${id}`)
  expect(conversation.headers.get('etag')).toBe(shown.headers.get('etag'))
  expect(await data(conversation)).toMatchObject({ active_branch_id: main, active_leaf_id: first.message_id })
  const renamed = await call(`${base}/${main}`, { method: 'PATCH', json: { name: ' First ' } })
  expect(await data(renamed)).toMatchObject({ id: main, name: 'First' })
  const compared = await data(call(`${base}/compare?a=${main}&b=${other}`))
  expect(compared).toMatchObject({
    common_length: 1,
    a: { items: [{ id: first.message_id, role: 'assistant', content: 'one' }], total: 1 },
    b: { items: [{ id: second.message_id }], total: 1 },
  })
  expect(compared.last_common_message_id).toBe((await data(call(`/conversations/${id}/messages`))).items[0].id)
})

test('merges a branch onto another, once for one key', async () => {
  const { id, main, other, base } = await forked()
  await chat('more', { conversation_id: id })
  const merge = () =>
    call(`${base}/${other}/merge`, { json: { onto_branch_id: main }, headers: { 'idempotency-key': 'm' } })
  const merged = await data(merge())
  expect(merged).toMatchObject({ id: main, copied_messages: 3, message_count: 5, active: true })
  expect(await said(id)).toEqual(['one', 'one', 'one', 'more', 'more'])
  expect(await data(merge())).toEqual(merged)
  expect(await said(id)).toHaveLength(5)
  const [question] = (await data(call(`/conversations/${id}/messages`))).items
  const aside = await data(call(base, { json: { parent_message_id: question.id } }))
  const elsewhere = { json: { onto_branch_id: aside.id }, headers: { 'idempotency-key': 'm' } }
  expect((await call(`${base}/${other}/merge`, elsewhere)).status).toBe(422)
})

test('deletes a branch with what only it has, but not the last one', async () => {
  const { id, main, other, base } = await forked()
  await chat('more', { conversation_id: id })
  const gone = await call(`${base}/${other}`, { method: 'DELETE' })
  expect(await data(gone)).toEqual({ id: other, deleted: true, deleted_messages: 3 })
  expect(gone.headers.get('etag')).toBe('"4"')
  expect(await said(id)).toEqual(['one', 'one'])
  expect((await call(`${base}/${other}`, { method: 'DELETE' })).status).toBe(404)
  const refused = await call(`${base}/${main}`, { method: 'DELETE' })
  expect([refused.status, (await refused.json()).error.code]).toEqual([409, 'CONFLICT'])
  expect(await list(id)).toMatchObject({ items: [{ id: main, active: true }] })
})

test('stops what is being written in a branch that is deleted, and only that', async () => {
  const { id, first, other, base } = await forked()
  const left = provider.aborted()
  const slow = { conversation_id: id, model: 'slow:50:400', stream: true }
  const running = await call('/chat/completions', { json: { ...slow, message: 'go on' } })
  const kept = await call('/chat/completions', {
    json: { ...slow, message: 'elsewhere', parent_message_id: first.message_id },
  })
  await until(() => provider.openStreams() === 2)
  expect((await call(`${base}/${other}`, { method: 'DELETE', headers: { 'if-match': '"1"' } })).status).toBe(409)
  expect(app.services.runs.active).toBe(2)
  expect((await data(call(`${base}/${other}`, { method: 'DELETE' }))).deleted).toBe(true)
  expect(await running.text()).toContain('[DONE]')
  await until(() => provider.aborted() === left + 1)
  expect(app.services.runs.active).toBe(1)
  const [run] = (await data(call('/runs?active=true'))).items
  await call(`/runs/${run.id}/stop`, { method: 'POST' })
  await kept.text()
})

test('refuses a write on top of an older state, with the current one', async () => {
  const { id, main, other, base, first } = await forked()
  const current = await data(call(`/conversations/${id}`))
  const before = await list(id)
  const writes: [string, CallInit][] = [
    ['', { json: { parent_message_id: first.message_id } }],
    [`/${main}/activate`, { method: 'POST' }],
    [`/${main}`, { method: 'PATCH', json: { name: 'x' } }],
    [`/${main}`, { method: 'DELETE' }],
    [`/${main}/merge`, { json: { onto_branch_id: other } }],
  ]
  for (const [path, init] of writes) {
    const answer = await call(base + path, { ...init, headers: { 'if-match': '"1"' } })
    expect([path, answer.status]).toEqual([path, 409])
    expect((await answer.json()).error).toMatchObject({ code: 'CONFLICT', details: { current } })
    expect((await call(base + path, { ...init, headers: { 'if-match': 'x' } })).status).toBe(422)
  }
  expect(await list(id)).toEqual(before)
  const etag = { 'if-match': '"2"' }
  expect((await call(`${base}/${main}/activate`, { method: 'POST', headers: etag })).status).toBe(200)
})

describe('bad input', () => {
  const id = crypto.randomUUID()
  const bad: [string, string, CallInit, string][] = [
    ['a parent that is no id', '', { json: { parent_message_id: 'x' } }, 'parent_message_id'],
    ['no parent', '', { json: { name: 'x' } }, 'parent_message_id'],
    ['a list for a name', '', { json: { parent_message_id: id, name: ['x'] } }, 'name'],
    ['a name of spaces', '', { json: { parent_message_id: id, name: ' \n' } }, 'name'],
    ['a long name', '', { json: { parent_message_id: id, name: 'x'.repeat(101) } }, 'name'],
    ['no name', `/${id}`, { method: 'PATCH', json: { name: null } }, 'name'],
    ['a branch that is no id', '/x', { method: 'DELETE' }, 'branch_id'],
    ['to show what is no id', '/x/activate', { method: 'POST' }, 'branch_id'],
    ['to merge onto what is no id', `/${id}/merge`, { json: { onto_branch_id: 5 } }, 'onto_branch_id'],
    ['to compare with nothing', `/compare?a=${id}`, {}, 'b'],
    ['to compare what is no id', `/compare?a=x&b=${id}`, {}, 'a'],
    ['a page beyond reason', '?page=1e12', {}, 'page'],
    ['too much at once', '?limit=101', {}, 'limit'],
  ]
  test.each(bad)('refuses %s', async (_, path, init, field) => {
    const { base } = await forked()
    const answer = await call(base + path, init)
    expect(answer.status).toBe(422)
    const { error } = await answer.json()
    expect(error).toMatchObject({ code: 'VALIDATION_ERROR', details: { fields: [{ path: field }] } })
  })

  test('keeps of a name what can be stored, and refuses keys that no library sends', async () => {
    const { base, main } = await forked()
    const headers = { 'content-type': 'application/json' }
    const renamed = await call(`${base}/${main}`, { method: 'PATCH', headers, body: '{"name":"a\\u0000\\ud800"}' })
    expect((await data(renamed)).name).toBe('a\uFFFD\uFFFD')
    const json = { onto_branch_id: main }
    const merge = await call(`${base}/${main}/merge`, { json, headers: { 'idempotency-key': 'x'.repeat(256) } })
    expect(merge.status).toBe(422)
  })

  test('lends no message and no branch to another conversation', async () => {
    const [mine, elsewhere] = [await forked(), await forked()]
    const statuses = await Promise.all([
      call(mine.base, { json: { parent_message_id: elsewhere.first.message_id } }),
      call(`${mine.base}/${elsewhere.main}/activate`, { method: 'POST' }),
      call(`${mine.base}/${elsewhere.main}`, { method: 'PATCH', json: { name: 'x' } }),
      call(`${mine.base}/${elsewhere.main}`, { method: 'DELETE' }),
      call(`${mine.base}/${mine.main}/merge`, { json: { onto_branch_id: elsewhere.main } }),
      call(`${mine.base}/compare?a=${mine.main}&b=${elsewhere.main}`),
    ])
    expect(statuses.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404, 404])
  })

  test('shows strangers and other people nothing', async () => {
    const { id, base, main, other, first } = await forked()
    const before = await list(id)
    const { token: stranger } = await app.signUp()
    const asked: [string, CallInit][] = [
      ['', {}],
      ['', { json: { parent_message_id: first.message_id } }],
      [`/compare?a=${main}&b=${other}`, {}],
      [`/${main}`, { method: 'PATCH', json: { name: 'x' }, headers: { 'if-match': '"1"' } }],
      [`/${main}`, { method: 'DELETE' }],
      [`/${main}/activate`, { method: 'POST' }],
      [`/${main}/merge`, { json: { onto_branch_id: other } }],
    ]
    for (const [path, init] of asked) {
      expect([path, (await call(base + path, { ...init, token: stranger })).status]).toEqual([path, 404])
      expect([path, (await call(base + path, { ...init, token: undefined })).status]).toEqual([path, 401])
    }
    expect(await list(id)).toEqual(before)
  })
})
