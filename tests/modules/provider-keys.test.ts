import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Pool } from 'pg'
import { Seal } from '../../src/lib/seal'
import { Tenants } from '../../src/modules/tenants/service'
import { testApp } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { SECRET, type Someone, startTenancy, type Tenancy, tokenOf } from '../support/tenancy'

const SERVER_KEY = 'sk-of-the-server'
const KEY = 'sk-of-the-tenant-0123456789-wxyz'

let provider: FakeProvider
let at: Tenancy
let pool: Pool
let tenant: string
let foreign: string
let admin: Someone
let person: Someone
beforeAll(async () => {
  provider = startFakeProvider()
  at = await startTenancy({ OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: SERVER_KEY, DEFAULT_MODEL: 'echo' })
  pool = new Pool({ connectionString: at.url, max: 2 })
  tenant = (await at.tenant()).id
  foreign = (await at.tenant()).id
  admin = await at.person(tenant, 'admin')
  person = await at.person(tenant)
})
afterAll(async () => {
  await pool.end()
  await at.close()
  await provider.stop()
})

const at_ = (id: string, name?: string) => `/v1/admin/tenants/${id}/provider-keys${name ? `/${name}` : ''}`
const put = (key: unknown = KEY, { id = tenant, name = 'openai', token = admin.token } = {}) =>
  at.ask(at_(id, name), { method: 'PUT', json: { key }, token })
const remove = (id = tenant, token = admin.token) => at.ask(at_(id, 'openai'), { method: 'DELETE', token })
const lastKey = () => provider.requests.at(-1)?.headers.authorization

/** What somebody says, and what comes of it. */
const say = async (token: string, json: object = {}, path = '/v1/chat/completions') => {
  const answer = await at.app.call(path, { token, json: { message: 'hello', stream: false, ...json } })
  return { status: answer.status, text: await answer.text() }
}

describe('a key', () => {
  test('is shown by its end only, and stored so that nobody can read it', async () => {
    const set = await put()
    expect(set.status).toBe(200)
    const shown = { provider: 'openai', last_four: 'wxyz', created_at: expect.any(String) }
    expect(set.data).toEqual(shown)
    expect((await at.ask(at_(tenant), { token: admin.token })).data).toEqual([shown])
    expect((await at.ask(at_(tenant))).data).toEqual([shown])
    const { rows } = await pool.query('select * from provider_keys')
    expect(rows).toHaveLength(1)
    expect(JSON.stringify(rows)).not.toContain(KEY.slice(0, -4))
    expect(Buffer.from(rows[0].sealed.slice(3), 'base64url').toString('latin1')).not.toContain('tenant')
  })

  test('goes to the provider in place of the server’s, for whoever is of the tenant, and for nobody else', async () => {
    await put()
    const outsider = await at.person(foreign)
    const messages = [{ role: 'user', content: 'hello' }]
    for (const json of [{}, { stream: true }, { message: undefined, messages }]) {
      expect((await say(person.token, json)).status).toBe(200)
      expect(lastKey()).toBe(`Bearer ${KEY}`)
      expect((await say(outsider.token, json)).status).toBe(200)
      expect(lastKey()).toBe(`Bearer ${SERVER_KEY}`)
    }
    const embedding = { message: undefined, stream: undefined, model: 'embed', input: 'text' }
    await say(person.token, embedding, '/v1/embeddings')
    expect(lastKey()).toBe(`Bearer ${KEY}`)
    await say(outsider.token, embedding, '/v1/embeddings')
    expect(lastKey()).toBe(`Bearer ${SERVER_KEY}`)
  })

  test('is replaced at once, and gone at once', async () => {
    await put('sk-another-key-abcd')
    await say(person.token)
    expect(lastKey()).toBe('Bearer sk-another-key-abcd')
    expect((await remove()).data).toEqual({ provider: 'openai', deleted: true })
    await say(person.token)
    expect(lastKey()).toBe(`Bearer ${SERVER_KEY}`)
    expect((await remove()).status).toBe(404)
    expect((await at.ask(at_(tenant), { token: admin.token })).data).toEqual([])
  })

  test('that is refused again and again shuts the provider for nobody else, and leaks nowhere', async () => {
    await put()
    const outsider = await at.person(foreign)
    for (let i = 0; i < 12; i++) {
      const { text } = await say(person.token, { model: 'status:401' })
      expect(text).not.toContain(KEY)
    }
    const before = provider.requests.length
    expect((await say(outsider.token, { model: 'status:401' })).text).toContain('refused the key')
    expect(provider.requests.length).toBe(before + 1)
    const { rows } = await pool.query('select * from runs order by created_at desc limit 20')
    expect(JSON.stringify(rows)).not.toContain(KEY)
    await remove()
  })
})

