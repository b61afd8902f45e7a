import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Pool } from 'pg'
import { type Someone, startTenancy, type Tenancy } from '../support/tenancy'

let at: Tenancy
let pool: Pool
let mine: string
let foreign: string
let admin: Someone
beforeAll(async () => {
  at = await startTenancy()
  pool = new Pool({ connectionString: at.url, max: 2 })
  mine = (await at.tenant()).id
  foreign = (await at.tenant()).id
  admin = await at.person(mine, 'admin')
})
afterAll(async () => {
  await pool.end()
  await at.close()
})

const path = (id: string, tenantId?: string) => `/v1/admin/users/${id}${tenantId ? `?tenant_id=${tenantId}` : ''}`
/** As the owner, who says the tenant; or as somebody else, who need not. */
const patch = ({ userId, tenantId }: Someone, json: object, token?: string) =>
  at.ask(token ? path(userId) : path(userId, tenantId), { method: 'PATCH', json, ...(token ? { token } : {}) })
const rowOf = async (userId: string) => (await pool.query('select * from users where id = $1', [userId])).rows[0]
const keyOf = async ({ token }: Someone): Promise<string> =>
  (await at.ask('/v1/keys', { token, json: { name: 'k' } })).data.key
const me = async (token: string) => (await at.app.call('/api/v1/auth/me', { token })).status

describe('administrators', () => {
  test('find the people of their tenant, and of no other', async () => {
    const [one, other] = [await at.person(mine), await at.person(foreign)]
    await patch(one, { name: 'Ada Lovelace' })
    await patch(other, { name: 'Ada Foreign' })
    const { token } = admin
    const found = (await at.ask('/v1/admin/users?q=ADA', { token })).data
    expect(found.items).toEqual([
      {
        id: one.userId,
        tenant_id: mine,
        email: null,
        name: 'Ada Lovelace',
        role: 'user',
        allowed_models: null,
        limits: null,
        time_zone: null,
        has_litellm_key: false,
        disabled_at: null,
        created_at: expect.any(String),
      },
    ])
    expect((await at.ask(path(one.userId), { token })).data).toEqual(found.items[0])
    expect((await at.ask(`/v1/admin/users?tenant_id=${mine.toUpperCase()}`, { token })).status).toBe(200)
    const [theirs, nobodys] = [await at.ask(path(other.userId), { token }), await at.ask(path(mine), { token })]
    expect([theirs.status, theirs.error.message]).toEqual([404, nobodys.error.message])
    for (const where of [path(other.userId, foreign), `/v1/admin/users?tenant_id=${foreign}`]) {
      expect((await at.ask(where, { token })).status).toBe(404)
    }
    expect((await patch(other, { name: 'taken over' }, token)).status).toBe(404)
    expect((await rowOf(other.userId)).name).toBe('Ada Foreign')
  })

  test('change the people of their tenant', async () => {
    const person = await at.person(mine)
    const change = { name: 'Grace', role: 'admin', allowed_models: ['a'], limits: { tokens_per_minute: 1000 } }
    expect((await patch(person, change, admin.token)).data).toMatchObject(change)
    expect(await rowOf(person.userId)).toMatchObject({ name: 'Grace', role: 'admin', tenant_id: mine })
    const none = { role: 'user', allowed_models: null, limits: null }
    expect((await patch(person, none, admin.token)).data).toMatchObject(none)
  })

  test('neither make owners nor touch them', async () => {
    const { token } = admin
    const [person, owner] = [await at.person(mine), await at.person(mine, 'owner')]
    expect((await patch(person, { role: 'owner' }, token)).status).toBe(403)
    expect((await patch(admin, { role: 'owner' }, token)).status).toBe(403)
    for (const change of [{ role: 'user' }, { disabled: true }, { name: 'x' }, { allowed_models: [] }]) {
      expect((await patch(owner, change, token)).status).toBe(403)
    }
    expect(await rowOf(owner.userId)).toMatchObject({ role: 'owner', disabled_at: null, allowed_models: null })
    expect((await rowOf(person.userId)).role).toBe('user')
    await patch(owner, { role: 'user' })
  })

  test('do not change their own role, nor shut themselves out', async () => {
    const { token } = admin
    for (const change of [{ role: 'user' }, { disabled: true }, { name: 'x', role: 'user' }]) {
      expect((await patch(admin, change, token)).status).toBe(409)
    }
    expect((await patch(admin, { name: 'Me', role: 'admin', disabled: false }, token)).data.name).toBe('Me')
    expect((await patch(at.owner, { role: 'user' })).status).toBe(409)
  })

  test('see somebody again who was disabled, and enable them', async () => {
    const person = await at.person(mine)
    const key = await keyOf(person)
    expect((await patch(person, { disabled: true }, admin.token)).data.disabled_at).toEqual(expect.any(String))
    expect([await me(person.token), await me(key)]).toEqual([401, 401])
    expect((await at.ask(path(person.userId), { token: admin.token })).data.disabled_at).toEqual(expect.any(String))
    await patch(person, { disabled: false }, admin.token)
    expect([await me(person.token), await me(key)]).toEqual([200, 200])
  })
})

