import { afterAll, afterEach, beforeAll, describe, expect, setSystemTime, test } from 'bun:test'
import { Elysia } from 'elysia'
import type { AppError } from '../../src/errors'
import { hashToken } from '../../src/lib/tokens'
import { accounts } from '../../src/modules/accounts'
import { AccessTokens, ExternalTokens } from '../../src/modules/accounts/access-tokens'
import type { SupabaseOptions } from '../../src/modules/accounts/supabase'
import { auth } from '../../src/plugins/auth'
import { clientAddress } from '../../src/plugins/client-address'
import { errors } from '../../src/plugins/errors'
import { open } from '../support/forge'
import { type SupabaseApi, startSupabaseApi } from '../support/supabase/api'
import { createSupabaseDatabase, type SupabaseDatabase } from '../support/supabase/database'
import { ADDRESS, asked, newcomer, newEmail, PASSWORD, refusal, startSignIn } from '../support/supabase/sign-in'

let database: SupabaseDatabase
let api: SupabaseApi
beforeAll(async () => {
  database = await createSupabaseDatabase()
  api = await startSupabaseApi({ databaseUrl: database.url })
})
afterAll(async () => {
  await api.stop()
  await database.drop()
})
afterEach(() => {
  setSystemTime()
  api.fail()
})

const start = (options?: Partial<SupabaseOptions>) => startSignIn(api, options)

const askedBy = (work: () => Promise<unknown>) => asked(api, work)

const fieldsOf = ({ details }: AppError) => (details as { fields: { path: string }[] }).fields.map(({ path }) => path)

describe('registering', () => {
  test('makes an account at Supabase and answers as for an account of our own', async () => {
    const email = newEmail()
    const { user, tokens } = await start().signIn.register(
      { email: email.toUpperCase(), password: PASSWORD, name: 'Ada' },
      ADDRESS,
    )
    expect(user).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      email,
      name: 'Ada',
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    })
    expect(tokens).toEqual({
      access_token: expect.any(String),
      refresh_token: expect.any(String),
      token_type: 'bearer',
      expires_in: 3600,
    })
    const { rows } = await database.pool.query('select email from user_profiles where id = $1', [user.id])
    expect(rows).toEqual([{ email }])
  })

  test('gives tokens that this server takes, for the same person', async () => {
    const { user, tokens } = await start().signIn.register({ ...newcomer(), name: 'Ada' }, ADDRESS)
    const { issuer, jwtSecret: secret } = api
    const external = new ExternalTokens({ algorithm: 'HS256', secret, issuer, audience: 'authenticated' })
    const { id: subject, email, name } = user
    expect(await external.verify(tokens.access_token)).toEqual({ issuer, subject, email, name, tenant: null })
  })

  test('names people after their address when they do not say', async () => {
    const email = `grace-${newEmail()}`
    const { user } = await start().signIn.register({ email, password: PASSWORD }, ADDRESS)
    expect(user.name).toBe(email.split('@', 1)[0] ?? '')
  })

  test('says what is missing without a service key, and asks nobody', async () => {
    const { signIn } = start({ serviceKey: undefined })
    const requests = await askedBy(async () => {
      expect(await refusal(signIn.register(newcomer(), ADDRESS))).toMatchObject({
        code: 'NOT_SUPPORTED',
        message: 'Registration goes through Supabase Auth with its service key: set SUPABASE_SERVICE_KEY',
      })
    })
    expect(requests).toEqual([])
  })

  test('refuses an address that has an account', async () => {
    const { email } = await api.user()
    expect(await refusal(start().signIn.register({ email, password: PASSWORD }, ADDRESS))).toMatchObject({
      code: 'CONFLICT',
    })
  })

  test('says which field Supabase does not take', async () => {
    const { signIn } = start()
    const cases = [
      { given: { ...newcomer(), password: 'short' }, field: 'password' },
      { given: { ...newcomer(), password: 'ä'.repeat(37) }, field: 'password' },
      { given: { ...newcomer(), email: 'nobody' }, field: 'email' },
    ]
    for (const { given, field } of cases) {
      const error = await refusal(signIn.register(given, ADDRESS))
      expect(error.code).toBe('VALIDATION_ERROR')
      expect(fieldsOf(error)).toEqual([field])
    }
    expect((await signIn.register({ ...newcomer(), password: 'ä'.repeat(36) }, ADDRESS)).user.id).toBeString()
  })

  test('takes twenty tries from an address, then asks Supabase nothing', async () => {
    const { signIn } = start()
    for (let i = 0; i < 20; i++) await refusal(signIn.register({ email: 'nobody', password: PASSWORD }, ADDRESS))
    const requests = await askedBy(async () => {
      const error = await refusal(signIn.register(newcomer(), ADDRESS))
      expect(error.code).toBe('RATE_LIMIT_EXCEEDED')
      expect(error.retryAfter).toBeWithin(1, 3601)
    })
    expect(requests).toEqual([])
  })
})

