import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Someone, startTenancy, type Tenancy, tokenOf } from '../support/tenancy'

let at: Tenancy
let admin: Someone
let user: Someone
let mine: string
let foreign: string
beforeAll(async () => {
  at = await startTenancy()
  mine = (await at.tenant({ slug: 'mine' })).id
  foreign = (await at.tenant({ slug: 'foreign' })).id
  admin = await at.person(mine, 'admin')
  user = await at.person(mine)
})
afterAll(() => at.close())

const patch = (id: string, json: object, token?: string) =>
  at.ask(`/v1/admin/tenants/${id}`, { method: 'PATCH', json, ...(token ? { token } : {}) })
const me = async (token: string) => (await at.app.call('/api/v1/auth/me', { token })).status

describe('the owner of the installation', () => {
  test('makes tenants, lists them, reads them and changes them', async () => {
    const fields = {
      name: 'Bold & Co. – 株式会社',
      slug: 'bold-1',
      allowed_models: ['demo/eliza', 'other'],
      margin_bp: 2000,
      billing: 'prepaid',
      limits: { requests_per_minute: 60 },
    }
    const made = await at.ask('/v1/admin/tenants', { json: fields })
    expect(made.status).toBe(201)
    expect(made.data).toEqual({
      ...fields,
      id: expect.any(String),
      disabled_at: null,
      created_at: expect.any(String),
      updated_at: made.data.created_at,
    })
    expect((await at.ask(`/v1/admin/tenants/${made.data.id}`)).data).toEqual(made.data)
    const { data } = await at.ask('/v1/admin/tenants?limit=100')
    expect(data.items).toContainEqual(made.data)
    expect(data.pagination.total).toBe(data.items.length)
    const changed = await patch(made.data.id, { slug: null, allowed_models: null, limits: null, billing: null })
    expect(changed.data).toMatchObject({
      slug: null,
      allowed_models: null,
      limits: null,
      billing: null,
      margin_bp: 2000,
    })
    expect(changed.data.name).toBe(fields.name)
  })

  test('cannot give a slug twice, nor one that looks like an id', async () => {
    expect((await at.ask('/v1/admin/tenants', { json: { name: 'x', slug: 'mine' } })).status).toBe(409)
    expect((await patch(foreign, { slug: 'mine' })).status).toBe(409)
    const { status, error } = await patch(foreign, { slug: crypto.randomUUID() })
    expect([status, error.details.fields]).toEqual([422, [{ path: 'slug', message: 'must not look like an id' }]])
  })

  test('is told when there is no such tenant', async () => {
    const id = crypto.randomUUID()
    expect((await at.ask(`/v1/admin/tenants/${id}`)).status).toBe(404)
    expect((await patch(id, { name: 'x' })).status).toBe(404)
  })

  test('cannot disable the tenant that everybody begins in, which is theirs, too', async () => {
    const { status } = await patch(at.owner.tenantId, { disabled: true })
    expect(status).toBe(409)
    const other = await at.person(foreign, 'owner')
    expect((await patch(at.owner.tenantId, { disabled: true }, other.token)).status).toBe(409)
    expect((await patch(foreign, { disabled: true }, other.token)).status).toBe(409)
    await at.ask(`/v1/admin/users/${other.userId}?tenant_id=${foreign}`, { method: 'PATCH', json: { role: 'user' } })
  })
})

describe('an administrator', () => {
  test('sees their own tenant, and nothing of another one', async () => {
    const { token } = admin
    expect((await at.ask(`/v1/admin/tenants/${mine}`, { token })).data).toMatchObject({ id: mine, slug: 'mine' })
    const [theirs, nobodys] = [foreign, crypto.randomUUID()]
    const answers = await Promise.all(
      [theirs, nobodys].map(async (id) => (await at.ask(`/v1/admin/tenants/${id}`, { token })).error),
    )
    expect(answers[0]).toMatchObject({ code: 'NOT_FOUND', message: answers[1].message })
  })

  test('neither makes nor lists nor changes tenants', async () => {
    const { token } = admin
    const before = (await at.ask(`/v1/admin/tenants/${mine}`)).data
    expect((await at.ask('/v1/admin/tenants', { token })).status).toBe(403)
    expect((await at.ask('/v1/admin/tenants', { token, json: { name: 'x' } })).status).toBe(403)
    for (const id of [mine, foreign]) {
      expect((await patch(id, { margin_bp: 0, billing: 'metered', allowed_models: null }, token)).status).toBe(403)
    }
    expect((await at.ask(`/v1/admin/tenants/${mine}`)).data).toEqual(before)
  })

  test('everybody else gets nothing at all', async () => {
    const { token } = user
    for (const path of ['', `/${mine}`, `/${mine}/provider-keys`]) {
      expect((await at.ask(`/v1/admin/tenants${path}`, { token })).status).toBe(403)
    }
    expect((await patch(mine, { name: 'x' }, token)).status).toBe(403)
  })
})

