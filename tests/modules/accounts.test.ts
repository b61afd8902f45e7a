import { afterAll, afterEach, beforeAll, expect, setSystemTime, spyOn, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'

const GRACE = 10_000

let app: TestApp
beforeAll(async () => {
  app = await testApp({ TRUST_PROXY: 'true' })
})
afterEach(() => {
  setSystemTime()
})
afterAll(() => app.close())

/** From an address of its own, so that the tests do not use up each other's limits. */
const post = (path: string, json: unknown, token?: string) =>
  app.call(`/api/v1/auth/${path}`, { token, json, headers: { 'x-real-ip': crypto.randomUUID() } })
const me = (token: string) => app.call('/api/v1/auth/me', { token })
const refresh = (refresh_token: string) => post('refresh', { refresh_token })
const newEmail = () => `${crypto.randomUUID()}@example.com`
const register = async (fields: Record<string, unknown> = {}) =>
  (await post('register', { email: newEmail(), password: 'password123', ...fields })).json()

/** The body of a failure, without what differs from request to request. */
const failure = async (answer: Response) => {
  const { error, ...rest } = await answer.json()
  return { status: answer.status, ...rest, error: { ...error, request_id: typeof error.request_id } }
}

const tokens = {
  access_token: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
  refresh_token: expect.stringMatching(/^rt_[\w-]{43}$/),
  token_type: 'bearer',
  expires_in: 900,
}

test('makes an account, signs in and says who that is', async () => {
  const email = newEmail()
  const made = await post('register', { email, password: 'password123', name: 'Test User' })
  expect(made.status).toBe(201)
  const { user, tokens: given } = await made.json()
  expect(user).toEqual({ id: expect.any(String), email, name: 'Test User', created_at: expect.any(String) })
  expect(new Date(user.created_at).toISOString()).toBe(user.created_at)
  expect(given).toEqual(tokens)
  const login = await post('login', { email, password: 'password123' })
  expect(login.status).toBe(200)
  expect(await login.json()).toEqual({ user, tokens })
  const answer = await me(given.access_token)
  expect(answer.status).toBe(200)
  expect(await answer.json()).toEqual(user)
})

test('takes the name from the e-mail when none is given', async () => {
  const { user } = await register({ email: `ada.${newEmail()}` })
  expect(user.name).toBe(user.email.split('@')[0])
})

test('knows an e-mail in whatever case it is written', async () => {
  const email = newEmail()
  const { user } = await register({ email: email.toUpperCase() })
  expect(user.email).toBe(email)
  const login = await post('login', { email: email.replace('@e', '@E'), password: 'password123' })
  expect((await login.json()).user).toEqual(user)
})

test('refuses a second account for an e-mail, in any case', async () => {
  const email = newEmail()
  await register({ email })
  for (const again of [email, email.toUpperCase()]) {
    expect(await failure(await post('register', { email: again, password: 'password123' }))).toEqual({
      status: 409,
      success: false,
      error: {
        message: 'There is an account with this e-mail already',
        code: 'CONFLICT',
        details: null,
        request_id: 'string',
      },
    })
  }
})

test('gives nothing of a claim to a role, a tenant, an id or a balance', async () => {
  const wishes = { role: 'admin', is_admin: true, tenant_id: crypto.randomUUID(), id: crypto.randomUUID(), balance: 9 }
  const answer = await register(wishes)
  expect(Object.keys(answer.user).sort()).toEqual(['created_at', 'email', 'id', 'name'])
  expect(answer.user.id).not.toBe(wishes.id)
  const found = await app.services.store.accounts.findByEmail(answer.user.email)
  expect(found?.user.tenantId).toBe('00000000-0000-0000-0000-000000000001')
})

test.each([
  ['email', { email: 'nobody', password: 'password123' }],
  ['email', { email: `${'a'.repeat(250)}@example.com`, password: 'password123' }],
  ['password', { email: 'a@example.com', password: 'a'.repeat(7) }],
  ['password', { email: 'a@example.com', password: 'a'.repeat(129) }],
  ['password', { email: 'a@example.com' }],
  ['name', { email: 'a@example.com', password: 'password123', name: '' }],
])('refuses a bad %s without repeating it: %j', async (path, body) => {
  const hash = spyOn(Bun.password, 'hash')
  const answer = await post('register', body)
  expect(hash).not.toHaveBeenCalled()
  hash.mockRestore()
  expect(answer.status).toBe(422)
  const text = await answer.text()
  expect(JSON.parse(text).error).toMatchObject({
    code: 'VALIDATION_ERROR',
    details: { in: 'body', fields: [{ path }] },
  })
  if ('password' in body) expect(text).not.toContain(body.password)
})

test('takes passwords of 8 and of 128 characters, in any script', async () => {
  for (const password of ['a'.repeat(8), 'ж'.repeat(128)]) {
    const { user } = await register({ password })
    expect((await post('login', { email: user.email, password })).status).toBe(200)
    expect((await post('login', { email: user.email, password: password.slice(1) })).status).toBe(401)
  }
})

test('does not tell a wrong password from an unknown account, and works as hard for both', async () => {
  const { user } = await register()
  const verify = spyOn(Bun.password, 'verify')
  const wrong = await failure(await post('login', { email: user.email, password: 'wrong password' }))
  expect(verify).toHaveBeenCalledTimes(1)
  const unknown = await failure(await post('login', { email: newEmail(), password: 'wrong password' }))
  expect(verify).toHaveBeenCalledTimes(2)
  const [known, decoy] = verify.mock.calls.map(([, hash]) => String(hash).split('$').slice(0, 4).join('$'))
  verify.mockRestore()
  expect(decoy).toBe(String(known))
  expect(wrong).toMatchObject({ status: 401, error: { code: 'UNAUTHORIZED' } })
  expect(unknown).toEqual(wrong)
})

test('keeps an argon2id hash, and makes a weaker one anew at the next sign-in', async () => {
  const { user } = await register()
  const { accounts } = app.services.store
  const stored = async () => (await accounts.findByEmail(user.email))?.passwordHash
  expect(await stored()).toStartWith('$argon2id$v=19$m=19456,t=2,p=1$')
  const weak = await Bun.password.hash('password123', { algorithm: 'argon2id', memoryCost: 8, timeCost: 1 })
  await accounts.setPasswordHash(user.id, weak)
  expect((await post('login', { email: user.email, password: 'password123' })).status).toBe(200)
  expect(await stored()).toStartWith('$argon2id$v=19$m=19456,t=2,p=1$')
  expect((await post('login', { email: user.email, password: 'password123' })).status).toBe(200)
})

test('trades a refresh token for the next one', async () => {
  const { user, tokens: first } = await register()
  const answer = await refresh(first.refresh_token)
  expect(answer.status).toBe(200)
  const second = await answer.json()
  expect(second).toEqual({ user, tokens })
  expect(second.tokens.refresh_token).not.toBe(first.refresh_token)
  expect((await me(second.tokens.access_token)).status).toBe(200)
  expect((await refresh(second.tokens.refresh_token)).status).toBe(200)
})

test('gives two tabs that refresh at once the same successor', async () => {
  const { tokens: first } = await register()
  const answers = await Promise.all(Array.from({ length: 5 }, () => refresh(first.refresh_token)))
  const next = await Promise.all(answers.map(async (answer) => (await answer.json()).tokens.refresh_token))
  expect(new Set(next).size).toBe(1)
})

test('ends the session at once, access token included, when a spent refresh token comes back', async () => {
  const { tokens: first } = await register()
  const { tokens: second } = await (await refresh(first.refresh_token)).json()
  expect((await me(first.access_token)).status).toBe(200)
  expect((await me(second.access_token)).status).toBe(200)
  setSystemTime(Date.now() + GRACE + 1000)
  const stolen = await failure(await refresh(first.refresh_token))
  expect(stolen).toMatchObject({ status: 401, error: { code: 'UNAUTHORIZED' } })
  expect((await me(first.access_token)).status).toBe(401)
  expect((await me(second.access_token)).status).toBe(401)
  expect(await failure(await refresh(second.refresh_token))).toEqual(stolen)
  expect(await failure(await refresh('rt_unknown'))).toEqual(stolen)
})

test('leaves other sessions of the same person alone', async () => {
  const { user, tokens: laptop } = await register()
  const { tokens: phone } = await (await post('login', { email: user.email, password: 'password123' })).json()
  await post('logout', null, laptop.access_token)
  expect((await me(laptop.access_token)).status).toBe(401)
  expect((await me(phone.access_token)).status).toBe(200)
  expect((await refresh(phone.refresh_token)).status).toBe(200)
})

test.each(['authorization', 'x-api-key'])('signs out at once, with the access token in %s', async (header) => {
  const { tokens: given } = await register()
  expect((await me(given.access_token)).status).toBe(200)
  const value = header === 'authorization' ? `Bearer ${given.access_token}` : given.access_token
  const answer = await app.call('/api/v1/auth/logout', { method: 'POST', headers: { [header]: value } })
  expect(answer.status).toBe(200)
  expect(await answer.json()).toEqual({ success: true })
  expect((await me(given.access_token)).status).toBe(401)
  expect((await refresh(given.refresh_token)).status).toBe(401)
})

test('signs out the session of a refresh token too', async () => {
  const { user, tokens: one } = await register()
  const { tokens: other } = await (await post('login', { email: user.email, password: 'password123' })).json()
  expect((await me(other.access_token)).status).toBe(200)
  await post('logout', { refresh_token: other.refresh_token }, one.access_token)
  expect((await me(one.access_token)).status).toBe(401)
  expect((await me(other.access_token)).status).toBe(401)
})

test('lets an access token die after its fifteen minutes', async () => {
  const { tokens: given } = await register()
  setSystemTime(Date.now() + 890_000)
  expect((await me(given.access_token)).status).toBe(200)
  const { tokens: later } = await (await refresh(given.refresh_token)).json()
  setSystemTime(Date.now() + 910_000)
  expect((await me(later.access_token)).status).toBe(401)
})
