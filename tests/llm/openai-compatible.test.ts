import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AppError } from '../../src/errors'
import { Accumulator } from '../../src/lib/accumulate'
import type { Timeouts } from '../../src/llm/deadlines'
import { openAiCompatible } from '../../src/llm/openai-compatible'
import type { ChatEvent, ChatRequest, Provider } from '../../src/llm/port'
import { type FakeProvider, startFakeProvider, UPSTREAM_SECRET } from '../support/fake-provider'
import { freePort, until } from '../support/servers'

const KEY = 'sk-server-key-123456'
const PATIENT: Timeouts = { connect: 5000, firstToken: 5000, idle: 5000, total: 20_000 }
let fake: FakeProvider
let provider: Provider
const servers: Server[] = []

beforeAll(() => {
  fake = startFakeProvider()
  provider = openAiCompatible({ name: 'fake', baseUrl: fake.url, apiKey: KEY, timeouts: PATIENT })
})
afterAll(async () => {
  for (const server of servers) server.close()
  await fake.stop()
})
afterEach(() => until(() => fake.openStreams() === 0))

const ask = (model: string, more: Partial<ChatRequest> = {}): ChatRequest => ({
  model,
  messages: [{ role: 'user', content: 'Hello there' }],
  params: {},
  ...more,
})

/** Everything an answer has: its events, and how it ended. */
async function listen(request: ChatRequest, { from = provider, signal = new AbortController().signal } = {}) {
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
  return {
    events,
    text: events.filter((e) => typeof e === 'string').join(''),
    error,
    choices: whole.choices(),
    usage: whole.usage,
  }
}

async function failure(request: ChatRequest, from = provider): Promise<AppError> {
  const { error } = await listen(request, { from })
  if (error instanceof AppError) return error
  throw new Error(`Expected an AppError, not ${error}`)
}

/** A provider that answers whatever is asked with one text. */
async function answering(status: number, text: string, headers: Record<string, string> = {}): Promise<Provider> {
  const server = createServer((_, response) => response.writeHead(status, headers).end(text))
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return openAiCompatible({ name: 'x', baseUrl, apiKey: KEY, timeouts: PATIENT })
}

describe('an answer', () => {
  test('comes as meta, pieces, finish and usage', async () => {
    const { events, error } = await listen(ask('echo'))
    expect(error).toBeUndefined()
    expect(events).toEqual([
      { type: 'meta', fields: { model: 'echo' } },
      'Hello',
      ' there',
      { type: 'finish', index: 0, reason: 'stop' },
      {
        type: 'usage',
        usage: expect.objectContaining({ prompt_tokens: 2, completion_tokens: 2, total_tokens: 4 }),
        counts: expect.objectContaining({ input: 2, output: 2, request: 1 }),
      },
    ])
  })

  test.each([
    ['bom', 'Hello there'],
    ['comments', 'Hello there'],
    ['crlf', 'Hello there'],
    ['split-utf8', 'Привет, мир 🌍👩‍👩‍👧 ё𝕏'],
    ['no-done', 'The quick brown fox'],
    ['no-usage', 'The quick brown fox'],
    ['long-line:3', 'x'.repeat(3 * 1024 * 1024)],
  ])('of a provider that plays %s is whole', async (model, text) => {
    const answer = await listen(ask(model))
    expect(answer.error).toBeUndefined()
    expect(answer.text === text).toBe(true)
    expect(answer.choices[0]?.finishReason).toBe('stop')
    expect(answer.usage === null).toBe(model === 'no-usage')
  })

  test('of ten thousand pieces is whole', async () => {
    const { text, usage } = await listen(ask('many'))
    expect(text).toBe(Array.from({ length: 10_000 }, (_, i) => `t${i + 1}`).join(' '))
    expect(usage?.completion_tokens).toBe(10_000)
  })

  test('may be cut short by its length or a filter', async () => {
    expect((await listen(ask('length'))).choices[0]?.finishReason).toBe('length')
    expect((await listen(ask('content-filter'))).choices[0]?.finishReason).toBe('content_filter')
  })

  test('may think, call tools and have several choices', async () => {
    const thought = await listen(ask('reasoning'))
    expect(thought.choices[0]?.message).toMatchObject({
      content: 'The answer is 42.',
      reasoning_content: 'Six times seven.',
    })
    const tools = await listen(
      ask('tools:2', { params: { tools: [{ function: { name: 'a' } }, { function: { name: 'b' } }] } }),
    )
    expect(tools.choices[0]).toMatchObject({
      message: {
        content: null,
        tool_calls: [
          { id: 'call_1', type: 'function', function: { name: 'a', arguments: '{"city":"Paris"}' } },
          { id: 'call_2', type: 'function', function: { name: 'b', arguments: '{"city":"Paris"}' } },
        ],
      },
      finishReason: 'tool_calls',
    })
    const three = await listen(ask('n', { params: { n: 3 } }))
    expect(three.choices.map(({ message, finishReason }) => [message.content, finishReason])).toEqual([
      ['choice number 0', 'stop'],
      ['choice number 1', 'stop'],
      ['choice number 2', 'stop'],
    ])
  })
})