describe('signing in', () => {
  test('answers who it is and tokens of theirs', async () => {
    const { id, email, password } = await api.user()
    const { user, tokens } = await start().signIn.login({ email: email.toUpperCase(), password }, ADDRESS)
    expect(user).toMatchObject({ id, email })
    expect(open(tokens.access_token).claims).toMatchObject({ sub: id, aud: 'authenticated', iss: api.issuer })
  })

  test('says the same to a wrong password and to a stranger', async () => {
    const { email } = await api.user()
    const { signIn } = start()
    for (const given of [{ email, password: 'wrong' }, newcomer(), { email: 'nobody', password: PASSWORD }]) {
      const { code, message } = await refusal(signIn.login(given, ADDRESS))
      expect({ code, message }).toEqual({ code: 'UNAUTHORIZED', message: 'The e-mail or the password is wrong' })
    }
  })

  test('says so when the address is not confirmed', async () => {
    const { email, password } = newcomer()
    await fetch(`${api.url}/auth/v1/admin/users`, {
      method: 'POST',
      headers: { apikey: api.serviceKey, authorization: `Bearer ${api.serviceKey}` },
      body: JSON.stringify({ email, password }),
    })
    const { code, message } = await refusal(start().signIn.login({ email, password }, ADDRESS))
    expect({ code, message }).toEqual({
      code: 'UNAUTHORIZED',
      message: 'This e-mail address is not confirmed yet. Open the link that was sent to it',
    })
  })

  test('takes ten wrong tries at an account, then asks Supabase nothing; a success counts anew', async () => {
    const { email, password } = await api.user()
    const { signIn } = start()
    const wrong = (times: number) =>
      Promise.all(Array.from({ length: times }, () => refusal(signIn.login({ email, password: 'wrong' }, ADDRESS))))
    await wrong(9)
    await signIn.login({ email, password }, ADDRESS)
    await wrong(10)
    const requests = await askedBy(async () => {
      const error = await refusal(signIn.login({ email: email.toUpperCase(), password }, ADDRESS))
      expect(error.code).toBe('RATE_LIMIT_EXCEEDED')
      expect(error.retryAfter).toBeWithin(1, 901)
    })
    expect(requests).toEqual([])
  })
})

describe('refreshing', () => {
  test('gives new tokens, and the same successor to two tabs', async () => {
    const { id, refreshToken } = await api.user()
    const { signIn } = start()
    const { user, tokens } = await signIn.refresh(refreshToken)
    expect(user.id).toBe(id)
    expect(tokens.refresh_token).not.toBe(refreshToken)
    expect((await signIn.refresh(refreshToken)).tokens.refresh_token).toBe(tokens.refresh_token)
  })

  test('refuses what is spent, and what is none', async () => {
    const { refreshToken } = await api.user()
    const { signIn } = start()
    const next = (await signIn.refresh(refreshToken)).tokens.refresh_token
    const last = (await signIn.refresh(next)).tokens.refresh_token
    setSystemTime(Date.now() + 11_000)
    for (const token of [refreshToken, last, 'none', 'rt_none']) {
      const { code, message } = await refusal(signIn.refresh(token))
      expect({ code, message }).toEqual({
        code: 'UNAUTHORIZED',
        message: 'This refresh token is not valid. Sign in again',
      })
    }
  })
})