describe('the owner of the installation', () => {
  test('finds and changes the people of any tenant, by its id', async () => {
    const person = await at.person(foreign)
    expect((await at.ask(path(person.userId))).status).toBe(404)
    expect((await at.ask(path(person.userId, foreign))).data).toMatchObject({ id: person.userId, tenant_id: foreign })
    expect((await at.ask(path(person.userId, mine))).status).toBe(404)
    expect((await at.ask(`/v1/admin/users?tenant_id=${crypto.randomUUID()}`)).status).toBe(404)
    expect((await at.ask(`/v1/admin/users?tenant_id=${foreign}&limit=1`)).data.pagination.limit).toBe(1)
    expect((await patch(person, { role: 'owner' })).data.role).toBe('owner')
    await patch(person, { role: 'user' })
  })

  test('ends the sessions of whom they disable: these do not come back', async () => {
    const { token, refreshToken, userId, email } = await at.app.signUp()
    const person = { token, userId, tenantId: at.owner.tenantId }
    await patch(person, { disabled: true })
    const refresh = { json: { refresh_token: refreshToken } }
    const login = { json: { email, password: 'password123' } }
    expect(await me(token)).toBe(401)
    expect((await at.app.call('/api/v1/auth/refresh', refresh)).status).toBe(401)
    expect((await at.app.call('/api/v1/auth/login', login)).status).toBe(401)
    await patch(person, { disabled: false })
    expect(await me(token)).toBe(401)
    expect((await at.app.call('/api/v1/auth/refresh', refresh)).status).toBe(401)
    expect((await at.app.call('/api/v1/auth/login', login)).status).toBe(200)
  })
})

describe('a right that is taken away', () => {
  test.each(['admin', 'owner'] as const)('is gone at once from the keys and tokens of an %s', async (role) => {
    const person = await at.person(mine, role)
    const key = await keyOf(person)
    for (const token of [person.token, key]) expect((await at.ask('/v1/admin/users', { token })).status).toBe(200)
    const tenants = role === 'owner' ? 200 : 403
    for (const token of [person.token, key]) expect((await at.ask('/v1/admin/tenants', { token })).status).toBe(tenants)
    await patch(person, { role: 'user' })
    for (const token of [person.token, key]) {
      expect((await at.ask('/v1/admin/users', { token })).status).toBe(403)
      expect((await at.ask('/v1/admin/tenants', { token })).status).toBe(403)
      expect((await patch(person, { role }, token)).status).toBe(403)
    }
  })

  test('cannot be prepared for with a key: keys give no roles', async () => {
    const [owner, other] = [await at.person(mine, 'owner'), await at.person(mine)]
    const key = await keyOf(owner)
    expect((await patch(other, { role: 'owner' }, key)).status).toBe(403)
    expect((await patch(other, { role: 'user', name: 'Named' }, key)).data.name).toBe('Named')
    expect((await rowOf(other.userId)).role).toBe('user')
    await patch(owner, { role: 'user' })
  })
})

