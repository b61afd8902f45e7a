/** The Responses API, through the front door. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'
import { createDatabase } from '../support/db'
import { type FakeProvider, startFakeProvider, UPSTREAM_SECRET } from '../support/fake-provider'
import { type Frame, readSse } from '../support/read-sse'
import { until } from '../support/servers'

let provider: FakeProvider
let second: FakeProvider
let app: TestApp
let token: string
let base: string
let database: Awaited<ReturnType<typeof createDatabase>>

beforeAll(async () => {
  provider = startFakeProvider({ broken: 'cut-after:3', failing: 'error-after:3' })
  second = startFakeProvider({ broken: 'echo' })
  database = await createDatabase()
  app = await testApp({
    DATABASE_URL: database.url,
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: 'sk-test',
    LITELLM_URL: second.url,
    LITELLM_MASTER_KEY: 'sk-second',
    DEFAULT_PROVIDER: 'openai',
    DEFAULT_MODEL: 'echo',
  })
  base = app.listen()
  token = (await app.signUp()).token
})
afterAll(async () => {
  await app.close()
  await provider.stop()
  await second.stop()
  await database.drop()
})

const post = (json: object, headers: Record<string, string> = {}) => app.call('/v1/responses', { token, json, headers })
const made = async (json: object) => {
  const answer = await post({ input: 'one two', ...json })
  expect(answer.status).toBe(200)
  return answer.json()
}
const get = (path: string, who = token) => app.call(`/v1/responses/${path}`, { token: who })
const read = async (path: string) => (await get(path)).json()
const streamed = async (json: object, headers: Record<string, string> = {}) =>
  (await readSse(await post({ input: 'one two', stream: true, ...json }, headers))).frames
const typesOf = (frames: Frame[]) => frames.map(({ data }) => String(data.type).replace('response.', ''))
interface Told {
  id: string
  status: string
  output: { id: string; content?: { text: string }[]; call_id?: string }[]
  conversation: { id: string } | null
  error: { code: string } | null
}
const lastOf = (frames: Frame[]) => frames.at(-1)?.data.response as unknown as Told
const textOf = ({ output }: Told) => output.flatMap(({ content = [] }) => content.map(({ text }) => text)).join('')
const sent = () => provider.requests.at(-1)?.body
const saidTo = () => sent()?.messages.map(({ role, content }) => `${role}: ${content}`)
const TOOLS = [{ type: 'function', name: 'get_weather', parameters: { type: 'object', properties: {} } }]
const messagesIn = async (conversation: string) =>
  (await (await app.call(`/v1/conversations/${conversation}/messages`, { token })).json()).data.items

describe('a response that is kept', () => {
  test('answers in one piece and can be read again, as it was', async () => {
    const response = await made({ instructions: 'Be brief', metadata: { a: 'b' }, temperature: 0.5 })
    expect(response).toMatchObject({
      object: 'response',
      status: 'completed',
      model: 'echo',
      output: [{ type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'one two' }] }],
      usage: { input_tokens: 4, output_tokens: 2, total_tokens: 6 },
      instructions: 'Be brief',
      metadata: { a: 'b' },
      temperature: 0.5,
      previous_response_id: null,
    })
    expect(saidTo()).toEqual(['system: Be brief', 'user: one two'])
    expect(sent()?.temperature).toBe(0.5)
    expect(response.id).toMatch(/^resp_[0-9a-f]{32}$/)
    expect(await read(response.id)).toEqual(response)
    expect(response.output[0].id).toBe(`msg_${response.message_id}`)
    expect((await messagesIn(response.conversation.id)).map(({ content }: { content: string }) => content)).toEqual([
      'one two',
      'one two',
    ])
  })

  test('goes on below the one it names, without its instructions, and branches where something follows', async () => {
    const first = await made({ input: 'first', instructions: 'Be brief' })
    const then = await made({ input: 'second', previous_response_id: first.id })
    expect(saidTo()).toEqual(['user: first', 'assistant: first', 'user: second'])
    expect(then).toMatchObject({ previous_response_id: first.id, conversation: first.conversation })
    const other = await made({ input: 'third', previous_response_id: first.id })
    expect(saidTo()).toEqual(['user: first', 'assistant: first', 'user: third'])
    expect(other.branch_id).not.toBe(then.branch_id)
    expect((await read(then.id)).previous_response_id).toBe(first.id)
  })

  test('goes on at the end of the conversation that it names', async () => {
    const first = await made({
      input: [
        { role: 'system', content: 'Be kind' },
        { role: 'user', content: 'first' },
      ],
    })
    for (const conversation of [first.conversation.id, first.conversation]) await made({ input: 'more', conversation })
    expect(saidTo()).toEqual([
      'system: Be kind',
      ...['user: first', 'assistant: first', 'user: more', 'assistant: more', 'user: more'],
    ])
  })

  test('calls functions and is told their outputs, by items, by reference and by the response before', async () => {
    const input = [{ role: 'user', content: 'Well?' }]
    const called = await made({ model: 'tools', input, tools: TOOLS, tool_choice: 'auto' })
    const [call] = called.output
    expect(call).toMatchObject({ type: 'function_call', name: 'get_weather', arguments: '{"city":"Paris"}' })
    expect(sent()?.tools).toEqual([
      { type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: {} } } },
    ] as never)
    const output = { type: 'function_call_output', call_id: call.call_id, output: 'rain' }
    const reference = { type: 'item_reference', id: call.id }
    for (const more of [
      { input: [...input, call, output] },
      { input: [...input, reference, output] },
      { input: [output], previous_response_id: called.id },
    ]) {
      expect(textOf(await made({ model: 'tools', tools: TOOLS, ...more }))).toBe('The tool said: rain')
      const calls = sent()?.messages.find(({ role }) => role === 'assistant')?.tool_calls
      expect(calls).toMatchObject([{ id: call.call_id, function: { name: 'get_weather' } }])
    }
  })

  test('streams events that can be taken up after any of them', async () => {
    const frames = await streamed({ model: 'reasoning' })
    expect(frames.map(({ event, data }) => event === data.type && data.sequence_number)).toEqual(
      frames.map((_, i) => i),
    )
    expect(typesOf(frames).at(-1)).toBe('completed')
    const response = lastOf(frames)
    expect(textOf(response)).toBe('The answer is 42.')
    for (const after of [0, 7, frames.length - 2]) {
      const again = await readSse(await get(`${response.id}?stream=true&starting_after=${after}`))
      expect(again.frames.map(({ data }) => data)).toEqual(frames.slice(after + 1).map(({ data }) => data))
    }
    const whole = await readSse(await get(`${response.id}?stream=true`))
    expect(whole.frames.map(({ data }) => data)).toEqual(frames.map(({ data }) => data))
    expect(await read(response.id)).toEqual(response)
  })

  test('in the background is answered at once, and made meanwhile', async () => {
    const response = await made({ model: 'slow:10:20', background: true })
    expect(response).toMatchObject({ status: 'in_progress', background: true, output: [], usage: null })
    const { frames } = await readSse(await get(`${response.id}?stream=true&starting_after=3`))
    expect(frames[0]?.data.sequence_number).toBe(4)
    expect(textOf(lastOf(frames))).toStartWith('t1 t2')
    expect((await read(response.id)).status).toBe('completed')
  })

  test('goes on when its reader leaves', async () => {
    const leaving = new AbortController()
    const json = { model: 'slow:10:20', input: 'x', stream: true }
    const answer = await fetch(`${base}/v1/responses`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(json),
      signal: leaving.signal,
    })
    const { frames } = await readSse(answer, (so) => so.length > 5)
    leaving.abort()
    const { id } = lastOf(frames.slice(0, 1))
    await until(async () => (await read(id)).status === 'completed', 5000)
    expect(textOf(await read(id))).toEndWith('t20')
  })

  test('is cancelled with what it had said; cancelling again changes nothing', async () => {
    const { id } = await made({ model: 'slow:20:100', background: true })
    const reading = get(`${id}?stream=true`).then((answer) => readSse(answer))
    await Bun.sleep(150)
    const cancelled = await (await app.call(`/v1/responses/${id}/cancel`, { token, method: 'POST' })).json()
    expect(cancelled).toMatchObject({ id, status: 'cancelled', output: [{ status: 'incomplete' }] })
    const { frames } = await reading
    expect(typesOf(frames).at(-1)).toBe('incomplete')
    expect(lastOf(frames).status).toBe('cancelled')
    expect(textOf(cancelled)).toBe(textOf(lastOf(frames)))
    const again = await app.call(`/v1/responses/${id}/cancel`, { token, method: 'POST' })
    expect(await again.json()).toEqual(cancelled)
    const done = await made({})
    expect(await (await app.call(`/v1/responses/${done.id}/cancel`, { token, method: 'POST' })).json()).toEqual(done)
  })

  test.each([
    ['length', 'max_output_tokens'],
    ['content-filter', 'content_filter'],
  ])('cut short by %s is incomplete', async (model, reason) => {
    expect(await made({ model })).toMatchObject({ status: 'incomplete', incomplete_details: { reason } })
  })

  test('that fails has the status of its error, or says so in the stream and ever after', async () => {
    expect((await post({ model: 'status:429', input: 'x' })).status).toBe(429)
    const frames = await streamed({ model: 'failing' })
    expect(typesOf(frames).slice(-2)).toEqual(['error', 'failed'])
    expect(lastOf(frames)).toMatchObject({ status: 'failed', error: { code: 'server_error' } })
    expect(JSON.stringify(frames)).not.toContain(UPSTREAM_SECRET)
    expect(await read(lastOf(frames).id)).toEqual(lastOf(frames) as never)
  })

  test('that begins anew ends the stream, unless the client allows it; the answer is whole either way', async () => {
    const ended = await streamed({ model: 'broken' })
    expect(typesOf(ended).slice(-2)).toEqual(['error', 'failed'])
    await until(async () => (await read(lastOf(ended).id)).status === 'completed', 5000)
    expect(textOf(await read(lastOf(ended).id))).toBe('one two')
    const allowed = await streamed({ model: 'broken' }, { 'x-stream-restart': 'allow' })
    expect(textOf(lastOf(allowed))).toBe('one two')
    expect(allowed.filter(({ event }) => event === 'response.output_item.done')).toHaveLength(2)
  })

  test('repeats what the first request with its idempotency key made', async () => {
    const headers = { 'idempotency-key': crypto.randomUUID() }
    const [first, again] = [await post({ input: 'one' }, headers), await post({ input: 'one' }, headers)]
    expect(again.headers.get('idempotency-replayed')).toBe('true')
    expect(await again.json()).toEqual(await first.json())
    expect((await post({ input: 'two' }, headers)).status).toBe(400)
  })

  test('lists what it was asked, and not what was said before', async () => {
    const first = await made({ input: 'first' })
    const items = [
      { role: 'user', content: [{ type: 'input_text', text: 'a' }] },
      { role: 'assistant', content: 'b' },
      { role: 'user', content: 'c' },
    ]
    const then = await made({ input: items, previous_response_id: first.id })
    const listed = await read(`${then.id}/input_items`)
    expect(listed).toMatchObject({ object: 'list', has_more: false })
    const texts = ({ data }: { data: { role: string; content: { text: string }[] }[] }) =>
      data.map(({ role, content }) => `${role}: ${content[0]?.text}`)
    expect(texts(listed)).toEqual(['user: c', 'assistant: b', 'user: a'])
    const page = await read(`${then.id}/input_items?order=asc&limit=2`)
    expect(texts(page)).toEqual(['user: a', 'assistant: b'])
    expect(page.has_more).toBe(true)
    expect(texts(await read(`${then.id}/input_items?order=asc&after=${page.last_id}`))).toEqual(['user: c'])
  })

  test('is deleted with its conversation when that holds nothing else, otherwise only as a response', async () => {
    const drop = async (id: string) => (await app.call(`/v1/responses/${id}`, { token, method: 'DELETE' })).json()
    const alone = await made({})
    expect(await drop(alone.id)).toEqual({ id: alone.id, object: 'response', deleted: true })
    expect((await app.call(`/v1/conversations/${alone.conversation.id}`, { token })).status).toBe(404)
    const first = await made({})
    const then = await made({ previous_response_id: first.id })
    await drop(first.id)
    for (const path of [first.id, `${first.id}/input_items`]) expect((await get(path)).status).toBe(404)
    expect((await post({ input: 'x', previous_response_id: first.id })).status).toBe(404)
    expect((await get(then.id)).status).toBe(200)
    expect(await messagesIn(first.conversation.id)).toHaveLength(4)
  })

  test('is nobody else’s', async () => {
    const { id, conversation } = await made({})
    const other = (await app.signUp()).token
    const asks = [
      get(id, other),
      get(`${id}?stream=true`, other),
      get(`${id}/input_items`, other),
      app.call(`/v1/responses/${id}/cancel`, { token: other, method: 'POST' }),
      app.call(`/v1/responses/${id}`, { token: other, method: 'DELETE' }),
      app.call('/v1/responses', { token: other, json: { input: 'x', previous_response_id: id } }),
      app.call('/v1/responses', { token: other, json: { input: 'x', conversation } }),
    ]
    for (const answer of await Promise.all(asks)) {
      expect(answer.status).toBe(404)
      expect((await answer.json()).error.type).toBe('invalid_request_error')
    }
  })
})

describe('a response that is not kept', () => {
  test('is answered, streamed or not, and gone', async () => {
    const response = await made({ store: false })
    expect(response).toMatchObject({ status: 'completed', store: false, conversation: null })
    expect((await get(response.id)).status).toBe(404)
    const frames = await streamed({ store: false })
    expect(textOf(lastOf(frames))).toBe('one two')
    expect((await get(lastOf(frames).id)).status).toBe(404)
  })

  test('has the status of an error that comes before its first piece', async () => {
    for (const stream of [true, false]) {
      expect((await post({ model: 'status:429', input: 'x', store: false, stream })).status).toBe(429)
    }
    const frames = await streamed({ model: 'error-after:3', store: false })
    expect(typesOf(frames).slice(-2)).toEqual(['error', 'failed'])
  })

  test('stops the model when its reader leaves', async () => {
    const before = provider.aborted()
    const answer = await fetch(`${base}/v1/responses`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'slow:20:100', input: 'x', stream: true, store: false }),
    })
    await readSse(answer, (frames) => frames.length > 5)
    await until(async () => provider.aborted() > before, 3000)
  })
})

test.each([
  [{}, 'input'],
  [{ input: '' }, 'input'],
  [{ input: [] }, 'input'],
  [{ input: [{ role: 'system', content: 'Only this' }] }, 'input'],
  [{ input: 'x', tools: [{ type: 'web_search' }] }, 'tools'],
  [{ input: 'x', store: false, background: true }, 'background'],
  [{ input: 'x', store: false, previous_response_id: 'resp_1' }, 'store'],
  [{ input: 'x', conversation: 'a', previous_response_id: 'b' }, 'conversation'],
  [{ input: 'x', conversation: 'not-an-id' }, 'conversation'],
  [{ input: 'x', metadata: { a: 1 } }, 'metadata'],
  [{ input: 'x', truncation: 'some' }, 'truncation'],
  [{ input: 'x', temperature: 3 }, 'temperature'],
  [{ input: 'x', api_base: 'https://example.com' }, 'api_base'],
])('%j is refused in the words of OpenAI, before anything is asked', async (json, param) => {
  const asked = provider.requests.length
  const answer = await post(json)
  expect(answer.status).toBe(400)
  const { error } = await answer.json()
  expect(error).toMatchObject({ type: 'invalid_request_error', code: null })
  expect(error.param.split('.')[0]).toBe(param)
  expect(provider.requests.length).toBe(asked)
})

test.each([
  [{ input: 'x', previous_response_id: 'resp_0199c0de000070008000000000000004' }, 404],
  [{ input: 'x', previous_response_id: 'none' }, 404],
  [{ input: 'x', conversation: '0199c0de-0000-7000-8000-000000000001' }, 404],
  [{ input: [{ type: 'item_reference', id: 'msg_none' }] }, 404],
  [{ input: 'x', model: 'no-such-model' }, 404],
])('%j names nothing', async (json, status) => {
  expect((await post(json)).status).toBe(status)
})
