import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestApp, testApp } from '../support/app'
import { createDatabase } from '../support/db'
import { dataOf, newPerson, ownerToken, type Somebody, WITH_EVERYBODY } from '../support/money'
import { startRedis, type TestServer, until } from '../support/servers'

/** Two servers on one database, with a Redis of their own. */
let a: TestApp
let b: TestApp
let database: Awaited<ReturnType<typeof createDatabase>>
let redis: TestServer
let env: Record<string, string>
const scratch = mkdtempSync(join(tmpdir(), 'orchestrator-cached-'))

beforeAll(async () => {
  ;[database, redis] = await Promise.all([createDatabase(), startRedis(scratch)])
  env = { ...WITH_EVERYBODY, DATABASE_URL: database.url, REDIS_URL: redis.url, BILLING: 'prepaid', SIGNUP_CREDIT: '10' }
  a = await testApp(env)
  b = await testApp(env)
  await until(() => [a, b].every((app) => usesOf(app).then((uses) => uses.cache === 'redis')))
})
afterAll(async () => {
  await a.close()
  await b.close()
  await Promise.all([database.drop(), redis.stop()])
  rmSync(scratch, { recursive: true, force: true })
})

const usesOf = async (app: TestApp) => (await (await app.call('/health')).json()).redis
const profile = (app: TestApp, { token }: Somebody) => dataOf(app.call('/v1/user/profile', { token }))
const balance = (app: TestApp, { token }: Somebody) => dataOf(app.call('/v1/user/balance', { token }))
const outcomes = async (app: TestApp, use: string) => {
  const text = await (await app.call('/metrics')).text()
  const lines = text.matchAll(/^cache_requests_total\{use="(\w+)",outcome="(\w+)"\} (\d+)$/gm)
  return Object.fromEntries([...lines].filter(([, of]) => of === use).map(([, , outcome, n]) => [outcome, Number(n)]))
}

describe('what two servers keep', () => {
  test('is loaded once for both, and counted', async () => {
    const somebody = await newPerson(a)
    const [profiles, balances] = [await outcomes(b, 'profile'), await outcomes(b, 'balance')]
    const first = [await profile(a, somebody), await balance(a, somebody)]
    // The first look opens the account, which changes the balance: what is seen then is seen, and not kept.
    await balance(a, somebody)
    const hits = ({ hit = 0 }: Record<string, number>) => hit
    // A machine that is busy may keep Redis from answering in time: then it is loaded, and kept the next time.
    await until(async () => {
      expect([await profile(b, somebody), await balance(b, somebody)]).toEqual(first)
      const [now, then] = [
        [await outcomes(b, 'profile'), await outcomes(b, 'balance')],
        [profiles, balances],
      ]
      return now.every((counted, i) => hits(counted) > hits(then[i] ?? {}))
    })
  })

  test('is no profile that its owner has changed', async () => {
    const somebody = await newPerson(a)
    for (let i = 0; i < 10; i++) {
      const [here, there] = i % 2 ? [a, b] : [b, a]
      await profile(there, somebody)
      const json = { name: `Name ${i}`, preferences: { i, nested: [null, 'ü'] } }
      expect((await here.call('/v1/user/profile', { method: 'PATCH', token: somebody.token, json })).status).toBe(200)
      expect(await profile(there, somebody)).toMatchObject(json)
    }
  })

  test('is no profile that an administrator has changed', async () => {
    const somebody = await newPerson(a)
    await profile(b, somebody)
    const token = await ownerToken(a)
    const path = `/v1/admin/users/${somebody.userId}`
    const changed = await a.call(path, { method: 'PATCH', token, json: { name: 'Other' } })
    expect(changed.status).toBe(200)
    expect(await profile(b, somebody)).toMatchObject({ name: 'Other' })
  })

  test('is no balance from before money came', async () => {
    const somebody = await newPerson(a)
    const token = await ownerToken(a)
    expect(await balance(b, somebody)).toMatchObject({ balance_usd: 10 })
    for (let i = 1; i <= 5; i++) {
      await balance(b, somebody)
      const credited = await a.call('/v1/admin/ledger/credits', {
        token,
        headers: { 'idempotency-key': crypto.randomUUID() },
        json: { scope: 'user', owner_id: somebody.userId, kind: 'topup', amount_usd: 5, reason: 'test' },
      })
      expect(credited.status).toBeLessThan(300)
      expect(await balance(b, somebody)).toMatchObject({ balance_usd: 10 + 5 * i })
    }
  })

  test('is no balance from before a budget was set, changed or taken away', async () => {
    const somebody = await newPerson(a)
    const token = await ownerToken(a)
    const budgets = async () => (await balance(b, somebody)).budgets.map((one: { limit_usd: number }) => one.limit_usd)
    await budgets()
    const put = (limit_usd: number) =>
      dataOf(
        a.call('/v1/admin/budgets', {
          method: 'PUT',
          token,
          json: { scope: 'user', owner_id: somebody.userId, period: 'month', limit_usd },
        }),
      )
    expect(await budgets()).toEqual([])
    await put(7)
    expect(await budgets()).toEqual([7])
    const { id } = await put(8)
    expect(await budgets()).toEqual([8])
    await a.call(`/v1/admin/budgets/${id}`, { method: 'DELETE', token })
    expect(await budgets()).toEqual([])
  })

  test('is no balance from before an answer: what it cost and what is kept back for it are seen at once', async () => {
    const somebody = await newPerson(a)
    const tenantId = somebody.tenantId
    const account = await a.services.billing.account(somebody)
    for (let i = 1; i <= 5; i++) {
      await balance(b, somebody)
      const at = new Date()
      const usage = { ...BEGINNING, tenantId, userId: somebody.userId, createdAt: at }
      const id = crypto.randomUUID()
      const expiresAt = new Date(at.getTime() + 60_000)
      const reservation = { id, accountIds: [account.id], amount: 2_000_000_000n, runId: null, usage, expiresAt, at }
      const [reserved] = await a.services.store.ledger.reserve([reservation])
      expect(reserved?.outcome).toBe('reserved')
      expect((await balance(a, somebody)).reserved_usd).toBe(2)
      await balance(b, somebody)
      await a.services.store.ledger.settle([{ id, amount: 1_000_000_000n, at }])
      expect(await balance(b, somebody)).toMatchObject({ balance_usd: 10 - i, reserved_usd: 0 })
    }
  })

  test('is nothing where Redis is gone, and nobody notices', async () => {
    const somebody = await newPerson(a)
    await balance(b, somebody)
    await redis.stop()
    await until(async () => (await usesOf(b)).cache === 'local')
    // A look at it is good for two seconds.
    await until(async () => (await (await b.call('/health')).json()).status === 'degraded')
    const { checks } = await (await b.call('/health')).json()
    expect(checks.redis.status).toMatch(/failed|degraded/)
    expect((await b.call('/ready')).status).toBe(200)
    for (let i = 0; i < 10; i++) {
      const json = { name: `Name ${i}` }
      expect((await a.call('/v1/user/profile', { method: 'PATCH', token: somebody.token, json })).status).toBe(200)
      expect(await profile(b, somebody)).toMatchObject(json)
      expect(await balance(b, somebody)).toMatchObject({ balance_usd: 10 })
    }
  })
})

