/** What a provider can do to us, and what our clients then see: a clear error or the right answer, and always an end. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type TestApp, testApp } from './support/app'
import { createDatabase } from './support/db'
import { type FakeProvider, startFakeProvider, UPSTREAM_SECRET } from './support/fake-provider'
import { readSse } from './support/read-sse'
import { freePort, until } from './support/servers'

const KEY = 'sk-our-own-provider-key-456'
let provider: FakeProvider
let database: Awaited<ReturnType<typeof createDatabase>>
let app: TestApp
/** A second one, so that what failed too often at the first is asked again. */
let fresh: TestApp
let unplugged: TestApp
let token: string
let unpluggedToken: string

beforeAll(async () => {
  provider = startFakeProvider()
  database = await createDatabase()
  const env = {
    DATABASE_URL: database.url,
    JWT_SECRET_KEY: 'a secret that all servers here know',
    OPENAI_API_KEY: KEY,
    DEFAULT_MODEL: 'echo',
    CONNECT_TIMEOUT: '1',
    FIRST_TOKEN_TIMEOUT: '1',
    IDLE_TIMEOUT: '1',
  }
  app = await testApp({ ...env, OPENAI_BASE_URL: provider.url })
  fresh = await testApp({ ...env, OPENAI_BASE_URL: provider.url })
  unplugged = await testApp({ ...env, OPENAI_BASE_URL: `http://127.0.0.1:${await freePort()}/v1` })
  token = (await app.signUp()).token
  unpluggedToken = (await unplugged.signUp()).token
})
afterAll(async () => {
  await app.close()
  await fresh.close()
  await unplugged.close()
  await provider.stop()
  await database.drop()
})

interface Fault {
  model: string
  code: string
  status: number
  /** What had been said before. */
  partial?: string
}

const FAULTS: Fault[] = [
  { model: 'status:401', code: 'UPSTREAM_ERROR', status: 502 },
  { model: 'status:400', code: 'BAD_REQUEST', status: 400 },
  { model: 'no-such-model', code: 'NOT_FOUND', status: 404 },
  { model: 'status:429', code: 'RATE_LIMIT_EXCEEDED', status: 429 },
  { model: 'status:500', code: 'UPSTREAM_ERROR', status: 502 },
  { model: 'status:503', code: 'UPSTREAM_UNAVAILABLE', status: 503 },
  { model: 'html', code: 'UPSTREAM_ERROR', status: 502 },
  { model: 'html-502', code: 'UPSTREAM_ERROR', status: 502 },
  { model: 'empty', code: 'UPSTREAM_ERROR', status: 502 },
  { model: 'hang', code: 'UPSTREAM_TIMEOUT', status: 504 },
  { model: 'silent', code: 'UPSTREAM_TIMEOUT', status: 504 },
  { model: 'error-frame', code: 'UPSTREAM_ERROR', status: 502 },
  { model: 'silent-after:3', code: 'UPSTREAM_TIMEOUT', status: 504, partial: 't1 t2 t3' },
  { model: 'error-after:3', code: 'UPSTREAM_ERROR', status: 502, partial: 't1 t2 t3' },
  { model: 'cut-after:3', code: 'UPSTREAM_UNAVAILABLE', status: 503, partial: 't1 t2 t3' },
  { model: 'half-frame', code: 'UPSTREAM_ERROR', status: 502, partial: 't1 t2 t3' },
  { model: 'no-finish', code: 'UPSTREAM_ERROR', status: 502, partial: 'The quick brown fox' },
  { model: 'long-line', code: 'UPSTREAM_ERROR', status: 502, partial: '' },
]

const post = (json: object) => app.call('/v1/chat/completions', { token, json })
const SENTENCE = /^[A-Z].{10,}/
const messages = [{ role: 'user', content: 'Hello' }]

/** Nothing of how we reach the provider is anybody's business. */
function expectDiscreet(text: string): void {
  for (const secret of [UPSTREAM_SECRET, KEY, '127.0.0.1', new URL(provider.url).host, 'src/']) {
    expect(text).not.toContain(secret)
  }
}

async function lastRun() {
  const { data } = await (await app.call('/v1/runs?limit=1', { token })).json()
  const [run] = data.items
  const path = await (await app.call(`/v1/conversations/${run.conversation_id}/messages`, { token })).json()
  return { run, question: path.data.items[0], answer: path.data.items[1] }
}