describe('signing out', () => {
  test('ends the session at Supabase, once or twice', async () => {
    const { token, refreshToken } = await api.user()
    const { signIn, forgotten } = start()
    await signIn.logout(token, undefined)
    await signIn.logout(token, refreshToken)
    expect(forgotten).toEqual([hashToken(token), hashToken(token)])
    expect((await refusal(signIn.refresh(refreshToken))).code).toBe('UNAUTHORIZED')
  })

  test('ends this session and no other of the same person', async () => {
    const { email, password, token } = await api.user()
    const { signIn } = start()
    const { tokens } = await signIn.login({ email, password }, ADDRESS)
    await signIn.logout(token, undefined)
    expect((await signIn.refresh(tokens.refresh_token)).user.email).toBe(email)
  })

  test('ends the session of the refresh token too, if that is another', async () => {
    const one = await api.user()
    const other = await api.user()
    const { signIn } = start()
    await signIn.logout(one.token, other.refreshToken)
    for (const { refreshToken } of [one, other]) {
      expect((await refusal(signIn.refresh(refreshToken))).code).toBe('UNAUTHORIZED')
    }
  })

  test('shows Supabase neither API keys nor tokens of our own', async () => {
    const { signIn, forgotten } = start()
    const claims = { userId: crypto.randomUUID(), sessionId: crypto.randomUUID() }
    const own = await new AccessTokens(new Uint8Array(32), 900).issue(claims, new Date())
    const credentials = ['sk-orc-canary', own, '']
    const requests = await askedBy(async () => {
      for (const credential of credentials) await signIn.logout(credential, undefined)
    })
    expect(requests).toEqual([])
    expect(forgotten).toEqual(credentials.map(hashToken))
  })

  test('forgets who it was even while Supabase is away', async () => {
    const { token } = await api.user()
    const { signIn, forgotten } = start()
    api.fail('refuse')
    expect((await refusal(signIn.logout(token, undefined))).code).toBe('UPSTREAM_UNAVAILABLE')
    expect(forgotten).toEqual([hashToken(token)])
  })
})

test('goes through the same door as accounts of our own', async () => {
  const { signIn } = start()
  const { issuer, jwtSecret: secret } = api
  const tokens = new ExternalTokens({ algorithm: 'HS256', secret, issuer, audience: 'authenticated' })
  const identity = auth({
    async identify(credential) {
      const claims = await tokens.verify(credential)
      if (!claims) return undefined
      const { subject: userId, email, name } = claims
      const person = {
        userId,
        email,
        name: name ?? '',
        tenantId: '',
        role: 'user' as const,
        litellmKey: null,
        createdAt: new Date(),
      }
      return { ...person, via: 'external' }
    },
  })
  const app = new Elysia()
    .use(errors({ dialect: () => undefined, onError: () => {} }))
    .use(accounts({ auth: identity, address: clientAddress({ trustProxy: false }) }, signIn))
  const call = async (path: string, body?: object, token?: string) => {
    const headers = {
      ...(body ? { 'content-type': 'application/json' } : {}),
      ...(token ? { authorization: `Bearer ${token}` } : {}),
    }
    const init = body ? { method: 'POST', body: JSON.stringify(body), headers } : { headers }
    const answer = await app.handle(new Request(`http://localhost/api/v1/auth${path}`, init))
    return { status: answer.status, body: await answer.json() }
  }
  const given = newcomer()
  const made = await call('/register', given)
  expect(made.status).toBe(201)
  const again = await call('/register', given)
  expect({ status: again.status, code: again.body.error.code }).toEqual({ status: 409, code: 'CONFLICT' })
  expect((await call('/login', given)).body.user).toEqual(made.body.user)
  const { access_token, refresh_token } = made.body.tokens
  expect((await call('/me', undefined, access_token)).body).toMatchObject({ id: made.body.user.id, email: given.email })
  expect((await call('/logout', {}, access_token)).body).toEqual({ success: true })
  expect((await call('/refresh', { refresh_token })).status).toBe(401)
})
