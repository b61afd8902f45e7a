/** The official Anthropic SDK for JavaScript → this server → a provider of the kind of OpenAI, then one of Anthropic's. */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import Anthropic from '@anthropic-ai/sdk'
import { startFakeAnthropic } from '../support/fake-anthropic'
import { type FakeProvider, UPSTREAM_SECRET } from '../support/fake-provider'
import { checksFor, grows, rejection } from './checks'
import { startServerWith, type Target } from './server'

interface Upstream {
  /** How many clients left before their answer was complete. */
  aborted(): number
  /** Whether it signs thoughts and keeps the counts of caches. */
  signs: boolean
}

const asks = (content: string) => [{ role: 'user' as const, content }]
const TOOLS = [
  { name: 'get_weather', description: 'The weather', input_schema: { type: 'object' as const, properties: {} } },
]

/** @param folder for the data and logs of both servers. */
export async function anthropicSuite(openAi: FakeProvider, folder: string): Promise<void> {
  const claude = startFakeAnthropic()
  try {
    const start = (name: string, settings: Record<string, string>) => {
      const own = join(folder, `anthropic-over-${name}`)
      mkdirSync(own)
      return startServerWith(settings, own)
    }
    const overOpenAi = await start('openai', { OPENAI_BASE_URL: openAi.url, OPENAI_API_KEY: 'sk-x' })
    const overClaude = await start('anthropic', { ANTHROPIC_BASE_URL: claude.url, ANTHROPIC_API_KEY: 'sk-ant-x' })
    await suite('anthropic-js over openai', overOpenAi, { aborted: openAi.aborted, signs: false })
    await suite('anthropic-js over anthropic', overClaude, { aborted: claude.aborted, signs: true })
  } finally {
    await claude.stop()
  }
}

async function suite(name: string, { origin, apiKey }: Target, upstream: Upstream): Promise<void> {
  const client = new Anthropic({ baseURL: origin, apiKey, maxRetries: 0, timeout: 15_000 })
  const { check } = checksFor(name, false)
  await answers(client, check)
  await toolsAndThoughts(client, check, upstream)
  await failures(client, check, upstream)
}

type Check = (name: string, body: () => Promise<void>) => Promise<void>

async function answers(client: Anthropic, check: Check): Promise<void> {
  const asked = { model: 'echo', max_tokens: 50, messages: asks('one two') }

  await check('answers in one piece, with usage', async () => {
    const message = await client.messages.create({ ...asked, system: 'Be brief' })
    assert.deepEqual([message.type, message.role, message.stop_reason], ['message', 'assistant', 'end_turn'])
    assert.deepEqual(message.content, [{ type: 'text', text: 'one two' }])
    assert.equal(message.usage.output_tokens, 2)
    assert.ok(message.usage.input_tokens > 0)
  })
  await check('streams events', async () => {
    const types: string[] = []
    for await (const event of await client.messages.create({ ...asked, stream: true })) types.push(event.type)
    assert.deepEqual(types, [
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ])
  })
  await check('streams with the helper, which puts the message together', async () => {
    const texts: string[] = []
    const stream = client.messages.stream(asked).on('text', (text) => texts.push(text))
    const message = await stream.finalMessage()
    assert.deepEqual(texts, ['one', ' two'])
    assert.deepEqual(message.content, [{ type: 'text', text: 'one two' }])
    assert.ok(message.usage.input_tokens > 0 && message.usage.output_tokens === 2, JSON.stringify(message.usage))
  })
  await check('takes a conversation with images', async () => {
    const source = { type: 'base64' as const, media_type: 'image/png' as const, data: 'iVBORw0KGgoAAAANSUhEUg==' }
    const messages = [
      ...asks('Hi'),
      { role: 'assistant' as const, content: 'Yes?' },
      {
        role: 'user' as const,
        content: [
          { type: 'image' as const, source },
          { type: 'text' as const, text: 'What is it?' },
        ],
      },
    ]
    const { content } = await client.messages.create({ ...asked, messages })
    assert.deepEqual(content, [{ type: 'text', text: 'What is it?' }])
  })
  await check('estimates tokens', async () => {
    const { input_tokens } = await client.messages.countTokens({ model: 'echo', messages: asks('one two') })
    assert.ok(input_tokens > 2 && input_tokens < 30, String(input_tokens))
  })
}

