import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { exportSPKI, generateKeyPair } from 'jose'
import { type Account, type TestApp, testApp } from '../support/app'
import { type Claims, forge, open, seconds } from '../support/forge'

const SECRET = 'the secret that the outside issuer signs with'

let app: TestApp
let account: Account
let refusal: unknown
beforeAll(async () => {
  app = await testApp({ JWT_SECRET_KEY: SECRET, JWT_ISSUER: 'https://issuer.example', JWT_AUDIENCE: 'authenticated' })
  account = await app.signUp()
  refusal = await bodyOf(await app.call('/api/v1/auth/me'))
})
afterAll(() => app.close())

const me = (token: string) => app.call('/api/v1/auth/me', { headers: { authorization: `Bearer ${token}` } })

async function bodyOf(answer: Response) {
  const { error, ...rest } = await answer.json()
  return { ...rest, error: { ...error, request_id: typeof error.request_id } }
}

/** The one answer there is to whoever is not signed in, whatever the reason. */
async function expectRefused(token: string) {
  const answer = await me(token)
  expect(answer.status).toBe(401)
  expect(answer.headers.get('www-authenticate')).toBe('Bearer')
  expect(await bodyOf(answer)).toEqual(refusal)
}

const HEADER = { alg: 'HS256', typ: 'JWT' }
const outside = (claims: Claims = {}) => ({
  iss: 'https://issuer.example',
  aud: 'authenticated',
  sub: 'someone',
  exp: seconds(600),
  ...claims,
})
const without = (name: string) => {
  const { [name]: _, ...rest } = outside() as Claims
  return rest
}

const signed = (claims: Claims | string, header: Claims | string = HEADER) => forge(header, claims, SECRET)

test('says what a stranger must do, and the same to everyone', () => {
  expect(refusal).toEqual({
    success: false,
    error: {
      message: 'Sign in, then send your access token or API key as a bearer token',
      code: 'UNAUTHORIZED',
      details: null,
      request_id: 'string',
    },
  })
})

describe('a token of the outside issuer', () => {
  test('is accepted when all is well, within a few seconds of clock skew', async () => {
    for (const claims of [{}, { exp: seconds(-3) }, { nbf: seconds(3) }, { aud: ['other', 'authenticated'] }]) {
      expect((await me(signed(outside(claims)))).status).toBe(200)
    }
    expect((await me(signed(outside(), { alg: 'HS256' }))).status).toBe(200)
  })

  test.each([
    ['has no exp', () => signed(without('exp'))],
    ['has expired', () => signed(outside({ exp: seconds(-6) }))],
    ['expires at a string', () => signed(outside({ exp: String(seconds(600)) }))],
    ['expired before 1970', () => signed(outside({ exp: -1 }))],
    ['expires at null', () => signed(outside({ exp: null }))],
    ['is not valid yet', () => signed(outside({ nbf: seconds(30) }))],
    ['is valid from a string on', () => signed(outside({ nbf: '0' }))],
    ['has no issuer', () => signed(without('iss'))],
    ['has another issuer', () => signed(outside({ iss: 'https://issuer.example.evil' }))],
    ['has a list of issuers', () => signed(outside({ iss: ['https://issuer.example'] }))],
    ['has no audience', () => signed(without('aud'))],
    ['has another audience', () => signed(outside({ aud: 'anon' }))],
    ['has no subject', () => signed(without('sub'))],
    ['has an empty subject', () => signed(outside({ sub: '' }))],
    ['has a number for a subject', () => signed(outside({ sub: 1 }))],
    ['has an object for a subject', () => signed(outside({ sub: { id: 1 } }))],
    ['has a list for a subject', () => signed(outside({ sub: ['someone'] }))],
    ['has NUL in its subject', () => signed(outside({ sub: 'some\0one' }))],
    ['has a very long subject', () => signed(outside({ sub: 'a'.repeat(201) }))],
    ['has claims that are no object', () => signed('"sub"')],
    ['has claims that are null', () => signed('null')],
    ['has claims that are no JSON', () => signed('{"sub":')],
    ['has a header that is no JSON', () => signed(outside(), '{"alg":"HS256"')],
    ['has no alg', () => signed(outside(), { typ: 'JWT' })],
    ['must be understood in ways unknown', () => signed(outside(), { ...HEADER, crit: ['exp'], exp: 1 })],
    ['has an empty list of what must be understood', () => signed(outside(), { ...HEADER, crit: [] })],
    ['turns its payload encoding off', () => signed(outside(), { ...HEADER, crit: ['b64'], b64: false })],
    ['is signed with another key', () => forge(HEADER, outside(), 'another secret of thirty-two characters')],
    ['is signed with an empty key', () => forge(HEADER, outside(), '')],
    ['is signed with HS512', () => forge({ ...HEADER, alg: 'HS512' }, outside(), SECRET, 'sha512')],
    ['says ES256 but is signed with HS256', () => forge({ ...HEADER, alg: 'ES256' }, outside(), SECRET)],
  ])('is refused when it %s', (_, token) => expectRefused(token()))

  const ALGORITHMS = ['none', 'None', 'NONE', 'nOnE', ' none', 'none ', 'none\0', '', 'hs256', null, ['HS256'], 0, {}]
  test.each(ALGORITHMS.map((alg) => ({ alg })))('is refused with the algorithm %j, signed or not', async ({ alg }) => {
    await expectRefused(forge({ alg, typ: 'JWT' }, outside()))
    await expectRefused(forge({ alg, typ: 'JWT' }, outside(), ''))
    await expectRefused(forge({ alg, typ: 'JWT' }, outside(), SECRET))
  })
})

