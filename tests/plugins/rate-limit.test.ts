/** Requests a minute, at the front door. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { type CallInit, type TestApp, testApp } from '../support/app'
import { testRedisUrl } from '../support/redis'
import { until } from '../support/servers'
import { SECRET, type Someone, startTenancy, type Tenancy } from '../support/tenancy'

let tenancy: Tenancy
beforeAll(async () => {
  tenancy = await startTenancy()
})
afterAll(() => tenancy.close())

const apps: TestApp[] = []
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close()
})

/** Another server on the same database. */
async function start(env: Record<string, string>): Promise<TestApp> {
  const app = await testApp({ DATABASE_URL: tenancy.url, JWT_SECRET_KEY: SECRET, ...env })
  apps.push(app)
  return app
}

const limit = (path: string, limits: object | null) => tenancy.ask(path, { method: 'PATCH', json: { limits } })
const limitPerson = ({ userId, tenantId }: Someone, limits: object | null) =>
  limit(`/v1/admin/users/${userId}?tenant_id=${tenantId}`, limits)
const newTenant = async () => String((await tenancy.tenant()).id)

async function statuses(times: number, ask: () => Promise<Response>): Promise<number[]> {
  const seen: number[] = []
  for (let i = 0; i < times; i++) seen.push((await ask()).status)
  return seen
}

const me = (app: TestApp, token: string) => app.call('/api/v1/auth/me', { token })

describe('what administrators set', () => {
  test("is a person's limit, told with every answer, and taken back", async () => {
    const person = await tenancy.person(await newTenant())
    const { app } = tenancy
    expect((await me(app, person.token)).headers.has('ratelimit')).toBe(false)
    expect((await limitPerson(person, { requests_per_minute: 2 })).status).toBe(200)
    const first = await me(app, person.token)
    expect(first.status).toBe(200)
    expect(first.headers.get('ratelimit-policy')).toBe('"user";q=2;w=60')
    expect(first.headers.get('ratelimit')).toMatch(/^"user";r=1;t=(?:30|29)$/)
    expect((await me(app, person.token)).status).toBe(200)
    const refused = await me(app, person.token)
    expect(refused.status).toBe(429)
    expect(refused.headers.get('ratelimit')).toMatch(/^"user";r=0;t=\d+$/)
    const wait = Number(refused.headers.get('retry-after'))
    expect(wait).toBeWithin(1, 31)
    expect((await refused.json()).error).toMatchObject({
      code: 'RATE_LIMIT_EXCEEDED',
      message: `The limit of your requests is reached. Try again in ${wait} s`,
      details: { limit: 'user' },
    })
    await limitPerson(person, null)
    expect((await me(app, person.token)).status).toBe(200)
  })

  test("is a tenant's limit for all its people together, and nobody else's", async () => {
    const id = await newTenant()
    const [one, two, other] = [
      await tenancy.person(id),
      await tenancy.person(id),
      await tenancy.person(await newTenant()),
    ]
    await limit(`/v1/admin/tenants/${id}`, { requests_per_minute: 3 })
    const { app } = tenancy
    expect(await statuses(2, () => me(app, one.token))).toEqual([200, 200])
    expect(await statuses(2, () => me(app, two.token))).toEqual([200, 429])
    const refused = await me(app, one.token)
    expect((await refused.json()).error).toMatchObject({ details: { limit: 'tenant' } })
    expect((await me(app, other.token)).status).toBe(200)
  })

  test('may allow fewer at once than in a minute', async () => {
    const person = await tenancy.person(await newTenant())
    await limitPerson(person, { requests_per_minute: 600, requests_at_once: 2 })
    const answer = await me(tenancy.app, person.token)
    expect(answer.headers.get('ratelimit-policy')).toBe('"user";q=2;w=1')
  })

  test('takes effect on other servers within seconds, and is counted by all together', async () => {
    const REDIS_URL = testRedisUrl()
    const [one, other] = [await start({ REDIS_URL }), await start({ REDIS_URL })]
    const person = await tenancy.person(await newTenant())
    await until(async () => (await one.services.health.report()).checks.redis?.status === 'ok')
    await until(async () => (await other.services.health.report()).checks.redis?.status === 'ok')
    expect((await me(other, person.token)).headers.has('ratelimit')).toBe(false)
    await limitPerson(person, { requests_per_minute: 100 })
    // What is believed of a caller is believed for five seconds.
    await until(async () => (await me(other, person.token)).headers.has('ratelimit'))
    expect(await statuses(50, () => me(one, person.token))).toEqual(Array.from({ length: 50 }, () => 200))
    const left = async () => Number(/r=(\d+)/.exec((await me(other, person.token)).headers.get('ratelimit') ?? '')?.[1])
    await until(async () => (await left()) < 60)
    expect((await (await other.call('/health')).json()).redis).toMatchObject({ rate_limits: 'redis' })
  }, 20_000)
})

