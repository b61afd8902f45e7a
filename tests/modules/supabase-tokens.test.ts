import { afterAll, afterEach, describe, expect, setSystemTime, test } from 'bun:test'
import { createPublicKey } from 'node:crypto'
import { ExternalTokens } from '../../src/modules/accounts/access-tokens'
import { forge, open, seconds } from '../support/forge'
import { type Algorithm, type Failure, type SupabaseApi, startSupabaseApi } from '../support/supabase/api'

// Nobody here has an account: the projects sign, and no database is asked.
const closing: SupabaseApi[] = []
afterEach(() => {
  setSystemTime()
})
afterAll(async () => {
  for (const api of closing) await api.stop()
})

const JWKS = '/auth/v1/.well-known/jwks.json'
const MINUTE = 60_000

/** A project, and a server that takes its tokens as the settings for it say. */
async function project(algorithm: Algorithm) {
  const api = await startSupabaseApi({ databaseUrl: process.env.TEST_DATABASE_URL ?? '', algorithm })
  closing.push(api)
  const { issuer, jwtSecret: secret } = api
  const jwksUrl = api.url + JWKS
  const server = () => {
    const rules = { issuer, audience: 'authenticated' }
    return new ExternalTokens(
      algorithm === 'HS256' ? { ...rules, algorithm, secret } : { ...rules, algorithm, jwksUrl, timeoutMs: 100 },
    )
  }
  /** How often the keys were asked for so far. */
  const fetches = () => api.requests.filter(({ path }) => path === JWKS).length
  return { api, server, tokens: server(), fetches }
}

const KEYS = ['ES256', 'RS256'] as const

describe.each(['HS256', ...KEYS] as const)('a project that signs with %s', (algorithm) => {
  test('has its people taken for who they are', async () => {
    const { api, tokens } = await project(algorithm)
    const token = await api.sign({ email: 'Ada@Example.com', user_metadata: { name: 'Ada' } })
    const subject = String(open(token).claims.sub)
    expect(open(token).header.alg).toBe(algorithm)
    expect(await tokens.verify(token)).toEqual({
      issuer: api.issuer,
      subject,
      email: 'ada@example.com',
      name: 'Ada',
      tenant: null,
    })
  })

  test('is not spoken for by another project', async () => {
    const { api, tokens } = await project(algorithm)
    const { api: other } = await project(algorithm)
    const kid = open(await api.sign()).header.kid as string | undefined
    const tries = [
      await other.sign(),
      await other.sign({ iss: api.issuer }),
      await other.sign({ iss: api.issuer }, kid ? { header: { kid } } : {}),
    ]
    for (const token of tries) expect(await tokens.verify(token)).toBeUndefined()
  })

  test('is believed only within what its tokens say', async () => {
    const { api, tokens } = await project(algorithm)
    const wrong = [
      { exp: seconds(-6) },
      { exp: undefined },
      { aud: 'anon' },
      { aud: undefined },
      { iss: 'supabase' },
      { iss: `${api.issuer}/` },
      { iss: undefined },
      { sub: undefined },
      { nbf: seconds(60) },
    ]
    for (const claims of wrong) expect(await tokens.verify(await api.sign(claims))).toBeUndefined()
    expect(await tokens.verify(await api.sign())).toBeDefined()
  })

  test('does not make persons of its API keys', async () => {
    const { api, tokens } = await project(algorithm)
    const { anonKey, serviceKey, publishableKey, secretKey } = api
    for (const key of [anonKey, serviceKey, publishableKey, secretKey]) expect(await tokens.verify(key)).toBeUndefined()
  })

  test('is not believed without a signature', async () => {
    const { api, tokens } = await project(algorithm)
    const { header, claims } = open(await api.sign())
    for (const alg of ['none', 'None', 'NONE']) {
      expect(await tokens.verify(forge({ ...header, alg }, claims))).toBeUndefined()
    }
    expect(await tokens.verify(forge(header, claims))).toBeUndefined()
  })
})

