import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { newId } from '../../src/lib/ids'
import { type TestApp, testApp } from '../support/app'
import { dataOf, newPerson, ownerToken, type Somebody, spent, WITH_EVERYBODY } from '../support/money'

let app: TestApp
beforeAll(async () => {
  app = await testApp(WITH_EVERYBODY)
})
afterAll(() => app.close())

const usage = (token: string, query = '') => dataOf(app.call(`/v1/user/usage${query}`, { token }))
const at = (time: string) => ({ completedAt: new Date(time) })

describe('my usage', () => {
  test('adds up what I asked, and nothing of others', async () => {
    const [me, other] = [await newPerson(app), await newPerson(app)]
    expect((await usage(me.token)).totals).toMatchObject({ answers: 0, success_rate: null, cost_per_message_usd: null })
    await spent(app, { ...me, costNanos: 3_000_000n })
    await spent(app, { ...me, costNanos: 2_000_000n, chargeNanos: 2_400_000n, status: 'stopped' })
    await spent(app, { ...me, costNanos: 0n, status: 'failed', completionTokens: 0, costBasis: 'estimated' })
    await spent(app, { ...me, costNanos: null })
    await spent(app, other)
    const { totals, days, group_by, time_zone } = await usage(me.token)
    expect(totals).toEqual({
      answers: 4,
      completed: 2,
      stopped: 1,
      failed: 1,
      success_rate: 0.75,
      prompt_tokens: 40,
      completion_tokens: 15,
      total_tokens: 55,
      cached_tokens: 16,
      reasoning_tokens: 0,
      cost_usd: 0.0054,
      cost_per_message_usd: 0.00135,
      saved_usd: 0.000004,
      unpriced: 1,
      estimated: 1,
    })
    expect([group_by, time_zone]).toEqual(['day', 'UTC'])
    const answers = days.reduce((sum: number, day: { answers: number }) => sum + day.answers, 0)
    expect(answers).toBe(4)
  })

  test('is what the ledger charged', async () => {
    const me = await newPerson(app)
    for (let i = 1n; i <= 5n; i++) await spent(app, { ...me, costNanos: i * 1_000_003n })
    const { totals } = await usage(me.token)
    const { items } = await dataOf(app.call('/v1/user/transactions', { token: me.token }))
    const { balance_usd, spent_today_usd, spent_month_usd } = await dataOf(
      app.call('/v1/user/balance', { token: me.token }),
    )
    expect(totals.cost_usd).toBe(0.015000045)
    expect(items[0].balance_usd).toBe(-0.015000045)
    expect(balance_usd).toBe(-0.015000045)
    expect([spent_today_usd, spent_month_usd]).toEqual([0.015000045, 0.015000045])
  })

  test.each([
    ['model', 'models', 'model', ['a', 'b']],
    ['conversation', 'conversations', 'conversation_id', [ID(1), null]],
    ['key', 'keys', 'key_id', [ID(2), null]],
  ])('comes by %s, what cost most first', async (group, list, name, expected) => {
    const me = await newPerson(app)
    await spent(app, { ...me, model: 'b', costNanos: 1n })
    await spent(app, { ...me, model: 'a', conversationId: ID(1), keyId: ID(2), costNanos: 2n })
    const data = await usage(me.token, `?group_by=${group}`)
    expect(data[list].map((one: Record<string, unknown>) => one[name])).toEqual(expected)
    expect(data[list][0]).toMatchObject({ answers: 1, cost_usd: 2e-9 })
    expect(data.totals).toMatchObject({ answers: 2, cost_usd: 3e-9 })
    expect((await usage(me.token, `?group_by=${group}&limit=1`))[list]).toHaveLength(1)
  })

  test('knows days as they are where I am: half hours, quarters, and days of 23 and 25 hours', async () => {
    const me = await newPerson(app)
    // New York's summer time began on 8 March 2026 and ended on 1 November.
    for (const time of [
      '2026-03-08T04:59:59.999Z',
      '2026-03-08T05:00:00Z',
      '2026-03-09T03:59:59.999Z',
      '2026-03-09T04:00:00Z',
    ])
      await spent(app, { ...me, ...at(time) })
    for (const time of [
      '2026-11-01T03:59:59.999Z',
      '2026-11-01T04:00:00Z',
      '2026-11-02T04:59:59.999Z',
      '2026-11-02T05:00:00Z',
    ])
      await spent(app, { ...me, ...at(time) })
    const days = async (query: string) =>
      (await usage(me.token, `?${query}`)).days.map(({ day, answers }: { day: string; answers: number }) => [
        day,
        answers,
      ])
    expect(await days('from=2026-03-08&to=2026-03-08&time_zone=America/New_York')).toEqual([['2026-03-08', 2]])
    expect(await days('from=2026-11-01&to=2026-11-01&time_zone=America/New_York')).toEqual([['2026-11-01', 2]])
    expect(await days('from=2026-03-07&to=2026-03-09&time_zone=America/New_York')).toEqual([
      ['2026-03-07', 1],
      ['2026-03-08', 2],
      ['2026-03-09', 1],
    ])
    // In Havana the hour after midnight came twice on that day.
    const cuban = await newPerson(app)
    for (const time of ['2026-11-01T03:59:59.999Z', '2026-11-01T04:30:00Z', '2026-11-01T05:30:00Z'])
      await spent(app, { ...cuban, ...at(time) })
    const havana = await usage(cuban.token, '?from=2026-10-31&to=2026-11-01&time_zone=America/Havana')
    expect(havana.days).toMatchObject([{ answers: 1 }, { day: '2026-11-01', answers: 2 }])
    // A quarter to six ahead: the day begins at 18:15.
    const other = await newPerson(app)
    for (const time of [
      '2026-06-30T18:14:59.999Z',
      '2026-06-30T18:15:00Z',
      '2026-07-01T18:14:59.999Z',
      '2026-07-01T18:15:00Z',
    ])
      await spent(app, { ...other, ...at(time) })
    const nepal = await usage(other.token, '?from=2026-07-01&to=2026-07-01&time_zone=Asia/Kathmandu')
    expect(nepal).toMatchObject({ from: '2026-06-30T18:15:00.000Z', to: '2026-07-01T18:15:00.000Z' })
    expect(nepal.days).toMatchObject([{ day: '2026-07-01', answers: 2 }])
  })

  test('takes the time zone of my profile, and moments as well as days', async () => {
    const me = await newPerson(app)
    await app.call('/v1/user/profile', { method: 'PATCH', token: me.token, json: { time_zone: 'Asia/Kathmandu' } })
    await spent(app, { ...me, ...at('2026-06-30T20:00:00Z') })
    const data = await usage(me.token, '?from=2026-07-01&to=2026-07-01')
    expect(data).toMatchObject({ time_zone: 'Asia/Kathmandu', totals: { answers: 1 }, days: [{ day: '2026-07-01' }] })
    const within = async (from: string, to: string) => (await usage(me.token, `?from=${from}&to=${to}`)).totals.answers
    expect(await within('2026-06-30T20:00:00Z', '2026-06-30T20:00:00.001Z')).toBe(1)
    expect(await within('2026-06-30T19:00:00Z', '2026-06-30T20:00:00Z')).toBe(0)
    expect(await within('2026-06-30T20:00:00%2B01:00', '2026-06-30T22:00:00%2B01:00')).toBe(1)
  })

  test('is of the last 30 days when nothing is said, and of ten years at most', async () => {
    const { token } = await newPerson(app)
    const { from, to } = await usage(token)
    expect(Date.parse(to) - Date.parse(from)).toBe(30 * 86_400_000)
    const before = await usage(token, '?to=2026-03-31')
    expect([before.from, before.to]).toEqual(['2026-03-02T00:00:00.000Z', '2026-04-01T00:00:00.000Z'])
    expect((await usage(token, '?from=2016-11-22&to=2026-11-21')).totals.answers).toBe(0)
  })

  test.each([
    'from=yesterday',
    'from=2026-02-30',
    'from=2026-11-21T10:00:00',
    'to=1e309',
    'to=%00',
    'from=2026-11-21&to=2026-11-20',
    'from=2000-01-01&to=2026-01-01',
    'from=1969-12-31&to=1970-01-02',
    'to=9999-12-31',
    'time_zone=',
    'time_zone=Nowhere/Land',
    'time_zone=%2B03:00',
    "time_zone='; drop table usage_records; --",
    'group_by=user',
    'group_by=day;drop',
    'limit=0',
    'limit=1001',
    'limit=1.5',
    'limit=x',
  ])('refuses %s', async (query) => {
    const { token } = await newPerson(app)
    const answer = await app.call(`/v1/user/usage?${query}`, { token })
    expect([answer.status, (await answer.json()).error.code]).toEqual([422, 'VALIDATION_ERROR'])
  })

  test('answers 401 to strangers', async () => {
    expect((await app.call('/v1/user/usage')).status).toBe(401)
  })
})

