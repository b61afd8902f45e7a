import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Pool } from 'pg'
import { newId } from '../src/lib/ids'
import { type TestApp, testApp } from './support/app'
import { createDatabase } from './support/db'
import { type FakeProvider, startFakeProvider } from './support/fake-provider'

/**
 * Every write of the OpenAPI document, sent twice with one `Idempotency-Key`. New ones join by themselves, with the example
 * of their body.
 */

/** Nobody is known there, or not any more, and answers hold tokens: the key is not read. */
const WITHOUT_KEY = [
  'POST /api/v1/auth/login',
  'POST /api/v1/auth/logout',
  'POST /api/v1/auth/refresh',
  'POST /api/v1/auth/register',
]

interface Operation {
  security?: object[]
  parameters?: { name: string }[]
  requestBody?: { content?: Record<string, { schema?: { examples?: unknown[]; anyOf?: { examples?: unknown[] }[] } }> }
}

let app: TestApp
let pool: Pool
let provider: FakeProvider
let drop: () => Promise<void>
let token: string
let userId: string
let operations: { name: string; method: string; path: string; body: unknown; keyed: boolean }[]

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
  pool = new Pool({ connectionString: database.url, max: 2 })
  pool.on('error', () => {})
  ;({ token, userId } = await app.signUp())
  const { paths } = (await (await app.call('/openapi.json')).json()) as {
    paths: Record<string, Record<string, Operation>>
  }
  operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([method]) => method !== 'get')
      .map(([method, { requestBody, parameters = [] }]) => {
        const { schema } = requestBody?.content?.['application/json'] ?? {}
        const body = schema?.examples?.[0] ?? schema?.anyOf?.[0]?.examples?.[0]
        const keyed = parameters.filter(({ name }) => name.toLowerCase() === 'idempotency-key').length === 1
        const name = `${method.toUpperCase()} ${path.replace(/\/$/, '')}`
        return { name, method: method.toUpperCase(), path, body, keyed }
      }),
  )
})
afterAll(async () => {
  await app.close()
  await provider.stop()
  await pool.end()
  await drop()
})

const chat = async (more: object = {}) =>
  (await app.call('/v1/chat/completions', { token, json: { message: 'Hello', stream: false, ...more } })).json()

/** One of everything, in the words of the examples and of the paths. Nobody may have many keys. */
async function place(path = '') {
  const { conversation_id, branch_id, message_id, run_id } = await chat()
  const again = { conversation_id, message_id, stream: false }
  const { branch_id: other } = await (await app.call('/v1/chat/regenerate', { token, json: again })).json()
  const key = path.startsWith('/v1/keys/') ? await newKey() : ''
  return { conversation_id, branch_id, message_id, run_id, other, key }
}
const newKey = async (): Promise<string> =>
  (await (await app.call('/v1/keys', { token, json: { name: 'laptop' } })).json()).data.id
type Place = Awaited<ReturnType<typeof place>>

function addressed({ path }: { path: string }, at: Place): string {
  const ids: Record<string, string> = {
    conversations: at.conversation_id,
    branches: at.other,
    messages: at.message_id,
    runs: at.run_id,
    responses: `resp_${at.run_id.replaceAll('-', '')}`,
    chat: at.conversation_id,
    keys: at.key,
  }
  return path.replaceAll(/([\w-]+)\/\{\w+\}/g, (_, kind: string) => `${kind}/${ids[kind] ?? `no word for ${kind}`}`)
}

const bodyAt = (body: unknown, at: Place): unknown =>
  JSON.parse(
    JSON.stringify(body ?? {})
      .replaceAll('demo/eliza', 'echo')
      .replaceAll(
        /0199c0de-0000-7000-8000-00000000000([0-9a-f])/g,
        (id, digit: string) =>
          ({ 1: at.conversation_id, 2: at.branch_id, 3: at.message_id, 4: at.run_id })[digit] ?? id,
      ),
  )

