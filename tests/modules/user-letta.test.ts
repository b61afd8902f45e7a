import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'
import { newPerson, type Somebody, spent, WITH_EVERYBODY } from '../support/money'

let app: TestApp
let admin: Somebody
beforeAll(async () => {
  app = await testApp(WITH_EVERYBODY)
  admin = await newPerson(app, { role: 'admin' })
})
afterAll(() => app.close())

const PATH = '/api/v1/user'
const get = async (path: string, token: string) => (await app.call(`${PATH}${path}`, { token })).json()
const set = (token: string, json: unknown) => app.call(`${PATH}/budget`, { token, json })
const setByAdmin = (userId: string, fields: object) =>
  app.call('/v1/admin/budgets', {
    method: 'PUT',
    token: admin.token,
    json: { scope: 'user', owner_id: userId, period: 'month', limit_usd: '10', ...fields },
  })

describe('the Letta backend’s surface', () => {
  test('says who I am, without an envelope', async () => {
    const { token, email, userId } = await app.signUp()
    expect(await get('/profile', token)).toMatchObject({ id: userId, email, name: 'Test', preferences: {} })
  })

  test('says what I used, by day and by model', async () => {
    const me = await newPerson(app)
    await spent(app, { ...me, model: 'a', costNanos: 2n })
    await spent(app, { ...me, model: 'b', costNanos: 1n })
    const data = await get('/usage', me.token)
    expect(data).toMatchObject({ user_id: me.userId, requests: 2, total_tokens: 30, cost_usd: 3e-9 })
    expect(data.models).toMatchObject([
      { model: 'a', requests: 1, cost_usd: 2e-9 },
      { model: 'b', requests: 1, cost_usd: 1e-9 },
    ])
    const inMarch = await get('/usage?from=2026-03-01&to=2026-03-31&time_zone=Asia/Kathmandu', me.token)
    expect(inMarch).toMatchObject({ requests: 0, days: [], from: '2026-02-28T18:15:00.000Z' })
  })

  test('says what I have said and how it went', async () => {
    const { token } = await app.signUp()
    await app.call('/v1/chat/completions', { token, json: { message: 'Hello', stream: false } })
    const data = await get('/stats', token)
    expect(data).toMatchObject({ conversations: 1, messages: 2, answers: 1 })
    expect(data.last_30_days).toHaveProperty('success_rate')
  })

  test('fails in the words of FastAPI', async () => {
    const { token } = await newPerson(app)
    const wrong = await set(token, { limit_usd: '1', period: 'year' })
    expect([wrong.status, await wrong.json()]).toEqual([
      422,
      { detail: [{ loc: ['body', 'period'], msg: 'must be one of day, week, month, total', type: 'value_error' }] },
    ])
    const stranger = await app.call(`${PATH}/budget`)
    expect([stranger.status, typeof (await stranger.json()).detail]).toEqual([401, 'string'])
  })
})

describe('my own budget', () => {
  test('is set, changed both ways, and taken away', async () => {
    const me = await newPerson(app)
    const first = await (await set(me.token, { limit_usd: '5', hard: false })).json()
    expect(first).toMatchObject({ user_id: me.userId, limited: false })
    expect(first.budgets).toMatchObject([
      { period: 'month', limit_usd: 5, hard: false, warn_percent: 80, set_by: 'me' },
    ])
    const raised = await (await set(me.token, { limit_usd: 50, hard: true, warn_percent: null })).json()
    expect(raised.budgets).toMatchObject([{ limit_usd: 50, hard: true, warn_percent: null }])
    await set(me.token, { limit_usd: '1', period: 'day' })
    expect((await get('/budget', me.token)).budgets).toHaveLength(2)
    const gone = await (await set(me.token, { limit_usd: null })).json()
    expect(gone.budgets).toMatchObject([{ period: 'day' }])
    expect((await set(me.token, { limit_usd: null })).status).toBe(200)
  })

  test('only makes an administrator’s stricter', async () => {
    const me = await newPerson(app)
    await setByAdmin(me.userId, {})
    for (const looser of [{ limit_usd: '10.000000001' }, { limit_usd: '5', hard: false }, { limit_usd: null }]) {
      expect([looser, (await set(me.token, looser)).status]).toEqual([looser, 403])
    }
    const stricter = await (await set(me.token, { limit_usd: '5' })).json()
    expect(stricter.budgets).toMatchObject([{ limit_usd: 5, hard: true, set_by: 'administrator' }])
    expect((await set(me.token, { limit_usd: '6' })).status).toBe(403)
    await setByAdmin(me.userId, { limit_usd: '20', hard: false })
    expect((await set(me.token, { limit_usd: '15', hard: false })).status).toBe(200)
  })

  test('gives way to an administrator’s', async () => {
    const me = await newPerson(app)
    await spent(app, { ...me, costNanos: 1_000_000n })
    await set(me.token, { limit_usd: '5' })
    await setByAdmin(me.userId, { limit_usd: '3' })
    const { budgets } = await get('/budget', me.token)
    expect(budgets).toMatchObject([{ limit_usd: 3, spent_usd: 0.001, set_by: 'administrator' }])
    expect((await set(me.token, { limit_usd: '4' })).status).toBe(403)
  })

  test('is not set with an API key', async () => {
    const { token } = await app.signUp()
    const { key } = (await (await app.call('/v1/keys', { token, json: { name: 'x' } })).json()).data
    expect((await set(key, { limit_usd: '5' })).status).toBe(403)
    expect((await app.call(`${PATH}/budget`, { token: key })).status).toBe(200)
  })

  test.each([
    {},
    { limit_usd: '-1' },
    { limit_usd: '1e3' },
    { limit_usd: 'NaN' },
    { limit_usd: '١' },
    { limit_usd: '5', hard: 1 },
    { limit_usd: '5', warn_percent: 0 },
    { limit_usd: '5', user_id: 'x' },
    { limit_usd: '5', spent_usd: 0 },
  ])('with %j is refused', async (json) => {
    const { token } = await newPerson(app)
    expect((await set(token, json)).status).toBe(422)
    expect((await get('/budget', token)).budgets).toEqual([])
  })
})
