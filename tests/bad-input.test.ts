/** Nonsense on every route: refused with a sentence, never a 5xx, and nothing is written. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Pool } from 'pg'
import { type TestApp, testApp } from './support/app'
import { createDatabase } from './support/db'

const MAX = 262_144
const OWNER = { email: 'owner@example.com', password: 'correct horse battery' }
let app: TestApp
let base: string
let pool: Pool
let drop: () => Promise<void>
let token: string
/** Whom nothing is refused for who they are. */
let owner: string
/** What cannot be signed out: keeps the route that does so from turning the next refusals into 401s. */
let apiKey: string

beforeAll(async () => {
  const database = await createDatabase()
  drop = database.drop
  pool = new Pool({ connectionString: database.url, max: 2 })
  app = await testApp({
    DATABASE_URL: database.url,
    MAX_BODY_BYTES: String(MAX),
    ADMIN_EMAIL: OWNER.email,
    ADMIN_PASSWORD: OWNER.password,
  })
  base = app.listen()
  token = (await app.signUp()).token
  owner = (await (await app.call('/api/v1/auth/login', { json: OWNER })).json()).tokens.access_token
  const created = await app.call('/v1/keys', { token, json: { name: 'mine' } })
  apiKey = (await created.json()).data.key
})
afterAll(async () => {
  await app.close()
  await pool.end()
  await drop()
})

const json = { 'content-type': 'application/json' }
const chunked = (text: string) =>
  new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < text.length; at += 50_000) controller.enqueue(Buffer.from(text.slice(at, at + 50_000)))
      controller.close()
    },
  })
const FIELDS = [
  'message',
  'messages',
  'email',
  'password',
  'name',
  'refresh_token',
  'title',
  'conversation_id',
  'message_id',
]
const all = (value: unknown) => JSON.stringify(Object.fromEntries(FIELDS.map((field) => [field, value])))
const hidden =
  '{"message":"x","email":"a@example.com","password":"password123","name":"x","refresh_token":"x","title":"x"}'

/** Each is nothing that any route accepts. */
const NONSENSE: Record<string, () => RequestInit> = {
  'no body': () => ({}),
  'no body, called JSON': () => ({ headers: json }),
  null: () => ({ headers: json, body: 'null' }),
  'an array': () => ({ headers: json, body: '[]' }),
  'a string': () => ({ headers: json, body: '"x"' }),
  'a number': () => ({ headers: json, body: '5' }),
  'half of it': () => ({ headers: json, body: '{"message": "x"' }),
  'wrong types': () => ({ headers: json, body: all({ not: 'this' }) }),
  'objects that no text can be made of': () => ({ headers: json, body: all({ toString: 5, valueOf: 5 }) }),
  numbers: () => ({ headers: json, body: all(5) }),
  'NUL in the wrong place': () => ({ headers: json, body: all(['\\u0000']).replaceAll('\\\\', '\\') }),
  'half surrogates in the wrong place': () => ({ headers: json, body: all(['\\ud800']).replaceAll('\\\\', '\\') }),
  'arrays 100,000 deep': () => ({ headers: json, body: '['.repeat(100_000) + ']'.repeat(100_000) }),
  'objects 20,000 deep': () => ({ headers: json, body: '{"a":'.repeat(20_000) + 1 + '}'.repeat(20_000) }),
  'bad UTF-8': () => ({ headers: json, body: Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]) }),
  'another content type': () => ({
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'message=x',
  }),
  'a broken form': () => ({ headers: { 'content-type': 'multipart/form-data; boundary=x' }, body: '--y' }),
  'fields only in __proto__': () => ({ headers: json, body: `{"__proto__":${hidden}}` }),
  'fields only in constructor.prototype': () => ({ headers: json, body: `{"constructor":{"prototype":${hidden}}}` }),
  'too much': () => ({ headers: json, body: JSON.stringify({ message: 'x'.repeat(MAX) }) }),
  'too much, in chunks': () => ({ headers: json, body: chunked(JSON.stringify({ message: 'x'.repeat(MAX) })) }),
  'far too much, in chunks': () => ({ headers: json, body: chunked(JSON.stringify({ message: 'x'.repeat(5 * MAX) })) }),
}
/** Need none of the fields: an object without any is not wrong for them. */
const NEED_NOTHING = ['/v1/conversations', '/api/v1/conversations', '/v1/export/conversations']
/** A chat's id is the page's own word, and stopping it takes no body: nothing was being written there. */
const isOwnWord = (path: string) => path.startsWith('/api/chat/')
/** Signing out needs no body: what carries none of its fields says just that. */
const SIGNS_OUT = /^(no body|null|an array|a string|a number|fields only)/

async function rowCounts(): Promise<Record<string, number>> {
  const tables = await pool.query("select tablename from pg_tables where schemaname = 'public'")
  const counts: Record<string, number> = {}
  for (const { tablename } of tables.rows) {
    counts[tablename] = Number((await pool.query(`select count(*) as n from "${tablename}"`)).rows[0].n)
  }
  return counts
}

const routesWith = (methods: RegExp) =>
  app.app.routes.filter(({ method, path }) => methods.test(method) && path !== '/*')

async function problemOf(response: Response): Promise<string> {
  const text = await response.text()
  // Pages of the AI SDK get the message itself.
  if (response.headers.has('x-error-code')) return `${response.status} ${text ? 'with a message' : text}`
  // The Observatory's surface says what FastAPI would.
  const { error, detail } = JSON.parse(text)
  const said = (typeof error === 'object' && error.message) || detail?.length > 0
  return `${response.status} ${said ? 'with a message' : text}`
}

const whose = (path: string) => (path.startsWith('/v1/admin/') ? owner : token)
const send = (method: string, path: string, { headers, ...init }: RequestInit, credential = whose(path)) =>
  fetch(base + path, { method, ...init, headers: { authorization: `Bearer ${credential}`, ...headers } })

