import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { AppError } from '../../src/errors'
import { Accumulator } from '../../src/lib/accumulate'
import { anthropic } from '../../src/llm/anthropic'
import type { Timeouts } from '../../src/llm/deadlines'
import type { ChatEvent, ChatRequest } from '../../src/llm/port'
import { type FakeAnthropic, startFakeAnthropic } from '../support/fake-anthropic'
import { REDACTED, SIGNATURE } from '../support/fake-anthropic-replies'
import { UPSTREAM_SECRET } from '../support/fake-provider'
import { freePort, until } from '../support/servers'

const KEY = 'sk-ant-server-key-123456'
const PATIENT: Timeouts = { connect: 5000, firstToken: 5000, idle: 5000, total: 20_000 }
let fake: FakeAnthropic
beforeAll(() => {
  fake = startFakeAnthropic()
})
afterAll(() => fake.stop())
afterEach(() => until(() => fake.openStreams() === 0))

const provider = (timeouts: Partial<Timeouts> = {}, baseUrl = fake.url) =>
  anthropic({ baseUrl, apiKey: KEY, timeouts: { ...PATIENT, ...timeouts } })
const ask = (model: string, more: Partial<ChatRequest> = {}): ChatRequest => ({
  model,
  messages: [{ role: 'user', content: 'Hello there' }],
  params: {},
  ...more,
})

async function listen(request: ChatRequest, { from = provider(), signal = new AbortController().signal } = {}) {
  const whole = new Accumulator()
  const events: ChatEvent[] = []
  let error: unknown
  try {
    for await (const event of from.stream(request, signal)) {
      events.push(event)
      whole.add(event)
    }
  } catch (thrown) {
    error = thrown
  }
  const text = events.filter((e) => typeof e === 'string').join('')
  const [choice] = whole.choices()
  return { events, text, error, message: choice?.message, reason: choice?.finishReason, usage: whole.usage }
}

async function failure(request: ChatRequest, from = provider()): Promise<AppError> {
  const { error } = await listen(request, { from })
  if (error instanceof AppError) return error
  throw new Error(`Expected an AppError, not ${error}`)
}

const TOOLS = ['get_weather', 'get_time'].map((name) => ({
  type: 'function',
  function: { name, parameters: { type: 'object' } },
}))

describe('an answer', () => {
  test('comes as meta, pieces, finish and usage, and is asked for with the key and the version', async () => {
    const { events, error } = await listen(ask('echo'))
    expect(error).toBeUndefined()
    expect(events).toEqual([
      { type: 'meta', fields: { model: 'echo-real' } },
      'Hello',
      ' there',
      { type: 'finish', index: 0, reason: 'stop' },
      {
        type: 'usage',
        usage: expect.objectContaining({ prompt_tokens: 12, completion_tokens: 2, total_tokens: 14 }),
        counts: expect.objectContaining({ output: 2 }),
      },
    ])
    const { path, headers, body } = fake.requests.at(-1) ?? {}
    expect(path).toBe('/v1/messages')
    expect(headers).toMatchObject({ 'x-api-key': KEY, 'anthropic-version': '2023-06-01' })
    expect(headers).not.toHaveProperty('authorization')
    expect(body).toMatchObject({ stream: true, max_tokens: 4096 })
  })

  test.each(['two-starts', 'pings', 'no-usage'])('of a provider that plays %s is whole', async (model) => {
    const { text, error, reason, usage } = await listen(ask(model))
    expect([text, error, reason]).toEqual(['Hello there', undefined, 'stop'])
    expect(usage === null).toBe(model === 'no-usage')
  })

  test('in kinds of blocks and events that nobody knows is what is known of it', async () => {
    expect((await listen(ask('unknown'))).text).toBe('Known')
  })

  test('in one huge piece is whole, and a monstrous one is refused', async () => {
    expect((await listen(ask('huge:3'))).text.length).toBe(3 * 1024 * 1024)
    expect((await failure(ask('huge:5'))).message).toMatch(/too long/)
  })

  test('counts the tokens of caches as part of the prompt', async () => {
    expect((await listen(ask('cached'))).usage).toEqual({
      prompt_tokens: 142,
      completion_tokens: 2,
      total_tokens: 144,
      prompt_tokens_details: { cached_tokens: 100, cache_write_tokens: 30 },
    })
  })

  test('may be refused, or cut short by its length', async () => {
    expect((await listen(ask('stop:refusal'))).reason).toBe('content_filter')
    expect((await listen(ask('stop:max_tokens'))).reason).toBe('length')
    expect((await listen(ask('stop:model_context_window_exceeded'))).reason).toBe('length')
  })

  test('may call tools, and goes on with their results', async () => {
    const { message, reason } = await listen(ask('tools:2', { params: { tools: TOOLS } }))
    const args = '{"city": "Paris"}'
    expect(reason).toBe('tool_calls')
    expect(message).toMatchObject({
      content: 'Let me look.',
      tool_calls: [
        { id: 'toolu_1', type: 'function', function: { name: 'get_weather', arguments: args } },
        { id: 'toolu_2', type: 'function', function: { name: 'get_time', arguments: args } },
      ],
    })
    const results = ['rain', 'noon'].map((content, i) => ({ role: 'tool', tool_call_id: `toolu_${i + 1}`, content }))
    const messages = [{ role: 'user', content: 'Well?' }, message as { role: string }, ...results]
    expect((await listen(ask('tools:2', { messages, params: { tools: TOOLS } }))).text).toBe(
      'The tool said: rain, noon',
    )
    const { message: bare } = await listen(ask('no-input'))
    expect(bare?.tool_calls).toMatchObject([{ function: { name: 'now', arguments: '{}' } }])
  })

  test('may think, and its signed thought is sent back as it was', async () => {
    const { message } = await listen(ask('thinking'))
    expect(message).toMatchObject({
      content: 'The answer is 42.',
      reasoning_content: 'Six times seven.',
      reasoning_details: [
        { type: 'thinking', signature: SIGNATURE },
        { type: 'redacted_thinking', data: REDACTED },
      ],
    })
    const params = { tools: TOOLS, reasoning_effort: 'low' }
    const first = await listen(ask('thinking-tools', { params }))
    const result = { role: 'tool', tool_call_id: 'toolu_1', content: 'rain' }
    const messages = [{ role: 'user', content: 'Well?' }, first.message as { role: string }, result]
    expect((await listen(ask('thinking-tools', { messages, params }))).text).toBe('The tool said: rain')
    expect(fake.requests.at(-1)?.body.thinking).toEqual({ type: 'enabled', budget_tokens: 1024 })
  })
})

