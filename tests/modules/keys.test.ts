import { afterAll, afterEach, beforeAll, expect, setSystemTime, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'

let app: TestApp
let token: string
beforeAll(async () => {
  app = await testApp()
  token = (await app.signUp()).token
})
afterEach(() => {
  setSystemTime()
})
afterAll(() => app.close())

const list = async (as = token) => (await (await app.call('/v1/keys', { token: as })).json()).data
const make = async (body: object = { name: 'laptop' }, as = token) =>
  (await (await app.call('/v1/keys', { token: as, json: body })).json()).data
const remove = (id: string, as = token) => app.call(`/v1/keys/${id}`, { method: 'DELETE', token: as })
const withKey = (key: string, path = '/v1/conversations') => app.call(path, { token: key })

test('shows a key once, and afterwards only its end', async () => {
  const answer = await app.call('/v1/keys', { token, json: { name: 'laptop' } })
  expect(answer.status).toBe(201)
  const { success, data } = await answer.json()
  expect(success).toBe(true)
  const { key, ...shown } = data
  expect(key).toMatch(/^sk-orc-[\w-]{43}$/)
  expect(shown).toEqual({
    id: expect.any(String),
    name: 'laptop',
    last_four: key.slice(-4),
    created_at: expect.any(String),
    expires_at: null,
    last_used_at: null,
  })
  expect(await list()).toContainEqual(shown)
  expect(JSON.stringify(await list())).not.toContain(key)
})

test('takes a key as a bearer token and as x-api-key, with the rights of its owner', async () => {
  const { key, id } = await make()
  const me = await (await app.call('/api/v1/auth/me', { token })).json()
  for (const headers of [{ authorization: `Bearer ${key}` }, { 'x-api-key': key }]) {
    const answer = await app.call('/api/v1/auth/me', { headers })
    expect(answer.status).toBe(200)
    expect(await answer.json()).toEqual(me)
  }
  expect((await app.call('/v1/models', { token: key })).status).toBe(200)
  const used = (await list()).find((one: { id: string }) => one.id === id)
  expect(used.last_used_at).toEqual(expect.any(String))
})

test('does not let a key make or delete keys', async () => {
  const { key, id } = await make()
  const before = await list()
  for (const answer of [await app.call('/v1/keys', { token: key, json: { name: 'more' } }), await remove(id, key)]) {
    expect(answer.status).toBe(403)
    expect((await answer.json()).error.code).toBe('FORBIDDEN')
  }
  expect((await list()).length).toBe(before.length)
})

test('ends a key at once when it is deleted', async () => {
  const { key, id } = await make()
  expect((await withKey(key)).status).toBe(200)
  const answer = await remove(id)
  expect(answer.status).toBe(200)
  expect(await answer.json()).toEqual({ success: true, data: { id, deleted: true } })
  expect((await withKey(key)).status).toBe(401)
  expect((await remove(id)).status).toBe(404)
})

test('ends a key at the time it was given', async () => {
  const expires_at = new Date(Date.now() + 60_000).toISOString()
  const made = await make({ name: 'short', expires_at })
  expect(made.expires_at).toBe(expires_at)
  const other = await make({ name: 'short too', expires_at })
  expect((await withKey(made.key)).status).toBe(200)
  setSystemTime(Date.now() + 61_000)
  expect((await withKey(other.key)).status).toBe(401)
})

test.each([
  ['no name', {}],
  ['an empty name', { name: '' }],
  ['a very long name', { name: 'a'.repeat(101) }],
  ['an end that is no time', { name: 'a', expires_at: 'soon' }],
  ['an end that is over', { name: 'a', expires_at: '2020-01-01T00:00:00.000Z' }],
])('refuses a key with %s', async (_, body) => {
  const answer = await app.call('/v1/keys', { token, json: body })
  expect(answer.status).toBe(422)
  expect((await answer.json()).error.code).toBe('VALIDATION_ERROR')
})

test('takes nothing of what is not the caller to choose', async () => {
  const id = crypto.randomUUID()
  const { token: other } = await app.signUp()
  const made = await make(
    { name: 'x', id, user_id: id, key: 'mine', hash: 'x', last_four: '0000', scopes: ['*'] },
    other,
  )
  expect(made.id).not.toBe(id)
  expect(made.key).toStartWith('sk-orc-')
  expect(made.last_four).toBe(made.key.slice(-4))
  expect(await list(other)).toHaveLength(1)
})

test("treats somebody else's key like one that never was", async () => {
  const { id, key } = await make()
  const { token: other } = await app.signUp()
  const strip = (text: string, id: string) => text.replace(/"request_id":"[^"]*"/, '').replaceAll(id, '')
  const unknown = crypto.randomUUID()
  const [foreign, nothing] = [await remove(id, other), await remove(unknown, other)]
  expect(foreign.status).toBe(404)
  expect(strip(await foreign.text(), id)).toBe(strip(await nothing.text(), unknown))
  expect(await list(other)).toEqual([])
  expect((await withKey(key)).status).toBe(200)
})

test('refuses an id that is none', async () => {
  expect((await remove('not-an-id')).status).toBe(422)
})

test('gives a person fifty keys and no more', async () => {
  const { token: other } = await app.signUp()
  const made = await Promise.all(
    Array.from({ length: 55 }, () => app.call('/v1/keys', { token: other, json: { name: 'one of many' } })),
  )
  expect(made.filter(({ status }) => status === 201)).toHaveLength(50)
  expect(made.filter(({ status }) => status === 409)).toHaveLength(5)
  const [first] = await list(other)
  await remove(first.id, other)
  expect((await app.call('/v1/keys', { token: other, json: { name: 'room again' } })).status).toBe(201)
})
