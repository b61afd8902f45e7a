import { afterAll, afterEach, describe, expect, setSystemTime, test } from 'bun:test'
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from 'jose'
import { type TestApp, testApp } from '../support/app'
import { createDatabase } from '../support/db'
import { forge, seconds } from '../support/forge'

const ISSUER = 'https://issuer.example'
const SECRET = 'the secret that the outside issuer signs with'

// One database for all of them: to start an embedded one for each app takes seconds.
const database = createDatabase()
const closing: (() => unknown)[] = [async () => (await database).drop()]
afterEach(() => {
  setSystemTime()
})
afterAll(async () => {
  for (const close of closing.reverse()) await close()
})

const start = async (env: Record<string, string>) => {
  const app = await testApp({ DATABASE_URL: (await database).url, ...env })
  closing.push(app.close)
  return app
}
const me = (app: TestApp, token: string) => app.call('/api/v1/auth/me', { token })

describe('with a shared secret', () => {
  const app = start({ JWT_SECRET_KEY: SECRET })
  const token = (claims: object) =>
    forge({ alg: 'HS256', typ: 'JWT' }, { iss: ISSUER, exp: seconds(600), sub: crypto.randomUUID(), ...claims }, SECRET)
  const userOf = async (claims: object) => (await me(await app, token(claims))).json()

  test('makes the profile with the first token, once, however many requests bring it', async () => {
    const sub = crypto.randomUUID()
    const tokens = Array.from({ length: 10 }, (_, i) => token({ sub, email: 'Ada@Example.com', jti: String(i) }))
    const users = await Promise.all(tokens.map(async (one) => (await me(await app, one)).json()))
    expect(users[0]).toEqual({ id: sub, email: 'ada@example.com', name: 'ada', created_at: expect.any(String) })
    for (const user of users) expect(user).toEqual(users[0])
  })

  test('tells people apart by issuer and subject, not by e-mail', async () => {
    const sub = 'auth0|same'
    const one = await userOf({ sub, email: 'same@example.com' })
    expect(await userOf({ sub, email: 'changed@example.com' })).toEqual(one)
    expect((await userOf({ sub, iss: 'https://other.example' })).id).not.toBe(one.id)
    expect((await userOf({ email: 'same@example.com' })).id).not.toBe(one.id)
  })

  test('does not hand a local account to a token that names its id or its e-mail', async () => {
    const { userId, email, token: own } = await (await app).signUp()
    const user = await userOf({ sub: userId, email })
    expect(user.id).not.toBe(userId)
    expect((await (await me(await app, own)).json()).id).toBe(userId)
    expect((await (await app).call('/api/v1/auth/login', { json: { email, password: 'password123' } })).status).toBe(
      200,
    )
  })

  test('takes no rights from claims', async () => {
    const sub = crypto.randomUUID()
    const tenant = crypto.randomUUID()
    const wishes = { role: 'service_role', app_metadata: { role: 'admin' }, user_metadata: { tenant_id: tenant } }
    const user = await userOf({ sub, ...wishes })
    expect(Object.keys(user).sort()).toEqual(['created_at', 'email', 'id', 'name'])
    const identity = await (await app).services.accounts.identify(token({ sub, ...wishes }))
    expect(identity).toMatchObject({ via: 'external', tenantId: '00000000-0000-0000-0000-000000000001' })
    expect(JSON.stringify(identity)).not.toContain(tenant)
  })

  test('takes a name from where issuers put it, and stands any', async () => {
    expect(await userOf({ name: 'Ada' })).toMatchObject({ name: 'Ada', email: null })
    expect(await userOf({ user_metadata: { full_name: 'Ada L.' } })).toMatchObject({ name: 'Ada L.' })
    expect(await userOf({})).toMatchObject({ name: 'User' })
    expect(await userOf({ name: 7, email: ['x'], user_metadata: 'none' })).toMatchObject({ name: 'User', email: null })
    expect(await userOf({ name: 'a\0b', email: 'a\0b@example.com' })).toMatchObject({ name: 'a\ufffdb' })
    expect((await userOf({ name: '😀'.repeat(500) })).name.length).toBeLessThanOrEqual(100)
  })
})

