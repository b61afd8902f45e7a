/** What does not fit a model: too long, too much asked for, no images, no tools. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AppError } from '../../src/errors'
import type { ChatMessage } from '../../src/llm/port'
import { type ContextPolicy, fitTo } from '../../src/modules/chat/fitting'
import { checkInputs } from '../../src/modules/chat/inputs'
import type { Params } from '../../src/modules/chat/request'
import { type TestApp, testApp } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { readSse } from '../support/read-sse'

const words = (n: number) => Array(n).fill('word').join(' ')
const user = (content: unknown): ChatMessage => ({ role: 'user', content })
const assistant = (content: string, more: object = {}): ChatMessage => ({ role: 'assistant', content, ...more })
const system: ChatMessage = { role: 'system', content: 'Be brief' }

describe('trimming', () => {
  const within = (messages: ChatMessage[], contextWindow: number, policy: ContextPolicy = 'trim', body: Params = {}) =>
    fitTo({ messages, body }, { limits: { contextWindow, maxOutputTokens: 500 }, policy })
  const refusal = (...args: Parameters<typeof within>): AppError | undefined => {
    try {
      within(...args)
    } catch (error) {
      return error as AppError
    }
    return undefined
  }

  test('leaves alone what fits', () => {
    const messages = [system, user('a'), assistant('b'), user('c')]
    expect(within(messages, 1000)).toEqual({ messages, trimmed: 0 })
  })

  test('leaves out the oldest exchanges, whole, and never instructions or what is said last', () => {
    const messages = [system, user(words(100)), assistant(words(100)), user(words(100)), assistant('ok'), user('now')]
    expect(within(messages, 300)).toEqual({ messages: [system, ...messages.slice(3)], trimmed: 2 })
    expect(within(messages, 100)).toEqual({ messages: [system, user('now')], trimmed: 4 })
  })

  test('never leaves a result without its call', () => {
    const call = assistant('', {
      tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }],
    })
    const result: ChatMessage = { role: 'tool', tool_call_id: 'c', content: words(100) }
    const messages = [user('a'), call, result, assistant('done'), user('b'), call, result]
    expect(within(messages, 210).messages).toEqual([user('b'), call, result])
    expect(refusal(messages, 100)?.code).toBe('PAYLOAD_TOO_LARGE')
  })

  test('counts tools and what is asked for', () => {
    const messages = [user(words(100)), assistant('a'), user('b')]
    expect(within(messages, 400).trimmed).toBe(0)
    expect(within(messages, 400, 'trim', { max_tokens: 300 }).trimmed).toBe(2)
    const tools = [{ type: 'function', function: { name: 'f', description: words(250) } }]
    expect(within(messages, 400, 'trim', { tools }).trimmed).toBe(2)
  })

  test('is not done when it is not wanted: then the numbers are told', () => {
    const error = refusal([user(words(100)), assistant('a'), user('b')], 100, 'refuse', { max_tokens: 50 })
    expect(error?.details).toEqual({
      reason: 'context_length_exceeded',
      context_window: 100,
      estimated_tokens: expect.any(Number),
      max_tokens: 50,
    })
    expect(error?.message).toMatch(/about \d+ tokens and 50 for the answer, and it takes 100/)
  })

  test('is not done for a model that nobody knows', () => {
    const messages = [user(words(100_000))]
    expect(fitTo({ messages, body: { max_tokens: 1e9 } }, { limits: {}, policy: 'refuse' }).messages).toBe(messages)
  })

  test('of 2,000 messages takes little time', () => {
    const messages = Array.from({ length: 1000 }, (_, i) => [user(`${i} ${words(20)}`), assistant(words(20))]).flat()
    const begun = performance.now()
    const { messages: left, trimmed } = within([...messages, user('now')], 10_000)
    expect(performance.now() - begun).toBeLessThan(200)
    expect(trimmed + left.length).toBe(2001)
    expect(left[0]?.role).toBe('user')
    expect(left.length).toBeGreaterThan(100)
  })
})

const dir = mkdtempSync(join(tmpdir(), 'orchestrator-fitting-'))
let fake: FakeProvider
let trimming: TestApp
let refusing: TestApp
const tokens = new Map<TestApp, string>()

beforeAll(async () => {
  fake = startFakeProvider()
  const path = join(dir, 'models.yaml')
  const info = 'info: { context_window: 300, max_output_tokens: 100 }'
  writeFileSync(
    path,
    `providers: { p: { kind: openai, base_url: "${fake.url}", list: true } }
models:
  small: { deployments: [{ provider: p, model: echo }], ${info} }
`,
  )
  trimming = await testApp({ MODELS_FILE: path })
  refusing = await testApp({ MODELS_FILE: path, CONTEXT_POLICY: 'refuse' })
  for (const app of [trimming, refusing]) tokens.set(app, (await app.signUp()).token)
})
afterAll(async () => {
  await trimming.close()
  await refusing.close()
  await fake.stop()
  rmSync(dir, { recursive: true, force: true })
})

const ask = (json: object, app = trimming) =>
  app.call('/v1/chat/completions', { token: tokens.get(app), json: { model: 'small', ...json } })
const lastAsked = () => fake.requests.findLast(({ method }) => method === 'POST')?.body?.messages

describe('a conversation that is too long', () => {
  const history = [user(words(150)), assistant(words(100)), user('now')]

  test('is trimmed, and the answer says so: in one piece', async () => {
    const answer = await (await ask({ messages: history })).json()
    expect(answer.trimmed_messages).toBe(2)
    expect(lastAsked() as unknown).toEqual([user('now')])
  })

  test('in a stream of OpenAI', async () => {
    const { frames } = await readSse(await ask({ messages: history, stream: true }))
    expect(frames[0]?.data.trimmed_messages).toBe(2)
  })

  test('and in our own, on the first frame', async () => {
    const first = await (await ask({ message: words(150), stream: false })).json()
    expect(first.trimmed_messages).toBeUndefined()
    const { conversation_id } = first
    const { frames, text } = await readSse(await ask({ message: words(120), conversation_id }))
    expect(frames[0]?.data).toMatchObject({ conversation_id, trimmed_messages: 2 })
    expect(text).toBe(words(120))
  })

  test('is refused instead with CONTEXT_POLICY=refuse, in the words of each client', async () => {
    const openAi = await ask({ messages: history }, refusing)
    expect(openAi.status).toBe(400)
    expect((await openAi.json()).error).toMatchObject({
      code: 'context_length_exceeded',
      type: 'invalid_request_error',
    })
    const first = await (await ask({ message: words(100), stream: false }, refusing)).json()
    const { conversation_id } = first
    const ours = await ask({ message: words(150), conversation_id, stream: false }, refusing)
    expect(ours.status).toBe(413)
    expect((await ours.json()).error).toMatchObject({
      code: 'PAYLOAD_TOO_LARGE',
      message: expect.stringContaining('and it takes 300'),
    })
  })

  test('is refused before anything is written when the message alone is too long', async () => {
    for (const app of [trimming, refusing]) {
      const answer = await ask({ message: words(400) }, app)
      expect(answer.status).toBe(413)
      expect((await answer.json()).error).toMatchObject({
        code: 'PAYLOAD_TOO_LARGE',
        details: { context_window: 300, estimated_tokens: expect.any(Number) },
      })
    }
  })
})

describe('too long an answer', () => {
  test('is refused with the number', async () => {
    const ours = await ask({ message: 'x', max_tokens: 101 })
    expect(ours.status).toBe(422)
    expect((await ours.json()).error).toMatchObject({
      message: 'max_tokens: must be at most 100 for this model, not 101',
      details: { max_output_tokens: 100 },
    })
    const openAi = await ask({ messages: [user('x')], max_completion_tokens: 101 })
    expect(openAi.status).toBe(400)
    expect((await openAi.json()).error.param).toBe('max_completion_tokens')
    expect((await ask({ messages: [user('x')], max_tokens: 100 })).status).toBe(200)
    expect((await ask({ messages: [user('x')], max_tokens: 1000, model: 'echo' })).status).toBe(200)
  })
})

const image = (bytes: string) => Buffer.from(bytes, 'latin1').toString('base64')
const PNG = image('\x89PNG\r\n\x1a\n0000')

describe('images', () => {
  const send = (url: unknown, more: object = {}) =>
    ask({ model: 'echo', messages: [user([{ type: 'image_url', image_url: url === null ? null : { url } }])], ...more })

  test.each([
    [`data:image/png;base64,${PNG}`],
    [`data:image/jpeg;base64,${image('\xff\xd8\xff\xe0')}`],
    [`data:image/jpg;base64,${image('\xff\xd8\xff\xe0')}`],
    [`data:image/gif;base64,${image('GIF89a')}`],
    [`data:image/webp;base64,${image('RIFF\0\0\0\0WEBPVP8 ')}`],
    ['https://example.com/cat.png'],
  ])('are taken: %s', async (url) => {
    expect((await send(url)).status).toBe(200)
  })

  test.each([
    [`data:image/png;base64,${image('<svg onload=alert(1)>')}`, /is no image/],
    [`data:image/png;base64,${image('\xff\xd8\xff\xe0')}`, /is called png and is a jpeg/],
    ['data:image/png;base64,', /is no image/],
    ['data:image/png,rawbytes', /in base64/],
    ['data:text/html;base64,PGI+', /in base64/],
    ['file:///etc/passwd', /http\(s\) address/],
    [7, /must be an address/],
    [null, /must be an address/],
  ])('are refused: %j', async (url, message) => {
    const answer = await send(url)
    expect(answer.status).toBe(400)
    const { error } = await answer.json()
    expect(error).toMatchObject({
      param: 'messages.0.content.0.image_url.url',
      message: expect.stringMatching(message),
    })
  })

  test('of more than 20 MB are refused', () => {
    const url = `data:image/png;base64,${PNG}${'A'.repeat(28 * 1024 * 1024)}`
    expect(() => checkInputs([user([{ type: 'image_url', image_url: { url } }])], {})).toThrow(
      'must be an image of at most 20 MB',
    )
  })
})

describe('tools', () => {
  const send = (tools: unknown) => ask({ model: 'echo', messages: [user('x')], tools })
  const fn = (parameters: unknown) => [{ type: 'function', function: { name: 'f', parameters } }]

  test.each([
    [[]],
    [null],
    [[{ type: 'function', function: { name: 'f' } }]],
    [fn({})],
    [fn({ type: 'object', properties: { a: { type: ['string', 'null'] }, b: true }, required: ['a'] })],
    [fn({ type: 'object', properties: { type: { $ref: '#/$defs/x' } }, $defs: { x: { enum: [1] } } })],
    [[{ type: 'custom', custom: { name: 'x' } }]],
  ])('are taken: %j', async (tools) => {
    expect((await send(tools)).status).toBe(200)
  })

  test.each([
    ['x', 'tools'],
    [{}, 'tools'],
    [[5], 'tools.0'],
    [[{ function: { name: 'f' } }], 'tools.0'],
    [[{ type: 'function' }], 'tools.0.function'],
    [[{ type: 'function', function: { name: '' } }], 'tools.0.function'],
    [fn('object'), 'tools.0.function.parameters'],
    [fn([]), 'tools.0.function.parameters'],
    [fn({ type: 'string' }), 'tools.0.function.parameters.type'],
    [fn({ properties: [] }), 'tools.0.function.parameters.properties'],
    [fn({ required: 'a' }), 'tools.0.function.parameters.required'],
    [fn({ properties: { a: 'string' } }), 'tools.0.function.parameters.properties.a'],
    [fn({ properties: { a: { type: 'strin' } } }), 'tools.0.function.parameters.properties.a.type'],
    [fn({ properties: { a: { items: { type: 7 } } } }), 'tools.0.function.parameters.properties.a.items.type'],
  ])('are refused: %j', async (tools, param) => {
    const answer = await send(tools)
    expect([answer.status, (await answer.json()).error.param]).toEqual([400, param])
    expect((await ask({ message: 'x', tools })).status).toBe(422)
  })
})

test('2,000 messages are answered', async () => {
  const messages = Array.from({ length: 1999 }, (_, i) => (i % 2 ? assistant(`a${i}`) : user(`q${i}`)))
  const answer = await ask({ model: 'echo', messages: [...messages, user('last')] })
  expect((await answer.json()).choices[0].message.content).toBe('last')
  expect(lastAsked()).toHaveLength(2000)
})
