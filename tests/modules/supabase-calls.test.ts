import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import type { ErrorCode } from '../../src/errors'
import type { SupabaseOptions } from '../../src/modules/accounts/supabase'
import { type Failure, type SupabaseApi, startSupabaseApi } from '../support/supabase/api'
import { createSupabaseDatabase, type SupabaseDatabase } from '../support/supabase/database'
import { ADDRESS, asked, newcomer, refusal, startSignIn } from '../support/supabase/sign-in'

// What the sign-in through Supabase sends, and what it makes of answers that it cannot wish for.

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
afterEach(() => api.fail())

const start = (options?: Partial<SupabaseOptions>) => startSignIn(api, options)

const askedBy = (work: () => Promise<unknown>) => asked(api, work)

describe('keys', () => {
  test('of the old kind go into both headers, but only for administration', async () => {
    const [create, grant] = await askedBy(() => start().signIn.register(newcomer(), ADDRESS))
    expect(create).toMatchObject({ method: 'POST', path: '/auth/v1/admin/users' })
    expect(create?.headers).toMatchObject({ apikey: api.serviceKey, authorization: `Bearer ${api.serviceKey}` })
    expect(grant).toMatchObject({ method: 'POST', path: '/auth/v1/token?grant_type=password' })
    expect(grant?.headers.apikey).toBe(api.anonKey)
    expect(grant?.headers).not.toHaveProperty('authorization')
  })

  test('of the new kind are no tokens and never sent as such', async () => {
    const { signIn } = start({ anonKey: api.publishableKey, serviceKey: api.secretKey })
    const requests = await askedBy(async () => {
      const { tokens } = await signIn.register(newcomer(), ADDRESS)
      await signIn.refresh(tokens.refresh_token)
      await signIn.logout(tokens.access_token, undefined)
    })
    const { publishableKey, secretKey } = api
    expect(requests.map(({ headers }) => headers.apikey)).toEqual([
      secretKey,
      publishableKey,
      publishableKey,
      publishableKey,
    ])
    for (const { headers } of requests) {
      for (const key of [publishableKey, secretKey]) expect(headers.authorization ?? '').not.toContain(key)
    }
  })

  test('come from a server that does not pass for a browser', async () => {
    for (const { headers } of await askedBy(() => start().signIn.register(newcomer(), ADDRESS))) {
      expect(headers['user-agent']).toBe('ai-chat-orchestrator')
    }
  })

  test('that Supabase refuses are our fault, not that of the person', async () => {
    const wrong = [start({ anonKey: 'wrong' }), start({ anonKey: 'sb_publishable_wrong' })]
    const { email, password, token, refreshToken } = await api.user()
    for (const { signIn } of wrong) {
      const calls = [
        () => signIn.login({ email, password }, ADDRESS),
        () => signIn.refresh(refreshToken),
        () => signIn.logout(token, undefined),
      ]
      for (const call of calls) expect((await refusal(call())).code).toBe('UPSTREAM_ERROR')
    }
    for (const serviceKey of ['wrong', api.anonKey, api.publishableKey]) {
      const error = await refusal(start({ serviceKey }).signIn.register(newcomer(), ADDRESS))
      expect(error.code).toBe('UPSTREAM_ERROR')
    }
  })
})

const text = (body: string, init: ResponseInit) => () => new Response(body, init)
const json = (body: unknown, status: number) => () => Response.json(body, { status })
const OUTAGES: [string, Failure, ErrorCode][] = [
  ['cannot be reached', 'refuse', 'UPSTREAM_UNAVAILABLE'],
  ['fails', 'error', 'UPSTREAM_ERROR'],
  ['is a page that says it is down', 'html', 'UPSTREAM_ERROR'],
  ['does not answer', 'hang', 'UPSTREAM_TIMEOUT'],
  ['is a page that says all is well', text('<html>', { status: 200 }), 'UPSTREAM_ERROR'],
  ['leads elsewhere', text('', { status: 307, headers: { location: '/auth/v1/user' } }), 'UPSTREAM_ERROR'],
  ['is not there', text('404 page not found', { status: 404 }), 'UPSTREAM_ERROR'],
  ['is overloaded', json({ code: 503, msg: 'canary' }, 503), 'UPSTREAM_UNAVAILABLE'],
  ['runs out of time', json({ code: 504, error_code: 'request_timeout', msg: 'canary' }, 504), 'UPSTREAM_TIMEOUT'],
  ['refuses for reasons unknown', json({ code: 400, error_code: 'canary', msg: 'canary' }, 400), 'UPSTREAM_ERROR'],
  ['refuses with what is no object', json('canary', 400), 'UPSTREAM_ERROR'],
  ['refuses with a name from the prototype', json({ error_code: 'constructor' }, 400), 'UPSTREAM_ERROR'],
]