test('takes no key and no address of a key from the token', async () => {
  let fetched = 0
  const evil = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => Response.json({ keys: [jwk], n: fetched++ }) })
  const jwk = { kty: 'oct', alg: 'HS256', kid: 'evil', k: Buffer.from('evil').toString('base64url') }
  const { href } = evil.url
  const headers = [
    { jwk },
    { jku: href },
    { x5u: href },
    { x5c: [Buffer.from('evil').toString('base64')] },
    { jku: href, kid: 'evil' },
  ]
  for (const header of headers) await expectRefused(forge({ ...HEADER, ...header }, outside(), 'evil'))
  await evil.stop(true)
  expect(fetched).toBe(0)
})

test.each([
  ['a path', '/dev/null'],
  ['a way up', '../../../../dev/null'],
  ['SQL', "' union select 'evil' -- "],
  ['a command', '| echo evil'],
  ['a megabyte', 'k'.repeat(1_000_000)],
  ['an object', { toString: 'evil' }],
])('is not impressed by a key id that is %s', async (_, kid) => {
  for (const key of ['', 'evil', '\0']) await expectRefused(forge({ ...HEADER, kid }, outside(), key))
})

test('reads a header with the same key twice as one token, never as two', async () => {
  await expectRefused(forge('{"alg":"HS256","alg":"none"}', outside()))
  await expectRefused(forge('{"alg":"none","alg":"HS256"}', outside()))
  await expectRefused(forge('{"alg":"none","alg":"HS256"}', outside(), ''))
  await expectRefused(forge('{"alg":"HS256","alg":"none"}', outside(), SECRET))
})

test('refuses what is no token at all', async () => {
  const good = signed(outside())
  const [header, claims, signature] = good.split('.')
  const bad = ['.', '..', '...', 'a', 'a.b', 'a.b.c', 'a.b.c.d', `${good}.`, `.${good}`, `${good}.${good}`]
  const cut = [`${header}.${claims}`, `${header}.${claims}.`, `${header}..${signature}`, `.${claims}.${signature}`]
  // The last character of 32 bytes holds two bits that decoders ignore.
  const twin = good.slice(0, -1) + String.fromCharCode(good.charCodeAt(good.length - 1) + 1)
  expect(Buffer.from(twin.split('.')[2] ?? '', 'base64url')).toEqual(Buffer.from(signature ?? '', 'base64url'))
  const other = [
    twin,
    `${good}=`,
    `${good}%00`,
    "' or 1=1 --",
    'x'.repeat(100_000),
    `${good}${'A'.repeat(100_000)}`,
    'null',
  ]
  for (const token of [...bad, ...cut, ...other]) await expectRefused(token)
})

