import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { type CallLine, type JsonCall, JsonClient } from '../../src/lib/json-client'

let server: Bun.Server<undefined>
let answer: (request: Request) => Response | Promise<Response>
let asked: { url: URL; headers: Headers }[] = []
let lines: CallLine[] = []
beforeAll(() => {
  server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request) {
      asked.push({ url: new URL(request.url), headers: new Headers(request.headers) })
      return answer(request)
    },
  })
})
beforeEach(() => {
  asked = []
  lines = []
  answer = () => Response.json({ ok: true })
})
afterAll(() => server.stop(true))

const client = (options: Partial<ConstructorParameters<typeof JsonClient>[0]> = {}) =>
  new JsonClient({
    name: 'The other side',
    baseUrl: `http://127.0.0.1:${server.port}`,
    headers: { apikey: 'k' },
    timeoutMs: 300,
    concurrency: 2,
    onCall: (line) => lines.push(line),
    ...options,
  })
const get = (path: string, more: Partial<JsonCall> = {}): JsonCall => ({
  method: 'GET',
  path,
  group: 'things',
  token: 't',
  ...more,
})

test('sends the headers, the token and the query, and says how it went', async () => {
  const { status, body } = await client().call(get('/a b', { query: { id: 'eq.1&x=2', n: 3 }, requestId: 'r1' }))
  expect([status, body]).toEqual([200, { ok: true }])
  const [request] = asked
  expect(request?.url.searchParams.get('id')).toBe('eq.1&x=2')
  expect(request?.headers.get('authorization')).toBe('Bearer t')
  expect(request?.headers.get('apikey')).toBe('k')
  expect(lines).toMatchObject([
    { service: 'The other side', group: 'things', method: 'GET', outcome: 200, request_id: 'r1' },
  ])
})

test('gives refusals back as answers, and an empty body as none', async () => {
  answer = () => Response.json({ error: 'no' }, { status: 404 })
  expect(await client().call(get('/a'))).toMatchObject({ status: 404, body: { error: 'no' } })
  answer = () => new Response(null, { status: 204 })
  expect(await client().call(get('/a'))).toMatchObject({ status: 204, body: undefined })
})

test('passes on how long to wait', async () => {
  answer = () => new Response('slow down', { status: 429, headers: { 'retry-after': '7' } })
  await expect(client().call(get('/a'))).rejects.toMatchObject({ code: 'RATE_LIMIT_EXCEEDED', retryAfter: 7 })
  expect(asked).toHaveLength(1)
})

test('follows no redirect: it would carry the token away', async () => {
  answer = () => Response.redirect('http://127.0.0.1:1/', 302)
  await expect(client().call(get('/a', { method: 'POST' }))).rejects.toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' })
})

test('shares a read between callers with the same token only', async () => {
  const other = client()
  await Promise.all([
    other.call(get('/a')),
    other.call(get('/a')),
    other.call(get('/a', { token: 'u' })),
    other.call(get('/b')),
  ])
  expect(asked.map((request) => `${request.url.pathname} ${request.headers.get('authorization')}`).sort()).toEqual([
    '/a Bearer t',
    '/a Bearer u',
    '/b Bearer t',
  ])
  await other.call(get('/a'))
  expect(asked).toHaveLength(4)
})

test('never sends a write twice that may have arrived, and one again that was never sent', async () => {
  answer = () => new Response('oops', { status: 500 })
  await expect(client().call(get('/a', { method: 'POST', body: {} }))).rejects.toMatchObject({ code: 'UPSTREAM_ERROR' })
  expect(asked).toHaveLength(1)
  const closed = client({ baseUrl: 'http://127.0.0.1:1' })
  const refused = closed.call(get('/a', { method: 'POST', body: {} }))
  await expect(refused).rejects.toMatchObject({ code: 'UPSTREAM_UNAVAILABLE', retryAfter: 1 })
  expect(lines.slice(1).map(({ outcome }) => outcome)).toEqual(Array.from({ length: 3 }, () => 'UPSTREAM_UNAVAILABLE'))
})

test('gives up on whoever is slow, once', async () => {
  answer = () => new Promise(() => {})
  await expect(client().call(get('/a'))).rejects.toMatchObject({
    code: 'UPSTREAM_TIMEOUT',
    message: 'The other side did not answer within 0.3 s',
  })
  expect(asked).toHaveLength(1)
})

test('lets so many calls at once, and so many wait', async () => {
  let under = 0
  let most = 0
  answer = async () => {
    most = Math.max(most, ++under)
    await Bun.sleep(20)
    under--
    return Response.json({})
  }
  const narrow = client({ concurrency: 1 })
  const calls = Array.from({ length: 12 }, (_, i) => narrow.call(get(`/${i}`)))
  const results = await Promise.allSettled(calls)
  expect(most).toBe(1)
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(11)
  expect(results.find(({ status }) => status === 'rejected')).toMatchObject({
    reason: { code: 'UPSTREAM_UNAVAILABLE', message: 'The other side has too many calls waiting for the moment' },
  })
})

test('keeps what the other side said for the log, and out of the message', async () => {
  answer = () => Response.json({ message: 'password=hunter2' }, { status: 500 })
  const error = await client()
    .call(get('/a'))
    .catch((thrown) => thrown)
  expect(error.message).toBe('The other side failed (HTTP 500)')
  expect(error.cause.message).toContain('hunter2')
})
