/** Vectors of texts, through the front door. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'
import { createDatabase } from '../support/db'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'

let provider: FakeProvider
let app: TestApp
let token: string
let database: Awaited<ReturnType<typeof createDatabase>>

beforeAll(async () => {
  provider = startFakeProvider()
  database = await createDatabase()
  app = await testApp({
    DATABASE_URL: database.url,
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: 'sk-test',
    DEFAULT_MODEL: 'embed',
  })
  token = (await app.signUp()).token
})
afterAll(async () => {
  await app.close()
  await provider.stop()
  await database.drop()
})

const post = async (json: object, headers: Record<string, string> = {}) => {
  const answer = await app.call('/v1/embeddings', { token, json, headers })
  return { status: answer.status, body: await answer.json() }
}
const vectorsOf = (body: { data: { embedding: unknown }[] }) => body.data.map(({ embedding }) => embedding)
const inBase64 = (...numbers: number[]) => Buffer.from(new Float32Array(numbers).buffer).toString('base64')

test('gives a vector for a text, with the usage', async () => {
  const { status, body } = await post({ model: 'embed', input: 'abc', dimensions: 2, user: 'u', seed: null })
  expect(status).toBe(200)
  expect(body).toEqual({
    object: 'list',
    data: [{ object: 'embedding', index: 0, embedding: [3, 0] }],
    model: 'embed',
    usage: { prompt_tokens: 7, total_tokens: 7 },
  })
  const { headers, body: sent } = provider.requests.at(-1) ?? {}
  expect(sent as unknown).toEqual({ model: 'embed', input: ['abc'], dimensions: 2, user: 'u' })
  expect(headers?.authorization).toBe('Bearer sk-test')
})

test('gives one for each text or list of tokens, in their order', async () => {
  expect(vectorsOf((await post({ input: ['a', 'bcd'] })).body)).toEqual([
    [1, 0],
    [3, 1],
  ])
  expect(vectorsOf((await post({ model: 'backwards', input: ['a', 'bcd'] })).body)).toEqual([
    [1, 0],
    [3, 1],
  ])
  expect(vectorsOf((await post({ input: [1, 2, 3, 4] })).body)).toEqual([[4, 0]])
  expect(vectorsOf((await post({ input: [[1], [2, 3]] })).body)).toEqual([
    [1, 0],
    [2, 1],
  ])
})

test('gives the form that is asked for, whether the provider knows it or not', async () => {
  for (const model of ['embed', 'float-only']) {
    expect(vectorsOf((await post({ model, input: 'abc', encoding_format: 'base64' })).body)).toEqual([inBase64(3, 0)])
    expect(vectorsOf((await post({ model, input: 'abc', encoding_format: 'float' })).body)).toEqual([[3, 0]])
  }
})

test.each([
  [{}, 'input'],
  [{ input: '' }, 'input'],
  [{ input: [] }, 'input'],
  [{ input: [''] }, 'input'],
  [{ input: [-1] }, 'input'],
  [{ input: Array.from({ length: 2049 }, () => 'x') }, 'input'],
  [{ input: 'x', dimensions: 0 }, 'dimensions'],
  [{ input: 'x', encoding_format: 'hex' }, 'encoding_format'],
  [{ input: 'x', api_base: 'https://example.com' }, 'api_base'],
  [{ input: 'x', extra_headers: {} }, 'extra_headers'],
])('refuses %j in the words of OpenAI', async (json, param) => {
  const asked = provider.requests.length
  const { status, body } = await post(json)
  expect(status).toBe(400)
  expect(body.error).toMatchObject({ type: 'invalid_request_error', message: expect.stringContaining(param) })
  expect(body.error.param?.split('.')[0]).toBe(param)
  expect(provider.requests.length).toBe(asked)
})

test.each([
  ['status:400', 400, 'invalid_request_error'],
  ['status:401', 502, 'server_error'],
  ['status:429', 429, 'rate_limit_error'],
  ['status:500', 502, 'server_error'],
  ['short', 502, 'server_error'],
])('a provider that plays %s gives %d', async (model, status, type) => {
  const answer = await post({ model, input: ['a', 'b'] })
  expect(answer.status).toBe(status)
  expect(answer.body.error.type).toBe(type)
})

test('takes what a second provider gives when the first one fails, and says when none can', async () => {
  const anthropic = { ANTHROPIC_API_KEY: 'sk-ant', ANTHROPIC_BASE_URL: 'http://127.0.0.1:9' }
  const both = await testApp({
    ...anthropic,
    DATABASE_URL: database.url,
    LITELLM_URL: 'http://127.0.0.1:9',
    LITELLM_MASTER_KEY: 'sk-x',
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: 'sk-test',
  })
  const none = await testApp({ ...anthropic, DATABASE_URL: database.url })
  for (const [server, status] of [
    [both, 200],
    [none, 400],
  ] as const) {
    const person = await server.signUp()
    const json = { model: 'embed', input: 'abc' }
    const answer = await server.call('/v1/embeddings', { token: person.token, json })
    expect(answer.status).toBe(status)
    const body = await answer.json()
    if (status === 400) expect(body.error.message).toContain('makes no embeddings')
    await server.close()
  }
})

test('with no settings, vectors of length one depend on the text alone', async () => {
  const demo = await testApp({ DATABASE_URL: database.url })
  const person = await demo.signUp()
  const ask = async (input: unknown, more: object = {}) => {
    const answer = await demo.call('/v1/embeddings', { token: person.token, json: { input, ...more } })
    expect(answer.status).toBe(200)
    return answer.json()
  }
  const { data, usage } = await ask(['one two', 'three', 'one two'])
  const [first, second, third] = data.map(({ embedding }: { embedding: number[] }) => embedding)
  expect(first).toHaveLength(64)
  expect(Math.hypot(...first)).toBeCloseTo(1, 10)
  expect(third).toEqual(first)
  expect(second).not.toEqual(first)
  expect(usage).toEqual({ prompt_tokens: 5, total_tokens: 5 })
  expect((await ask('x', { dimensions: 100 })).data[0].embedding).toHaveLength(100)
  await demo.close()
})