const BEGINNING = {
  keyId: null,
  conversationId: null,
  messageId: null,
  runId: null,
  model: 'echo',
  promptTokens: 1,
  promptNanos: 1n,
  outputRate: 1n,
}

test('two servers without a Redis keep neither profiles nor balances, as neither would hear of a change', async () => {
  const { REDIS_URL: _, ...alone } = env
  const [c, d] = [await testApp(alone), await testApp(alone)]
  const somebody = await newPerson(c)
  await profile(d, somebody)
  const json = { name: 'Seen' }
  expect((await c.call('/v1/user/profile', { method: 'PATCH', token: somebody.token, json })).status).toBe(200)
  expect(await profile(d, somebody)).toMatchObject(json)
  expect(await usesOf(d)).toEqual({})
  await c.close()
  await d.close()
})

test('a server that starts while a provider is down has its models from the others', async () => {
  const own = await createDatabase()
  let up = true
  const models = [{ id: 'shared-model', object: 'model', created: 5, owned_by: 'them' }]
  const provider = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: () => (up ? Response.json({ object: 'list', data: models }) : new Response('down', { status: 500 })),
  })
  const shared = {
    DATABASE_URL: own.url,
    REDIS_URL: process.env.TEST_REDIS_URL ?? '',
    OPENAI_BASE_URL: `http://127.0.0.1:${provider.port}/v1`,
  }
  const ids = async (app: TestApp) => {
    const { token } = await app.signUp()
    const { data = [] } = await (await app.call('/v1/models', { token })).json()
    return data.map(({ id }: { id: string }) => id)
  }
  // Not by /health: whoever has asked whether it lives knows its models as well.
  const serves = (app: TestApp) =>
    until(() => app.services.redisUses.some(({ name, mode }) => name === 'cache' && mode() === 'redis'))
  const listed = async () => {
    const app = await testApp(shared)
    await serves(app)
    const found = await ids(app)
    await app.close()
    return found
  }
  expect(await listed()).toEqual(['shared-model'])
  up = false
  // On a busy machine Redis may not be asked in time; then there is no list at all.
  await until(async () => (await listed()).includes('shared-model'))
  await provider.stop(true)
  await own.drop()
})
