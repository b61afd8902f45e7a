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

const PATH = '/v1/admin/ledger'
const credit = (json: object, { key = newId(), token = admin.token }: { key?: string | null; token?: string } = {}) =>
  app.call(`${PATH}/credits`, { token, json, headers: key === null ? {} : { 'idempotency-key': key } })
const topup = (fields: object = {}) => ({
  scope: 'user',
  owner_id: me.userId,
  kind: 'topup',
  amount_usd: '10',
  reason: 'Invoice 1',
  ...fields,
})
const balanceOf = async ({ token }: Somebody) => (await dataOf(app.call('/v1/user/balance', { token }))).balance_usd

describe('a credit', () => {
  test('comes to the account of a person, exactly', async () => {
    const person = await newPerson(app)
    const answer = await credit(topup({ owner_id: person.userId, amount_usd: '12.000000001' }))
    expect(answer.status).toBe(201)
    expect(await dataOf(answer)).toMatchObject({
      scope: 'user',
      owner_id: person.userId,
      kind: 'topup',
      amount_usd: 12.000000001,
      balance_usd: 12.000000001,
      reason: 'Invoice 1',
    })
    for (const amount of [0.1, 0.2, 1e-9]) await credit(topup({ owner_id: person.userId, amount_usd: amount }))
    expect(await balanceOf(person)).toBe(12.300000002)
  })

  test('sent again gives the first result and no money', async () => {
    const person = await newPerson(app)
    const key = newId()
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => credit(topup({ owner_id: person.userId }), { key })),
    )
    const told = await Promise.all(answers.map((answer) => answer.json()))
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(201))
    expect(new Set(told.map((body) => JSON.stringify(body))).size).toBe(1)
    expect((await credit(topup({ owner_id: person.userId }), { key })).headers.get('idempotency-replayed')).toBe('true')
    expect(await balanceOf(person)).toBe(10)
  })

  test('with the key of another one is refused', async () => {
    const [person, other] = [await newPerson(app), await newPerson(app)]
    const key = newId()
    const first = topup({ owner_id: person.userId })
    await credit(first, { key })
    for (const different of [
      { amount_usd: '10.000000001' },
      { kind: 'grant' },
      { reason: 'Invoice 2' },
      { owner_id: other.userId },
      { charge_id: newId() },
    ]) {
      expect([different, (await credit({ ...first, ...different }, { key })).status]).toEqual([different, 422])
    }
    // Another administrator's key is another key.
    const colleague = await newPerson(app, { role: 'admin' })
    expect((await credit(first, { key, token: colleague.token })).status).toBe(201)
    expect([await balanceOf(person), await balanceOf(other)]).toEqual([20, 0])
  })

  test('is refused without a key', async () => {
    const answer = await credit(topup(), { key: null })
    expect(answer.status).toBe(422)
    expect((await answer.json()).error.message).toContain('Idempotency-Key')
  })

  test('comes to an API key or the tenant, whose account is limited then', async () => {
    const key = (await dataOf(app.call('/v1/keys', { token: me.token, json: { name: 'mine' } }))).id
    const { account_id } = await dataOf(credit(topup({ scope: 'key', owner_id: key })))
    expect(await dataOf(app.call(`${PATH}/${account_id}`, { token: admin.token }))).toMatchObject({
      scope: 'key',
      owner_id: key,
      limited: true,
      balance_usd: 10,
      available_usd: 10,
    })
    const token = await ownerToken(app)
    const ofTenant = topup({ scope: 'tenant', owner_id: undefined, tenant_id: admin.tenantId })
    const tenant = await dataOf(credit(ofTenant, { token }))
    expect(tenant).toMatchObject({ scope: 'tenant', owner_id: admin.tenantId })
    // Administrators make no money for their own tenant, and do not say that it needs none.
    const limited = { method: 'PATCH', json: { limited: false } }
    expect((await credit(ofTenant)).status).toBe(403)
    expect((await app.call(`${PATH}/${tenant.account_id}`, { ...limited, token: admin.token })).status).toBe(403)
    expect((await app.call(`${PATH}/${tenant.account_id}`, { ...limited, token })).status).toBe(200)
  })

  test('is taken back by an adjustment, as far as it is there', async () => {
    const key = (await dataOf(app.call('/v1/keys', { token: me.token, json: { name: 'mine' } }))).id
    const account = { scope: 'key', owner_id: key }
    await credit(topup(account))
    const taken = await dataOf(credit(topup({ ...account, kind: 'adjustment', amount_usd: '-4' })))
    expect(taken).toMatchObject({ amount_usd: -4, balance_usd: 6 })
    const more = await credit(topup({ ...account, kind: 'adjustment', amount_usd: '-6.000000001' }))
    expect([more.status, (await more.json()).error.code]).toEqual([402, 'INSUFFICIENT_BALANCE'])
  })

  const WRONG: unknown[] = [
    ...['0', '0.0', '-0', '-1', '1e3', '1e309', 'NaN', 'Infinity', '', ' 1', '1 ', '+1', '1.', '.5', '1,5', '0x10'],
    ...['١٢', '１２', '1.0000000001', '1000000.000000001', '9'.repeat(30), '1_000', '1n', '$5'],
    ...[0, -1, 1e-10, 1.0000000001, 1_000_001, 1e300, 0.1 + 0.2, true, null, [1], { usd: 1 }],
  ]
  test.each(WRONG.map((amount) => [amount]))('of %j is refused', async (amount_usd) => {
    const answer = await credit(topup({ amount_usd }))
    expect(answer.status).toBe(422)
    const { message, details } = (await answer.json()).error
    expect(message).toStartWith('amount_usd: ')
    expect(details.fields[0].path).toBe('amount_usd')
    if (typeof amount_usd === 'string' && amount_usd.length > 3) expect(message).not.toContain(amount_usd)
  })

  test('of a number beyond all numbers is refused', async () => {
    const headers = { 'content-type': 'application/json', 'idempotency-key': newId() }
    for (const amount of ['1e309', '-1e309', 'NaN', '1e-400']) {
      const body = JSON.stringify(topup()).replace('"10"', amount)
      const answer = await app.call(`${PATH}/credits`, { method: 'POST', token: admin.token, headers, body })
      expect([amount, answer.status]).toEqual([amount, amount === 'NaN' ? 400 : 422])
    }
  })

  test.each([
    { scope: 'system' },
    { scope: undefined },
    { owner_id: undefined },
    { owner_id: 'me' },
    { kind: 'charge' },
    { kind: undefined },
    { reason: '' },
    { reason: ' ' },
    { reason: 'x'.repeat(501) },
    { charge_id: 'x' },
    { balance_usd: 5 },
    { actor_id: newId() },
  ])('with %j is refused', async (fields) => {
    expect((await credit(topup(fields))).status).toBe(422)
  })

  test('for nobody is refused', async () => {
    for (const scope of ['user', 'key']) expect((await credit(topup({ scope, owner_id: newId() }))).status).toBe(404)
    const nobody = topup({ scope: 'tenant', owner_id: newId() })
    expect((await credit(nobody, { token: await ownerToken(app) })).status).toBe(404)
  })
})