describe.each(KEYS)('a project that publishes %s keys', (algorithm) => {
  test('is not believed when something that is public was the secret', async () => {
    const { api, tokens } = await project(algorithm)
    const { header, claims } = open(await api.sign())
    const [jwk] = api.publicKeys().keys
    const key = createPublicKey({ key: { ...jwk }, format: 'jwk' })
    const pem = key.export({ type: 'spki', format: 'pem' }).toString()
    const secrets: (string | Uint8Array)[] = [
      pem,
      pem.trimEnd(),
      pem.replaceAll('\n', '\r\n'),
      key.export({ type: 'spki', format: 'der' }),
      ...(algorithm === 'RS256' ? [key.export({ type: 'pkcs1', format: 'pem' }).toString()] : []),
      ...(algorithm === 'RS256' ? [key.export({ type: 'pkcs1', format: 'der' })] : []),
      JSON.stringify(jwk),
      JSON.stringify(api.publicKeys()),
      ...[jwk?.x, jwk?.y, jwk?.n].filter((part) => part !== undefined),
      ...[jwk?.x, jwk?.y, jwk?.n].filter((part) => part !== undefined).map((part) => Buffer.from(part, 'base64url')),
      '',
    ]
    for (const secret of secrets) {
      for (const alg of ['HS256', algorithm]) {
        expect(await tokens.verify(forge({ ...header, alg }, claims, secret))).toBeUndefined()
      }
    }
  })

  test('is not believed when its secret of before signs, though every project still has one', async () => {
    const { api, tokens } = await project(algorithm)
    const { header, claims } = open(await api.sign())
    for (const rest of [{}, { kid: header.kid }]) {
      expect(await tokens.verify(forge({ alg: 'HS256', typ: 'JWT', ...rest }, claims, api.jwtSecret))).toBeUndefined()
    }
  })

  test('may change its key while the server runs', async () => {
    const { api, tokens } = await project(algorithm)
    const before = await api.sign()
    expect(await tokens.verify(before)).toBeDefined()
    api.rotateKey()
    setSystemTime(Date.now() + 31_000)
    expect(await tokens.verify(await api.sign())).toBeDefined()
    expect(await tokens.verify(before)).toBeDefined()
  })

  test('is not asked again for every key that nobody knows', async () => {
    const { api, tokens, fetches } = await project(algorithm)
    const unknown = () => api.sign({}, { header: { kid: crypto.randomUUID() } })
    const try20 = async () => {
      for (let i = 0; i < 10; i++) expect(await tokens.verify(await unknown())).toBeUndefined()
      const atOnce = await Promise.all(Array.from({ length: 10 }, unknown))
      expect(await Promise.all(atOnce.map((token) => tokens.verify(token)))).toEqual(atOnce.map(() => undefined))
    }
    await try20()
    expect(fetches()).toBe(1)
    setSystemTime(Date.now() + 31_000)
    await try20()
    expect(fetches()).toBe(2)
    expect(await tokens.verify(await api.sign())).toBeDefined()
  })
})

const OUTAGES: [string, Failure][] = [
  ['cannot be reached', 'refuse'],
  ['fail', 'error'],
  ['are a page that says it is down', 'html'],
  ['do not come', 'hang'],
  ['are a page that says all is well', () => new Response('<html>')],
  ['are somewhere else', () => new Response(null, { status: 302, headers: { location: '/' } })],
  ['are no list of keys', () => Response.json({ keys: 'none' })],
]

describe.each(OUTAGES)('while the keys %s', (_, failure) => {
  test('lets in whom it can tell, and asks and waits once', async () => {
    const { api, tokens, fetches } = await project('ES256')
    const token = await api.sign()
    expect(await tokens.verify(token)).toBeDefined()
    const before = fetches()
    api.fail(failure, JWKS)
    const unknown = () => api.sign({}, { header: { kid: crypto.randomUUID() } })
    for (const later of [MINUTE, 11 * MINUTE]) {
      setSystemTime(Date.now() + later)
      for (let i = 0; i < 10; i++) {
        expect(await tokens.verify(await unknown())).toBeUndefined()
        expect(await tokens.verify(token)).toBeDefined()
      }
    }
    if (failure !== 'refuse') expect(fetches() - before).toBe(2)
  })

  test('takes the new key as soon as that is over', async () => {
    const { api, tokens } = await project('ES256')
    expect(await tokens.verify(await api.sign())).toBeDefined()
    api.rotateKey()
    setSystemTime(Date.now() + 11 * MINUTE)
    api.fail(failure, JWKS)
    expect(await tokens.verify(await api.sign())).toBeUndefined()
    api.fail()
    setSystemTime(Date.now() + 31_000)
    expect(await tokens.verify(await api.sign())).toBeDefined()
  })

  test('lets nobody in before it has any, and does not need a restart to get them', async () => {
    const { api, server, fetches } = await project('ES256')
    const tokens = server()
    const token = await api.sign()
    setSystemTime(Date.now())
    api.fail(failure, JWKS)
    for (let i = 0; i < 10; i++) expect(await tokens.verify(token)).toBeUndefined()
    if (failure !== 'refuse') expect(fetches()).toBe(1)
    api.fail()
    setSystemTime(Date.now() + 1001)
    expect(await tokens.verify(token)).toBeDefined()
  })
})
