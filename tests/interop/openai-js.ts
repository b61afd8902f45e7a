/** The official OpenAI SDK for JavaScript. */
import assert from 'node:assert/strict'
import OpenAI from 'openai'
import { checksFor } from './checks'
import { MOCK_ANSWER, MOCK_MODEL, MODEL_NAMES } from './litellm'
import { openAiFailures } from './openai-js-failures'
import { openAiTools } from './openai-js-tools'
import type { Setup } from './server'

export type Chunk = OpenAI.ChatCompletionChunk

export const asks = (content: string) => [{ role: 'user' as const, content }]

export const textOf = (chunks: Chunk[], choice = 0): string =>
  chunks
    .flatMap((chunk) => chunk.choices.filter((each) => each.index === choice))
    .map((each) => each.delta.content ?? '')
    .join('')

export async function openAiSuite(setup: Setup): Promise<void> {
  const { baseURL, apiKey } = setup.target
  const client = new OpenAI({
    baseURL,
    apiKey,
    maxRetries: 0,
    timeout: 15_000,
  })
  await plainAnswers(client, setup)
  await streams(client, setup)
  await openAiTools(client, setup)
  await openAiFailures(client, setup)
}

async function plainAnswers(client: OpenAI, { provider, proxyOnly }: Setup): Promise<void> {
  const { check, ours } = checksFor('openai-js', proxyOnly)
  const complete = client.chat.completions

  await check('lists the models by their LiteLLM names', async () => {
    const listed = new Map((await client.models.list()).data.map((model) => [model.id, model]))
    for (const name of MODEL_NAMES) assert.equal(listed.get(name)?.object, 'model', name)
  })
  await check('answers in one piece, with usage', async () => {
    const answer = await complete.create({
      model: 'echo',
      messages: asks('one two  three'),
    })
    assert.equal(answer.object, 'chat.completion')
    assert.equal(answer.model, 'echo')
    assert.equal(answer.choices[0]?.message.role, 'assistant')
    assert.equal(answer.choices[0]?.message.content, 'one two  three')
    assert.equal(answer.choices[0]?.finish_reason, 'stop')
    const { prompt_tokens, completion_tokens, total_tokens } = answer.usage ?? {}
    assert.deepEqual(
      { prompt_tokens, completion_tokens, total_tokens },
      { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 },
    )
  })
  await check('answers for a model name with a slash', async () => {
    const answer = await complete.create({
      model: 'house/echo',
      messages: asks('hi'),
    })
    assert.equal(answer.choices[0]?.message.content, 'hi')
  })
  await check("answers with LiteLLM's own mock", async () => {
    const answer = await complete.create({
      model: MOCK_MODEL,
      messages: asks('hi'),
    })
    assert.equal(answer.choices[0]?.message.content, MOCK_ANSWER)
  })
  await check('reads content given in parts', async () => {
    const content = [
      { type: 'text' as const, text: 'part one, ' },
      { type: 'text' as const, text: 'part two' },
    ]
    const answer = await complete.create({
      model: 'echo',
      messages: [{ role: 'user', content }],
    })
    assert.equal(answer.choices[0]?.message.content, 'part one, part two')
  })
  await check('passes the conversation and the settings on', async () => {
    const settings = {
      temperature: 0.3,
      top_p: 0.9,
      seed: 7,
      stop: ['END'],
      presence_penalty: 0.5,
      max_tokens: 50,
    }
    const messages = [
      { role: 'system' as const, content: 'Be brief.' },
      ...asks('first'),
      { role: 'assistant' as const, content: 'second' },
      ...asks('third'),
    ]
    await complete.create({ model: 'echo', messages, ...settings })
    const sent = provider.requests.at(-1)?.body
    assert.deepEqual(
      sent?.messages.map(({ role, content }) => ({ role, content })),
      messages,
    )
    const passed = Object.fromEntries(Object.keys(settings).map((name) => [name, sent?.[name]]))
    assert.deepEqual(passed, settings)
  })
  await check('gives n choices', async () => {
    const answer = await complete.create({
      model: 'n',
      n: 2,
      messages: asks('hi'),
    })
    assert.deepEqual(
      answer.choices.map((each) => each.message.content),
      ['choice number 0', 'choice number 1'],
    )
  })
  await check('gives JSON when asked for a JSON object', async () => {
    const format = { type: 'json_object' as const }
    const answer = await complete.create({
      model: 'json',
      messages: asks('JSON please'),
      response_format: format,
    })
    assert.deepEqual(JSON.parse(answer.choices[0]?.message.content ?? ''), {
      answer: 42,
      ok: true,
    })
  })
  await check('gives JSON by a schema, read by the parse helper', async () => {
    const schema = {
      type: 'object',
      properties: { answer: { type: 'number' } },
      additionalProperties: true,
    }
    const format = {
      type: 'json_schema' as const,
      json_schema: { name: 'reply', schema },
    }
    const answer = await complete.parse({
      model: 'json',
      messages: asks('JSON please'),
      response_format: format,
    })
    assert.deepEqual(JSON.parse(answer.choices[0]?.message.content ?? ''), {
      answer: 42,
      ok: true,
    })
    assert.deepEqual(provider.requests.at(-1)?.body?.response_format, format)
  })
  for (const reason of ['length', 'content-filter']) {
    await check(`keeps finish_reason ${reason}`, async () => {
      const answer = await complete.create({
        model: reason,
        messages: asks('hi'),
      })
      assert.equal(answer.choices[0]?.finish_reason, reason.replace('-', '_'))
    })
  }
  await ours('gives every answer a request id', async () => {
    const answer = await complete.create({
      model: 'echo',
      messages: asks('hi'),
    })
    assert.match(answer._request_id ?? '', /\S{8,}/)
  })
}

