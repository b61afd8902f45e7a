/** The server as operators watch it: probes, metrics, headers, logs. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { begin, call, endChildren, newDir, PASSWORD, signUp, start } from './support/child'
import { type FakeProvider, startFakeProvider, UPSTREAM_SECRET } from './support/fake-provider'
import { until } from './support/servers'

const KEY = 'canary-provider-key-1111111111'
let provider: FakeProvider
let llm: { OPENAI_BASE_URL: string; OPENAI_API_KEY: string }

beforeAll(() => {
  provider = startFakeProvider()
  llm = { OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: KEY }
})
afterAll(async () => {
  await endChildren()
  await provider.stop()
})

test('answers probes, names requests, and tells browsers what they may do', async () => {
  const child = await start({ ...llm, DATA_DIR: newDir(), CORS_ORIGINS: 'https://chat.example' })
  const health = await call(child, '/health')
  expect(health.status).toBe(200)
  const ok = { status: 'ok', latency_ms: expect.any(Number) }
  const { redis, ...report } = await health.json()
  expect(report).toMatchObject({ status: 'ok', checks: { database: ok, 'llm:openai': ok } })
  expect(redis).toEqual({})
  expect(await (await call(child, '/ready')).json()).toEqual({ status: 'ready' })
  expect(await (await call(child, '/live')).json()).toEqual({ status: 'alive' })
  expect(await (await call(child, '/info')).json()).toMatchObject({ store: 'pglite', runtime: `bun ${Bun.version}` })

  const named = await call(child, '/live', { headers: { 'x-request-id': 'trace-1' } })
  expect(named.headers.get('x-request-id')).toBe('trace-1')
  const unnamed = await call(child, '/live', { headers: { 'x-request-id': 'no spaces, please' } })
  expect(unnamed.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
  const failed = await call(child, '/v1/keys', { headers: { 'x-request-id': 'trace-2' } })
  expect((await failed.json()).error.request_id).toBe('trace-2')
  expect(failed.headers.get('www-authenticate')).toBe('Bearer')
  for (const { headers } of [health, named, failed]) {
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('x-frame-options')).toBe('DENY')
    expect(headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(headers.get('cache-control')).toBe('no-store')
  }

  const preflight = (origin: string) =>
    call(child, '/v1/chat/completions', {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
    })
  const allowed = (await preflight('https://chat.example')).headers
  expect(allowed.get('access-control-allow-origin')).toBe('https://chat.example')
  expect(allowed.get('access-control-allow-headers')).toContain('authorization')
  expect(allowed.get('access-control-allow-credentials')).toBeNull()
  expect((await preflight('https://evil.example')).headers.get('access-control-allow-origin')).not.toBe(
    'https://evil.example',
  )

  const token = await signUp(child)
  await (await begin(child, token, { message: 'go', model: 'tokens:3' }, 't3')).rest
  const metrics = (await (await call(child, '/metrics')).text()).split('\n')
  for (const line of [
    'http_requests_total{method="GET",endpoint="/live",status="200"} 3',
    'streaming_requests_total{provider="openai",outcome="completed"} 1',
    'active_streams_gauge 0',
    'time_to_first_token_seconds_count{provider="openai"} 1',
  ]) {
    expect(metrics.filter((said) => said === line)).toHaveLength(1)
  }
}, 60_000)

test("logs JSON lines with request ids and nobody's secrets or words", async () => {
  const child = await start({ ...llm, DATA_DIR: newDir(), LOG_LEVEL: 'trace', FIRST_TOKEN_TIMEOUT: '1' })
  const token = await signUp(child)
  const created = await call(child, '/v1/keys', { token, json: { name: 'canary' } })
  const apiKey = String((await created.json()).data.key)
  const WORDS = 'canary-message-text-333'
  const say = (json: object) => call(child, '/v1/chat/completions', { token: apiKey, json })
  for (const model of [
    'echo',
    'status:500',
    'status:400',
    'error-after:1',
    'cut-after:1',
    'half-frame',
    'silent',
    'html',
  ]) {
    await (await say({ message: WORDS, model })).text()
    await (await say({ message: WORDS, model, stream: false })).text()
    await (await say({ messages: [{ role: 'user', content: WORDS }], model })).text()
  }
  const wrong = { email: 'nobody@example.com', password: PASSWORD }
  await call(child, '/api/v1/auth/login', { json: wrong })
  await call(child, `/v1/conversations/${WORDS}`, { token })
  await call(child, '/v1/chat/completions', { token, json: { messages: WORDS, stream: WORDS } })
  const leaving = new AbortController()
  const json = { messages: [{ role: 'user', content: WORDS }], model: 'hang' }
  const aborted = provider.aborted()
  const left = call(child, '/v1/chat/completions', { token, json, signal: leaving.signal }).catch(() => {})
  await until(() => provider.requests.at(-1)?.body?.model === 'hang')
  leaving.abort()
  await left
  await until(() => provider.aborted() > aborted)
  await call(child, '/live', { headers: { 'x-request-id': 'the-last-one' } })
  await until(() => child.out().includes('the-last-one'))
  child.kill('SIGTERM')
  expect(await child.exited).toBe(0)

  const lines = child
    .out()
    .trim()
    .split('\n')
    .map((line): Record<string, unknown> => JSON.parse(line))
  const requests = lines.filter(({ msg }) => msg === 'request')
  expect(requests.length).toBeGreaterThan(28)
  for (const { request_id } of requests) expect(request_id).toMatch(/^[\w.:/+=-]{1,128}$/)
  const failures = lines.filter(({ err }) => err)
  expect(failures.length).toBeGreaterThan(5)
  // Providers fail and clients leave: neither is a fault of this program.
  expect(lines.filter(({ level }) => Number(level) >= 50)).toEqual([])
  for (const secret of [WORDS, PASSWORD, KEY, UPSTREAM_SECRET, token, apiKey]) {
    expect(child.out() + child.err()).not.toContain(secret)
  }
}, 60_000)
