/** Uploads as large as people's exports: over a socket, on a real Postgres. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { type CallInit, type TestApp, testApp } from '../support/app'
import { chatGptExport } from '../support/chatgpt-export'
import { endChildren, newDir, signUp, start } from '../support/child'
import { createDatabase } from '../support/db'
import { forge, seconds } from '../support/forge'
import { until } from '../support/servers'

const JWT_SECRET_KEY = 'a secret that this server knows, and nobody else'
const PATH = '/v1/import/conversations'
const MAX = 1_000_000

let app: TestApp
let base: string
let database: Awaited<ReturnType<typeof createDatabase>>
beforeAll(async () => {
  database = await createDatabase()
  const limits = { MAX_BODY_BYTES: '20000', MAX_IMPORT_BYTES: String(MAX) }
  app = await testApp({ JWT_SECRET_KEY, DATABASE_URL: database.url, ...limits })
  base = app.listen()
})
afterAll(async () => {
  await app.close()
  await endChildren()
  await database.drop()
})

const newToken = () =>
  forge({ alg: 'HS256', typ: 'JWT' }, { sub: crypto.randomUUID(), exp: seconds(3600) }, JWT_SECRET_KEY)
const json = { 'content-type': 'application/json' }
const send = (token: string, body: BodyInit, { headers = json, ...init }: CallInit = {}) =>
  fetch(`${base}${PATH}`, { method: 'POST', body, headers: { authorization: `Bearer ${token}`, ...headers }, ...init })
const titlesOf = async (token: string): Promise<string[]> => {
  const answer = await app.call('/v1/conversations?limit=100&sort=created_at', { token })
  return (await answer.json()).data.items.map(({ title }: { title: string }) => title).sort()
}

const one = (number: number, words = 'x') => ({
  id: `c${number}`,
  title: `Conversation ${number}`,
  messages: [{ role: 'user', content: words }],
})
/** A body without a length, that says more for as long as somebody listens. */
const endless = (first: string, more: () => string) =>
  new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(Buffer.from(first)),
    async pull(controller) {
      await Bun.sleep(2)
      controller.enqueue(Buffer.from(more()))
    },
  })

test('40 MB go in with little memory, and the answer does not grow with them', async () => {
  const own = await createDatabase()
  const server = await start({ DATABASE_URL: own.url, DATA_DIR: newDir() })
  try {
    const { stream, made } = chatGptExport(40_000_000)
    const token = await signUp(server)
    const memory = (of: string) =>
      Number(new RegExp(`${of}:\\s+(\\d+)`).exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1]) * 1024
    const before = memory('VmRSS')
    // From here on the peak is counted anew.
    writeFileSync(`/proc/${server.pid}/clear_refs`, '5')
    const headers = { authorization: `Bearer ${token}`, ...json }
    const answer = await fetch(server.base + PATH, { method: 'POST', body: stream, headers })
    const { data } = await answer.json()
    const { conversations, ...numbers } = data
    expect(numbers).toEqual({
      imported: made.conversations,
      skipped: 0,
      dry_run: false,
      messages: made.conversations * 20,
      skipped_because: {},
      repairs: {},
      broken: null,
      omitted: made.conversations - 1000,
    })
    expect(conversations).toHaveLength(1000)
    expect(memory('VmHWM') - before).toBeLessThan(150_000_000)
  } finally {
    server.kill('SIGKILL')
    await server.exited
    await own.drop()
  }
}, 120_000)

