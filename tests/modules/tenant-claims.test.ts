import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { MemoryLimiter } from '../../src/limits/memory'
import { AccessTokens, ExternalTokens } from '../../src/modules/accounts/access-tokens'
import { LoginLimiter } from '../../src/modules/accounts/login-limiter'
import { Passwords } from '../../src/modules/accounts/passwords'
import { Accounts, type RefusedToken } from '../../src/modules/accounts/service'
import { SECRET, startTenancy, type Tenancy, tokenOf } from '../support/tenancy'

let at: Tenancy
let acme: string
let other: string
beforeAll(async () => {
  at = await startTenancy()
  acme = (await at.tenant({ slug: 'acme' })).id
  other = (await at.tenant({ slug: 'other' })).id
})
afterAll(() => at.close())

/** The tenant and role of whoever comes with these claims; 401 for nobody. */
const who = async (claims: object, app = at.app) => {
  const identity = await app.services.accounts.identify(tokenOf({ sub: crypto.randomUUID(), ...claims }))
  return identity ? [identity.tenantId, identity.role] : 401
}

describe('a token of the outside issuer', () => {
  test('names the tenant by id or slug, in a claim of its own or where Supabase puts it', async () => {
    for (const name of [acme, acme.toUpperCase(), 'acme']) {
      expect(await who({ tenant_id: name })).toEqual([acme, 'user'])
      expect(await who({ app_metadata: { tenant_id: name } })).toEqual([acme, 'user'])
    }
    expect(await who({ tenant_id: null, app_metadata: { tenant_id: 'acme' } })).toEqual([acme, 'user'])
    expect(await who({ tenant_id: 'acme', app_metadata: { tenant_id: 'other' } })).toEqual([acme, 'user'])
  })

  test('without the claim belongs to the tenant that everybody begins in', async () => {
    const silent = [{}, { tenant_id: null }, { app_metadata: null }, { app_metadata: 'acme' }, { app_metadata: [] }]
    for (const claims of silent) expect(await who(claims)).toEqual([at.owner.tenantId, 'user'])
  })

  test('is never believed what people write themselves', async () => {
    for (const claims of [
      { user_metadata: { tenant_id: acme, role: 'owner', app_metadata: { tenant_id: acme } } },
      { raw_user_meta_data: { tenant_id: acme }, metadata: { tenant_id: acme }, tenant: acme, tenantId: acme },
      { role: 'owner', roles: ['owner'], is_admin: true, app_metadata: { role: 'owner', roles: ['admin'] } },
    ]) {
      expect(await who(claims)).toEqual([at.owner.tenantId, 'user'])
    }
  })

  test.each([
    ['a tenant there is not', crypto.randomUUID()],
    ['a slug there is not', 'nobody'],
    ['another spelling of a slug', 'ACME'],
    ['a slug with blanks', ' acme '],
    ['nothing', ''],
    ['a number', 1],
    ['true', true],
    ['a list', ['acme']],
    ['an object', { id: 'acme' }],
    ['NUL', 'acme\0'],
    ['half a character', 'acme\ud800'],
    ['a statement', "acme' or '1'='1"],
    ['a megabyte', 'a'.repeat(5000)],
  ])('that names %s is no credential, and makes nobody', async (_, tenant_id) => {
    const sub = crypto.randomUUID()
    expect(await who({ sub, tenant_id })).toBe(401)
    expect(await who({ sub, app_metadata: { tenant_id } })).toBe(401)
    expect((await at.app.call('/api/v1/auth/me', { token: tokenOf({ sub, tenant_id }) })).status).toBe(401)
    // Nothing of them is here: they may still come as somebody of any tenant.
    expect(await who({ sub, tenant_id: 'other' })).toEqual([other, 'user'])
  })

  test('moves nobody: who is in one tenant is not let in as somebody of another', async () => {
    const sub = crypto.randomUUID()
    expect(await who({ sub, tenant_id: 'acme', jti: '1' })).toEqual([acme, 'user'])
    expect(await who({ sub, tenant_id: 'other', jti: '2' })).toBe(401)
    expect(await who({ sub, tenant_id: 'acme', jti: '3' })).toEqual([acme, 'user'])
    // One that names no tenant contradicts nothing.
    expect(await who({ sub, jti: '4' })).toEqual([acme, 'user'])
    const first = crypto.randomUUID()
    expect(await who({ sub: first })).toEqual([at.owner.tenantId, 'user'])
    expect(await who({ sub: first, tenant_id: 'acme' })).toBe(401)
  })

  test('is refused with the same words, whatever is wrong with its tenant', async () => {
    const { id } = await at.tenant()
    await at.ask(`/v1/admin/tenants/${id}`, { method: 'PATCH', json: { disabled: true } })
    const sub = crypto.randomUUID()
    await who({ sub, tenant_id: 'acme' })
    const answers = await Promise.all(
      [{ tenant_id: id }, { tenant_id: 'nobody' }, { sub, tenant_id: 'other' }, { exp: 1 }].map(async (claims) => {
        const token = tokenOf({ sub: crypto.randomUUID(), ...claims })
        const { status, error } = await at.ask('/v1/conversations', { token })
        return [status, error.code, error.message, error.details]
      }),
    )
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1)
    expect(answers[0]).toEqual([401, 'UNAUTHORIZED', expect.any(String), null])
  })

  test('has the reason told to whoever runs the server, without the token', async () => {
    const { id } = await at.tenant()
    await at.ask(`/v1/admin/tenants/${id}`, { method: 'PATCH', json: { disabled: true } })
    const sub = crypto.randomUUID()
    await who({ sub, iss: 'them', tenant_id: 'acme' })
    const told: RefusedToken[] = []
    const accounts = new Accounts({
      store: at.app.services.store,
      tokens: new AccessTokens(new Uint8Array(32), 900),
      external: new ExternalTokens({ algorithm: 'HS256', secret: SECRET, tenantClaim: 'tenant_id' }),
      passwords: new Passwords(),
      limiter: new LoginLimiter(new MemoryLimiter()),
      refreshKey: new Uint8Array(32),
      now: () => new Date(),
      onRefused: (reason) => told.push(reason),
    })
    const tenants = ['nobody', id, 'other', 'acme']
    for (const tenant_id of tenants) await accounts.identify(tokenOf({ sub, iss: 'them', tenant_id }))
    expect(told).toEqual([
      { why: 'no such tenant', issuer: 'them', subject: sub, tenant: 'nobody' },
      { why: 'the tenant is disabled', issuer: 'them', subject: sub, tenant: id },
      { why: 'the person is in another tenant', issuer: 'them', subject: sub, tenant: 'other' },
    ])
  })

  test('may have its claim called anything, by the settings', async () => {
    const claim = 'https://app.example/organisation'
    const app = await startTenancy({ JWT_TENANT_CLAIM: claim })
    const { id } = await app.tenant({ slug: 'acme' })
    expect(await who({ [claim]: 'acme' }, app.app)).toEqual([id, 'user'])
    expect(await who({ app_metadata: { [claim]: id } }, app.app)).toEqual([id, 'user'])
    expect(await who({ tenant_id: 'acme' }, app.app)).toEqual([app.owner.tenantId, 'user'])
    await app.close()
    const odd = await startTenancy({ JWT_TENANT_CLAIM: 'constructor' })
    expect(await who({}, odd.app)).toEqual([odd.owner.tenantId, 'user'])
    await odd.close()
  })
})

test('people who register belong to the first tenant, and API keys to the tenant of their owner', async () => {
  const { token } = await at.app.signUp()
  expect(await at.app.services.accounts.identify(token)).toMatchObject({ tenantId: at.owner.tenantId, role: 'user' })
  const person = await at.person(acme)
  const { data } = await at.ask('/v1/keys', { token: person.token, json: { name: 'k' } })
  const identity = await at.app.services.accounts.identify(data.key)
  expect(identity).toMatchObject({ tenantId: acme, userId: person.userId, via: 'api-key' })
})
