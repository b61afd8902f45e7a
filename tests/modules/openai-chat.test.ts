import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { readSse } from '../support/read-sse'
import { until } from '../support/servers'

let provider: FakeProvider
let app: TestApp
let base: string
let token: string

beforeAll(async () => {
  provider = startFakeProvider()
  app = await testApp({ OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: 'sk-test', DEFAULT_MODEL: 'echo' })
  base = app.listen()
  token = (await app.signUp()).token
})
afterAll(async () => {
  await app.close()
  await provider.stop()
})

const post = (json: object, headers: Record<string, string> = {}) =>
  app.call('/v1/chat/completions', { token, json, headers })
const complete = async (json: object, headers?: Record<string, string>) => (await post(json, headers)).json()
const get = async (path: string) => (await (await app.call(path, { token })).json()).data
const lastSent = (): Record<string, unknown> & { messages: unknown[] } =>
  provider.requests.at(-1)?.body ?? { messages: [] }
const user = (content: unknown) => ({ role: 'user', content })

const TOOLS = [{ type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: {} } } }]
/** One of everything that the API has and that only the provider understands. */
const RICH = {
  model: 'echo',
  messages: [
    { role: 'system', content: 'Be brief', name: 'boss' },
    user([
      { type: 'text', text: 'What is this?' },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=', detail: 'low' } },
    ]),
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }],
    },
    { role: 'tool', tool_call_id: 'c1', content: '42' },
    { role: 'assistant', content: 'So', reasoning_content: 'Hm' },
    user('Go on'),
  ],
  tools: TOOLS,
  tool_choice: { type: 'function', function: { name: 'get_weather' } },
  parallel_tool_calls: false,
  response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object' }, strict: true } },
  temperature: 0.25,
  top_p: 0.9,
  n: 1,
  seed: 42,
  stop: ['\n', 'END'],
  max_tokens: 10,
  max_completion_tokens: 11,
  presence_penalty: -1,
  logit_bias: { '50256': -100 },
  logprobs: true,
  top_logprobs: 2,
  reasoning_effort: 'high',
  user: 'u-1',
  metadata: { trace: 'x' },
  service_tier: 'flex',
  a_key_of_tomorrow: { nested: [1, 'two', null, true] },
}

describe('without a conversation', () => {
  test('passes a request on as it is, plain or streamed', async () => {
    const upstream = { ...RICH, stream: true, stream_options: { include_usage: true } }
    expect((await post(RICH)).status).toBe(200)
    expect(lastSent()).toEqual(upstream)
    const stream_options = { include_usage: false, include_obfuscation: false }
    await readSse(await post({ ...RICH, stream: true, stream_options }))
    expect(lastSent()).toEqual({ ...upstream, stream_options: { ...stream_options, include_usage: true } })
  })

  test('answers with a whole completion and its usage', async () => {
    const answer = await complete({ model: 'echo', messages: [user('Hello there you')] })
    expect(answer).toEqual({
      id: expect.stringMatching(/^chatcmpl-/),
      object: 'chat.completion',
      created: expect.any(Number),
      model: 'echo',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hello there you', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: expect.objectContaining({ prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 }),
    })
  })

  test('puts tool calls, reasoning and several choices together', async () => {
    const tools = await complete({ model: 'tools', messages: [user('{"city":"Oslo"}')], tools: TOOLS })
    expect(tools.choices[0]).toMatchObject({
      message: {
        content: null,
        tool_calls: [
          { id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '{"city":"Oslo"}' } },
        ],
      },
      finish_reason: 'tool_calls',
    })
    const thought = await complete({ model: 'reasoning', messages: [user('?')] })
    expect(thought.choices[0].message).toMatchObject({
      content: 'The answer is 42.',
      reasoning_content: 'Six times seven.',
    })
    const three = await complete({ model: 'n', n: 3, messages: [user('?')] })
    expect(
      three.choices.map((c: { index: number; message: { content: string } }) => [c.index, c.message.content]),
    ).toEqual([
      [0, 'choice number 0'],
      [1, 'choice number 1'],
      [2, 'choice number 2'],
    ])
  })

  test('streams usage only to those who ask', async () => {
    const body = { model: 'tokens:3', messages: [user('?')], stream: true }
    const plain = await readSse(await post(body))
    expect(plain.done).toBe(true)
    for (const { data } of plain.frames) expect(data).not.toHaveProperty('usage')
    const asked = await readSse(await post({ ...body, stream_options: { include_usage: true } }))
    expect(asked.frames.at(-1)?.data).toMatchObject({ choices: [], usage: { completion_tokens: 3 } })
    for (const { data } of asked.frames.slice(0, -1)) expect(data.usage).toBeNull()
  })

  test('uses the default model when none is named, and stores nothing', async () => {
    const before = await get('/v1/conversations')
    const runs = await get('/v1/runs')
    expect((await complete({ messages: [user('x')] })).model).toBe('echo')
    await readSse(await post({ messages: [user('x')], stream: true }, { 'idempotency-key': 'k' }))
    expect(await get('/v1/conversations')).toEqual(before)
    expect(await get('/v1/runs')).toEqual(runs)
  })

  test.each([
    ['hang', true],
    ['hang', false],
    ['slow:20:500', true],
    ['slow:20:500', false],
  ])('cancels the provider that plays %s when its client leaves (stream: %p)', async (model, stream) => {
    const aborted = provider.aborted()
    const asked = provider.requests.length
    const leaving = new AbortController()
    const answer = fetch(`${base}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model, messages: [user('x')], stream }),
      signal: leaving.signal,
    })
    answer.catch(() => {})
    if (stream && model !== 'hang') await (await answer).body?.getReader().read()
    await until(() => provider.requests.length > asked)
    leaving.abort()
    await until(() => provider.aborted() === aborted + 1)
  })
})

test.each([
  ['no messages', { messages: [] }, 400, 'invalid_request_error', null, 'messages'],
  [
    'a wrong role',
    { messages: [{ role: 'boss', content: 'x' }] },
    400,
    'invalid_request_error',
    null,
    'messages.0.role',
  ],
  ['a wrong temperature', { messages: [user('x')], temperature: 9 }, 400, 'invalid_request_error', null, 'temperature'],
  ['a model that is none', { messages: [user('x')], model: 'nope' }, 404, 'invalid_request_error', null, null],
  [
    'a busy provider',
    { messages: [user('x')], model: 'status:429' },
    429,
    'rate_limit_error',
    'rate_limit_exceeded',
    null,
  ],
  ['a broken provider', { messages: [user('x')], model: 'status:500' }, 502, 'server_error', null, null],
])("says %s in OpenAI's words", async (_, body, status, type, code, param) => {
  for (const stream of [true, false]) {
    const response = await post({ ...body, stream }, { 'x-request-id': 'trace-1' })
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toStartWith('application/json')
    expect(response.headers.get('retry-after')).toBe(status === 429 ? '7' : null)
    const { error, ...rest } = await response.json()
    expect(rest).toEqual({})
    expect(error).toMatchObject({ type, code, param, request_id: 'trace-1' })
    expect(error.message).toMatch(/^\S.+/)
  }
})

test("says who is not signed in in OpenAI's words", async () => {
  const json = { messages: [user('x')] }
  const response = await app.call('/v1/chat/completions', { json, token: 'sk-orc-wrong' })
  expect(response.status).toBe(401)
  expect((await response.json()).error).toMatchObject({ type: 'authentication_error', code: 'invalid_api_key' })
})