describe.each(FAULTS)('a provider that plays $model', ({ model, code, status, partial = '' }) => {
  test('ends our stream with one error and leaves a failed run with what was said', async () => {
    const response = await post({ message: 'Hello', model })
    expect(response.status).toBe(200)
    const { frames, done, text } = await readSse(response)
    expect(done).toBe(true)
    expect(frames.filter(({ data }) => data.error || data.finish_reason)).toHaveLength(1)
    const error = frames.at(-1)?.data.error
    expect(error?.code).toBe(code)
    expect(error?.message).toMatch(SENTENCE)
    expect(text).toBe(partial)
    const { run, question, answer } = await lastRun()
    expect(run).toMatchObject({ status: 'failed', last_seq: frames.length, error: { code } })
    expect(run.error.message).toBe(error?.message)
    expect(question).toMatchObject({ content: 'Hello', status: 'complete' })
    expect(answer).toMatchObject({
      content: partial,
      status: 'error',
      finish_reason: null,
      // What was delivered counts, though nobody knows the price of such a model.
      usage: partial ? { cost_basis: 'estimated' } : null,
      cost_usd: null,
    })
    expectDiscreet(JSON.stringify(frames))
  })

  test('fails a plain request with the status that says so', async () => {
    const response = await post({ message: 'Hello', model, stream: false })
    expect(response.status).toBe(status)
    const body = await response.json()
    expect(body).toMatchObject({ success: false, error: { code } })
    expect((await lastRun()).run).toMatchObject({ status: 'failed', error: { code, message: body.error.message } })
  })

  test("fails an OpenAI client in OpenAI's shape, before the stream or inside it", async () => {
    const expectShape = (error: unknown) =>
      expect(error).toMatchObject({ message: expect.stringMatching(SENTENCE), type: expect.any(String), param: null })
    const postAgain = (json: object) => fresh.call('/v1/chat/completions', { token, json })
    const whole = await postAgain({ messages, model })
    expect(whole.status).toBe(status)
    const wholeText = await whole.text()
    expectShape(JSON.parse(wholeText).error)
    expectDiscreet(wholeText)

    const streamed = await postAgain({ messages, model, stream: true })
    if (partial === '') {
      expect(streamed.status).toBe(status)
      expectShape((await streamed.json()).error)
      return
    }
    expect(streamed.status).toBe(200)
    const { frames, done, text } = await readSse(streamed)
    expect(done).toBe(false)
    expect(text).toBe(partial)
    expect(frames.filter(({ data }) => data.error)).toHaveLength(1)
    expectShape(frames.at(-1)?.data.error)
    expect(frames.some(({ data }) => data.choices?.some((choice) => choice.finish_reason))).toBe(false)
  })
})

describe.each([
  ['split-utf8', 'Привет, мир 🌍👩‍👩‍👧 ё𝕏'],
  ['crlf', 'Hello there'],
  ['bom', 'Hello there'],
  ['comments', 'Hello there'],
  ['no-done', 'The quick brown fox'],
  ['no-usage', 'The quick brown fox'],
])('a provider with the odd manners of %s', (model, said) => {
  test('is understood on every surface', async () => {
    const native = await readSse(await post({ message: 'Hello there', model }))
    expect(native).toMatchObject({ text: said, done: true })
    expect(native.frames.at(-1)?.data).toMatchObject({ finish_reason: 'stop' })
    const { run, answer } = await lastRun()
    expect(run).toMatchObject({ status: 'completed', error: null })
    expect(answer).toMatchObject({ content: said, status: 'complete' })

    const body = { messages: [{ role: 'user', content: 'Hello there' }], model }
    expect(await readSse(await post({ ...body, stream: true }))).toMatchObject({ text: said, done: true })
    const whole = await (await post(body)).json()
    expect(whole.choices).toMatchObject([{ message: { content: said }, finish_reason: 'stop' }])
  })
})

test('passes on how long a busy provider wants to be left alone', async () => {
  for (const json of [
    { messages, model: 'status:429' },
    { messages, model: 'status:429', stream: true },
    { message: 'Hello', model: 'status:429', stream: false },
  ]) {
    const response = await post(json)
    expect(response.status).toBe(429)
    expect(response.headers.get('retry-after')).toBe('7')
  }
})

test('says that a provider cannot be reached', async () => {
  const send = (json: object) => unplugged.call('/v1/chat/completions', { token: unpluggedToken, json })
  const native = await readSse(await send({ message: 'Hello' }))
  expect(native.frames.at(-1)?.data.error).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' })
  expect(native.done).toBe(true)
  for (const stream of [true, false]) {
    const answer = await send({ messages, stream, model: `stream ${stream}` })
    expect(answer.status).toBe(503)
    const { error } = await answer.json()
    expect(error).toMatchObject({ message: 'The model provider cannot be reached', type: 'server_error' })
  }
  const list = await (await unplugged.call('/v1/runs', { token: unpluggedToken })).json()
  expect(list.data.items).toMatchObject([{ status: 'failed', error: { code: 'UPSTREAM_UNAVAILABLE' } }])
})

test('leaves no connection to the provider open behind', async () => {
  await until(() => provider.openStreams() === 0)
  expect(app.services.runs.active).toBe(0)
})