test('a body may be larger here than elsewhere, and not beyond its own limit', async () => {
  const token = newToken()
  const large = JSON.stringify([one(1, 'x'.repeat(100_000))])
  expect((await send(token, large)).status).toBe(200)
  const slash = await app.call(`${PATH}/`, { token, method: 'POST', body: large, headers: json })
  expect((await slash.json()).data).toMatchObject({ imported: 0, skipped: 1 })
  const elsewhere = await fetch(`${base}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, ...json },
    body: JSON.stringify({ message: 'x'.repeat(100_000) }),
  })
  expect(elsewhere.status).toBe(413)
  const answer = await send(token, 'x'.repeat(MAX + 1))
  expect([answer.status, (await answer.json()).error.message]).toEqual([413, expect.stringContaining(String(MAX))])
})

test('a body that does not say its length is cut off at the limit; what came before is in', async () => {
  const token = newToken()
  let number = 0
  const body = endless('[', () => `${number ? ',' : ''}${JSON.stringify(one(++number, 'x'.repeat(100_000)))}`)
  const answer = await send(token, body)
  const { error } = await answer.json()
  expect([answer.status, error.code]).toEqual([413, 'PAYLOAD_TOO_LARGE'])
  const titles = await titlesOf(token)
  expect(error.details).toEqual({ imported: titles.length, skipped: 0 })
  // Several may come together, and are not looked at when the last of them is too much.
  expect(titles.length).toBeWithin(1, 10)
})

test('a stranger is refused before the body is read', async () => {
  const socket = connect(Number(new URL(base).port), '127.0.0.1')
  const head = [`POST ${PATH} HTTP/1.1`, 'Host: localhost', 'Content-Type: application/json', 'Content-Length: 900000']
  socket.write(`${head.join('\r\n')}\r\n\r\n[{"messages":`)
  const answer = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data))))
  socket.destroy()
  expect(answer).toStartWith('HTTP/1.1 401')
})

test('a body that ends before the length it said has in what came', async () => {
  const token = newToken()
  const socket = connect(Number(new URL(base).port), '127.0.0.1')
  const head = [`POST ${PATH} HTTP/1.1`, 'Host: localhost', 'Content-Type: application/json', 'Content-Length: 900000']
  socket.write(`${[...head, `Authorization: Bearer ${token}`].join('\r\n')}\r\n\r\n[${JSON.stringify(one(1))},{"id":`)
  await until(async () => (await titlesOf(token)).length === 1)
  socket.destroy()
  expect((await (await send(token, JSON.stringify([one(1), one(2)]))).json()).data).toMatchObject({
    imported: 1,
    skipped: 1,
  })
})

test('where a file breaks, what came before is in, and the mended file brings the rest', async () => {
  const token = newToken()
  const whole = JSON.stringify([1, 2, 3, 4].map((number) => one(number)))
  const cut = whole.slice(0, whole.indexOf('"c3"') + 8)
  const broken = { after: 2, message: expect.stringContaining('ends too early') }
  const first = (await (await send(token, cut)).json()).data
  expect(first).toMatchObject({ imported: 2, skipped: 0, broken })
  expect(await titlesOf(token)).toEqual(['Conversation 1', 'Conversation 2'])
  const again = (await (await send(token, cut)).json()).data
  expect(again).toMatchObject({ imported: 0, skipped: 2, skipped_because: { exists: 2 }, broken })
  const mended = (await (await send(token, whole)).json()).data
  expect(mended).toMatchObject({ imported: 2, skipped: 2, broken: null, messages: 2 })
  expect(await titlesOf(token)).toHaveLength(4)
  expect((await (await send(token, whole)).json()).data).toMatchObject({ imported: 0, skipped: 4 })
})

test('a dry run of a broken file says the same, and does nothing', async () => {
  const token = newToken()
  const body = `[${JSON.stringify(one(1))},${JSON.stringify(one(1))},{`
  const answer = await app.call(`${PATH}?dry_run=true`, { token, method: 'POST', body, headers: json })
  const { data } = await answer.json()
  expect(data).toMatchObject({ imported: 1, skipped: 1, dry_run: true, broken: { after: 2 } })
  expect(await titlesOf(token)).toEqual([])
})

test('several at once stay in order, and the first of two of the same name is the one that goes in', async () => {
  const token = newToken()
  const list = Array.from({ length: 40 }, (_, i) => ({
    ...one(i % 20, 'x'.repeat(i < 20 ? 5000 : 1)),
    title: `Number ${i}`,
  }))
  const { data } = await (await send(token, JSON.stringify(list))).json()
  expect(data.conversations.map(({ title }: { title: string }) => title)).toEqual(list.map(({ title }) => title))
  expect(data).toMatchObject({ imported: 20, skipped_because: { exists: 20 } })
  expect(await titlesOf(token)).toEqual(
    list
      .slice(0, 20)
      .map(({ title }) => title)
      .sort(),
  )
})

test('lists the first thousand, and of the others what is wrong', async () => {
  const token = newToken()
  const lines = Array.from({ length: 1205 }, (_, i) => (i > 1200 ? '{' : i === 7 || i > 1190 ? '{"x":1}' : ' '))
  const good = Array.from({ length: 1100 }, () => JSON.stringify(one(1)))
  const body = [...good, ...lines].join('\n')
  const { data } = await (await send(token, body, { headers: { 'content-type': 'application/x-ndjson' } })).json()
  expect(data).toMatchObject({
    imported: 1,
    skipped: 1114,
    skipped_because: { exists: 1099, unknown_format: 11, invalid_json: 4 },
    omitted: 100,
  })
  expect(data.conversations).toHaveLength(1015)
})

test('a client that leaves stops it; what came before is in, and nothing is half there', async () => {
  const token = newToken()
  let number = 0
  const leaving = new AbortController()
  const body = endless('[', () => `${number ? ',' : ''}${JSON.stringify(one(++number))}`)
  const sent = send(token, body, { signal: leaving.signal }).catch((error: Error) => error.name)
  await until(async () => (await titlesOf(token)).length >= 3)
  leaving.abort()
  expect(await sent).toBe('AbortError')
  const settled = async () => {
    const before = (await titlesOf(token)).length
    await Bun.sleep(300)
    return (await titlesOf(token)).length === before
  }
  await until(settled)
  const titles = await titlesOf(token)
  expect(titles.length).toBeGreaterThanOrEqual(3)
  const file = await app.call('/v1/export/conversations', { token, json: { format: 'json' } })
  for (const { messages } of JSON.parse(await file.text()).conversations) expect(messages).toHaveLength(1)
})