describe('what is set for all', () => {
  test('limits each person, and each key, and what an administrator set goes before it', async () => {
    const app = await start({ RATE_LIMIT_REQUESTS: '4', RATE_LIMIT_KEY: '2' })
    const [person, favoured] = [await tenancy.person(await newTenant()), await tenancy.person(await newTenant())]
    const made = await app.call('/v1/keys', { token: person.token, json: { name: 'mine' } })
    const { key } = (await made.json()).data
    expect(made.headers.get('ratelimit-policy')).toBe('"user";q=4;w=60')
    const withKey = await me(app, key)
    expect(withKey.headers.get('ratelimit-policy')).toBe('"user";q=4;w=60, "key";q=2;w=60')
    expect(withKey.headers.get('ratelimit')).toStartWith('"key";r=1;')
    expect((await me(app, key)).status).toBe(200)
    const refused = await me(app, key)
    expect((await refused.json()).error.details).toEqual({ limit: 'key' })
    // A refusal took nothing from the person.
    expect(await statuses(2, () => me(app, person.token))).toEqual([200, 429])
    await limitPerson(favoured, { requests_per_minute: 6 })
    expect(await statuses(7, () => me(app, favoured.token))).toEqual([200, 200, 200, 200, 200, 200, 429])
  })

  test('limits an operation by itself', async () => {
    const app = await start({ RATE_LIMIT_ROUTES: 'GET /api/v1/auth/me=1, GET /v1/conversations/:id=1, GET /v1/keys=1' })
    const { token } = await tenancy.person(await newTenant())
    expect(await statuses(2, () => me(app, token))).toEqual([200, 429])
    const conversation = () => app.call(`/v1/conversations/${crypto.randomUUID()}`, { token })
    expect(await statuses(2, conversation)).toEqual([404, 429])
    expect(await statuses(2, () => app.call('/v1/keys', { token }))).toEqual([200, 429])
    expect((await app.call('/v1/conversations', { token })).headers.has('ratelimit')).toBe(false)
  })

  test('counts HEAD as the GET that it is', async () => {
    const app = await start({ RATE_LIMIT_ROUTES: 'GET /v1/keys=2' })
    const { token } = await tenancy.person(await newTenant())
    expect(await statuses(3, () => app.call('/v1/keys', { token, method: 'HEAD' }))).toEqual([200, 200, 429])
    expect((await app.call('/v1/keys', { token })).status).toBe(429)
  })

  test.each([
    ['OpenAI', '/v1/chat/completions', { messages: [{ role: 'user', content: 'hi' }] }],
    ['OpenAI Responses', '/v1/responses', { input: 'hi' }],
    ['Anthropic', '/v1/messages', { messages: [{ role: 'user', content: 'hi' }], max_tokens: 5 }],
    [
      'AI SDK',
      '/api/chat',
      { id: 'chat-1', messages: [{ id: 'a', role: 'user', parts: [{ type: 'text', text: 'hi' }] }] },
    ],
    ['native', '/v1/chat/completions', { message: 'hi', stream: false }],
  ])('refuses in the words of %s', async (name, path, body) => {
    const app = await start({ RATE_LIMIT_REQUESTS: '1' })
    const { token } = await tenancy.person(await newTenant())
    const json = { model: 'demo/eliza', ...body }
    const first = await app.call(path, { token, json })
    expect(first.status).toBe(200)
    expect(first.headers.get('ratelimit')).toStartWith('"user";r=0;')
    await first.text()
    const refused = await app.call(path, { token, json })
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeWithin(1, 61)
    const text = await refused.text()
    const sentence = /The limit of your requests is reached\. Try again in \d+ s/
    expect(text).toMatch(sentence)
    if (name.startsWith('OpenAI')) {
      expect(JSON.parse(text).error).toMatchObject({ type: 'rate_limit_error', code: 'rate_limit_exceeded' })
      expect(refused.headers.get('x-ratelimit-limit-requests')).toBe('1')
      expect(refused.headers.get('x-ratelimit-remaining-requests')).toBe('0')
      expect(refused.headers.get('x-ratelimit-reset-requests')).toMatch(/^\d+s$/)
    }
    if (name === 'Anthropic') {
      expect(JSON.parse(text)).toMatchObject({ type: 'error', error: { type: 'rate_limit_error' } })
      expect(refused.headers.get('anthropic-ratelimit-requests-remaining')).toBe('0')
    }
    if (name === 'AI SDK') expect(refused.headers.get('x-error-code')).toBe('RATE_LIMIT_EXCEEDED')
    if (name === 'native') expect(JSON.parse(text)).toMatchObject({ success: false })
  })
})

