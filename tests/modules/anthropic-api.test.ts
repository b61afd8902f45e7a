/** The Anthropic API for clients, in front of a provider of each kind. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'
import { type FakeAnthropic, startFakeAnthropic } from '../support/fake-anthropic'
import { type FakeProvider, startFakeProvider, UPSTREAM_SECRET } from '../support/fake-provider'
import { type Frame, readSse } from '../support/read-sse'
import { until } from '../support/servers'

let openAi: FakeProvider
let claude: FakeAnthropic
let app: TestApp
let overClaude: TestApp
let base: string
let key: string
let claudeKey: string

beforeAll(async () => {
  openAi = startFakeProvider()
  claude = startFakeAnthropic()
  app = await testApp({ OPENAI_BASE_URL: openAi.url, OPENAI_API_KEY: 'sk-test', DEFAULT_MODEL: 'echo' })
  overClaude = await testApp({ ANTHROPIC_BASE_URL: claude.url, ANTHROPIC_API_KEY: 'sk-ant', DEFAULT_MODEL: 'echo' })
  base = app.listen()
  key = await keyOf(app)
  claudeKey = await keyOf(overClaude)
})
afterAll(async () => {
  await app.close()
  await overClaude.close()
  await openAi.stop()
  await claude.stop()
})

async function keyOf(server: TestApp): Promise<string> {
  const { token } = await server.signUp()
  const made = await server.call('/v1/keys', { token, json: { name: 'sdk' } })
  return (await made.json()).data.key
}

const user = (content: unknown) => ({ role: 'user', content })
const assistant = (content: unknown) => ({ role: 'assistant', content })
const ask = (model: string, more: object = {}) => ({ model, max_tokens: 100, messages: [user('one two')], ...more })
const post = (json: object, headers: Record<string, string> = {}) =>
  app.call('/v1/messages', { json, headers: { 'x-api-key': key, ...headers } })
const postClaude = (json: object, headers: Record<string, string> = {}) =>
  overClaude.call('/v1/messages', { json, headers: { 'x-api-key': claudeKey, ...headers } })

interface Said {
  type?: string
  delta?: { text?: string; partial_json?: string; thinking?: string; stop_reason?: string }
  error?: { type: string; message: string }
}
const dataOf = (frames: Frame[]) => frames.map(({ data }) => data as unknown as Said)
const textOf = (frames: Frame[]) =>
  dataOf(frames)
    .map(({ delta }) => delta?.text ?? '')
    .join('')
const TOOLS = [{ name: 'get_weather', description: 'Weather', input_schema: { type: 'object', properties: {} } }]

describe.each([
  ['OpenAI', () => post],
  ['Anthropic', () => postClaude],
] as const)('a provider of the kind of %s', (_, call) => {
  test('answers in one piece', async () => {
    const answer = await call()(ask('echo', { system: 'Be brief' }))
    expect(answer.status).toBe(200)
    expect(answer.headers.get('request-id')).toBe(answer.headers.get('x-request-id'))
    expect(await answer.json()).toMatchObject({
      id: expect.stringMatching(/^msg_/),
      type: 'message',
      role: 'assistant',
      content: [{ type: 'text', text: 'one two' }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: { output_tokens: 2 },
    })
  })

  test('answers in a stream', async () => {
    const answer = await call()(ask('echo', { stream: true }))
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/)
    const { frames, done } = await readSse(answer)
    expect(done).toBe(false)
    expect(frames.map(({ event }) => event)).toEqual([
      'message_start',
      'ping',
      'content_block_start',
      'content_block_delta',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ])
    expect(textOf(frames)).toBe('one two')
  })

  test('calls tools and is told their results', async () => {
    const called = await (await call()(ask('tools', { tools: TOOLS, tool_choice: { type: 'auto' } }))).json()
    expect(called.stop_reason).toBe('tool_use')
    const use = called.content.at(-1)
    expect(use).toMatchObject({ type: 'tool_use', name: 'get_weather', input: { city: 'Paris' } })
    const result = { type: 'tool_result', tool_use_id: use.id, content: [{ type: 'text', text: 'rain' }] }
    const messages = [user('Well?'), assistant(called.content), user([result])]
    const answer = await (await call()(ask('tools', { tools: TOOLS, messages }))).json()
    expect(answer.content).toEqual([{ type: 'text', text: 'The tool said: rain' }])
  })

  test.each([
    ['status:429', 429, 'rate_limit_error'],
    ['status:401', 500, 'api_error'],
    ['status:503', 529, 'overloaded_error'],
    ['status:400', 400, 'invalid_request_error'],
  ])(
    'that plays %s gives status %d',
    async (model, status, type) => {
      for (const stream of [false, true]) {
        const answer = await call()(ask(model, { stream }))
        const body = await answer.json()
        expect([answer.status, body.type, body.error.type]).toEqual([status, 'error', type])
        expect(body.request_id).toBe(answer.headers.get('x-request-id'))
        expect(JSON.stringify(body)).not.toContain(UPSTREAM_SECRET)
      }
    },
    20_000,
  )

  test.each(['cut-after:3', 'error-after:3'])('that plays %s ends the stream with an error', async (model) => {
    const { frames } = await readSse(await call()(ask(model, { stream: true })))
    expect(textOf(frames)).toBe('t1 t2 t3')
    expect(dataOf(frames).at(-1)).toMatchObject({ type: 'error', error: { message: expect.any(String) } })
    expect(JSON.stringify(frames)).not.toContain(UPSTREAM_SECRET)
  })

  test('fails as a whole when it breaks off, streamed or not', async () => {
    expect((await call()(ask('cut-after:3'))).status).toBeGreaterThanOrEqual(500)
  })
})

describe('a request', () => {
  test('reaches a provider of the kind of OpenAI in its words', async () => {
    await post(
      ask('echo', {
        system: [{ type: 'text', text: 'Be brief' }],
        messages: [user([{ type: 'text', text: 'Hi' }])],
        stop_sequences: ['END'],
        tools: TOOLS,
        tool_choice: { type: 'tool', name: 'get_weather' },
        metadata: { user_id: 'u' },
        a_key_of_tomorrow: 1,
      }),
    )
    const { parameters, ...fn } = { name: 'get_weather', description: 'Weather', parameters: TOOLS[0]?.input_schema }
    expect(openAi.requests.at(-1)?.body as unknown).toEqual({
      model: 'echo',
      max_tokens: 100,
      messages: [
        { role: 'system', content: 'Be brief' },
        { role: 'user', content: 'Hi' },
      ],
      stop: ['END'],
      tools: [{ type: 'function', function: { ...fn, parameters } }],
      tool_choice: { type: 'function', function: { name: 'get_weather' } },
      user: 'u',
      stream: true,
      stream_options: { include_usage: true },
    })
  })

  test('reaches a provider of the kind of Anthropic as it was', async () => {
    const cache_control = { type: 'ephemeral' }
    const body = ask('echo', {
      system: [{ type: 'text', text: 'Be brief', cache_control }],
      messages: [
        user([
          { type: 'text', text: 'Look', cache_control },
          { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } },
        ]),
        assistant([
          { type: 'thinking', thinking: 'Hm', signature: 's' },
          { type: 'text', text: 'So' },
          { type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: { city: 'Oslo' } },
        ]),
        user([
          { type: 'tool_result', tool_use_id: 'toolu_1', content: 'rain', is_error: true },
          { type: 'text', text: 'Well?' },
        ]),
      ],
      tools: [{ ...TOOLS[0], cache_control }],
      thinking: { type: 'enabled', budget_tokens: 2000 },
      max_tokens: 3000,
      top_k: 3,
    })
    const { top_k, ...expected } = body as Record<string, unknown>
    expect((await postClaude(body)).status).toBe(200)
    expect(claude.requests.at(-1)?.body as unknown).toEqual({ ...expected, stream: true })
  })

  test('may leave out the model and the limit', async () => {
    const answer = await postClaude({ messages: [user('Hi')] })
    expect(await answer.json()).toMatchObject({ model: 'echo-real', content: [{ text: 'Hi' }] })
  })

  test('counts cached tokens apart', async () => {
    const usage = { input_tokens: 12, cache_creation_input_tokens: 30, cache_read_input_tokens: 100, output_tokens: 2 }
    expect((await (await postClaude(ask('cached'))).json()).usage).toEqual(usage)
    const { frames } = await readSse(await postClaude(ask('cached', { stream: true })))
    expect(frames.at(-2)?.data).toMatchObject({ usage })
  })

  test('thinks, and shows signed thoughts', async () => {
    const { content } = await (await postClaude(ask('thinking'))).json()
    expect(content).toEqual([
      { type: 'thinking', thinking: 'Six times seven.', signature: expect.any(String) },
      { type: 'redacted_thinking', data: expect.any(String) },
      { type: 'text', text: 'The answer is 42.' },
    ])
    const { frames } = await readSse(await post(ask('reasoning', { stream: true })))
    expect(
      dataOf(frames)
        .map(({ delta }) => delta?.thinking ?? '')
        .join(''),
    ).toBe('Six times seven.')
  })

  test.each([
    [{}, /messages/],
    [{ messages: [] }, /messages/],
    [{ messages: [{ role: 'robot', content: 'x' }] }, /role/],
    [{ messages: [user('x')], max_tokens: 0 }, /max_tokens/],
    [{ messages: [user('x')], temperature: 2 }, /temperature/],
    [{ messages: [user([{ type: 'image', source: { type: 'file', file_id: 'f' } }])] }, /not supported/],
    [{ messages: [user('x')], tools: [{ type: 'bash_20250124', name: 'bash' }] }, /not supported/],
    [{ messages: [user('x')], metadata: { conversation_id: 'none' } }, /conversation_id/],
  ])('that is wrong is refused with a reason: %j', async (body, reason) => {
    const answer = await post(body)
    expect(answer.status).toBe(400)
    const { type, error } = await answer.json()
    expect([type, error.type]).toEqual(['error', 'invalid_request_error'])
    expect(error.message).toMatch(reason)
  })

  test('without a live key, or for a model that is not there, is refused in the words of the API', async () => {
    const stranger = await post(ask('echo'), { 'x-api-key': 'sk-ant-unknown' })
    expect([stranger.status, (await stranger.json()).error.type]).toEqual([401, 'authentication_error'])
    const unknown = await post(ask('nothing'))
    expect([unknown.status, (await unknown.json()).error.type]).toEqual([404, 'not_found_error'])
    const both = await post(ask('echo'), { authorization: `Bearer ${key}` })
    expect(both.status).toBe(200)
  })
})

test('a client that leaves stops the model', async () => {
  for (const stream of [true, false]) {
    const before = openAi.aborted()
    const leaving = new AbortController()
    const headers = { 'x-api-key': key, 'content-type': 'application/json' }
    const body = JSON.stringify(ask('slow:50:200', { stream }))
    const answer = fetch(`${base}/v1/messages`, { method: 'POST', headers, body, signal: leaving.signal })
    if (stream) await (await answer).body?.getReader().read()
    else answer.catch(() => {})
    await until(() => openAi.openStreams() > 0)
    leaving.abort()
    await until(() => openAi.aborted() > before)
  }
})

describe('with a conversation', () => {
  const start = async () => {
    const json = { message: 'one', stream: false }
    const headers = { 'x-api-key': key }
    return (await (await app.call('/v1/chat/completions', { json, headers })).json()).conversation_id as string
  }
  const said = async (id: string) => {
    const answer = await app.call(`/v1/conversations/${id}/messages`, { headers: { 'x-api-key': key } })
    return (await answer.json()).data.items.map(({ content }: { content: string }) => content)
  }

  test('keeps the exchange, named by the header or by metadata, streamed or not', async () => {
    const id = await start()
    const answer = await post(ask('echo', { messages: [user('two')] }), { 'x-conversation-id': id })
    expect(await answer.json()).toMatchObject({
      content: [{ text: 'two' }],
      conversation_id: id,
      run_id: expect.any(String),
    })
    const messages = [
      user('one'),
      assistant('one'),
      user('two'),
      assistant([{ type: 'text', text: 'two' }]),
      user([{ type: 'text', text: 'three' }]),
    ]
    const { frames } = await readSse(
      await post(ask('echo', { messages, stream: true, metadata: { conversation_id: id } })),
    )
    expect(frames[0]?.data).toMatchObject({ message: { conversation_id: id, message_id: expect.any(String) } })
    expect(frames.at(-1)).toMatchObject({ id: 3, event: 'message_stop' })
    expect(textOf(frames)).toBe('three')
    expect(await said(id)).toEqual(['one', 'one', 'two', 'two', 'three', 'three'])
  })

  test('keeps calls and results, and answers a repeated request with what the first one made', async () => {
    const id = await start()
    const headers = { 'x-conversation-id': id, 'idempotency-key': crypto.randomUUID() }
    const json = ask('tools', { messages: [user('{"city":"Oslo"}')], tools: TOOLS })
    const called = await (await post(json, headers)).json()
    const again = await post(json, headers)
    expect(again.headers.get('idempotency-replayed')).toBe('true')
    expect(await again.json()).toEqual(called)
    const { id: tool_use_id } = called.content.at(-1)
    const messages = [user([{ type: 'tool_result', tool_use_id, content: 'rain' }])]
    const answer = await post(ask('tools', { messages, tools: TOOLS }), { 'x-conversation-id': id })
    expect((await answer.json()).content).toEqual([{ type: 'text', text: 'The tool said: rain' }])
  })

  test('ends with the error of an answer that failed, and keeps what it said', async () => {
    const id = await start()
    const { frames } = await readSse(await post(ask('error-after:2', { stream: true }), { 'x-conversation-id': id }))
    expect(dataOf(frames).at(-1)).toMatchObject({ type: 'error', error: { type: expect.any(String) } })
    expect((await said(id)).at(-1)).toBe('t1 t2')
    expect((await post(ask('echo'), { 'x-conversation-id': crypto.randomUUID() })).status).toBe(404)
  })
})

test('a signed thought that called a tool is kept with the conversation and sent back with the result', async () => {
  const headers = { 'x-api-key': claudeKey }
  const begun = await overClaude.call('/v1/chat/completions', { headers, json: { message: 'one', stream: false } })
  const { conversation_id } = await begun.json()
  const named = { 'x-conversation-id': conversation_id }
  const more = { tools: TOOLS, thinking: { type: 'enabled', budget_tokens: 2000 }, max_tokens: 3000 }
  await postClaude(ask('thinking-tools', more), named)
  const result = { type: 'tool_result', tool_use_id: 'toolu_1', content: 'rain' }
  const answer = await postClaude(ask('thinking-tools', { ...more, messages: [user([result])] }), named)
  expect((await answer.json()).content).toEqual([{ type: 'text', text: 'The tool said: rain' }])
})

test('an answer that breaks off at one kind of provider is finished by the other', async () => {
  const both = await testApp({
    OPENAI_BASE_URL: openAi.url,
    OPENAI_API_KEY: 'sk-test',
    ANTHROPIC_BASE_URL: claude.url,
    ANTHROPIC_API_KEY: 'sk-ant',
  })
  const headers = { 'x-api-key': await keyOf(both) }
  const json = ask('half-frame', { stream: true })
  const { frames } = await readSse(await both.call('/v1/messages', { json, headers }))
  await both.close()
  expect(textOf(frames)).toBe('t1 t2 t3 t4 t5')
  expect(frames.at(-1)?.event).toBe('message_stop')
  expect(claude.requests.at(-1)?.body.messages.at(-1)).toEqual({
    role: 'assistant',
    content: [{ type: 'text', text: 't1 t2 t3' }],
  })
})

test('tokens are estimated, for the same bodies', async () => {
  const count = (json: object) => app.call('/v1/messages/count_tokens', { json, headers: { 'x-api-key': key } })
  const short = (await (await count({ model: 'echo', messages: [user('Hello there')] })).json()).input_tokens
  const long = (await (await count({ messages: [user('Hello there')], tools: TOOLS, system: 'Be brief' })).json())
    .input_tokens
  expect(short).toBeGreaterThan(2)
  expect(short).toBeLessThan(20)
  expect(long).toBeGreaterThan(short)
  const bad = await count({ messages: 7 })
  expect([bad.status, (await bad.json()).type]).toEqual([400, 'error'])
})