describe('a key that cannot be read any more', () => {
  /** A server on the same database, with another secret for what is encrypted. */
  const elsewhere = () =>
    testApp({
      DATABASE_URL: at.url,
      JWT_SECRET_KEY: SECRET,
      ENCRYPTION_KEY: 'another key that what is stored was not encrypted with',
      OPENAI_BASE_URL: provider.url,
      OPENAI_API_KEY: SERVER_KEY,
      DEFAULT_MODEL: 'echo',
    })

  test('stops the answers of its tenant, and is never made up for by the server’s', async () => {
    await put()
    const app = await elsewhere()
    const before = provider.requests.filter(({ path }) => path.endsWith('completions')).length
    for (const stream of [true, false]) {
      const answer = await app.call('/v1/chat/completions', { token: person.token, json: { message: 'x', stream } })
      expect(answer.status).toBe(503)
      expect((await answer.json()).error).toMatchObject({
        code: 'UPSTREAM_UNAVAILABLE',
        message: expect.stringContaining("Your organisation's key"),
      })
    }
    expect(provider.requests.filter(({ path }) => path.endsWith('completions')).length).toBe(before)
    const outsider = { token: tokenOf({ sub: crypto.randomUUID() }), json: { message: 'x', stream: false } }
    expect((await app.call('/v1/chat/completions', outsider)).status).toBe(200)
    expect((await app.call('/v1/models', { token: person.token })).status).toBe(200)
    await app.close()
  })

  test('is told to whoever can mend it, without what it is', async () => {
    const told: string[] = []
    const tenants = new Tenants({
      store: at.app.services.store,
      accounts: at.app.services.accounts,
      seal: new Seal('another secret than the one before'),
      providers: () => ['openai'],
      now: () => new Date(),
      onFault: (message, facts) => told.push(JSON.stringify([message, facts])),
    })
    expect([...(await tenants.of(tenant)).providerKeys]).toEqual([['openai', null]])
    await tenants.of(tenant)
    expect(told).toEqual([expect.stringContaining('ENCRYPTION_KEY')])
    expect(told[0]).toContain(`"tenant_id":"${tenant}","provider":"openai"`)
    expect(told[0]).not.toContain('v1.')
  })

  test('is replaced like any other', async () => {
    const app = await elsewhere()
    const json = { key: 'sk-set-anew-1234' }
    expect((await app.call(at_(tenant, 'openai'), { method: 'PUT', token: admin.token, json })).status).toBe(200)
    const say = { token: person.token, json: { message: 'x', stream: false } }
    expect((await app.call('/v1/chat/completions', say)).status).toBe(200)
    expect(lastKey()).toBe('Bearer sk-set-anew-1234')
    await app.close()
  })

  test('is nobody’s when rows are exchanged', async () => {
    await put(KEY)
    await at.ask(at_(foreign, 'openai'), { method: 'PUT', json: { key: 'sk-of-another-tenant' } })
    const sealed = 'select sealed from provider_keys where tenant_id = $2'
    await pool.query(`update provider_keys set sealed = (${sealed}) where tenant_id = $1`, [foreign, tenant])
    // One that has not read it before.
    const fresh = await testApp({
      DATABASE_URL: at.url,
      JWT_SECRET_KEY: SECRET,
      OPENAI_BASE_URL: provider.url,
      OPENAI_API_KEY: SERVER_KEY,
      DEFAULT_MODEL: 'echo',
    })
    const outsider = await at.person(foreign)
    const json = { message: 'x', stream: false }
    expect((await fresh.call('/v1/chat/completions', { token: outsider.token, json })).status).toBe(503)
    expect((await fresh.call('/v1/chat/completions', { token: person.token, json })).status).toBe(200)
    expect(lastKey()).toBe(`Bearer ${KEY}`)
    await fresh.close()
  })
})

test('nobody sets, sees or removes the keys of another tenant', async () => {
  const other = await at.person(foreign, 'admin')
  const before = (await pool.query('select * from provider_keys order by tenant_id')).rows
  for (const [{ token }, status] of [
    [other, 404],
    [person, 403],
  ] as const) {
    expect((await put(KEY, { token })).status).toBe(status)
    expect((await remove(tenant, token)).status).toBe(status)
    expect((await at.ask(at_(tenant), { token })).status).toBe(status)
  }
  expect((await put(KEY, { id: crypto.randomUUID(), token: at.owner.token })).status).toBe(404)
  expect((await pool.query('select * from provider_keys order by tenant_id')).rows).toEqual(before)
})