async function toolsAndThoughts(client: Anthropic, check: Check, { signs }: Upstream): Promise<void> {
  const asked = { model: 'tools', max_tokens: 50, messages: asks('Weather?'), tools: TOOLS }

  for (const streamed of [false, true]) {
    await check(`calls a tool and is told its result (${streamed ? 'streamed' : 'plain'})`, async () => {
      const called = await (streamed ? client.messages.stream(asked).finalMessage() : client.messages.create(asked))
      assert.equal(called.stop_reason, 'tool_use')
      const use = called.content.at(-1)
      assert.ok(use?.type === 'tool_use', JSON.stringify(called.content))
      assert.deepEqual([use.name, use.input], ['get_weather', { city: 'Paris' }])
      const result = { type: 'tool_result' as const, tool_use_id: use.id, content: 'rain' }
      const messages: Anthropic.MessageParam[] = [
        ...asks('Weather?'),
        { role: 'assistant', content: called.content },
        { role: 'user', content: [result] },
      ]
      const { content } = await client.messages.create({ ...asked, messages })
      assert.deepEqual(content, [{ type: 'text', text: 'The tool said: rain' }])
    })
  }
  await check('shows thoughts', async () => {
    const thinks = { model: signs ? 'thinking' : 'reasoning', max_tokens: 3000, messages: asks('6 * 7?') }
    const message = await client.messages.stream(thinks).finalMessage()
    const thought = message.content[0]
    assert.ok(thought?.type === 'thinking', JSON.stringify(message.content))
    assert.equal(thought.thinking, 'Six times seven.')
    assert.equal(thought.signature !== '', signs)
    const text = message.content.at(-1)
    assert.equal(text?.type === 'text' && text.text, 'The answer is 42.')
  })
}

async function failures(client: Anthropic, check: Check, { aborted }: Upstream): Promise<void> {
  const create = (model: string) => client.messages.create({ model, max_tokens: 50, messages: asks('hi') })
  const stream = (model: string) => client.messages.stream({ model, max_tokens: 50, messages: asks('hi') })

  await check('refuses a bad key', async () => {
    const stranger = client.withOptions({ apiKey: 'sk-not-a-key' })
    const error = await rejection(stranger.messages.create({ model: 'echo', max_tokens: 5, messages: asks('hi') }))
    assert.ok(error instanceof Anthropic.AuthenticationError, String(error))
    assert.equal(error.type, 'authentication_error')
    assert.ok(error.requestID, 'no request id')
  })
  for (const [way, call] of Object.entries({ create, stream: (model: string) => stream(model).finalMessage() })) {
    const expected: [string, number, string][] = [
      ['no-such-model', 404, 'not_found_error'],
      ['status:400', 400, 'invalid_request_error'],
      ['status:429', 429, 'rate_limit_error'],
      ['status:500', 500, 'api_error'],
      ['status:401', 500, 'api_error'],
    ]
    for (const [model, status, type] of expected) {
      await check(`passes ${model} on as ${status} (${way})`, async () => {
        const error = await rejection(call(model))
        assert.ok(error instanceof Anthropic.APIError, String(error))
        assert.deepEqual([error.status, error.type], [status, type])
        assert.ok(!JSON.stringify(error.error).includes(UPSTREAM_SECRET), 'the secret is told')
      })
    }
  }
  for (const model of ['error-after:3', 'cut-after:3']) {
    await check(`ends a stream with the error in it (${model})`, async () => {
      const texts: string[] = []
      const error = await rejection(
        stream(model)
          .on('text', (text) => texts.push(text))
          .finalMessage(),
      )
      assert.ok(error instanceof Anthropic.APIError, String(error))
      assert.equal(texts.join(''), 't1 t2 t3')
      assert.ok(!String(error).includes(UPSTREAM_SECRET), 'the secret is told')
    })
  }
  await check('closes the provider when the client leaves a stream', async () => {
    const before = aborted()
    const leaving = stream('slow:50:200')
    for await (const event of leaving) if (event.type === 'content_block_delta') break
    leaving.abort()
    await grows('the count of abandoned answers', aborted, before)
  })
  await check('closes the provider when the client leaves before the answer', async () => {
    const before = aborted()
    const leaving = new AbortController()
    const asked = { model: 'slow:50:200', max_tokens: 5, messages: asks('hi') }
    const answer = client.messages.create(asked, { signal: leaving.signal })
    setTimeout(() => leaving.abort(), 500)
    assert.ok((await rejection(answer)) instanceof Anthropic.APIUserAbortError)
    await grows('the count of abandoned answers', aborted, before)
  })
}
