import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'bun:test'
import { LiteLlmPeople } from '../../src/llm/litellm-people'
import { LitellmKeys } from '../../src/modules/accounts/litellm-keys'
import type { User } from '../../src/store/port'
import { type TestApp, testApp } from '../support/app'
import { endChildren, newDir, signUp, start } from '../support/child'
import { type FakeLiteLlm, KEY_PREFIX, MASTER_KEY, startFakeLiteLlm } from '../support/fake-litellm'
import { until } from '../support/servers'

let proxy: FakeLiteLlm
let app: TestApp
beforeAll(async () => {
  proxy = startFakeLiteLlm()
  app = await testApp({ LITELLM_URL: proxy.url, LITELLM_MASTER_KEY: MASTER_KEY })
})
afterAll(async () => {
  await app.close()
  await proxy.stop()
  await endChildren()
})
beforeEach(() => {
  proxy.be('none')
  proxy.calls.length = 0
  proxy.bodies.length = 0
})

const chat = (token: string, from = app) =>
  from.call('/v1/chat/completions', { token, json: { model: 'echo', message: 'Hello', stream: false } })
/** With which key the provider was asked last. */
const paidWith = () =>
  proxy.provider.requests.findLast(({ path }) => path === '/v1/chat/completions')?.headers.authorization

test('gives who registers a key of their own, which pays from the first answer on', async () => {
  const { token, userId, email } = await app.signUp()
  expect(proxy.bodies).toEqual([
    { user_id: userId, user_email: email, user_role: 'internal_user', auto_create_key: true },
  ])
  const [key] = proxy.people.get(userId)?.keys ?? []
  expect((await chat(token)).status).toBe(200)
  expect(paidWith()).toBe(`Bearer ${key}`)
  await chat(token)
  expect(proxy.calls).toEqual(['POST /user/new'])
})

test.each(['no-database', 'broken', 'silent'] as const)(
  'registers people all the same when the proxy is %s',
  async (trouble) => {
    proxy.be(trouble)
    const { token } = await app.signUp()
    expect((await chat(token)).status).toBe(200)
    expect(paidWith()).toBe(`Bearer ${MASTER_KEY}`)
    expect(proxy.calls).toEqual(['POST /user/new'])
  },
)

test.each([
  ['is switched off', { LITELLM_USER_KEYS: 'false', LITELLM_MASTER_KEY: MASTER_KEY }],
  ['has no master key', {} as Record<string, string>],
])('asks for no keys when it %s', async (_, env) => {
  const other = await testApp({ LITELLM_URL: proxy.url, ...env })
  const { token } = await other.signUp()
  await chat(token, other)
  expect(proxy.calls).toEqual([])
  await other.close()
})

test('shows the key nowhere', async () => {
  const child = await start({
    DATA_DIR: newDir(),
    LOG_LEVEL: 'trace',
    LITELLM_URL: proxy.url,
    LITELLM_MASTER_KEY: MASTER_KEY,
  })
  const token = await signUp(child)
  const get = async (path: string) =>
    (await fetch(child.base + path, { headers: { authorization: `Bearer ${token}` } })).text()
  const shown = await Promise.all(
    ['/api/v1/auth/me', '/v1/models', '/v1/user/profile', '/v1/user/balance', '/metrics', '/health'].map(get),
  )
  proxy.be('broken')
  await signUp(child)
  await until(() => child.out().includes('no LiteLLM key could be made'))
  const texts = [...shown, child.out(), child.err()].join('\n')
  expect(texts).not.toContain(KEY_PREFIX)
  expect(texts).not.toContain(MASTER_KEY)
}, 60_000)

const TOLD = { userId: 'a4c1d2e3-0000-7000-8000-000000000001', email: 'ada@example.com' }

/** The service alone, with a clock that stands still and one account. */
function alone({ issuer = 'here', baseUrl = `${proxy.url}/v1` } = {}) {
  const clock = { at: Date.now() }
  const stored: string[] = []
  const faults: string[] = []
  const user = (): User => ({
    ...TOLD,
    tenantId: 'tenant',
    name: 'Ada',
    role: 'user',
    litellmKey: stored.at(-1) ?? null,
    createdAt: null,
  })
  const keys = new LitellmKeys({
    proxy: new LiteLlmPeople({ baseUrl, masterKey: MASTER_KEY, timeouts: { make: 2000, read: 100 } }),
    store: {
      accounts: {
        findByEmail: async () => (issuer === 'here' ? { user: user(), passwordHash: 'hash' } : undefined),
      },
      people: {
        setLitellmKey: async (_, key) => {
          stored.push(key)
        },
      },
    },
    now: () => new Date(clock.at),
    onFault: (message) => faults.push(message),
  })
  return { keys, clock, stored, faults, user }
}
afterEach(() => proxy.people.delete(TOLD.userId))