/** Everything the person has. */
async function everything(): Promise<string> {
  const { rows } = await pool.query(
    `select 'c' as kind, to_jsonb(c) as row from conversations c where user_id = $1
     union all select 'm', to_jsonb(m) from messages m where user_id = $1
     union all select 'b', to_jsonb(b) from branches b join conversations c on c.id = b.conversation_id where c.user_id = $1
     union all select 'r', to_jsonb(r) from runs r where user_id = $1
     union all select 'k', to_jsonb(k) - 'last_used_at' from api_keys k where user_id = $1
     union all select 'f', to_jsonb(f) from feedback f where user_id = $1
     union all select 'd', to_jsonb(d) from deletions d where user_id = $1
     order by 1, 2`,
    [userId],
  )
  return JSON.stringify(rows)
}

/** What differs between two tellings of the same answer. */
const plain = (text: string) => text.replaceAll(': hb\n\n', '').replaceAll(/"request_id":"[^"]*"/g, '"request_id":""')

test('every write of somebody who is known is documented with the key, and no other', () => {
  expect(
    operations
      .filter(({ keyed }) => !keyed)
      .map(({ name }) => name)
      .sort(),
  ).toEqual(WITHOUT_KEY)
})

test('every write that comes again gets the same answer and changes nothing', async () => {
  for (const operation of operations.filter(({ name }) => !WITHOUT_KEY.includes(name))) {
    const at = await place(operation.path)
    const path = addressed(operation, at)
    const key = newId()
    const headers = { 'idempotency-key': key }
    const init = { method: operation.method, token, headers, json: bodyAt(operation.body, at) }
    const first = await app.call(path, init)
    const told = plain(await first.text())
    const after = await everything()
    const again = await app.call(path, init)
    const retold = plain(await again.text())
    expect([operation.name, again.status, retold]).toEqual([operation.name, first.status, told])
    expect([operation.name, first.status < 500]).toEqual([operation.name, true])
    expect([operation.name, await everything()]).toEqual([operation.name, after])
    // No operation looks after its key in two ways.
    const holders = await pool.query(
      'select 1 from idempotency_keys where key = $1 union all select 1 from runs where idempotency_key = $1',
      [key],
    )
    expect([operation.name, Number(holders.rowCount) <= 1]).toEqual([operation.name, true])
  }
}, 120_000)

test('the list of what takes no key names only what there is', () => {
  const names = operations.map(({ name }) => name)
  expect(WITHOUT_KEY.filter((name) => !names.includes(name))).toEqual([])
  expect(names.length).toBeGreaterThan(30)
})

test('what is done and comes again with the state before it gets its answer, not a conflict', async () => {
  const { conversation_id: id, branch_id: branch, message_id: message, other } = await place()
  const question = String(
    (await (await app.call(`/v1/conversations/${id}/messages`, { token })).json()).data.items[0].id,
  )
  const base = `/v1/conversations/${id}`
  const writes: [string, string, object | undefined][] = [
    ['POST', `${base}/branches`, { parent_message_id: question, name: 'Aside' }],
    ['POST', `${base}/branches/${other}/merge`, { onto_branch_id: branch }],
    ['POST', `${base}/branches/${other}/activate`, undefined],
    ['PATCH', `${base}/branches/${other}`, { name: 'Renamed' }],
    ['PATCH', `/v1/messages/${question}`, { content: 'Said differently' }],
    ['PATCH', base, { title: 'Another' }],
    ['DELETE', `/v1/messages/${message}`, undefined],
    ['DELETE', `${base}/branches/${other}`, undefined],
    ['DELETE', base, undefined],
  ]
  for (const [method, path, json] of writes) {
    const etag = String((await app.call(base, { token })).headers.get('etag'))
    const headers = { 'if-match': etag, 'idempotency-key': newId() }
    const send = (more: object = {}) => app.call(path, { method, token, headers: { ...headers, ...more }, json })
    const first = await send()
    const state = await everything()
    const again = await send()
    expect([path, again.status, again.headers.get('etag')]).toEqual([path, 200, first.headers.get('etag')])
    expect(await again.json()).toEqual(await first.json())
    expect(await everything()).toBe(state)
    // Another request with that state is refused as ever, if it would change anything.
    if (path === `${base}/branches` || (path === base && method === 'DELETE')) continue
    expect([path, [404, 409]]).toEqual([
      path,
      expect.arrayContaining([(await send({ 'idempotency-key': newId() })).status]),
    ])
  }
})