async function streams(client: OpenAI, { proxyOnly }: Setup): Promise<void> {
  const { check, ours } = checksFor('openai-js stream', proxyOnly)
  const collect = async (body: Omit<OpenAI.ChatCompletionCreateParamsStreaming, 'stream'>): Promise<Chunk[]> =>
    Array.fromAsync(await client.chat.completions.create({ ...body, stream: true }))

  await check('sends the text in chunks of one id', async () => {
    const chunks = await collect({
      model: 'echo',
      messages: asks('one two three'),
    })
    assert.equal(textOf(chunks), 'one two three')
    assert.equal(new Set(chunks.map((chunk) => `${chunk.id} ${chunk.created} ${chunk.object} ${chunk.model}`)).size, 1)
    assert.equal(chunks[0]?.object, 'chat.completion.chunk')
    assert.equal(chunks[0]?.choices[0]?.delta.role, 'assistant')
    assert.equal(chunks.filter((chunk) => chunk.choices[0]?.delta.role).length, 1)
    assert.deepEqual(chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean), ['stop'])
  })
  await ours('has no usage unless asked', async () => {
    const chunks = await collect({
      model: 'echo',
      messages: asks('one two three'),
    })
    assert.equal(
      chunks.some((chunk) => 'usage' in chunk),
      false,
    )
  })
  const options = { stream_options: { include_usage: true } }
  await check('ends with usage when asked', async () => {
    const chunks = await collect({
      model: 'echo',
      messages: asks('one two three'),
      ...options,
    })
    assert.equal(chunks.at(-1)?.usage?.prompt_tokens, 3)
    assert.equal(chunks.at(-1)?.usage?.completion_tokens, 3)
    assert.equal(chunks.filter((chunk) => chunk.usage).length, 1)
  })
  await ours('keeps the usage chunk free of choices, and usage null before it', async () => {
    const chunks = await collect({
      model: 'echo',
      messages: asks('one two three'),
      ...options,
    })
    assert.deepEqual(chunks.at(-1)?.choices, [])
    assert.equal(
      chunks.slice(0, -1).every((chunk) => chunk.usage === null),
      true,
    )
  })
  await check('gives usage even when the provider counts none', async () => {
    const chunks = await collect({
      model: 'no-usage',
      messages: asks('one two three'),
      ...options,
    })
    assert.ok((chunks.at(-1)?.usage?.completion_tokens ?? 0) > 0)
  })
  await check('keeps letters whole that arrive in halves', async () => {
    const chunks = await collect({ model: 'split-utf8', messages: asks('hi') })
    assert.equal(textOf(chunks), 'Привет, мир 🌍👩‍👩‍👧 ё𝕏')
  })
  await check('gives n choices', async () => {
    const chunks = await collect({ model: 'n', n: 2, messages: asks('hi') })
    assert.deepEqual([textOf(chunks, 0), textOf(chunks, 1)], ['choice number 0', 'choice number 1'])
  })
  await check('gives reasoning apart from the text', async () => {
    const chunks = await collect({ model: 'reasoning', messages: asks('hi') })
    const thoughts = chunks.map((chunk) => chunk.choices[0]?.delta as { reasoning_content?: string } | undefined)
    assert.equal(thoughts.map((delta) => delta?.reasoning_content ?? '').join(''), 'Six times seven.')
    assert.equal(textOf(chunks), 'The answer is 42.')
  })
  await check('feeds the streaming helper', async () => {
    const stream = client.chat.completions.stream({
      model: 'echo',
      messages: asks('one two three'),
      ...options,
    })
    assert.equal(await stream.finalContent(), 'one two three')
    assert.equal((await stream.totalUsage()).completion_tokens, 3)
  })
  await check('is read as it is written, not at its end', async () => {
    const stream = await client.chat.completions.create({
      model: 'brief-50',
      messages: asks('hi'),
      stream: true,
    })
    const times: number[] = []
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) times.push(performance.now())
    assert.equal(times.length, 20)
    assert.ok((times.at(-1) ?? 0) - (times[0] ?? 0) > 600, 'the tokens come all at once')
  })
}
