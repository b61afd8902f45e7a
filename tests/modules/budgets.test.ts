import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { newId } from '../../src/lib/ids'
import { type TestApp, testApp } from '../support/app'
import { dataOf, newPerson, ownerToken, type Somebody, spent, WITH_EVERYBODY } from '../support/money'

let app: TestApp
let admin: Somebody
let me: Somebody
beforeAll(async () => {
  app = await testApp(WITH_EVERYBODY)
  admin = await newPerson(app, { role: 'admin' })
  me = await newPerson(app)
})
afterAll(() => app.close())

const PATH = '/v1/admin/budgets'
const put = (json: object, token = admin.token) => app.call(PATH, { method: 'PUT', token, json })
const list = (query = '', token = admin.token) => dataOf(app.call(`${PATH}${query}`, { token }))
const mine = (fields: object = {}) => ({
  scope: 'user',
  owner_id: me.userId,
  period: 'month',
  limit_usd: '20',
  ...fields,
})

describe('a budget', () => {
  test('is one for each period, counts what was spent already, and is replaced', async () => {
    const person = await newPerson(app)
    await spent(app, { ...person, costNanos: 4_000_000n })
    const first = await dataOf(put(mine({ owner_id: person.userId, limit_usd: '0.005' })))
    expect(first).toMatchObject({
      scope: 'user',
      owner_id: person.userId,
      period: 'month',
      limit_usd: 0.005,
      spent_usd: 0.004,
      remaining_usd: 0.001,
      warn_percent: 80,
      hard: true,
    })
    const second = await dataOf(put(mine({ owner_id: person.userId, limit_usd: 1, hard: false, warn_percent: null })))
    expect(second).toMatchObject({ id: first.id, limit_usd: 1, spent_usd: 0.004, hard: false, warn_percent: null })
    await put(mine({ owner_id: person.userId, period: 'total' }))
    const { items } = await list(`?scope=user&owner_id=${person.userId}`)
    expect(items.map(({ period }: { period: string }) => period)).toEqual(['month', 'total'])
    expect(items[1].resets_at).toBeNull()
  })

  test('refuses what would go beyond it, when it is hard', async () => {
    const person = await newPerson(app)
    await put(mine({ owner_id: person.userId, period: 'day', limit_usd: '0.003' }))
    await spent(app, { ...person, costNanos: 3_000_000n })
    const refused = await spent(app, { ...person, costNanos: 1n }).catch((error: Error) => error.message)
    expect(refused).toContain('insufficient')
    await put(mine({ owner_id: person.userId, period: 'day', limit_usd: '0.003', hard: false }))
    await spent(app, { ...person, costNanos: 1n })
    const { items } = await list(`?owner_id=${person.userId}`)
    expect(items).toMatchObject([{ spent_usd: 0.003000001, remaining_usd: 0 }])
  })

  test('of an API key or the tenant opens an account that is not limited', async () => {
    const key = (await dataOf(app.call('/v1/keys', { token: me.token, json: { name: 'mine' } }))).id
    const { account_id } = await dataOf(put(mine({ scope: 'key', owner_id: key })))
    const account = await dataOf(app.call(`/v1/admin/ledger/${account_id}`, { token: admin.token }))
    expect(account).toMatchObject({ scope: 'key', limited: false })
    const token = await ownerToken(app)
    const ofTenant = { scope: 'tenant', period: 'week', limit_usd: '100', tenant_id: admin.tenantId }
    const tenant = await dataOf(put(ofTenant, token))
    expect(tenant).toMatchObject({ scope: 'tenant', owner_id: admin.tenantId })
    expect((await list('?scope=tenant')).items).toEqual([tenant])
    // Its administrators see it, and cannot get out of it.
    expect((await put({ ...ofTenant, limit_usd: '1000' })).status).toBe(403)
    const remove = (as: string) =>
      app.call(`${PATH}/${tenant.id}?tenant_id=${admin.tenantId}`, { method: 'DELETE', token: as })
    expect((await remove(admin.token)).status).toBe(403)
    expect((await remove(token)).status).toBe(200)
  })

  test('is removed', async () => {
    const { id } = await dataOf(put(mine({ period: 'week' })))
    const remove = () => app.call(`${PATH}/${id}`, { method: 'DELETE', token: admin.token })
    expect(await dataOf(remove())).toEqual({ id, deleted: true })
    expect((await remove()).status).toBe(404)
  })

  test.each([
    { period: 'year' },
    { period: undefined },
    { limit_usd: '-1' },
    { limit_usd: '1e3' },
    { limit_usd: null },
    { limit_usd: '1000000.1' },
    { warn_percent: 0 },
    { warn_percent: 101 },
    { warn_percent: 1.5 },
    { hard: 'yes' },
    { spent_usd: 0 },
    { owner_id: 'x' },
    { scope: 'system' },
  ])('with %j is refused', async (fields) => {
    expect((await put(mine(fields))).status).toBe(422)
  })

  test('of nothing at all is a budget, too', async () => {
    expect(await dataOf(put(mine({ period: 'day', limit_usd: 0 })))).toMatchObject({ limit_usd: 0, remaining_usd: 0 })
  })

  test('is a matter of the tenant', async () => {
    const { id } = await dataOf(put(mine()))
    const foreign = await newPerson(app, { role: 'admin', elsewhere: true })
    const remove = (token: string, query = '') => app.call(`${PATH}/${id}${query}`, { method: 'DELETE', token })
    expect((await list('', foreign.token)).items).toEqual([])
    expect((await put(mine(), foreign.token)).status).toBe(404)
    expect((await put(mine({ tenant_id: me.tenantId }), foreign.token)).status).toBe(404)
    expect((await remove(foreign.token)).status).toBe(404)
    expect((await remove(foreign.token, `?tenant_id=${me.tenantId}`)).status).toBe(404)
    for (const status of [await put(mine(), me.token), await remove(me.token)]) expect(status.status).toBe(403)
    const owner = await ownerToken(app)
    const theirs = { scope: 'tenant', period: 'day', limit_usd: '1', tenant_id: foreign.tenantId }
    expect(await dataOf(put(theirs, owner))).toMatchObject({ tenant_id: foreign.tenantId })
    expect((await list(`?tenant_id=${foreign.tenantId}`, owner)).items).toHaveLength(1)
    expect((await list('', foreign.token)).items).toHaveLength(1)
    expect((await put({ ...theirs, tenant_id: newId() }, owner)).status).toBe(404)
  })
})
