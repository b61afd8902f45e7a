/** `Idempotency-Key` where an operation does not look after it itself, on Postgres: it is about races. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Pool } from 'pg'
import { newId } from '../../src/lib/ids'
import { type CallInit, type TestApp, testApp } from '../support/app'
import { createDatabase } from '../support/db'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'

let provider: FakeProvider
let app: TestApp
let pool: Pool
let token: string
let userId: string
let drop: () => Promise<void>

beforeAll(async () => {
  const database = await createDatabase()
  drop = database.drop
  pool = new Pool({ connectionString: database.url, max: 2 })
  pool.on('error', () => {})
  provider = startFakeProvider()
  app = await testApp({
    DATABASE_URL: database.url,
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: 'sk-test',
    DEFAULT_MODEL: 'echo',
  })
  ;({ token, userId } = await app.signUp())
})
afterAll(async () => {
  await app.close()
  await provider.stop()
  await pool.end()
  await drop()
})

const post = (path: string, key: string, init: CallInit = {}) =>
  app.call(path, { token, method: 'POST', ...init, headers: { 'idempotency-key': key, ...init.headers } })
const newKey = (key: string, name = 'laptop') => post('/v1/keys', key, { json: { name } })
const replayed = (answer: Response) => answer.headers.get('idempotency-replayed')
const calls = () => provider.requests.filter(({ path }) => path.endsWith('/completions')).length
const rows = async (key: string) =>
  (await pool.query('select * from idempotency_keys where user_id = $1 and key = $2', [userId, key])).rows
const keysOf = async () => (await (await app.call('/v1/keys', { token })).json()).data.length
const stateless = (stream: boolean, model = 'echo') => ({
  json: { model, stream, messages: [{ role: 'user', content: 'hello' }] },
})

test('gives a repeated request the same bytes, status and type, and does it once', async () => {
  const key = newId()
  const before = await keysOf()
  const first = await newKey(key)
  const again = await newKey(key)
  expect([first.status, again.status, replayed(first), replayed(again)]).toEqual([201, 201, null, 'true'])
  expect(again.headers.get('content-type')).toStartWith('application/json')
  expect(await again.text()).toBe(await first.text())
  expect(await keysOf()).toBe(before + 1)
})

test('keeps an answer encrypted', async () => {
  const key = newId()
  const { data } = await (await newKey(key)).json()
  const [row] = await rows(key)
  expect(row).toMatchObject({ state: 'done', status: 201, operation: 'POST /v1/keys' })
  expect(row.body.length).toBeGreaterThan(50)
  expect(Buffer.from(row.body).includes(data.key)).toBe(false)
  expect(JSON.stringify(row)).not.toContain('laptop')
})

test('does not open what was moved to another key', async () => {
  const [one, other] = [newId(), newId()]
  await newKey(one, 'one')
  await newKey(other, 'other')
  await pool.query(
    'update idempotency_keys set body = (select body from idempotency_keys where key = $1) where key = $2',
    [one, other],
  )
  const answer = await newKey(other, 'other')
  expect(answer.status).toBe(409)
  expect((await answer.json()).error.message).toContain('cannot be read')
})

test('of fifty requests at once, one is done', async () => {
  const key = newId()
  const before = await keysOf()
  const all = await Promise.all(Array.from({ length: 50 }, () => newKey(key)))
  const texts = new Set<string>()
  for (const answer of all) {
    expect([201, 409]).toContain(answer.status)
    if (answer.status === 409) expect(answer.headers.get('retry-after')).toBe('1')
    else texts.add(await answer.text())
  }
  expect(texts.size).toBe(1)
  expect(await keysOf()).toBe(before + 1)
})

test('refuses the key of another request, and what is no key', async () => {
  const key = newId()
  await newKey(key)
  const other = await newKey(key, 'phone')
  expect(other.status).toBe(422)
  expect((await other.json()).error.message).toContain('used with a different request')
  const path = await post('/v1/conversations/batch', key, { json: { name: 'laptop' } })
  expect(path.status).toBe(422)
  for (const bad of ['', 'a b', 'é', 'x'.repeat(256)]) {
    const answer = await newKey(bad)
    expect([bad, answer.status]).toEqual([bad, 422])
    expect((await answer.json()).error.message).toContain('Idempotency-Key')
  }
  expect((await newKey('~'.repeat(255))).status).toBe(201)
})

test('the same key of two people is two keys', async () => {
  const key = newId()
  await newKey(key)
  const other = await app.signUp()
  const theirs = await post('/v1/keys', key, { token: other.token, json: { name: 'laptop' } })
  expect([theirs.status, replayed(theirs)]).toEqual([201, null])
})

test('keeps a refusal of what was asked, with its words', async () => {
  const key = newId()
  const about = () => post(`/v1/messages/${newId()}/feedback`, newId(), { json: { kind: 'thumbs_up' } })
  expect((await about()).status).toBe(404)
  const path = `/v1/messages/${newId()}/feedback`
  const first = await post(path, key, { json: { kind: 'thumbs_up' } })
  const again = await post(path, key, { json: { kind: 'thumbs_up' } })
  expect([first.status, again.status, replayed(again)]).toEqual([404, 404, 'true'])
  expect(await again.text()).toBe(await first.text())
})

test('takes the key again after a refusal before the work began', async () => {
  const key = newId()
  expect((await post('/v1/keys', key, { json: { name: 7 } })).status).toBe(422)
  expect((await post('/v1/keys', key, { json: { name: 'x' }, token: 'nobody' })).status).toBe(401)
  expect((await newKey(key)).status).toBe(201)
})

test('frees the key after a failure that may pass', async () => {
  const key = newId()
  const before = calls()
  const failing = () => post('/v1/chat/completions', key, stateless(false, 'status:500'))
  const first = await failing()
  expect(first.status).toBeGreaterThanOrEqual(500)
  await first.text()
  expect(await rows(key)).toEqual([])
  const again = await failing()
  expect(replayed(again)).toBeNull()
  expect(calls()).toBeGreaterThan(before + 1)
})

test('gives a stateless answer again without asking a model', async () => {
  for (const stream of [false, true]) {
    const key = newId()
    const first = await (await post('/v1/chat/completions', key, stateless(stream))).text()
    const before = calls()
    const again = await post('/v1/chat/completions', key, stateless(stream))
    expect(replayed(again)).toBe('true')
    expect(again.headers.get('content-type')).toStartWith(stream ? 'text/event-stream' : 'application/json')
    expect(await again.text()).toBe(first)
    expect(calls()).toBe(before)
  }
})

test('does not keep a stream that was cut by its reader', async () => {
  const key = newId()
  const slow = () => post('/v1/chat/completions', key, stateless(true, 'slow:20:200'))
  const answer = await slow()
  const reader = answer.body?.getReader()
  await reader?.read()
  const meanwhile = await slow()
  expect([meanwhile.status, meanwhile.headers.get('retry-after')]).toEqual([409, '1'])
  // OpenAI's clients read OpenAI's errors.
  expect((await meanwhile.json()).error).toHaveProperty('type')
  await reader?.cancel()
  expect(await rows(key)).toEqual([])
})

test('does not keep a stream that ended in a failure', async () => {
  const key = newId()
  const text = await (await post('/v1/chat/completions', key, stateless(true, 'error-after:3'))).text()
  expect(text).toContain('data: {"error":')
  expect(await rows(key)).toEqual([])
})

test('gives what was compressed again, to those who take that and to others', async () => {
  const key = newId()
  const conversations = Array.from({ length: 60 }, (_, i) => ({ id: newId(), title: `title ${i}` }))
  const batch = (encoding: string) =>
    post('/v1/conversations/batch', key, {
      json: { operations: conversations },
      headers: { 'accept-encoding': encoding },
    })
  const first = await batch('gzip')
  expect([first.status, first.headers.get('content-encoding')]).toEqual([200, 'gzip'])
  const again = await batch('gzip')
  expect(replayed(again)).toBe('true')
  expect(await again.text()).toBe(Buffer.from(Bun.gunzipSync(await first.bytes())).toString())
})

test('frees the key of a process that died, for the same request only', async () => {
  const key = newId()
  await newKey(key)
  const [kept] = await rows(key)
  await pool.query(
    `update idempotency_keys set state = 'running', status = null, headers = null, body = null, instance_id = $2 where key = $1`,
    [key, newId()],
  )
  expect((await newKey(key, 'phone')).status).toBe(422)
  const again = await newKey(key)
  expect([again.status, replayed(again)]).toEqual([201, null])
  expect((await rows(key))[0]).toMatchObject({ state: 'done', instance_id: kept.instance_id })
})

test('waits for a process that lives', async () => {
  const key = newId()
  const other = newId()
  await newKey(key)
  await app.services.store.runs.heartbeat(other)
  await pool.query(`update idempotency_keys set state = 'running', instance_id = $2 where key = $1`, [key, other])
  expect((await newKey(key)).status).toBe(409)
  await app.services.store.runs.leave(other)
  expect((await newKey(key)).status).toBe(201)
})

test('forgets a key after a day', async () => {
  const key = newId()
  await newKey(key)
  const [{ created_at, expires_at }] = await rows(key)
  expect(expires_at - created_at).toBe(24 * 3_600_000)
  await pool.query(`update idempotency_keys set expires_at = now() - interval '1 second' where key = $1`, [key])
  const again = await newKey(key, 'phone')
  expect([again.status, replayed(again)]).toEqual([201, null])
})

test('gives the answer of a request without a body again', async () => {
  const chat = await app.call('/v1/chat/completions', { token, json: { message: 'hello', stream: false } })
  const { run_id } = await chat.json()
  const key = newId()
  const stop = (init?: CallInit) => post(`/v1/runs/${run_id}/stop`, key, init)
  const [first, again] = [await stop(), await stop()]
  expect([first.status, again.status, replayed(again)]).toEqual([200, 200, 'true'])
  expect((await stop({ json: {} })).status).toBe(422)
  expect((await stop({ body: new Uint8Array([65]) })).status).toBe(415)
})