describe('nobody gives themselves anything', () => {
  const wishes = {
    role: 'owner',
    is_admin: true,
    tenant_id: '00000000-0000-0000-0000-00000000000f',
    tenantId: '00000000-0000-0000-0000-00000000000f',
    balance: 1_000_000,
    balance_nanos: 5,
    limits: { requests_per_minute: 1_000_000 },
    allowed_models: null,
    allowedModels: null,
    limited: false,
    plan: 'pro',
    id: crypto.randomUUID(),
    created_at: '1999-01-01T00:00:00.000Z',
    disabled_at: null,
    app_metadata: { role: 'owner' },
    user_metadata: { role: 'owner' },
  }
  const granted = ({ role, tenant_id, limits, allowed_models, disabled_at, created_at }: Record<string, unknown>) => ({
    role,
    tenant_id,
    limits,
    allowed_models,
    disabled_at,
    created_at,
  })

  test('when they register', async () => {
    const json = { email: 'wishes@example.com', password: 'password123', ...wishes }
    const { user } = await (await at.app.call('/api/v1/auth/register', { json })).json()
    const row = await rowOf(user.id)
    expect(user.id).not.toBe(wishes.id)
    expect(granted(row)).toMatchObject({ role: 'user', tenant_id: at.owner.tenantId, limits: null })
    expect(row.created_at.getUTCFullYear()).toBeGreaterThan(2000)
  })

  test('by any route that takes a body from them', async () => {
    const person = await at.person(mine)
    const before = granted(await rowOf(person.userId))
    const { paths } = await (await at.app.call('/openapi.json')).json()
    const tenants = await pool.query('select * from tenants order by id')
    let asked = 0
    for (const [where, methods] of Object.entries<Record<string, Operation>>(paths)) {
      for (const [method, { requestBody }] of Object.entries(methods)) {
        const schema = requestBody?.content?.['application/json']?.schema
        if (!schema || where.endsWith('/logout')) continue
        const example = schema.examples?.[0] ?? schema.anyOf?.[0]?.examples?.[0] ?? {}
        const concrete = where.replaceAll(/\{\w+\}/g, person.userId)
        const json = { ...example, ...wishes, disabled: false, margin_bp: 0, billing: 'metered' }
        await (await at.app.call(concrete, { method: method.toUpperCase(), token: person.token, json })).text()
        asked++
      }
    }
    expect(asked).toBeGreaterThan(20)
    expect(granted(await rowOf(person.userId))).toEqual(before)
    expect((await pool.query('select * from tenants order by id')).rows).toEqual(tenants.rows)
    const accounts = 'select kind, balance_nanos, limited from accounts where owner_id = $1 and balance_nanos > 0'
    expect((await pool.query(accounts, [person.userId])).rows).toEqual([])
    expect((await at.ask('/v1/admin/users', { token: person.token })).status).toBe(403)
  })
})

interface Example {
  examples?: object[]
  anyOf?: Example[]
}
interface Operation {
  requestBody?: { content?: Record<string, { schema?: Example }> }
}

test.each([
  ['another role', { role: 'root' }],
  ['a role in a list', { role: ['owner'] }],
  ['a name of a megabyte', { name: 'a'.repeat(1_000_000) }],
  ['a name with control characters', { name: 'a\u0000\u001bb\n' }],
  ['an object for a name', { name: { toString: 5 } }],
  ['yes for true', { disabled: 'yes' }],
  ['a time for disabled', { disabled: '2026-11-21T10:00:00.000Z' }],
  ['models that are no list', { allowed_models: { 0: 'a' } }],
  ['limits below zero', { limits: { requests_per_minute: -1 } }],
  ['limits beyond all sense', { limits: { requests_per_minute: 1e300 } }],
  ['a tenant', { tenant_id: crypto.randomUUID() }],
  ['an e-mail', { email: 'new@example.com' }],
  ['a password', { password: 'password123' }],
  ['a balance', { balance: 5 }],
  ['nothing', {}],
])('a change to %s is refused, and nothing is changed', async (_, json) => {
  const before = await rowOf(admin.userId)
  const { status, error } = await patch(admin, json)
  expect([status, error.code]).toEqual([422, 'VALIDATION_ERROR'])
  expect(await rowOf(admin.userId)).toEqual(before)
})

test.each(['%00', '%25', '_', "'%20or%201=1", '%F0%9F%98%80', 'a'.repeat(200)])(
  'looking for %s finds nobody who is not called so',
  async (q) => {
    const { status, data } = await at.ask(`/v1/admin/users?q=${q}`)
    expect([status, data.items]).toEqual([200, []])
  },
)

test.each(['q=', `q=${'a'.repeat(201)}`, 'tenant_id=1', 'page=0', 'page=1e9', 'limit=101'])(
  'the list refuses ?%s',
  async (query) => {
    expect((await at.ask(`/v1/admin/users?${query}`)).status).toBe(422)
  },
)
