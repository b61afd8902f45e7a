/** More is asked of a server than it makes at once. */
import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { readSse } from '../support/read-sse'
import { until } from '../support/servers'

let provider: FakeProvider
let app: TestApp
let token: string
const leave: AbortController[] = []

beforeAll(async () => {
  provider = startFakeProvider()
  const llm = { OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: 'sk-test' }
  app = await testApp({ ...llm, MAX_CONCURRENT_ANSWERS: '5', MAX_QUEUED_ANSWERS: '3' })
  token = (await app.signUp()).token
  // The first request, and counting the words of the first answer that is broken off, take longer than somebody waits.
  await readSse(await ask('tokens:1'))
  await ask('silent-after:1')
  for (const reader of leave.splice(0)) reader.abort()
  await until(() => app.services.places.taken === 0)
})
afterEach(async () => {
  for (const reader of leave.splice(0)) reader.abort()
  await until(() => app.services.places.taken === 0 && app.services.places.waiting === 0)
})
afterAll(async () => {
  await app.close()
  await provider.stop()
})

const messages = [{ role: 'user', content: 'go' }]

/** An answer that nobody keeps, until its reader leaves. */
function ask(model: string, path = '/v1/chat/completions') {
  const reader = new AbortController()
  leave.push(reader)
  const json = { messages, model, stream: true, ...(path === '/v1/messages' ? { max_tokens: 10 } : {}) }
  return app.call(path, { token, json, signal: reader.signal })
}

/** Fills all places. @returns the answers that have them. */
async function fill() {
  const held = await Promise.all(Array.from({ length: 5 }, () => ask('silent-after:1')))
  expect(app.services.places.taken).toBe(5)
  return held
}

test('the ninth is refused at once, and says when to come again; the three before it are served when there is room', async () => {
  await fill()
  // What ends answers, finds them, or says that the process lives is never refused.
  const statuses = await Promise.all(
    ['/live', '/ready', '/v1/conversations', '/v1/runs'].map(async (path) => (await app.call(path, { token })).status),
  )
  expect(statuses).toEqual([200, 200, 200, 200])
  expect(provider.openStreams()).toBe(5)
  const waiting = [1, 2, 3].map(() => ask('tokens:3'))
  await until(() => app.services.places.waiting === 3)
  const ninth = await ask('tokens:3')
  expect(ninth.status).toBe(503)
  expect(Number(ninth.headers.get('retry-after'))).toBeGreaterThan(0)
  // Readers hang up.
  for (const reader of leave.splice(0, 3)) reader.abort()
  const served = await Promise.all(waiting)
  for (const response of served) expect((await readSse(response)).text).toBe('t1 t2 t3')
})

test('a stored answer is refused before anything of it is written', async () => {
  await fill()
  const waiting = [1, 2, 3].map(() => ask('tokens:3'))
  await until(() => app.services.places.waiting === 3)
  const total = async () => (await (await app.call('/v1/conversations', { token })).json()).data.pagination.total
  const before = await total()
  const refused = await app.call('/v1/chat/completions', { token, json: { message: 'go', model: 'tokens:3' } })
  expect(refused.status).toBe(503)
  expect((await refused.json()).error).toMatchObject({
    code: 'UPSTREAM_UNAVAILABLE',
    details: { reason: 'overloaded' },
  })
  expect(await total()).toBe(before)
  // In the words that Anthropic's clients know.
  expect((await ask('tokens:3', '/v1/messages')).status).toBe(529)
  for (const reader of leave.splice(0, 5)) reader.abort()
  for (const response of await Promise.all(waiting)) expect((await readSse(response)).text).toBe('t1 t2 t3')
})

test('what can wait is refused while somebody waits for an answer, and counted', async () => {
  const update = () => app.call('/v1/conversations/batch', { token, json: { ids: [], title: 'x' } })
  const unhindered = (await update()).status
  await fill()
  const waiting = ask('tokens:3')
  await until(() => app.services.places.waiting === 1)
  const refused = await update()
  expect(unhindered).not.toBe(503)
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).not.toBeNull()
  const metrics = await (await app.call('/metrics')).text()
  expect(metrics).toContain('answers_in_work 5')
  expect(metrics).toContain('answers_queued 1')
  expect(metrics).toMatch(/requests_shed_total\{standing="background"\} [1-9]/)
  leave[0]?.abort()
  expect((await readSse(await waiting)).text).toBe('t1 t2 t3')
})

test('answers of all kinds give their places back: complete, failed, stopped, refused', async () => {
  const chat = (model: string) => app.call('/v1/chat/completions', { token, json: { message: 'go', model } })
  expect((await readSse(await chat('tokens:3'))).text).toBe('t1 t2 t3')
  await readSse(await chat('error-after:2'))
  await (await chat('no-such-model')).text()
  const stopped = await chat('silent-after:1')
  const run = Promise.withResolvers<string>()
  const reading = readSse(stopped, ([first]) => {
    if (first) run.resolve(String(first.data.run_id))
    return false
  })
  await app.call(`/v1/runs/${await run.promise}/stop`, { token, method: 'POST' })
  await reading
  const input = { input: 'text', model: 'tokens:3' }
  await app.call('/v1/embeddings', { token, json: input })
  await app.call('/v1/messages', { token, json: { messages, model: 'status:500', max_tokens: 5 } })
  await until(() => app.services.places.taken === 0)
  expect(app.services.places.taken).toBe(0)
})