test('takes no token of another issuer when no secret is configured', async () => {
  const app = await start({})
  const claims = { iss: ISSUER, sub: 'someone', exp: seconds(600) }
  for (const key of ['', SECRET]) expect((await me(app, forge({ alg: 'HS256' }, claims, key))).status).toBe(401)
})

describe.each(['ES256', 'RS256'])('with %s keys at an address', (alg) => {
  /** An issuer with one key, and an app that trusts it. */
  const issuer = async () => {
    const pair = async (kid: string) => {
      const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
      return { kid, privateKey, publicKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } }
    }
    const state = { key: await pair('one'), fetches: 0 }
    const fetch = () => {
      state.fetches++
      return Response.json({ keys: [state.key.jwk] })
    }
    const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch })
    closing.push(() => server.stop(true))
    const app = await start({
      JWT_ALGORITHM: alg,
      JWT_JWKS_URL: `${server.url.href}jwks.json`,
      JWT_ISSUER: ISSUER,
      JWT_AUDIENCE: 'authenticated',
    })
    const sign = (key = state.key) =>
      new SignJWT({ sub: crypto.randomUUID() })
        .setProtectedHeader({ alg, kid: key.kid })
        .setIssuer(ISSUER)
        .setAudience('authenticated')
        .setExpirationTime(seconds(7200))
        .sign(key.privateKey)
    return { app, state, sign, pair, down: () => server.stop(true) }
  }

  test('accepts the issuer and fetches its keys once', async () => {
    const { app, state, sign } = await issuer()
    for (let i = 0; i < 3; i++) expect((await me(app, await sign())).status).toBe(200)
    expect(state.fetches).toBe(1)
  })

  test('refuses what the issuer did not sign', async () => {
    const { app, state, sign, pair } = await issuer()
    const evil = await pair('one')
    expect((await me(app, await sign(evil))).status).toBe(401)
    expect((await me(app, await sign({ ...evil, kid: 'unknown' }))).status).toBe(401)
    const claims = { iss: ISSUER, aud: 'authenticated', sub: 'x', exp: seconds(600) }
    const header = { typ: 'JWT', kid: 'one' }
    const publicTexts = [await exportSPKI(state.key.publicKey), JSON.stringify(state.key.jwk), state.key.jwk.x ?? '']
    for (const key of publicTexts) {
      expect((await me(app, forge({ ...header, alg: 'HS256' }, claims, key))).status).toBe(401)
      expect((await me(app, forge({ ...header, alg }, claims, key))).status).toBe(401)
    }
    expect((await me(app, forge({ ...header, alg: 'none' }, claims))).status).toBe(401)
    const own = { jwk: evil.jwk, alg, kid: 'one' }
    const embedded = new SignJWT(claims).setProtectedHeader(own).sign(evil.privateKey)
    expect((await me(app, await embedded)).status).toBe(401)
    expect((await me(app, await sign())).status).toBe(200)
  })

  test('picks up a new key, and drops the old one when its ten minutes are over', async () => {
    const { app, state, sign, pair } = await issuer()
    const old = state.key
    expect((await me(app, await sign())).status).toBe(200)
    state.key = await pair('two')
    setSystemTime(Date.now() + 31_000)
    expect((await me(app, await sign())).status).toBe(200)
    expect((await me(app, await sign(old))).status).toBe(401)
    setSystemTime(Date.now() + 601_000)
    expect((await me(app, await sign(old))).status).toBe(401)
    expect((await me(app, await sign())).status).toBe(200)
  })

  test('locks nobody out while the issuer is away', async () => {
    const { app, sign, down } = await issuer()
    expect((await me(app, await sign())).status).toBe(200)
    await down()
    expect((await me(app, await sign())).status).toBe(200)
    setSystemTime(Date.now() + 3_600_000)
    expect((await me(app, await sign())).status).toBe(200)
  })

  test('keeps signing in its own people while the issuer was never there', async () => {
    const { app, sign, down } = await issuer()
    await down()
    expect((await me(app, await sign())).status).toBe(401)
    expect((await me(app, (await app.signUp()).token)).status).toBe(200)
  })
})
