/** Stored conversations through LiteLLM: our own API, and the OpenAI SDK bound to a conversation. */
import assert from 'node:assert/strict'
import OpenAI from 'openai'
import { UPSTREAM_SECRET } from '../support/fake-provider'
import { checksFor, rejection } from './checks'
import { asks, textOf } from './openai-js'
import { post, type Setup, type Target } from './server'

type Frame = OpenAI.ChatCompletionChunk & {
  conversation_id?: string
  branch_id?: string
  message_id?: string
  run_id?: string
  cost_usd?: number | null
  finish_reason?: string
  error?: { message: string }
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export async function conversationSuite(setup: Setup): Promise<void> {
  await nativeApi(setup)
  await boundSdk(setup)
}

async function nativeApi({ target, provider, proxyOnly }: Setup): Promise<void> {
  const { check } = checksFor('native', proxyOnly)

  await check('streams a stored answer with its ids, cost and usage', async () => {
    const { frames, done } = await speak(target, {
      model: 'echo',
      message: 'one two three',
    })
    assert.equal(textOf(frames), 'one two three')
    const { conversation_id, branch_id, message_id, run_id } = frames[0] ?? {}
    for (const id of [conversation_id, branch_id, message_id, run_id]) assert.match(id ?? '', UUID)
    const last = frames.at(-1)
    assert.equal(last?.finish_reason, 'stop')
    assert.equal(last.usage?.prompt_tokens, 3)
    assert.equal(last.usage?.completion_tokens, 3)
    // Null says that the price is not known: never silently zero.
    // LiteLLM tells what its models cost.
    assert.ok(Number(last.cost_usd) > 0, String(last.cost_usd))
    assert.equal(done, true)
  })
  await check('answers in one piece', async () => {
    const body = { model: 'echo', message: 'one two three', stream: false }
    const answer = await native<OpenAI.ChatCompletion & { conversation_id: string }>(target, body)
    assert.equal(answer.choices[0]?.message.content, 'one two three')
    assert.match(answer.conversation_id, UUID)
  })
  await check('sends the whole path to the model', async () => {
    const conversation_id = await converse(target, 'my name is Ada')
    await speak(target, {
      model: 'echo',
      message: 'who am I?',
      conversation_id,
    })
    assert.deepEqual(lastSent(provider), ['my name is Ada', 'my name is Ada', 'who am I?'])
  })
  await check('finishes an answer that its reader leaves', async () => {
    const before = provider.aborted()
    const response = await nativeResponse(target, {
      model: 'brief-50',
      message: 'hi',
    })
    const reader = response.body?.getReader()
    const first = new TextDecoder().decode((await reader?.read())?.value)
    await reader?.cancel()
    await Bun.sleep(1_500)
    assert.equal(provider.aborted(), before)
    const conversation_id = first.match(/"conversation_id":"([^"]+)"/)?.[1]
    await speak(target, {
      model: 'echo',
      message: 'and then?',
      conversation_id,
    })
    assert.match(String(lastSent(provider)[1]), /^t1 t2 .* t20$/)
  })
  for (const model of ['status-429', 'status-500', 'error-after-3', 'cut-after-3']) {
    await check(`ends in an error that tells no secret (${model})`, async () => {
      const text = await (await nativeResponse(target, { model, message: 'hi' })).text()
      assert.match(text, /"error":\s*\{/)
      assert.ok(!text.includes(UPSTREAM_SECRET), text)
      if (model.includes('after')) assert.match(text, / t3"/)
    })
  }
}

async function boundSdk({ target, provider, proxyOnly }: Setup): Promise<void> {
  const { check } = checksFor('bound openai-js', proxyOnly)
  const client = new OpenAI({
    baseURL: target.baseURL,
    apiKey: target.apiKey,
    maxRetries: 0,
    timeout: 15_000,
  })
  const bindTo = (id: string) => ({ headers: { 'X-Conversation-Id': id } })
  const create = client.chat.completions.create.bind(client.chat.completions)

  await check('adds one message to a conversation', async () => {
    const id = await converse(target, 'first')
    const chunks = await Array.fromAsync(
      await create({ model: 'echo', messages: asks('second'), stream: true }, bindTo(id)),
    )
    assert.equal(textOf(chunks), 'second')
    assert.deepEqual(lastSent(provider), ['first', 'first', 'second'])
    await speak(target, {
      model: 'echo',
      message: 'third',
      conversation_id: id,
    })
    assert.deepEqual(lastSent(provider), ['first', 'first', 'second', 'second', 'third'])
  })
  await check('continues from a whole history', async () => {
    const id = await converse(target, 'first')
    const history = [...asks('first'), { role: 'assistant' as const, content: 'first' }, ...asks('second')]
    const answer = await create({ model: 'echo', messages: history }, bindTo(id))
    assert.equal(answer.choices[0]?.message.content, 'second')
    await speak(target, {
      model: 'echo',
      message: 'third',
      conversation_id: id,
    })
    assert.deepEqual(lastSent(provider), ['first', 'first', 'second', 'second', 'third'])
  })
  await check('is bound by conversation_id in the body too', async () => {
    const id = await converse(target, 'first')
    const body = {
      model: 'echo',
      messages: asks('second'),
      conversation_id: id,
    }
    await create(body)
    assert.deepEqual(lastSent(provider), ['first', 'first', 'second'])
    assert.equal(provider.requests.at(-1)?.body?.conversation_id, undefined)
  })
  await check('stores nothing without a conversation', async () => {
    await create({ model: 'echo', messages: asks('first') })
    await create({ model: 'echo', messages: asks('second') })
    assert.deepEqual(lastSent(provider), ['second'])
  })
  await check('refuses a conversation that is not there, in OpenAI shape', async () => {
    const error = await rejection(create({ model: 'echo', messages: asks('hi') }, bindTo(crypto.randomUUID())))
    assert.ok(error instanceof OpenAI.NotFoundError, String(error))
    assert.ok(error.type && error.message, JSON.stringify(error.error))
  })
}

/** A new conversation with one exchange, in which the answer repeats the message. */
async function converse(target: Target, message: string): Promise<string> {
  const { frames } = await speak(target, { model: 'echo', message })
  return frames[0]?.conversation_id ?? ''
}

const lastSent = (provider: Setup['provider']): unknown[] =>
  provider.requests.at(-1)?.body?.messages.map((message) => message.content) ?? []

async function speak(target: Target, body: object): Promise<{ frames: Frame[]; done: boolean }> {
  const text = await (await nativeResponse(target, body)).text()
  const data = text.split('\n').flatMap((line) => (line.startsWith('data: ') ? [line.slice('data: '.length)] : []))
  const frames = data.filter((line) => line !== '[DONE]').map((line) => JSON.parse(line) as Frame)
  const failed = frames.find((frame) => frame.error)
  if (failed) throw new Error(`the stream fails: ${failed.error?.message}`)
  return { frames, done: data.at(-1) === '[DONE]' }
}

const native = <T>(target: Target, body: object): Promise<T> =>
  post<T>(`${target.baseURL}/chat/completions`, body, {
    authorization: `Bearer ${target.apiKey}`,
  })

const nativeResponse = (target: Target, body: object): Promise<Response> =>
  fetch(`${target.baseURL}/chat/completions`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${target.apiKey}`,
    },
    body: JSON.stringify({ stream: true, ...body }),
    signal: AbortSignal.timeout(15_000),
  })