test.each(['Bearer', 'Bearer ', 'Basic dTpw', 'bearer\t', 'Token x', ''])('refuses the header %j', async (value) => {
  const answer = await app.call('/api/v1/auth/me', { headers: { authorization: value } })
  expect(answer.status).toBe(401)
  expect(await bodyOf(answer)).toEqual(refusal)
})

test('refuses two different credentials at once, even if both are good', async () => {
  const headers = { authorization: `Bearer ${account.token}`, 'x-api-key': (await app.signUp()).token }
  expect((await app.call('/api/v1/auth/me', { headers })).status).toBe(400)
  const same = { authorization: `Bearer ${account.token}`, 'x-api-key': account.token }
  expect((await app.call('/api/v1/auth/me', { headers: same })).status).toBe(200)
})

test('takes nothing for an identity that is not a credential', async () => {
  const headers = {
    'x-user-id': account.userId,
    'x-tenant-id': account.userId,
    'x-role': 'admin',
    cookie: account.token,
  }
  expect((await app.call('/api/v1/auth/me', { headers })).status).toBe(401)
  expect((await app.call(`/api/v1/auth/me?access_token=${account.token}`)).status).toBe(401)
})

describe('a token of our own', () => {
  const key = () => app.services.config.auth.signingKey
  const own = (change: { header?: Claims; claims?: Claims }, with_: string | Uint8Array = key()) => {
    const { header, claims } = open(account.token)
    return forge({ ...header, ...change.header }, { ...claims, ...change.claims }, with_)
  }

  test('is accepted when it is as we make them', async () => {
    expect(open(account.token)).toMatchObject({
      header: { alg: 'HS256', typ: 'at+jwt' },
      claims: { iss: 'ai-chat-orchestrator', sub: account.userId, exp: expect.any(Number) },
    })
    expect((await me(own({ claims: { jti: 'other' } }))).status).toBe(200)
  })

  test.each([
    ['is signed with the secret itself', () => own({}, SECRET)],
    ['is signed with another key', () => own({}, 'x'.repeat(32))],
    ['is not signed', () => own({ header: { alg: 'none' } }, '')],
    ['is of another type', () => own({ header: { typ: 'JWT' } })],
    ['is of no type', () => own({ header: { typ: undefined } })],
    ['has another issuer', () => own({ claims: { iss: 'https://issuer.example' } })],
    ['has no issuer', () => own({ claims: { iss: undefined } })],
    ['has no end', () => own({ claims: { exp: undefined } })],
    ['has ended', () => own({ claims: { exp: seconds(-1) } })],
    ['has no session', () => own({ claims: { sid: undefined } })],
    ['has an unknown session', () => own({ claims: { sid: crypto.randomUUID() } })],
    ['names another user than its session', () => own({ claims: { sub: crypto.randomUUID() } })],
    ['has no user', () => own({ claims: { sub: undefined } })],
    ['is not valid yet', () => own({ claims: { nbf: seconds(60) } })],
  ])('is refused when it %s', (_, token) => expectRefused(token()))

  test('is not the refresh token that came with it, nor is that one a token', async () => {
    await expectRefused(account.refreshToken)
    const answer = await app.call('/api/v1/auth/refresh', { json: { refresh_token: account.token.slice(0, 200) } })
    expect(answer.status).toBe(401)
  })

  test('is refused when it is signed with a public key as if that were a secret', async () => {
    const { publicKey } = await generateKeyPair('RS256', { extractable: true })
    await expectRefused(own({}, await exportSPKI(publicKey)))
  })
})
