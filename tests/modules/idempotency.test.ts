/** `Idempotency-Key`, on Postgres: it is about races, and the embedded database has none. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'
import { createDatabase } from '../support/db'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { readSse } from '../support/read-sse'

let provider: FakeProvider
let app: TestApp
let token: string
let drop: () => Promise<void>

beforeAll(async () => {
  const database = await createDatabase()
  drop = database.drop
  provider = startFakeProvider()
  app = await testApp({
    DATABASE_URL: database.url,
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: 'sk-test',
    DEFAULT_MODEL: 'echo',
  })
  token = (await app.signUp()).token
})
afterAll(async () => {
  await app.close()
  await provider.stop()
  await drop()
})

const post = (json: object, headers: Record<string, string>, as = token) =>
  app.call('/v1/chat/completions', { token: as, json, headers })
const say = async (json: object, headers: Record<string, string>) =>
  (await post({ stream: false, ...json }, headers)).json()
const calls = () => provider.requests.filter(({ path }) => path.endsWith('/completions')).length
const key = () => ({ 'idempotency-key': crypto.randomUUID() })

test('a repeated request gets the first answer again', async () => {
  const headers = key()
  const first = await post({ message: 'once', stream: false }, headers)
  expect(first.headers.get('idempotency-replayed')).toBeNull()
  const before = calls()
  const again = await post({ message: 'once', stream: false }, headers)
  expect(again.headers.get('idempotency-replayed')).toBe('true')
  expect(await again.json()).toEqual(await first.json())
  expect(calls()).toBe(before)
})

test('a request repeated while the answer is written reads the same answer', async () => {
  const headers = key()
  const body = { message: 'go', model: 'slow:10:20' }
  const before = calls()
  const first = readSse(await post(body, headers))
  const again = readSse(await post(body, headers))
  expect((await again).frames).toEqual((await first).frames)
  expect((await first).text).toEndWith('t20')
  expect(calls()).toBe(before + 1)
})

test('of twenty requests at once, one is sent to the provider and all get its answer', async () => {
  const headers = key()
  const before = calls()
  const all = await Promise.all(
    Array.from({ length: 20 }, async () => readSse(await post({ message: 'go', model: 'slow:5:10' }, headers))),
  )
  for (const { frames, done } of all) {
    expect(done).toBe(true)
    expect(frames).toEqual(all[0]?.frames ?? [])
  }
  expect(all[0]?.text).toEndWith('t10')
  expect(calls()).toBe(before + 1)
  expect(app.services.runs.active).toBe(0)
})

test('the key of another request, or one that is no key, is refused', async () => {
  const headers = key()
  await say({ message: 'this' }, headers)
  const before = calls()
  const other = await post({ message: 'that' }, headers)
  expect(other.status).toBe(422)
  expect((await other.json()).error.message).toContain('Idempotency-Key')
  expect((await post({ message: 'x' }, { 'idempotency-key': 'x'.repeat(300) })).status).toBe(422)
  expect(calls()).toBe(before)
})

test('the same key of two people is two keys', async () => {
  const headers = key()
  const mine = await say({ message: 'same' }, headers)
  const other = await app.signUp()
  const theirs = await post({ message: 'same', stream: false }, headers, other.token)
  expect(theirs.headers.get('idempotency-replayed')).toBeNull()
  expect((await theirs.json()).conversation_id).not.toBe(mine.conversation_id)
})