describe('a disabled tenant', () => {
  test('has its people, their keys and their tokens stopped at once, and started again', async () => {
    const { id } = await at.tenant()
    const person = await at.person(id)
    const keyAnswer = await at.ask('/v1/keys', { token: person.token, json: { name: 'k' } })
    const { key } = keyAnswer.data
    const all = async () => [
      await me(person.token),
      await me(key),
      await me(tokenOf({ sub: crypto.randomUUID(), tenant_id: id })),
    ]
    expect(await all()).toEqual([200, 200, 200])
    expect((await patch(id, { disabled: true })).data.disabled_at).toEqual(expect.any(String))
    expect(await all()).toEqual([401, 401, 401])
    expect((await patch(id, { disabled: false })).data.disabled_at).toBeNull()
    expect(await all()).toEqual([200, 200, 200])
  })
})

test.each([
  ['no name', {}],
  ['an empty name', { name: '' }],
  ['a blank name', { name: '  ' }],
  ['a name of 101 characters', { name: 'a'.repeat(101) }],
  ['a name of a megabyte', { name: 'a'.repeat(1_000_000) }],
  ['a name with a line break', { name: 'a\nb' }],
  ['a name with a control character', { name: 'a\u0007b' }],
  ['a name that turns the line around', { name: 'a\u202eb' }],
  ['a name that is none', { name: { toString: 'x' } }],
  ['a slug in capitals', { name: 'x', slug: 'ACME' }],
  ['a slug with spaces', { name: 'x', slug: 'a b' }],
  ['a slug that is a path', { name: 'x', slug: '../x' }],
  ['an empty slug', { name: 'x', slug: '' }],
  ['a slug of a megabyte', { name: 'x', slug: 'a'.repeat(1_000_000) }],
  ['a slug in letters that look like others', { name: 'x', slug: 'аcme' }],
  ['a margin below zero', { name: 'x', margin_bp: -1 }],
  ['a margin that is a text', { name: 'x', margin_bp: '2000' }],
  ['a margin with a fraction', { name: 'x', margin_bp: 0.5 }],
  ['a margin beyond all sense', { name: 'x', margin_bp: 1_000_001 }],
  ['a margin of null', { name: 'x', margin_bp: null }],
  ['another billing', { name: 'x', billing: 'free' }],
  ['models that are no list', { name: 'x', allowed_models: 'demo/eliza' }],
  ['models that are no texts', { name: 'x', allowed_models: [7] }],
  ['a model twice', { name: 'x', allowed_models: ['a', 'a'] }],
  ['limits that are no numbers', { name: 'x', limits: { requests_per_minute: '5' } }],
  ['limits below one', { name: 'x', limits: { requests_per_minute: 0 } }],
  ['limits of no kind', { name: 'x', limits: { requests_per_fortnight: 5 } }],
  ['an id', { name: 'x', id: crypto.randomUUID() }],
  ['a field that there is not', { name: 'x', balance: 5 }],
  ['a field that every object has', JSON.parse('{"name":"x","__proto__":{"margin_bp":5}}')],
])('a tenant with %s is refused, and nothing is made', async (_, json) => {
  const { total } = (await at.ask('/v1/admin/tenants')).data.pagination
  const { status, error, text } = await at.ask('/v1/admin/tenants', { json })
  expect([status, error?.code]).toEqual([422, 'VALIDATION_ERROR'])
  expect(text.length).toBeLessThan(1000)
  const change = await patch(mine, { ...json, name: json.name ?? '' })
  expect(change.status).toBe(422)
  expect((await at.ask('/v1/admin/tenants')).data.pagination.total).toBe(total)
})

test.each(['1e309', '-1e309', '1e-400', 'NaN', 'Infinity', '١٢', '0x10', '9007199254740993'])(
  'a margin of %s is refused',
  async (number) => {
    const answer = await at.app.call(`/v1/admin/tenants/${mine}`, {
      method: 'PATCH',
      token: at.owner.token,
      headers: { 'content-type': 'application/json' },
      body: `{"margin_bp":${number}}`,
    })
    // 1e-400 is 0 to a parser, which is a margin like any other.
    expect(answer.status).toBe(number === '1e-400' ? 200 : /[Nx١]|Inf/.test(number) ? 400 : 422)
    expect((await at.ask(`/v1/admin/tenants/${mine}`)).data.margin_bp).toBe(0)
  },
)

test('a change of nothing, and of what there is not, is refused by name', async () => {
  expect((await patch(mine, {})).status).toBe(422)
  const { error } = await patch(mine, { role: 'owner', limits: { tokens: 5 }, name: 'changed' })
  expect(error.details.fields).toEqual([
    { path: 'role', message: 'is no field of this' },
    { path: 'limits.tokens', message: 'is no field of this' },
  ])
})
