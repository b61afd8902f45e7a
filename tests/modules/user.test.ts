import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { accountId, newId } from '../../src/lib/ids'
import { type TestApp, testApp } from '../support/app'
import { dataOf, newPerson, type Somebody, spent, WITH_EVERYBODY } from '../support/money'

let app: TestApp
beforeAll(async () => {
  app = await testApp(WITH_EVERYBODY)
})
afterAll(() => app.close())

const profile = (token: string) => dataOf(app.call('/v1/user/profile', { token }))
const change = (token: string, json: unknown) => app.call('/v1/user/profile', { method: 'PATCH', token, json })

describe('my profile', () => {
  test('says who I am', async () => {
    const { token, email, userId } = await app.signUp()
    expect(await profile(token)).toEqual({
      id: userId,
      email,
      name: 'Test',
      role: 'user',
      tenant_id: '00000000-0000-0000-0000-000000000001',
      preferences: {},
      time_zone: null,
      created_at: expect.stringMatching(/Z$/),
    })
  })

  test('keeps my name, preferences and time zone', async () => {
    const { token } = await app.signUp()
    const preferences = { theme: 'dark', nested: { a: [1, null, 'ü'] } }
    const changed = await dataOf(change(token, { name: ' Grace ', preferences, time_zone: 'Asia/Kathmandu' }))
    expect(changed).toMatchObject({ name: 'Grace', preferences, time_zone: 'Asia/Kathmandu' })
    expect(await profile(token)).toEqual(changed)
    const again = await dataOf(change(token, { preferences: null, time_zone: null }))
    expect(again).toMatchObject({ name: 'Grace', preferences: {}, time_zone: null })
  })

  test.each([
    { role: 'owner' },
    { tenant_id: newId() },
    { balance: 1e9 },
    { limits: { requests_per_minute: 1e6 } },
    { allowed_models: null },
    { email: 'other@example.com' },
    { disabled: false },
    { litellm_key: 'sk-x' },
    { name: 'Grace', role: 'admin' },
  ])('is not changed at all by %j', async (json) => {
    const { token } = await app.signUp()
    const before = await profile(token)
    expect((await change(token, json)).status).toBe(422)
    expect(await profile(token)).toEqual(before)
  })

  const WRONG = [
    {},
    [],
    null,
    'name',
    { name: '' },
    { name: ' ' },
    { name: 'a\nb' },
    { name: 'x'.repeat(101) },
    { name: 5 },
    { name: null },
    { preferences: [] },
    { preferences: 'dark' },
    { preferences: { a: 'x'.repeat(16_000) } },
    { time_zone: 'Nowhere/Land' },
    { time_zone: '+03:00' },
    { time_zone: '' },
    { time_zone: 5 },
  ]
  test.each(WRONG.map((json) => [json]))('refuses %j', async (json) => {
    const { token } = await newPerson(app)
    const before = await profile(token)
    expect((await change(token, json)).status).toBe(422)
    expect(await profile(token)).toEqual(before)
  })
})

const balance = (token: string) => dataOf(app.call('/v1/user/balance', { token }))

describe('my balance', () => {
  test('is there before anything was said', async () => {
    const { token } = await newPerson(app)
    expect(await balance(token)).toEqual({
      balance_usd: 0,
      reserved_usd: 0,
      available_usd: null,
      limited: false,
      spent_today_usd: 0,
      spent_month_usd: 0,
      budgets: [],
      litellm: null,
    })
  })

  test('says what is kept back, what was spent, and what budgets leave', async () => {
    const me = await newPerson(app)
    const admin = await newPerson(app, { role: 'admin' })
    const budget = { scope: 'user', owner_id: me.userId, period: 'month', limit_usd: '0.01' }
    await app.call('/v1/admin/budgets', { method: 'PUT', token: admin.token, json: budget })
    await spent(app, { ...me, costNanos: 4_000_000n })
    const reservation = { id: newId(), accountIds: [accountOf(me)], amount: 1_000_000n, runId: null }
    const expiresAt = new Date(Date.now() + 60_000)
    await app.services.store.ledger.reserve([{ ...reservation, expiresAt, at: new Date() }])
    const { budgets, ...rest } = await balance(me.token)
    expect(rest).toMatchObject({ balance_usd: -0.004, reserved_usd: 0.001, spent_month_usd: 0.004 })
    expect(budgets).toMatchObject([
      { scope: 'user', period: 'month', limit_usd: 0.01, spent_usd: 0.004, reserved_usd: 0.001, remaining_usd: 0.005 },
    ])
    expect(Date.parse(budgets[0].resets_at)).toBeGreaterThan(Date.now())
  })

  test('shows an API key its own budgets besides', async () => {
    const { token } = await app.signUp()
    const admin = await newPerson(app, { role: 'admin' })
    const { id, key } = await dataOf(app.call('/v1/keys', { token, json: { name: 'mine' } }))
    const json = { scope: 'key', owner_id: id, period: 'total', limit_usd: '1' }
    await app.call('/v1/admin/budgets', { method: 'PUT', token: admin.token, json })
    expect((await balance(key)).budgets).toMatchObject([{ scope: 'key', period: 'total', limit_usd: 1 }])
    expect((await balance(token)).budgets).toEqual([])
  })
})

const accountOf = ({ tenantId, userId }: Somebody) => accountId('user', tenantId, userId)

describe('my transactions', () => {
  const list = (token: string, query = '') => dataOf(app.call(`/v1/user/transactions${query}`, { token }))

  test('name what each charge was for, the newest first', async () => {
    const me = await newPerson(app)
    const [conversationId, messageId] = [newId(), newId()]
    await spent(app, { ...me, conversationId, messageId, model: 'a', costNanos: 1n })
    await app.services.store.ledger.credit({
      id: newId(),
      accountId: accountOf(me),
      amount: 10n,
      kind: 'grant',
      reason: 'Welcome',
      actorId: null,
      idempotencyKey: newId(),
      at: new Date(),
    })
    await spent(app, { ...me, model: 'b', costNanos: 2n })
    const { items, pagination } = await list(me.token)
    const none = { message_id: null, conversation_id: null }
    expect(items).toMatchObject([
      { kind: 'charge', amount_usd: -2e-9, balance_usd: 7e-9, model: 'b', ...none },
      { kind: 'grant', amount_usd: 10e-9, balance_usd: 9e-9, reason: 'Welcome', model: null, ...none },
      {
        kind: 'charge',
        amount_usd: -1e-9,
        balance_usd: -1e-9,
        model: 'a',
        message_id: messageId,
        conversation_id: conversationId,
      },
    ])
    expect(pagination).toEqual({ page: 1, limit: 20, total: 3, pages: 1 })
    expect((await list(me.token, '?page=2&limit=2')).items).toMatchObject([{ model: 'a' }])
  })

  test('are mine alone', async () => {
    const [me, other] = [await newPerson(app), await newPerson(app)]
    await spent(app, other)
    expect((await list(me.token)).items).toEqual([])
    expect((await app.call('/v1/user/transactions')).status).toBe(401)
    expect((await app.call('/v1/user/transactions?limit=101', { token: me.token })).status).toBe(422)
  })
})
