import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import { until } from '../support/servers'
import { type EdgeApp, edgeApp } from '../support/supabase/app'

let edge: EdgeApp
beforeAll(async () => {
  edge = await edgeApp({ MIN_BALANCE: '0.01' })
})
afterEach(() => edge.supabase.api.fail())
afterAll(() => edge.close())

const chat = (token: string, json: object = {}) =>
  edge.app.call('/v1/chat/completions', { token, json: { message: 'hello', stream: false, ...json } })
const keysUsed = () => new Set(edge.provider.requests.map(({ headers }) => headers.authorization))
const asked = () => edge.provider.requests.filter(({ path }) => path.endsWith('/completions')).length
const profile = async (id: string) =>
  (await edge.supabase.pool.query('select * from user_profiles where id = $1', [id])).rows[0]

test("pays with the person's own key, which no answer shows", async () => {
  const key = 'sk-very-own-key-of-this-person'
  const { token } = await edge.person({ key })
  edge.provider.requests.length = 0
  const answers = [
    await chat(token),
    await chat(token, { model: 'auth-error' }),
    await edge.app.call('/v1/models', { token }),
    await edge.app.call('/api/v1/auth/me', { token }),
    await edge.app.call('/v1/conversations', { token }),
    await edge.app.call('/health'),
    await edge.app.call('/metrics'),
  ]
  expect(keysUsed()).toEqual(new Set([`Bearer ${key}`, undefined]))
  expect(edge.provider.requests.filter(({ headers }) => !headers.authorization)).toMatchObject([
    { path: '/health/liveliness' },
  ])
  for (const answer of answers) expect(await answer.text()).not.toContain(key)
})

test.each<[number | null, number]>([
  [10, 200],
  [0.010000001, 200],
  [0.01, 402],
  [0, 402],
  [-3, 402],
  // Nothing limits whoever has no budget.
  [null, 200],
])('with %p dollars left, answers %p', async (balance, status) => {
  const { token } = await edge.person({ balance })
  const before = asked()
  const response = await chat(token)
  expect(response.status).toBe(status)
  if (status === 200) return
  expect((await response.json()).error).toMatchObject({
    code: 'INSUFFICIENT_BALANCE',
    message: 'Your balance is used up. Top it up to go on',
  })
  const stateless = { messages: [{ role: 'user', content: 'hello' }], message: undefined }
  expect((await chat(token, stateless)).status).toBe(402)
  expect(asked()).toBe(before)
  // Nothing was written either.
  const { data } = await (await edge.app.call('/v1/conversations', { token })).json()
  expect(data.items).toEqual([])
})

test('hears of money that was added at once, and of money that was spent with the next turn', async () => {
  const { id, token } = await edge.person({ balance: 0 })
  const setSpend = (spend: number) =>
    edge.supabase.pool.query('update user_profiles set max_budget = 10, spend = $2 where id = $1', [id, spend])
  expect((await chat(token)).status).toBe(402)
  await setSpend(0)
  expect((await chat(token)).status).toBe(200)
  await setSpend(10)
  // The turn before has the balance read again when it is over; this one may still have gone by the old.
  await until(async () => (await chat(token)).status === 402)
})

test('makes the profile of a person who has none', async () => {
  const { id, token } = await edge.person()
  await edge.supabase.pool.query('delete from user_profiles where id = $1', [id])
  const response = await chat(token)
  expect(await profile(id)).toMatchObject({ id, litellm_key: null, email: expect.stringContaining('@example.com') })
  // A new profile has no key yet, and the server's own is not for answers.
  expect(response.status).toBe(403)
  expect((await response.json()).error.message).toBe(
    'Your profile has no LiteLLM key yet. Ask whoever runs this service to set litellm_key in your user_profiles row',
  )
})

test('makes the profile once when many requests come first', async () => {
  const { id, token } = await edge.person()
  await edge.supabase.pool.query('delete from user_profiles where id = $1', [id])
  const statuses = await Promise.all(Array.from({ length: 10 }, async () => (await chat(token)).status))
  expect(new Set(statuses)).toEqual(new Set([403]))
  expect(await profile(id)).toMatchObject({ id })
})

test.each([
  ['error', 502, 'UPSTREAM_ERROR', 'Supabase failed (HTTP 500)'],
  ['html', 502, 'UPSTREAM_ERROR', 'Supabase failed (HTTP 521)'],
  ['refuse', 503, 'UPSTREAM_UNAVAILABLE', 'Supabase cannot be reached'],
] as const)('asks no model when profiles cannot be read: %s', async (failure, status, code, message) => {
  const { token } = await edge.person()
  const app = await edge.another()
  try {
    const say = () => app.call('/v1/chat/completions', { token, json: { message: 'hello', stream: false } })
    const before = asked()
    edge.supabase.api.fail(failure, '/rest/v1')
    const response = await say()
    expect(response.status).toBe(status)
    expect((await response.json()).error).toMatchObject({ code, message })
    expect(asked()).toBe(before)
    // What needs no profile goes on.
    expect((await app.call('/v1/conversations', { token })).status).toBe(200)
    edge.supabase.api.fail()
    await until(async () => (await say()).status === 200)
  } finally {
    await app.close()
  }
})

test('says which setting gives what this store does not have', async () => {
  const { token } = await edge.person()
  const keys = await edge.app.call('/v1/keys', { token, json: { name: 'laptop' } })
  expect(keys.status).toBe(501)
  expect((await keys.json()).error).toMatchObject({
    code: 'NOT_SUPPORTED',
    message: 'API keys are kept in a database of this server: set DATABASE_URL and STORE=postgres',
  })
  const json = { email: 'ada@example.com', password: 'correct horse' }
  for (const path of ['/api/v1/auth/register', '/api/v1/auth/login']) {
    const response = await edge.app.call(path, { json })
    expect(response.status).toBe(501)
    expect((await response.json()).error.message).toBe(
      'Sign-in is a matter of the Supabase project: call Supabase Auth, or set ACCOUNTS=supabase',
    )
  }
})

test('lets nobody in with an API key or a token that is not of this project', async () => {
  const foreign = await edge.supabase.api.sign({ sub: 'not-a-uuid' })
  for (const token of ['sk-orc-something', 'rt_x', 'a.b.c', foreign]) {
    expect((await edge.app.call('/v1/conversations', { token })).status).toBe(401)
  }
})

test('says who somebody is and what the project lets them spend; books need a database of ours', async () => {
  const { token } = await edge.person({ balance: 7.5 })
  const get = async (path: string) => (await edge.app.call(path, { token })).json()
  const { data: me } = await get('/v1/user/profile')
  expect(me).toMatchObject({ role: 'user', preferences: {}, time_zone: null })
  expect(await get('/api/v1/user/profile')).toMatchObject({ id: me.id, email: me.email })
  expect((await get('/v1/user/balance')).data).toEqual({
    balance_usd: 7.5,
    reserved_usd: 0,
    available_usd: 7.5,
    limited: true,
    spent_today_usd: null,
    spent_month_usd: null,
    budgets: [],
    litellm: null,
  })
  const json = { name: 'Grace' }
  expect((await edge.app.call('/v1/user/profile', { method: 'PATCH', token, json })).status).toBe(501)
  for (const path of ['/v1/user/usage', '/v1/user/transactions', '/api/v1/user/usage', '/api/v1/user/budget']) {
    expect([path, (await edge.app.call(path, { token })).status]).toEqual([path, 501])
  }
})
