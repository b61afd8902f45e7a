/** The official OpenAI SDK for JavaScript: the Responses API and embeddings. */
import assert from 'node:assert/strict'
import OpenAI from 'openai'
import { UPSTREAM_SECRET } from '../support/fake-provider'
import { checksFor, grows, rejection } from './checks'
import type { Setup } from './server'

type StreamEvent = OpenAI.Responses.ResponseStreamEvent

const TOOLS: OpenAI.Responses.Tool[] = [
  { type: 'function', name: 'get_weather', strict: false, parameters: { type: 'object', properties: {} } },
]
const CREATE = { model: 'echo', input: 'one two three' }

export async function openAiResponsesSuite({ target, provider }: Setup): Promise<void> {
  const { baseURL, apiKey } = target
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 15_000 })
  const { check } = checksFor('openai-js responses', false)
  await answers(client, check)
  await streams(client, check)
  await chains(client, check)
  await backgrounds(client, check)
  await failures(client, check)
  await check('stops the provider when a stream that is not kept is left', async () => {
    const before = provider.aborted()
    const stream = await client.responses.create({ ...CREATE, model: 'slow-50', store: false, stream: true })
    for await (const event of stream) if (event.type === 'response.output_text.delta') break
    await grows('the count of abandoned answers', provider.aborted, before)
  })
  await embeddings(client)
}

type Check = ReturnType<typeof checksFor>['check']

async function answers({ responses }: OpenAI, check: Check): Promise<void> {
  await check('answers in one piece, with usage', async () => {
    const response = await responses.create({ ...CREATE, metadata: { kind: 'test' } })
    assert.deepEqual([response.status, response.output_text], ['completed', 'one two three'])
    assert.deepEqual([response.usage?.input_tokens, response.usage?.output_tokens], [3, 3])
    const { _request_id, ...again } = await responses.retrieve(response.id)
    assert.ok(_request_id)
    assert.equal(again.output_text, 'one two three')
    assert.deepEqual(again.metadata, { kind: 'test' })
    const input = await responses.inputItems.list(response.id)
    assert.equal(input.data.length, 1)
    await responses.delete(response.id)
    assert.ok((await rejection(responses.retrieve(response.id))) instanceof OpenAI.NotFoundError)
  })
  await check('reads JSON by a schema', async () => {
    const schema = { type: 'object', properties: { answer: { type: 'number' } } }
    const format = { type: 'json_schema' as const, name: 'answer', schema }
    const response = await responses.parse({ ...CREATE, model: 'json', text: { format } })
    assert.deepEqual(JSON.parse(response.output_text), { answer: 42, ok: true })
  })
  await check('says why an answer is incomplete', async () => {
    const response = await responses.create({ ...CREATE, model: 'length' })
    assert.deepEqual([response.status, response.incomplete_details?.reason], ['incomplete', 'max_output_tokens'])
  })
}

async function streams({ responses }: OpenAI, check: Check): Promise<void> {
  await check('streams events in their order', async () => {
    const events = await Array.fromAsync(await responses.create({ ...CREATE, stream: true }))
    assert.deepEqual(
      events.map(({ sequence_number }) => sequence_number),
      events.map((_, i) => i),
    )
    assert.equal(textOf(events), 'one two three')
    assert.equal(events.at(-1)?.type, 'response.completed')
  })
  await check('feeds the streaming helper, kept or not', async () => {
    for (const store of [true, false]) {
      const stream = responses.stream({ ...CREATE, model: 'reasoning', store })
      const thoughts: string[] = []
      stream.on('response.reasoning_summary_text.delta', ({ delta }) => void thoughts.push(delta))
      const response = await stream.finalResponse()
      assert.equal(thoughts.join(''), 'Six times seven.')
      assert.equal(response.output_text, 'The answer is 42.')
    }
  })
  await check('streams calls, two at once', async () => {
    const tools = [...TOOLS, { ...TOOLS[0], name: 'get_time' } as OpenAI.Responses.FunctionTool]
    const response = await responses.stream({ ...CREATE, model: 'two-tools', tools }).finalResponse()
    const calls = response.output.filter((item) => item.type === 'function_call')
    assert.deepEqual(
      calls.map((call) => [call.name, call.arguments]),
      ['get_weather', 'get_time'].map((name) => [name, '{"city":"Paris"}']),
    )
  })
}