test.each([
  ['a provider there is not', KEY, 'nobody', 404],
  ['a provider that every object has', KEY, '__proto__', 404],
  ['a provider by another spelling', KEY, 'OpenAI', 404],
  ['no key', null, 'openai', 422],
  ['a short key', 'sk-1234', 'openai', 422],
  ['a key with a line break', 'sk-12345678\r\nx-evil: 1', 'openai', 422],
  ['a key with a blank', 'sk-1234 5678', 'openai', 422],
  ['a key that is no ASCII', 'sk-ключ-12345', 'openai', 422],
  ['a key of a megabyte', 'k'.repeat(1_000_000), 'openai', 422],
  ['a key that is none', { key: KEY }, 'openai', 422],
])('%s is refused, without a word of the key', async (_, key, name, status) => {
  const before = (await pool.query('select * from provider_keys order by tenant_id')).rows
  const answer = await put(key, { name })
  expect(answer.status).toBe(status)
  expect(answer.text).not.toContain('sk-')
  expect(answer.text.length).toBeLessThan(1000)
  expect((await pool.query('select * from provider_keys order by tenant_id')).rows).toEqual(before)
})

test('what else stands beside a key is refused', async () => {
  const json = { key: KEY, base_url: 'http://169.254.169.254/' }
  const answer = await at.ask(at_(tenant, 'openai'), { method: 'PUT', json, token: admin.token })
  expect(answer.error.details.fields).toEqual([{ path: 'base_url', message: 'is no field of this' }])
})

describe('models that not everybody may use', () => {
  const models = async (token: string) => {
    const answer = await at.app.call('/v1/models', { token })
    return (await answer.json()).data.map(({ id }: { id: string }) => id)
  }
  const limit = (allowed_models: string[] | null) =>
    at.ask(`/v1/admin/tenants/${foreign}`, { method: 'PATCH', json: { allowed_models } })
  const limitPerson = (userId: string, allowed_models: string[] | null) =>
    at.ask(`/v1/admin/users/${userId}?tenant_id=${foreign}`, { method: 'PATCH', json: { allowed_models } })

  test('are not listed, and refused, by the tenant’s list and the person’s', async () => {
    await at.ask(at_(foreign, 'openai'), { method: 'DELETE' })
    const { token, userId } = await at.person(foreign)
    const all = await models(token)
    expect(all).toContain('echo')
    expect(all).toContain('many')
    await limit(['echo', 'many', 'no such model'])
    expect((await models(token)).toSorted()).toEqual(['echo', 'many'])
    expect((await say(token, { model: 'echo' })).status).toBe(200)
    const asked = provider.requests.length
    for (const json of [{ model: 'length' }, { model: 'length', stream: true }]) {
      const { status, text } = await say(token, json)
      expect([status, JSON.parse(text).error.code]).toEqual([403, 'FORBIDDEN'])
    }
    const openAi = { message: undefined, messages: [{ role: 'user', content: 'x' }], model: 'length' }
    expect((await say(token, openAi)).status).toBe(403)
    expect((await say(token, { model: 'embed', input: 'x' }, '/v1/embeddings')).status).toBe(403)
    expect((await at.app.call('/v1/models/length', { token })).status).toBe(404)
    await limitPerson(userId, ['many', 'length'])
    expect(await models(token)).toEqual(['many'])
    expect((await say(token, { model: 'echo' })).status).toBe(403)
    expect((await say(token, { model: 'length' })).status).toBe(403)
    expect(provider.requests.length).toBe(asked)
    // The model that answers when nobody chooses is one that they may use.
    const { status, text } = await say(token)
    expect([status, JSON.parse(text).model]).toEqual([200, 'many'])
    await limitPerson(userId, [])
    expect(await models(token)).toEqual([])
    expect((await say(token)).status).toBe(403)
    await limitPerson(userId, null)
    await limit(null)
    expect(await models(token)).toEqual(all)
  })

  test('are refused in a conversation that was begun with them', async () => {
    const { token } = await at.person(foreign)
    const { conversation_id } = JSON.parse((await say(token, { model: 'length' })).text)
    const patch = { method: 'PATCH', token, json: { model: 'length' } }
    expect((await at.app.call(`/v1/conversations/${conversation_id}`, patch)).status).toBe(200)
    await limit(['echo'])
    const asked = provider.requests.length
    const { status, text } = await say(token, { conversation_id })
    expect([status, JSON.parse(text).error?.code]).toEqual([403, 'FORBIDDEN'])
    expect(provider.requests.length).toBe(asked)
    await limit(null)
  })
})