function ID(digit: number): string {
  return `0199c0de-0000-7000-8000-1000000000${digit}0`
}

describe('the usage of a tenant', () => {
  let admin: Somebody
  let me: Somebody
  const model = `model-${newId()}`
  beforeAll(async () => {
    admin = await newPerson(app, { role: 'admin' })
    me = await newPerson(app)
    await spent(app, { ...me, model, costNanos: 5n, chargeNanos: 6n, keyId: ID(5) })
    await spent(app, { ...me, model, costNanos: 7n, chargeNanos: 8n, provider: 'anthropic' })
    await spent(app, { ...admin, model, costNanos: null })
  })
  const ask = (query: string, token = admin.token) => app.call(`/v1/admin/usage?model=${model}&${query}`, { token })

  test('says what providers charge, and what people do', async () => {
    const { totals } = await dataOf(ask(''))
    expect(totals).toMatchObject({
      answers: 3,
      cost_usd: 12e-9,
      charged_usd: 14e-9,
      cost_per_message_usd: 6e-9,
      unpriced: 1,
    })
  })

  test('comes by person and provider, and for one person or key', async () => {
    const { users } = await dataOf(ask('group_by=user'))
    expect(users).toMatchObject([
      { user_id: me.userId, answers: 2 },
      { user_id: admin.userId, answers: 1 },
    ])
    const { providers } = await dataOf(ask(`group_by=provider&user_id=${me.userId}`))
    expect(providers).toMatchObject([
      { provider: 'anthropic', charged_usd: 8e-9 },
      { provider: 'openai', charged_usd: 6e-9 },
    ])
    expect((await dataOf(ask(`key_id=${ID(5)}`))).totals).toMatchObject({ answers: 1, charged_usd: 6e-9 })
  })

  test('is not for people, nor for administrators of another tenant', async () => {
    expect((await ask('', me.token)).status).toBe(403)
    const foreign = await newPerson(app, { role: 'admin', elsewhere: true })
    expect((await dataOf(ask('', foreign.token))).totals.answers).toBe(0)
    expect((await dataOf(ask(`user_id=${me.userId}`, foreign.token))).totals.answers).toBe(0)
    for (const tenant of [me.tenantId, newId(), 'all']) {
      expect([tenant, (await ask(`tenant_id=${tenant}`, foreign.token)).status]).toEqual([tenant, 404])
    }
  })

  test('is for the owner of the installation: of one tenant, or of all', async () => {
    const elsewhere = await newPerson(app, { elsewhere: true })
    await spent(app, { ...elsewhere, model, costNanos: 100n })
    const owner = await ownerToken(app)
    const charged = async (query: string) => (await dataOf(ask(query, owner))).totals.charged_usd
    expect(await charged('')).toBe(14e-9)
    expect(await charged(`tenant_id=${elsewhere.tenantId}`)).toBe(100e-9)
    expect(await charged('tenant_id=all')).toBe(114e-9)
  })

  test.each(['tenant_id=none', 'user_id=1', 'key_id=x', 'group_by=tenant', 'from=x'])('refuses %s', async (query) => {
    expect((await ask(query)).status).toBe(422)
  })
})