describe.each(OUTAGES)('while Supabase %s', (_, failure, code) => {
  test('says so and nothing else', async () => {
    const { token, refreshToken } = await api.user()
    const { signIn } = start({ timeoutMs: 100 })
    api.fail(failure)
    const calls = [
      () => signIn.register(newcomer(), ADDRESS),
      () => signIn.login(newcomer(), ADDRESS),
      () => signIn.refresh(refreshToken),
      () => signIn.logout(token, refreshToken),
    ]
    for (const call of calls) {
      const error = await refusal(call())
      expect(error.code).toBe(code)
      const told = Bun.inspect([error.message, error.details, error.cause])
      for (const secret of ['canary', '<html', token, refreshToken, api.anonKey, api.serviceKey]) {
        expect(told).not.toContain(secret)
      }
    }
  })
})

describe('answers', () => {
  const person = { id: crypto.randomUUID(), created_at: '2025-09-01T06:15:51.432019Z' }
  const good = { access_token: 'a', refresh_token: 'r', expires_in: 60, user: person }

  test.each([
    ['nothing', undefined],
    ['null', null],
    ['a list', []],
    ['no tokens', { ...good, access_token: undefined }],
    ['an empty token', { ...good, refresh_token: '' }],
    ['a number for a token', { ...good, access_token: 1 }],
    ['no person', { ...good, user: null }],
    ['a person without an id', { ...good, user: { ...person, id: undefined } }],
    ['a person from no time', { ...good, user: { ...person, created_at: 'once' } }],
  ])('with %s are refused', async (_, answer) => {
    api.fail(() => new Response(answer === undefined ? '' : JSON.stringify(answer)))
    const { signIn } = start()
    for (const call of [() => signIn.login(newcomer(), ADDRESS), () => signIn.refresh('any')]) {
      expect((await refusal(call())).code).toBe('UPSTREAM_ERROR')
    }
  })

  test('of somebody without an address or a name are understood', async () => {
    api.fail(json({ ...good, user: { ...person, email: '', user_metadata: { name: 7, full_name: 'A\0da' } } }, 200))
    expect((await start().signIn.refresh('any')).user).toEqual({
      id: person.id,
      email: null,
      name: 'A\uFFFDda',
      created_at: '2025-09-01T06:15:51.432Z',
    })
  })

  test.each([
    ['of older versions', { error: 'invalid_grant', error_description: 'Invalid login credentials' }],
    ['of newer versions', { code: 'invalid_credentials', message: 'Invalid login credentials' }],
    ['about a person who was banned', { code: 400, error_code: 'user_banned', msg: 'User is banned' }],
  ])('%s that refuse are understood', async (_, body) => {
    api.fail(json(body, 400))
    const { message } = await refusal(start().signIn.login(newcomer(), ADDRESS))
    expect(message).toBe('The e-mail or the password is wrong')
  })

  test.each([
    ['says for how long', { 'retry-after': '7' }, 7],
    ['does not say for how long', {}, 60],
    ['says nonsense', { 'retry-after': 'soon' }, 60],
    ['says for ever', { 'retry-after': '99999999' }, 3600],
  ])('that Supabase has had too many requests reach the client when it %s', async (_, headers, seconds) => {
    const body = { code: 429, error_code: 'over_request_rate_limit', msg: 'Request rate limit reached' }
    api.fail(() => Response.json(body, { status: 429, headers }))
    const { code, retryAfter } = await refusal(start().signIn.login(newcomer(), ADDRESS))
    expect({ code, retryAfter }).toEqual({ code: 'RATE_LIMIT_EXCEEDED', retryAfter: seconds })
  })
})