describe('the books', () => {
  test('list accounts and entries for administrators, and add up', async () => {
    const person = await newPerson(app)
    await credit(topup({ owner_id: person.userId }))
    await spent(app, { ...person, costNanos: 1n })
    const { items } = await dataOf(app.call(`${PATH}?owner_id=${person.userId}`, { token: admin.token }))
    expect(items).toMatchObject([{ scope: 'user', owner_id: person.userId, balance_usd: 9.999999999 }])
    const entries = await dataOf(app.call(`${PATH}/${items[0].id}/entries`, { token: admin.token }))
    expect(entries.items).toMatchObject([
      { kind: 'charge', amount_usd: -1e-9, actor_id: null, reservation_id: entries.items[0].id },
      { kind: 'topup', amount_usd: 10, actor_id: admin.userId, reason: 'Invoice 1' },
    ])
    const sum = entries.items.reduce((total: number, entry: { amount_usd: number }) => total + entry.amount_usd, 0)
    expect(sum).toBeCloseTo(items[0].balance_usd, 9)
    const system = await dataOf(app.call(`${PATH}?scope=system`, { token: admin.token }))
    expect(system.items).toHaveLength(1)
    const limited = { method: 'PATCH', token: admin.token, json: { limited: true } }
    expect((await app.call(`${PATH}/${system.items[0].id}`, limited)).status).toBe(409)
  })

  test('limit an account that has something, and no other', async () => {
    const person = await newPerson(app)
    await spent(app, { ...person, costNanos: 1n })
    const { items } = await dataOf(app.call(`${PATH}?owner_id=${person.userId}`, { token: admin.token }))
    const limit = (limited: unknown) =>
      app.call(`${PATH}/${items[0].id}`, { method: 'PATCH', token: admin.token, json: { limited } })
    expect((await limit(true)).status).toBe(409)
    await credit(topup({ owner_id: person.userId }))
    expect(await dataOf(limit(true))).toMatchObject({ limited: true, available_usd: 9.999999999 })
    expect(await dataOf(limit(false))).toMatchObject({ limited: false, available_usd: null })
    for (const wrong of ['yes', 1, null, undefined]) expect((await limit(wrong)).status).toBe(422)
  })

  test('are closed to people, and to administrators of another tenant', async () => {
    const { account_id } = await dataOf(credit(topup()))
    const foreign = await newPerson(app, { role: 'admin', elsewhere: true })
    const ask = async (token: string) => [
      (await app.call(`${PATH}/${account_id}`, { token })).status,
      (await app.call(`${PATH}/${account_id}/entries`, { token })).status,
      (await app.call(`${PATH}/${account_id}`, { method: 'PATCH', token, json: { limited: true } })).status,
      (await credit(topup(), { token })).status,
      (await app.call(`${PATH}?tenant_id=${me.tenantId}`, { token })).status,
    ]
    expect(await ask(foreign.token)).toEqual([404, 404, 404, 404, 404])
    expect(await ask(me.token)).toEqual([403, 403, 403, 403, 403])
    expect((await dataOf(app.call(PATH, { token: foreign.token }))).items).toEqual([])
    expect((await credit(topup({ tenant_id: me.tenantId }), { token: foreign.token })).status).toBe(404)
  })

  test('are open to the owner of the installation, in any tenant', async () => {
    const person = await newPerson(app, { elsewhere: true })
    const owner = await ownerToken(app)
    expect((await credit(topup({ owner_id: person.userId }), { token: owner })).status).toBe(404)
    const given = topup({ owner_id: person.userId, tenant_id: person.tenantId })
    const { account_id } = await dataOf(credit(given, { token: owner }))
    expect(await balanceOf(person)).toBe(10)
    const account = await dataOf(app.call(`${PATH}/${account_id}`, { token: owner }))
    expect(account).toMatchObject({ tenant_id: person.tenantId, balance_usd: 10 })
    const { items } = await dataOf(app.call(`${PATH}?tenant_id=${person.tenantId}&scope=user`, { token: owner }))
    expect(items).toEqual([account])
    expect(
      (await credit(topup({ scope: 'tenant', owner_id: undefined, tenant_id: newId() }), { token: owner })).status,
    ).toBe(404)
  })
})