describe('a provider that', () => {
  test.each([
    ['status:400', 'BAD_REQUEST'],
    ['status:413', 'BAD_REQUEST'],
    ['status:401', 'UPSTREAM_ERROR'],
    ['status:403', 'UPSTREAM_ERROR'],
    ['status:404', 'NOT_FOUND'],
    ['unheard-of', 'NOT_FOUND'],
    ['status:429', 'RATE_LIMIT_EXCEEDED'],
    ['status:500', 'UPSTREAM_ERROR'],
    ['status:529', 'UPSTREAM_UNAVAILABLE'],
    ['html', 'UPSTREAM_ERROR'],
    ['html-502', 'UPSTREAM_ERROR'],
    ['empty', 'UPSTREAM_ERROR'],
    ['error-after:0', 'UPSTREAM_UNAVAILABLE'],
    ['error-after:0:invalid_request_error', 'BAD_REQUEST'],
  ])('plays %s fails with %s and tells no secret', async (model, code) => {
    const error = await failure(ask(model))
    expect(error.code).toBe(code as AppError['code'])
    expect(error.message).not.toContain(UPSTREAM_SECRET)
    expect(error.retryAfter).toBe(/429|529/.test(model) ? 7 : undefined)
  })

  test.each(['cut-after:3', 'error-after:3'])('plays %s is heard to the last word, then fails', async (model) => {
    const { text, error } = await listen(ask(model, { messages: [{ role: 'user', content: 't1 t2 t3' }] }))
    expect(text).toBe('t1 t2 t3')
    expect(error).toBeInstanceOf(AppError)
  })

  test('plays no-stop is complete: it said why it stopped', async () => {
    const { text, error } = await listen(ask('no-stop', { messages: [{ role: 'user', content: 't1 t2 t3' }] }))
    expect([text, error]).toEqual(['t1 t2 t3', undefined])
  })

  test('says nothing is given up at each limit', async () => {
    const limit = { connect: 100, firstToken: 100, idle: 100 }
    expect((await failure(ask('hang'), provider(limit))).message).toMatch(/did not respond/)
    const silent = await listen(ask('silent-after:2'), { from: provider(limit) })
    expect([silent.text, (silent.error as AppError).code]).toEqual(['t1 t2', 'UPSTREAM_TIMEOUT'])
    expect((await failure(ask('slow:30:50'), provider({ total: 200 }))).message).toMatch(/took longer/)
  })

  test('is not there is unavailable', async () => {
    const nowhere = `http://127.0.0.1:${await freePort()}`
    expect((await failure(ask('echo'), provider({}, nowhere))).code).toBe('UPSTREAM_UNAVAILABLE')
  })

  test('is left in the middle is let go at once', async () => {
    const before = fake.aborted()
    for await (const event of provider().stream(ask('slow:20:200'), new AbortController().signal)) {
      if (typeof event === 'string') break
    }
    await until(() => fake.aborted() > before)
  })
})

test('a request it cannot be asked is refused before it is sent', async () => {
  const before = fake.requests.length
  expect((await failure(ask('echo', { params: { n: 2 } }))).code).toBe('BAD_REQUEST')
  expect(fake.requests.length).toBe(before)
})

test('lists its models, with or without /v1 in its address', async () => {
  for (const url of [fake.url, `${fake.url}/v1/`]) {
    const models = await provider({}, url).models(AbortSignal.timeout(1000))
    expect(models).toContainEqual({ id: 'claude-sonnet-4-5', ownedBy: 'anthropic', created: 1_759_104_000 })
  }
})

test.each([
  ['claude-3-5-haiku-20241022', true],
  ['claude-sonnet-4-20250514', true],
  ['claude-opus-4-5', true],
  ['anthropic.claude-opus-4-6-v1', false],
  ['claude-sonnet-5', false],
  ['some-other-model', true],
])('%s goes on from a beginning: %p', (model, prefills) => {
  expect(provider().prefills?.(model)).toBe(prefills)
})
