import { afterAll, afterEach, beforeAll, expect, spyOn, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'
import { createDatabase } from '../support/db'
import { freePort, until } from '../support/servers'

const TRIES = 10

// One database for all of them: to start an embedded one for each app takes seconds.
let database: Awaited<ReturnType<typeof createDatabase>>
beforeAll(async () => {
  database = await createDatabase()
})
afterAll(() => database.drop())

const apps: TestApp[] = []
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close()
})

const start = async (env: Record<string, string> = {}) => {
  const app = await testApp({ DATABASE_URL: database.url, ...env })
  apps.push(app)
  return app
}

const newEmail = () => `${crypto.randomUUID()}@example.com`
const login = (app: TestApp, email: string, password = 'wrong password', headers: Record<string, string> = {}) =>
  app.call('/api/v1/auth/login', { json: { email, password }, headers })

async function statuses(times: number, attempt: () => Promise<Response>): Promise<number[]> {
  const seen: number[] = []
  for (let i = 0; i < times; i++) seen.push((await attempt()).status)
  return seen
}

const refused = Array.from({ length: TRIES }, () => 401)

test('refuses the eleventh try at an account before it hashes anything, and says when to come back', async () => {
  const app = await start()
  const email = newEmail()
  expect(await statuses(TRIES, () => login(app, email))).toEqual(refused)
  const verify = spyOn(Bun.password, 'verify')
  const answer = await login(app, email.toUpperCase())
  expect(verify).not.toHaveBeenCalled()
  verify.mockRestore()
  expect(answer.status).toBe(429)
  expect(Number(answer.headers.get('retry-after'))).toBeWithin(1, 901)
  expect((await answer.json()).error).toMatchObject({ code: 'RATE_LIMIT_EXCEEDED', details: null })
  expect((await login(app, newEmail())).status).toBe(401)
})

test('counts anew after a success', async () => {
  const app = await start()
  const { email } = await app.signUp()
  expect(await statuses(TRIES - 1, () => login(app, email))).toEqual(refused.slice(1))
  expect((await login(app, email, 'password123')).status).toBe(200)
  expect(await statuses(TRIES, () => login(app, email))).toEqual(refused)
  expect((await login(app, email, 'password123')).status).toBe(429)
})

test('limits new accounts from one address, and believes a proxy only when told to', async () => {
  const trusting = await start({ TRUST_PROXY: 'true' })
  const plain = await start()
  const register = (app: TestApp, address: string) =>
    app.call('/api/v1/auth/register', {
      json: { email: newEmail(), password: 'password123' },
      headers: { 'x-forwarded-for': `spoofed-${crypto.randomUUID()}, ${address}` },
    })
  const twenty = Array.from({ length: 20 }, () => 201)
  expect(await statuses(20, () => register(trusting, 'a'))).toEqual(twenty)
  expect((await register(trusting, 'a')).status).toBe(429)
  expect((await register(trusting, 'b')).status).toBe(201)
  expect(await statuses(20, () => register(plain, crypto.randomUUID()))).toEqual(twenty)
  expect((await register(plain, crypto.randomUUID())).status).toBe(429)
})

/** Whether the app has found its Redis. */
const redisStatus = async (app: TestApp) => (await app.services.health.report()).checks.redis?.status

test('shares its counts with other servers through Redis', async () => {
  const REDIS_URL = process.env.TEST_REDIS_URL ?? ''
  const [one, other] = [await start({ REDIS_URL }), await start({ REDIS_URL })]
  for (const app of [one, other]) await until(async () => (await redisStatus(app)) === 'ok')
  const email = newEmail()
  expect(await statuses(TRIES / 2, () => login(one, email))).toEqual(refused.slice(TRIES / 2))
  expect(await statuses(TRIES / 2, () => login(other, email))).toEqual(refused.slice(TRIES / 2))
  expect((await login(one, email)).status).toBe(429)
  const answer = await login(other, email)
  expect(answer.status).toBe(429)
  expect(Number(answer.headers.get('retry-after'))).toBeWithin(1, 901)
})

test('signs in and holds its limits while Redis is away', async () => {
  const app = await start({ REDIS_URL: `redis://127.0.0.1:${await freePort()}` })
  const { email } = await app.signUp()
  expect(await redisStatus(app)).toBe('failed')
  expect((await login(app, email, 'password123')).status).toBe(200)
  expect(await statuses(TRIES, () => login(app, email))).toEqual(refused)
  expect((await login(app, email)).status).toBe(429)
})