describe('addresses', () => {
  const stranger = (app: TestApp, headers: Record<string, string> = {}, path = '/v1/keys') =>
    app.call(path, { headers })

  test('are limited before anybody is looked up, whatever they send', async () => {
    const app = await start({ RATE_LIMIT_ADDRESS: '3' })
    const bearer = (): CallInit => ({ token: crypto.randomUUID() })
    expect(await statuses(3, () => app.call('/v1/keys', bearer()))).toEqual([401, 401, 401])
    const refused = await app.call('/v1/keys', bearer())
    expect(refused.status).toBe(429)
    expect(refused.headers.get('ratelimit-policy')).toBe('"address";q=3;w=60')
    expect((await refused.json()).error).toMatchObject({ code: 'RATE_LIMIT_EXCEEDED', details: { limit: 'address' } })
    expect((await app.call('/nowhere')).status).toBe(429)
    const login = { json: { email: 'a@example.com', password: 'password123' } }
    expect((await app.call('/api/v1/auth/login', login)).status).toBe(429)
  })

  test('never keep probes, monitoring and preflight requests out', async () => {
    const app = await start({ RATE_LIMIT_ADDRESS: '1' })
    for (const path of ['/live', '/ready', '/health', '/metrics', '/live?probe=1']) {
      expect(await statuses(3, () => app.call(path))).toEqual([200, 200, 200])
    }
    const preflight = () =>
      app.call('/v1/keys', {
        method: 'OPTIONS',
        headers: { origin: 'https://a.example', 'access-control-request-method': 'POST' },
      })
    expect(await statuses(3, preflight)).toEqual([204, 204, 204])
    expect((await stranger(app)).status).toBe(401)
    expect((await stranger(app)).status).toBe(429)
  })

  test('are told beside the limits of the person', async () => {
    const app = await start({ RATE_LIMIT_ADDRESS: '100', RATE_LIMIT_REQUESTS: '10' })
    const { token } = await tenancy.person(await newTenant())
    const { headers } = await me(app, token)
    expect(headers.get('ratelimit-policy')).toBe('"address";q=100;w=60, "user";q=10;w=60')
    expect(headers.get('ratelimit')).toStartWith('"user";r=9;')
  })

  test('cannot be chosen by a header without TRUST_PROXY', async () => {
    const app = await start({ RATE_LIMIT_ADDRESS: '2' })
    const forged = () => stranger(app, { 'x-forwarded-for': crypto.randomUUID(), 'x-real-ip': crypto.randomUUID() })
    expect(await statuses(3, forged)).toEqual([401, 401, 429])
  })

  test('are what our own proxy wrote with TRUST_PROXY, and nothing that was sent to it', async () => {
    const app = await start({ RATE_LIMIT_ADDRESS: '2', TRUST_PROXY: 'true' })
    const forged = (address: string) =>
      stranger(app, { 'x-forwarded-for': `${crypto.randomUUID()}, ${address}`, 'x-real-ip': crypto.randomUUID() })
    expect(await statuses(3, () => forged('203.0.113.7'))).toEqual([401, 401, 429])
    expect((await forged('203.0.113.8')).status).toBe(401)
    const real = (address: string) => stranger(app, { 'x-real-ip': address })
    expect(await statuses(3, () => real('203.0.113.9'))).toEqual([401, 401, 429])
  })

  test('of one subscriber are one', async () => {
    const app = await start({ RATE_LIMIT_ADDRESS: '2', TRUST_PROXY: 'true' })
    const from = (address: string) => stranger(app, { 'x-forwarded-for': address })
    expect((await from('2001:db8:1:2::1')).status).toBe(401)
    expect((await from('2001:db8:1:2:ffff::2')).status).toBe(401)
    expect((await from('2001:db8:1:2:3:4:5:6')).status).toBe(429)
    expect((await from('2001:db8:1:3::1')).status).toBe(401)
  })

  test('are those of the connection, where there is one', async () => {
    const app = await start({ RATE_LIMIT_ADDRESS: '2' })
    const url = `${app.listen()}/v1/keys`
    const status = async () => (await fetch(url)).status
    expect([await status(), await status(), await status()]).toEqual([401, 401, 429])
    // Handed over without a connection: another address.
    expect((await stranger(app)).status).toBe(401)
  })
})

test('counts what it refuses', async () => {
  const app = await start({ RATE_LIMIT_ADDRESS: '1' })
  await statuses(3, () => app.call('/v1/keys'))
  expect(await (await app.call('/metrics')).text()).toContain('rate_limited_total{limit="address"} 2')
})