test('tries again when the person is next here, once a minute, and says once that it fails', async () => {
  const { keys, clock, stored, faults } = alone()
  proxy.be('no-database')
  await keys.registered(TOLD)
  for (let i = 0; i < 20; i++) keys.wanted({ ...TOLD, litellmKey: null })
  await Bun.sleep(20)
  expect(proxy.calls).toHaveLength(1)
  clock.at += 60_000
  for (let i = 0; i < 20; i++) keys.wanted({ ...TOLD, litellmKey: null })
  await until(() => proxy.calls.length === 2)
  expect(faults).toHaveLength(1)
  await Bun.sleep(20)
  clock.at += 60_000
  proxy.be('none')
  await Promise.all(Array.from({ length: 20 }, () => keys.registered(TOLD)))
  expect(stored).toHaveLength(1)
  expect(proxy.calls).toHaveLength(3)
})

test('gives another key to who is there already, because an answer was lost', async () => {
  const { keys, clock, stored } = alone()
  proxy.be('lost')
  await keys.registered(TOLD)
  expect(stored).toEqual([])
  expect(proxy.people.get(TOLD.userId)?.keys).toHaveLength(1)
  proxy.be('none')
  clock.at += 60_000
  await keys.registered(TOLD)
  expect(stored).toEqual([String(proxy.people.get(TOLD.userId)?.keys[1])])
})

test('takes nobody for the one who has the same address at the proxy', async () => {
  const { keys, stored } = alone()
  proxy.people.set('somebody-else', { email: TOLD.email, keys: ['sk-theirs'], spend: 7, maxBudget: null })
  await keys.registered(TOLD)
  expect(stored).toEqual([String(proxy.people.get(TOLD.userId)?.keys[0])])
  expect(proxy.people.get('somebody-else')?.keys).toEqual(['sk-theirs'])
  proxy.people.delete('somebody-else')
})

test('has nobody wait, and nobody fail, when there is no proxy', async () => {
  const { keys, stored, faults } = alone({ baseUrl: 'http://127.0.0.1:1' })
  await keys.registered(TOLD)
  expect(stored).toEqual([])
  expect(faults).toHaveLength(1)
})

test('leaves those alone who have a key, or an account elsewhere', async () => {
  const elsewhere = alone({ issuer: 'supabase' })
  await elsewhere.keys.registered(TOLD)
  elsewhere.keys.wanted({ ...TOLD, caller: { token: 'theirs', requestId: 'r' } })
  const here = alone()
  here.keys.wanted({ ...TOLD, litellmKey: 'sk-theirs' })
  here.stored.push('sk-given-meanwhile')
  await here.keys.registered(TOLD)
  await Bun.sleep(20)
  expect(proxy.calls).toEqual([])
})

test('tells what the proxy says was spent, and asks once a minute', async () => {
  const { keys, clock, user } = alone()
  await keys.registered(TOLD)
  const person = proxy.people.get(TOLD.userId)
  if (!person) throw new Error('Nobody was made')
  Object.assign(person, { spend: 0.0123456789, maxBudget: 25 })
  const told = { spendNanos: 12_345_679n, maxBudgetNanos: 25_000_000_000n }
  expect(await Promise.all([keys.spend(user()), keys.spend(user())])).toEqual([told, told])
  person.spend = 1e-7
  expect(await keys.spend(user())).toEqual(told)
  expect(proxy.calls.filter((call) => call === 'GET /user/info')).toHaveLength(1)
  clock.at += 60_000
  person.maxBudget = null
  expect(await keys.spend(user())).toEqual({ spendNanos: 100n, maxBudgetNanos: null })
  expect(await keys.spend({ ...user(), litellmKey: null })).toBeUndefined()
})

test.each(['no-database', 'broken', 'silent'] as const)(
  'tells no spend when the proxy is %s, and asks again soon',
  async (trouble) => {
    const { keys, clock, user } = alone()
    await keys.registered(TOLD)
    proxy.be(trouble)
    expect(await keys.spend(user())).toBeUndefined()
    expect(await keys.spend(user())).toBeUndefined()
    expect(proxy.calls.filter((call) => call === 'GET /user/info')).toHaveLength(1)
    proxy.be('none')
    clock.at += 10_000
    expect(await keys.spend(user())).toEqual({ spendNanos: 0n, maxBudgetNanos: null })
  },
)

test('holds neither keys nor what the proxy said in its errors', async () => {
  proxy.be('broken')
  const people = new LiteLlmPeople({ baseUrl: proxy.url, masterKey: MASTER_KEY })
  const errors = await Promise.all([
    people.makeKey(TOLD).then(String, (error: Error) => `${error.message} ${error.cause}`),
    people.spend('x').then(String, (error: Error) => `${error.message} ${error.cause}`),
  ])
  expect(errors).toEqual([
    'The LiteLLM proxy made no key (HTTP 500) undefined',
    'The LiteLLM proxy told no spend (HTTP 500) undefined',
  ])
})
