/** Vercel's AI SDK with its OpenAI provider (chat completions). */
import assert from 'node:assert/strict'
import { createOpenAI } from '@ai-sdk/openai'
import { APICallError, generateText, isStepCount, jsonSchema, type LanguageModel, Output, streamText, tool } from 'ai'
import { UPSTREAM_SECRET } from '../support/fake-provider'
import { checksFor, grows, rejection } from './checks'
import type { Setup } from './server'

const weather = tool({
  description: 'The weather of a city',
  inputSchema: jsonSchema<{ city: string }>({
    type: 'object',
    properties: { city: { type: 'string' } },
  }),
  execute: async ({ city }) => `sunny in ${city}`,
})
const TOOL_LOOP = {
  prompt: 'weather?',
  tools: { weather },
  stopWhen: isStepCount(3),
  maxRetries: 0,
}
const QUIET = { maxRetries: 0, onError: () => {} }

export async function aiSdkSuite(setup: Setup): Promise<void> {
  const { baseURL, apiKey } = setup.target
  const openai = createOpenAI({ baseURL, apiKey })
  const model = (name: string) => openai.chat(name)
  await answers(model, setup)
  await failures(model, setup)
  if (!setup.proxyOnly) await byResponses((name) => openai.responses(name))
}

type Models = (name: string) => LanguageModel

/** What the provider does unless told otherwise: the Responses API, which it sends references to items of before. */
async function byResponses(model: Models): Promise<void> {
  const { check } = checksFor('ai-sdk responses', false)
  await check('streams a text with usage', async () => {
    const { textStream, usage } = streamText({ model: model('echo'), prompt: 'one two three', ...QUIET })
    assert.equal((await Array.fromAsync(textStream)).join(''), 'one two three')
    assert.equal((await usage).outputTokens, 3)
  })
  await check('runs a tool and goes on with its result', async () => {
    const { text, steps } = await generateText({ model: model('tools'), ...TOOL_LOOP })
    assert.equal(steps.length, 2)
    assert.match(text, /^The tool said: .*sunny in Paris/)
  })
  await check('streams thoughts apart from the text', async () => {
    const { text, reasoningText } = streamText({ model: model('reasoning'), prompt: 'hi', ...QUIET })
    assert.deepEqual([await text, await reasoningText], ['The answer is 42.', 'Six times seven.'])
  })
}

async function answers(model: Models, { proxyOnly }: Setup): Promise<void> {
  const { check } = checksFor('ai-sdk', proxyOnly)

  await check('generates a text with usage', async () => {
    const { text, finishReason, usage } = await generateText({
      model: model('echo'),
      prompt: 'one two three',
    })
    assert.equal(text, 'one two three')
    assert.equal(finishReason, 'stop')
    assert.deepEqual([usage.inputTokens, usage.outputTokens], [3, 3])
  })
  await check('streams a text with usage', async () => {
    const result = streamText({
      model: model('echo'),
      prompt: 'one two three',
      ...QUIET,
    })
    assert.equal((await Array.fromAsync(result.textStream)).join(''), 'one two three')
    assert.equal(await result.finishReason, 'stop')
    assert.equal((await result.usage).outputTokens, 3)
  })
  await check('generates with a tool', async () => {
    const result = await generateText({ model: model('tools'), ...TOOL_LOOP })
    assert.equal(result.text, 'The tool said: sunny in Paris')
    assert.equal(result.steps.length, 2)
  })
  await check('streams with a tool', async () => {
    const result = streamText({
      model: model('tools'),
      ...TOOL_LOOP,
      onError: () => {},
    })
    const types = new Set<string>()
    for await (const part of result.stream) types.add(part.type)
    for (const type of ['tool-input-delta', 'tool-call', 'tool-result', 'finish']) assert.ok(types.has(type), type)
    assert.equal(await result.text, 'The tool said: sunny in Paris')
  })
  await check('generates an object by a schema', async () => {
    const schema = jsonSchema<{ answer: number }>({
      type: 'object',
      properties: { answer: { type: 'number' } },
    })
    const result = await generateText({
      model: model('json'),
      prompt: 'JSON',
      output: Output.object({ schema }),
    })
    assert.equal(result.output.answer, 42)
  })
  await check('keeps finish reason length', async () => {
    const result = streamText({
      model: model('length'),
      prompt: 'hi',
      ...QUIET,
    })
    await result.consumeStream()
    assert.equal(await result.finishReason, 'length')
  })
}

async function failures(model: Models, { target, provider, proxyOnly }: Setup): Promise<void> {
  const { check, ours } = checksFor('ai-sdk errors', proxyOnly)

  await ours('refuses a bad key', async () => {
    const stranger = createOpenAI({
      baseURL: target.baseURL,
      apiKey: 'sk-not-a-key',
    })
    const error = await rejection(
      generateText({
        model: stranger.chat('echo'),
        prompt: 'hi',
        maxRetries: 0,
      }),
    )
    assert.ok(APICallError.isInstance(error), String(error))
    assert.equal(error.statusCode, 401)
    assert.equal(error.isRetryable, false)
  })
  await check('passes a rate limit on, as retryable', async () => {
    const error = await rejection(generateText({ model: model('status-429'), prompt: 'hi', maxRetries: 0 }))
    assert.ok(APICallError.isInstance(error), String(error))
    assert.equal(error.statusCode, 429)
    assert.equal(error.isRetryable, true)
    assert.ok(!`${error.message} ${error.responseBody}`.includes(UPSTREAM_SECRET))
  })
  await check('shows an error in a stream as an error part', async () => {
    const result = streamText({
      model: model('error-after-3'),
      prompt: 'hi',
      ...QUIET,
    })
    const parts = await Array.fromAsync(result.stream)
    const text = parts.map((part) => (part.type === 'text-delta' ? part.text : '')).join('')
    assert.equal(text, 't1 t2 t3')
    assert.equal(parts.filter((part) => part.type === 'error').length, 1)
  })
  await check('closes the provider on abort', async () => {
    const before = provider.aborted()
    const leaving = new AbortController()
    const result = streamText({
      model: model('slow-50'),
      prompt: 'hi',
      abortSignal: leaving.signal,
      ...QUIET,
    })
    const types: string[] = []
    for await (const part of result.stream) {
      types.push(part.type)
      if (part.type === 'text-delta') leaving.abort()
    }
    assert.ok(types.includes('abort'))
    await grows('the count of abandoned answers', provider.aborted, before)
  })
}