test.each(Object.keys(NONSENSE))('every route that takes a body refuses %s', async (name) => {
  const routes = routesWith(/POST|PUT|PATCH/)
  expect(routes.length).toBeGreaterThan(8)
  const before = await rowCounts()
  for (const { method, path } of routes) {
    if (name.startsWith('fields only') && NEED_NOTHING.includes(path)) continue
    const init = NONSENSE[name]?.() ?? {}
    const signsOut = path.endsWith('/logout')
    const response = await send(method, withIds(path, crypto.randomUUID()), init, signsOut ? apiKey : whose(path))
    if (signsOut && response.status === 200) {
      expect(name).toMatch(SIGNS_OUT)
      continue
    }
    if (isOwnWord(path) && response.status === 200) {
      expect(await response.json()).toEqual({ stopped: false })
      continue
    }
    expect(`${method} ${path}: ${await problemOf(response)}`).toMatch(/: 4(?!01)\d\d with a message$/)
  }
  expect(await rowCounts()).toEqual(before)
  expect((await fetch(`${base}/live`)).status).toBe(200)
})

/** What some addresses must say besides. */
const QUERIES: Record<string, string> = {
  stream: '?message=x',
  compare: `?a=${crypto.randomUUID()}&b=${crypto.randomUUID()}`,
}

/** A path with this id wherever one belongs. */
const withIds = (path: string, id: string) =>
  path.replaceAll(/:\w+/g, id) + (QUERIES[path.split('/').at(-1) ?? ''] ?? '')

/** What the documentation of each operation sends, so that nothing but the id is wrong. */
async function exampleBodies(): Promise<Map<string, unknown>> {
  const { paths } = await (await app.call('/openapi.json')).json()
  const bodies = new Map<string, unknown>()
  for (const [path, methods] of Object.entries<Record<string, { requestBody?: { content?: Record<string, Media> } }>>(
    paths,
  )) {
    for (const [method, { requestBody }] of Object.entries(methods)) {
      const { schema } = requestBody?.content?.['application/json'] ?? {}
      bodies.set(`${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`, schema?.examples?.[0])
    }
  }
  return bodies
}
interface Media {
  schema?: { examples?: unknown[] }
}

test('every route with an id refuses unknown ones and what is none', async () => {
  const examples = await exampleBodies()
  const routes = app.app.routes.filter(({ path }) => path.includes(':id') && !isOwnWord(path))
  expect(routes.length).toBeGreaterThan(5)
  const before = await rowCounts()
  for (const { method, path } of routes) {
    const example = examples.get(`${method} ${path}`)
    const body = example === undefined ? {} : { headers: json, body: JSON.stringify(example) }
    const unknown = await send(method, withIds(path, crypto.randomUUID()), body)
    expect(`${method} ${path}: ${await problemOf(unknown)}`).toEndWith(': 404 with a message')
    for (const id of [
      '1',
      'x'.repeat(5000),
      "'; drop table users; --",
      '%00',
      '%ff',
      '%F0%9F%98%80',
      '__proto__',
      '..%2f..',
    ]) {
      const bad = await send(method, withIds(path, id), body)
      expect(`${method} ${path} ${id}: ${await problemOf(bad)}`).toMatch(/: 4(?!01)\d\d with a message$/s)
    }
  }
  expect(await rowCounts()).toEqual(before)
})

test('ids in bodies that name nothing write nothing', async () => {
  const id = crypto.randomUUID()
  const before = await rowCounts()
  for (const [path, body, status] of [
    ['/v1/chat/completions', { message: 'x', conversation_id: id }, 404],
    ['/v1/chat/completions', { message: 'x', parent_message_id: id }, 422],
    ['/v1/chat/completions', { message: 'x', conversation_id: 'none' }, 422],
    ['/v1/chat/completions', { messages: [{ role: 'user', content: 'x' }], conversation_id: id }, 404],
    ['/v1/chat/completions', { messages: [{ role: 'user', content: 'x' }], conversation_id: 'none' }, 400],
    ['/v1/chat/regenerate', { conversation_id: id, message_id: id }, 404],
  ] as const) {
    const answer = await app.call(path, { token, json: body })
    expect([path, body, answer.status]).toEqual([path, body, status])
  }
  expect(await rowCounts()).toEqual(before)
})

test('takes NUL and half surrogates in text, and stores what a database can hold', async () => {
  const body = '{"message":"a\\u0000b\\ud800c","model":"demo/eliza","stream":false,"__proto__":{"polluted":true}}'
  const answer = await app.call('/v1/chat/completions', { token, headers: json, body, method: 'POST' })
  expect(answer.status).toBe(200)
  const { conversation_id } = await answer.json()
  const path = await (await app.call(`/v1/conversations/${conversation_id}/messages`, { token })).json()
  expect(path.data.items[0].content).toBe('a\uFFFDb\uFFFDc')
  const title = '{"title":"\\u0000\\udfff","system_prompt":"\\u0000"}'
  const patched = await app.call(`/v1/conversations/${conversation_id}`, {
    token,
    headers: json,
    body: title,
    method: 'PATCH',
  })
  expect((await patched.json()).data).toMatchObject({ title: '\uFFFD\uFFFD', system_prompt: '\uFFFD' })
  expect('polluted' in {}).toBe(false)
})

test('far beyond the limit the runtime itself refuses, before anything is read', async () => {
  const body = JSON.stringify({ message: 'x'.repeat(5 * MAX) })
  const before = await rowCounts()
  expect((await send('POST', '/v1/chat/completions', { headers: json, body })).status).toBe(413)
  expect(await rowCounts()).toEqual(before)
})