describe('a provider that', () => {
  test.each([
    ['status:400', 'BAD_REQUEST'],
    ['status:401', 'UPSTREAM_ERROR'],
    ['status:403', 'UPSTREAM_ERROR'],
    ['no-such-model', 'NOT_FOUND'],
    ['status:408', 'UPSTREAM_TIMEOUT'],
    ['status:422', 'BAD_REQUEST'],
    ['status:429', 'RATE_LIMIT_EXCEEDED'],
    ['status:500', 'UPSTREAM_ERROR'],
    ['status:503', 'UPSTREAM_UNAVAILABLE'],
    ['status:504', 'UPSTREAM_TIMEOUT'],
    ['status:529', 'UPSTREAM_UNAVAILABLE'],
    ['flaky:1', 'UPSTREAM_UNAVAILABLE'],
    ['html', 'UPSTREAM_ERROR'],
    ['html-502', 'UPSTREAM_ERROR'],
    ['empty', 'UPSTREAM_ERROR'],
    ['error-frame', 'UPSTREAM_ERROR'],
    ['long-line', 'UPSTREAM_ERROR'],
  ] as const)('plays %s fails with %s and nothing said', async (model, code) => {
    const { error, text } = await listen(ask(model))
    expect(error).toBeInstanceOf(AppError)
    expect(error).toMatchObject({ code })
    expect(String(error)).not.toContain(UPSTREAM_SECRET)
    expect(text).toBe('')
    if (model === 'status:429') expect(error).toMatchObject({ retryAfter: 7 })
  })

  test.each([
    ['error-after:3', 'UPSTREAM_ERROR', 't1 t2 t3'],
    ['half-frame', 'UPSTREAM_ERROR', 't1 t2 t3'],
    ['cut-after:3', 'UPSTREAM_UNAVAILABLE', 't1 t2 t3'],
    ['no-finish', 'UPSTREAM_ERROR', 'The quick brown fox'],
  ])('plays %s fails with %s after what it said', async (model, code, said) => {
    const { error, text } = await listen(ask(model))
    expect(error).toMatchObject({ name: 'AppError', code })
    expect(String(error)).not.toContain(UPSTREAM_SECRET)
    expect(text).toBe(said)
  })

  test('is not there fails as unavailable, without saying where it was looked for', async () => {
    const port = await freePort()
    for (const baseUrl of [`http://127.0.0.1:${port}/v1`, 'http://no-such-host.invalid/v1']) {
      const error = await failure(ask('echo'), openAiCompatible({ name: 'x', baseUrl, timeouts: PATIENT }))
      expect(error.code).toBe('UPSTREAM_UNAVAILABLE')
      expect(error.message).not.toMatch(/invalid|127\.0\.0\.1|\d{4}/)
    }
  })

  test.each([
    ['connect', 'hang', 60],
    ['firstToken', 'silent', 60],
    ['idle', 'silent-after:3', 60],
    ['total', 'slow:10:1000', 120],
  ])('is too slow (%s) is given up', async (limit, model, ms) => {
    const aborted = fake.aborted()
    const timeouts = { ...PATIENT, [limit]: ms }
    const error = await failure(ask(model), openAiCompatible({ name: 'slow', baseUrl: fake.url, timeouts }))
    expect(error.code).toBe('UPSTREAM_TIMEOUT')
    expect(error.message).toContain(`${ms / 1000} s`)
    await until(() => fake.aborted() === aborted + 1)
  })

  test('talks slowly but steadily is not given up', async () => {
    const timeouts = { ...PATIENT, firstToken: 400, idle: 400 }
    const { error, text } = await listen(ask('slow:50:12'), {
      from: openAiCompatible({ name: 'slow', baseUrl: fake.url, timeouts }),
    })
    expect(error).toBeUndefined()
    expect(text).toEndWith('t12')
  })
})