async function chains({ responses }: OpenAI, check: Check): Promise<void> {
  const called = async () => {
    const response = await responses.create({ ...CREATE, model: 'tools', tools: TOOLS })
    const [call] = response.output
    assert.equal(call?.type, 'function_call')
    return { response, call: call as OpenAI.Responses.ResponseFunctionToolCall }
  }
  const outputOf = ({ call_id }: OpenAI.Responses.ResponseFunctionToolCall) => ({
    type: 'function_call_output' as const,
    call_id,
    output: 'rain',
  })
  await check('goes on from the response before with the output of a tool', async () => {
    const { response, call } = await called()
    const then = await responses.create({
      model: 'tools',
      tools: TOOLS,
      previous_response_id: response.id,
      input: [outputOf(call)],
    })
    assert.equal(then.output_text, 'The tool said: rain')
    assert.equal((await responses.retrieve(then.id)).previous_response_id, response.id)
  })
  await check('goes on with the items of the response before, without anything kept', async () => {
    const { response, call } = await called()
    const input = [{ role: 'user' as const, content: 'Well?' }, ...response.output, outputOf(call)]
    const then = await responses.create({
      model: 'tools',
      tools: TOOLS,
      store: false,
      input: input as OpenAI.Responses.ResponseInput,
    })
    assert.equal(then.output_text, 'The tool said: rain')
  })
}

async function backgrounds({ responses }: OpenAI, check: Check): Promise<void> {
  await check('makes a response in the background, which is waited for', async () => {
    let response = await responses.create({ ...CREATE, model: 'brief-50', background: true })
    assert.equal(response.status, 'in_progress')
    while (response.status === 'in_progress') {
      await Bun.sleep(100)
      response = await responses.retrieve(response.id)
    }
    assert.equal(response.status, 'completed')
    assert.match(response.output_text, /t20$/)
  })
  await check('takes a stream up again where it was cut', async () => {
    const begun = await responses.create({ ...CREATE, model: 'brief-50', background: true, stream: true })
    const events: StreamEvent[] = []
    for await (const event of begun) if (events.push(event) === 10) break
    const [first] = events
    assert.equal(first?.type, 'response.created')
    const id = (first as OpenAI.Responses.ResponseCreatedEvent).response.id
    const rest = await responses.retrieve(id, { stream: true, starting_after: events.at(-1)?.sequence_number ?? 0 })
    events.push(...(await Array.fromAsync(rest)))
    assert.deepEqual(
      events.map(({ sequence_number }) => sequence_number),
      events.map((_, i) => i),
    )
    assert.equal(textOf(events), (await responses.retrieve(id)).output_text)
  })
  await check('cancels a response', async () => {
    const { id } = await responses.create({ ...CREATE, model: 'slow-50', background: true })
    await Bun.sleep(200)
    assert.equal((await responses.cancel(id)).status, 'cancelled')
    assert.equal((await responses.retrieve(id)).status, 'cancelled')
  })
}

async function failures({ responses }: OpenAI, check: Check): Promise<void> {
  const fails = async (body: Partial<OpenAI.Responses.ResponseCreateParamsNonStreaming>) => {
    const error = await rejection(responses.create({ ...CREATE, ...body }))
    assert.ok(error instanceof OpenAI.APIError, String(error))
    assert.equal(JSON.stringify([error.message, error.error]).includes(UPSTREAM_SECRET), false)
    return error
  }
  await check('gives errors the classes of the SDK', async () => {
    assert.ok((await fails({ model: 'status-429' })) instanceof OpenAI.RateLimitError)
    const unknown = await fails({ model: 'no-such-model' })
    // LiteLLM says 400.
    assert.ok(unknown instanceof OpenAI.NotFoundError || unknown instanceof OpenAI.BadRequestError, String(unknown))
    assert.ok((await fails({ temperature: 9 })) instanceof OpenAI.BadRequestError)
    const refused = await fails({ tools: [{ type: 'web_search' }] })
    assert.match(refused.message, /web_search/)
  })
  await check('ends a stream that broke with an error', async () => {
    const stream = await responses.create({ ...CREATE, model: 'error-after-3', stream: true })
    const error = await rejection(Array.fromAsync(stream))
    assert.ok(error instanceof OpenAI.APIError, String(error))
    assert.equal(error.message.includes(UPSTREAM_SECRET), false)
  })
}

async function embeddings(client: OpenAI): Promise<void> {
  const { check } = checksFor('openai-js embeddings', false)
  await check('reads vectors, whose form the SDK chooses itself', async () => {
    const { data, usage } = await client.embeddings.create({ model: 'embed', input: ['a', 'bcd'] })
    assert.deepEqual(
      data.map(({ embedding }) => [...embedding]),
      [
        [1, 0],
        [3, 1],
      ],
    )
    assert.equal(usage.prompt_tokens, 7)
  })
  await check('reads vectors as numbers', async () => {
    const { data } = await client.embeddings.create({ model: 'embed', input: 'abc', encoding_format: 'float' })
    assert.deepEqual(data[0]?.embedding, [3, 0])
  })
}

const textOf = (events: StreamEvent[]): string =>
  events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('')
