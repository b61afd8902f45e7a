import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { readSse } from '../support/read-sse'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'

let provider: FakeProvider
let app: TestApp
let token: string

beforeAll(async () => {
  provider = startFakeProvider()
  app = await testApp({ OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: 'sk-test', DEFAULT_MODEL: 'echo' })
  token = (await app.signUp()).token
})
afterAll(async () => {
  await app.close()
  await provider.stop()
})

const say = (json: object, headers = {}) =>
  app.call('/v1/chat/completions', { token, headers, json: { message: 'x', stream: false, ...json } })
const runOf = async (id: unknown) => (await (await app.call(`/v1/runs/${id}`, { token })).json()).data

test('a run says who answered, how long it took, and which trace it belongs to', async () => {
  const answer = await (await say({ model: 'slow:20:5' }, { traceparent: `00-${TRACE}-${SPAN}-01` })).json()
  const run = await runOf(answer.run_id)
  expect(run).toMatchObject({ provider: 'openai', trace_id: TRACE, span_id: SPAN })
  expect(run.first_token_ms).toBeInteger()
  expect(run.first_token_ms).toBeGreaterThanOrEqual(10)
  expect(run.latency_ms).toBeGreaterThanOrEqual(run.first_token_ms + 50)
  expect(run.latency_ms).toBeLessThan(10_000)
})

test('answers made again have facts of their own', async () => {
  const { conversation_id, message_id } = await (await say({})).json()
  const again = await app.call('/v1/chat/regenerate', {
    token,
    headers: { traceparent: `00-${TRACE}-${SPAN}-00` },
    json: { conversation_id, message_id },
  })
  expect(await runOf((await again.json()).run_id)).toMatchObject({ trace_id: TRACE, provider: 'openai' })
})

test.each([undefined, 'nonsense', `00-${TRACE}-${SPAN}`, `ff-${TRACE}-${SPAN}-01`, `00-${'0'.repeat(32)}-${SPAN}-01`])(
  'without a trace worth joining there is none: %j',
  async (traceparent) => {
    const { run_id } = await (await say({}, traceparent ? { traceparent } : {})).json()
    expect(await runOf(run_id)).toMatchObject({ trace_id: null, span_id: null, provider: 'openai' })
  },
)

test('an answer that failed before its first word has no first word', async () => {
  const response = await say({ model: 'status:500', stream: true })
  const { frames } = await readSse(response)
  const run = await runOf(frames[0]?.data.run_id)
  expect(run).toMatchObject({ status: 'failed', provider: 'openai', first_token_ms: null })
  expect(run.latency_ms).toBeInteger()
})

test('while it is being made, a run has its trace and nothing else yet', async () => {
  const headers = { traceparent: `00-${TRACE}-${SPAN}-01` }
  const response = await say({ model: 'silent-after:1', stream: true }, headers)
  const { frames } = await readSse(response, (seen) => seen.length > 1)
  const id = frames[0]?.data.run_id
  const nothing = { provider: null, first_token_ms: null, latency_ms: null }
  expect(await runOf(id)).toMatchObject({ status: 'running', trace_id: TRACE, ...nothing })
  await app.call(`/v1/runs/${id}/stop`, { method: 'POST', token })
  expect(await runOf(id)).toMatchObject({ status: 'stopped', provider: 'openai', first_token_ms: expect.any(Number) })
})