describe('leaving', () => {
  test.each(['hang', 'silent', 'slow:10:1000'])(
    'by abort closes the connection to one that plays %s',
    async (model) => {
      const aborted = fake.aborted()
      const asked = fake.requests.length
      const abort = new AbortController()
      const answer = listen(ask(model), { signal: abort.signal })
      await until(() => fake.requests.length > asked)
      abort.abort()
      expect((await answer).error).toMatchObject({ name: 'AbortError' })
      await until(() => fake.aborted() === aborted + 1)
    },
  )

  test('before asking asks nobody', async () => {
    const asked = fake.requests.length
    expect((await listen(ask('echo'), { signal: AbortSignal.abort() })).error).toMatchObject({ name: 'AbortError' })
    expect(fake.requests.length).toBe(asked)
  })

  test('in the middle releases the unread body', async () => {
    const aborted = fake.aborted()
    for await (const event of provider.stream(ask('slow:10:1000'), new AbortController().signal)) {
      if (event === ' t2') break
    }
    await until(() => fake.aborted() === aborted + 1)
  })
})

describe('keys', () => {
  const authorization = () => fake.requests.at(-1)?.headers.authorization

  test("the server's key is sent, or in its place the person's own", async () => {
    await listen(ask('echo'))
    expect(authorization()).toBe(`Bearer ${KEY}`)
    await listen(ask('echo', { apiKey: 'sk-person' }))
    expect(authorization()).toBe('Bearer sk-person')
    await listen(ask('echo'), { from: openAiCompatible({ name: 'open', baseUrl: fake.url, timeouts: PATIENT }) })
    expect(authorization()).toBeUndefined()
  })

  test('a redirect is not followed: it could carry them elsewhere', async () => {
    const from = await answering(307, '', { location: `${fake.url}/chat/completions` })
    const asked = fake.requests.length
    const error = await failure(ask('echo'), from)
    expect(error.code).toBe('UPSTREAM_UNAVAILABLE')
    expect(fake.requests.length).toBe(asked)
  })
})

test.each([
  ['without the last empty line', '\n', { prompt_tokens: 1, completion_tokens: 2 }],
  ['cut off', '', null],
])('takes a complete answer whose usage comes %s', async (_, ending, usage) => {
  const frames = [{ choices: [{ delta: { content: 'Hi' } }] }, { choices: [{ delta: {}, finish_reason: 'stop' }] }]
  const last = JSON.stringify({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } })
  const text = frames.map((frame) => `data: ${JSON.stringify(frame)}\n\n`).join('')
  const from = await answering(200, `${text}data: ${ending ? last : last.slice(0, 20)}${ending}`)
  expect(await listen(ask('any'), { from })).toMatchObject({ text: 'Hi', error: undefined, usage })
})

test.each([
  'Key sk-live-abc123def456 is spent',
  'Bearer abcdef123456 refused',
  'Cannot connect to http://10.0.3.7:4000/v1/chat',
  'dial tcp 10.0.3.7:4000: refused',
  'litellm.railway.internal:4000 refused the connection',
])('blanks what a provider quotes: %s', async (message) => {
  const from = await answering(400, JSON.stringify({ error: { message } }))
  const error = await failure(ask('any'), from)
  expect(error.code).toBe('BAD_REQUEST')
  expect(error.message).toContain('[hidden]')
  expect(error.message).not.toMatch(/abc|10\.0|4000|railway/)
})

test('lists models, and says why it cannot', async () => {
  const models = await provider.models(new AbortController().signal)
  expect(models.find(({ id }) => id === 'echo')).toEqual({ id: 'echo', ownedBy: 'fake', created: 1_700_000_000 })
  const elsewhere = openAiCompatible({ name: 'x', baseUrl: `${fake.url}/nowhere`, timeouts: PATIENT })
  expect(elsewhere.models(new AbortController().signal)).rejects.toMatchObject({ name: 'AppError', code: 'NOT_FOUND' })
})
