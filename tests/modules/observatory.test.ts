import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createParser } from 'eventsource-parser'
import { type CallInit, type TestApp, testApp } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { until } from '../support/servers'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$/

let provider: FakeProvider
let app: TestApp
let token: string
let stranger: string

beforeAll(async () => {
  provider = startFakeProvider()
  app = await testApp({ OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: 'sk-test', DEFAULT_MODEL: 'echo' })
  token = (await app.signUp()).token
  stranger = (await app.signUp()).token
})
afterAll(async () => {
  await app.close()
  await provider.stop()
})

const at = (path = '', init: CallInit = {}) => app.call(`/api/v1/conversations${path}`, { token, ...init })
const bodyOf = async (answer: Response | Promise<Response>) => (await answer).json()
const create = async (json: object = {}) => bodyOf(at('', { json }))
const say = (id: string, json: object, headers = {}) => at(`/${id}/messages`, { json, headers })
const stream = (id: string, query: Record<string, string>, headers = {}) =>
  at(`/${id}/stream?${new URLSearchParams(query)}`, { headers })

type Frame = { id: string | undefined; data: Record<string, unknown> }
/** Reads to the end, or until there are so many frames. */
async function framesOf(response: Response, enough = Number.POSITIVE_INFINITY): Promise<Frame[]> {
  const frames: Frame[] = []
  const parser = createParser({ onEvent: ({ id, data }) => frames.push({ id, data: JSON.parse(data) }) })
  const reader = response.body?.getReader()
  const decoder = new TextDecoder()
  while (reader && frames.length < enough) {
    const { value, done } = await reader.read()
    if (done) break
    parser.feed(decoder.decode(value, { stream: true }))
  }
  await reader?.cancel()
  return frames
}
const textOf = (frames: Frame[]) => frames.map(({ data }) => data.content ?? '').join('')

describe('conversations', () => {
  test('are made, shown, listed, changed and deleted in plain JSON', async () => {
    const made = await at('', { json: { user_id: 'user_123', title: 'Support', metadata: { source: 'web' } } })
    expect(made.status).toBe(201)
    const conversation = await made.json()
    expect(conversation).toEqual({
      id: expect.any(String),
      user_id: 'user_123',
      title: 'Support',
      metadata: { source: 'web' },
      created_at: expect.stringMatching(TIME),
      updated_at: conversation.created_at,
    })
    const { id } = conversation
    expect(await bodyOf(at(`/${id}`))).toEqual({ ...conversation, messages: [], total_messages: 0 })
    expect((await bodyOf(at()))[0]).toEqual(conversation)
    const changed = await at(`/${id}`, { method: 'PATCH', json: { title: 'Closed', metadata: { source: 'app' } } })
    expect(changed.status).toBe(200)
    expect(await changed.json()).toMatchObject({ title: 'Closed', metadata: { source: 'app' }, user_id: 'user_123' })
    const gone = await at(`/${id}`, { method: 'DELETE' })
    expect([gone.status, await gone.text()]).toEqual([204, ''])
    expect((await at(`/${id}`)).status).toBe(404)
    expect((await at(`/${id}`, { method: 'DELETE' })).status).toBe(404)
  })

  test('need nothing', async () => {
    const { id, ...rest } = await create()
    expect(rest).toMatchObject({ user_id: null, title: 'New conversation', metadata: {} })
    const nothing = { title: null, metadata: null, user_id: null }
    const before = await bodyOf(at(`/${id}`))
    expect(await bodyOf(at(`/${id}`, { method: 'PATCH', json: {} }))).toEqual({ id, ...rest })
    expect(await bodyOf(at(`/${id}`, { method: 'PATCH', json: nothing }))).toEqual({ id, ...rest })
    expect(await bodyOf(at(`/${id}`))).toEqual(before)
  })

  test('give back what was kept with them, even where it has one of our names', async () => {
    const { id } = await create({ metadata: { user_id: 5, a: 1 } })
    expect(await bodyOf(at(`/${id}`))).toMatchObject({ user_id: null, metadata: { user_id: 5, a: 1 } })
    const changed = await at(`/${id}`, { method: 'PATCH', json: { user_id: 'u' } })
    expect(await changed.json()).toMatchObject({ user_id: 'u', metadata: { a: 1 } })
  })

  test('are the same as those of /v1', async () => {
    const { id } = await create({ title: 'Here and there', user_id: 'u' })
    const { data } = await bodyOf(app.call(`/v1/conversations/${id}`, { token }))
    expect(data).toMatchObject({ id, title: 'Here and there' })
    const chat = await bodyOf(app.call('/v1/chat/completions', { token, json: { message: 'hi', stream: false } }))
    expect(await bodyOf(at(`/${chat.conversation_id}`))).toMatchObject({ total_messages: 2, title: 'hi' })
  })

  test('keep both of two changes made at once', async () => {
    const { id } = await create({ metadata: { a: 1 } })
    const patch = (json: object) => at(`/${id}`, { method: 'PATCH', json })
    const answers = await Promise.all([patch({ user_id: 'u' }), patch({ metadata: { b: 2 } }), patch({ title: 'T' })])
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    expect(await bodyOf(at(`/${id}`))).toMatchObject({ user_id: 'u', metadata: { b: 2 }, title: 'T' })
  })

  test('are listed from any place, the one changed last first, and by user_id', async () => {
    const me = (await app.signUp()).token
    const made: string[] = []
    for (let i = 0; i < 5; i++) {
      const json = { title: `t${i}`, user_id: i % 2 ? 'odd' : 'even' }
      made.unshift((await bodyOf(at('', { token: me, json }))).id)
      await Bun.sleep(2)
    }
    const list = async (query: string) =>
      (await bodyOf(at(query, { token: me }))).map(({ id }: { id: string }) => made.indexOf(id))
    expect(await list('')).toEqual([0, 1, 2, 3, 4])
    expect(await list('?limit=2')).toEqual([0, 1])
    expect(await list('?limit=2&offset=1')).toEqual([1, 2])
    expect(await list('?limit=3&offset=4')).toEqual([4])
    expect(await list('?offset=5')).toEqual([])
    expect(await list('?user_id=odd')).toEqual([1, 3])
    expect(await list(`?user_id=${encodeURIComponent(`"'%00`)}`)).toEqual([])
  })
})

describe('messages', () => {
  test('are answered with tokens, cost, times and the trace', async () => {
    const { id } = await create()
    const headers = { traceparent: `00-${TRACE}-${SPAN}-01` }
    const json = { message: 'one two three', provider: 'openai', model: 'echo', temperature: 0.7, max_tokens: 150 }
    const answer = await say(id, json, headers)
    expect(answer.status).toBe(200)
    const body = await answer.json()
    expect(body).toEqual({
      message: {
        id: expect.any(String),
        conversation_id: id,
        role: 'assistant',
        content: 'one two three',
        provider: 'openai',
        model: 'echo',
        prompt_tokens: 3,
        completion_tokens: 3,
        total_tokens: 6,
        cost_usd: body.cost_usd,
        latency_ms: expect.any(Number),
        time_to_first_token_ms: expect.any(Number),
        trace_id: TRACE,
        span_id: SPAN,
        metadata: { finish_reason: 'stop' },
        error: null,
        created_at: expect.stringMatching(TIME),
      },
      conversation_id: id,
      usage: { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 },
      cost_usd: body.cost_usd,
    })
    expect(provider.requests.at(-1)?.body).toMatchObject({ model: 'echo', temperature: 0.7, max_tokens: 150 })
    const { messages } = await bodyOf(at(`/${id}`))
    expect(messages).toEqual([
      expect.objectContaining({
        role: 'user',
        content: 'one two three',
        provider: null,
        latency_ms: null,
        metadata: {},
      }),
      body.message,
    ])
  })

  test('send along what was said before, and null is as good as nothing', async () => {
    const { id } = await create()
    await say(id, { message: 'first', provider: null, model: null, temperature: null, max_tokens: null, stream: false })
    await say(id, { message: 'second' })
    const sent = provider.requests.at(-1)?.body
    expect(sent?.messages.map(({ content }) => content)).toEqual(['first', 'first', 'second'])
    expect(sent).not.toHaveProperty('temperature')
  })

  test('are listed oldest first, from any place', async () => {
    const { id } = await create()
    for (const message of ['a', 'b', 'c', 'd']) await say(id, { message })
    const list = async (query: string) => {
      const { messages, ...rest } = await bodyOf(at(`/${id}/messages${query}`))
      return { text: messages.map(({ content }: { content: string }) => content).join(''), ...rest }
    }
    expect(await list('')).toEqual({ text: 'aabbccdd', total: 8, limit: 50, offset: 0 })
    expect(await list('?limit=3')).toEqual({ text: 'aab', total: 8, limit: 3, offset: 0 })
    expect(await list('?limit=3&offset=2')).toEqual({ text: 'bbc', total: 8, limit: 3, offset: 2 })
    expect(await list('?limit=5&offset=6')).toEqual({ text: 'dd', total: 8, limit: 5, offset: 6 })
    expect(await list('?offset=8')).toEqual({ text: '', total: 8, limit: 50, offset: 8 })
  })

  test('answer a repeated key with what it made', async () => {
    const { id } = await create()
    const headers = { 'idempotency-key': crypto.randomUUID() }
    const [first, again] = [await say(id, { message: 'x' }, headers), await say(id, { message: 'x' }, headers)]
    expect(again.headers.get('idempotency-replayed')).toBe('true')
    expect(await again.json()).toEqual(await first.json())
    expect((await bodyOf(at(`/${id}`))).total_messages).toBe(2)
    expect((await say(id, { message: 'y' }, headers)).status).toBe(422)
  })

  test('choose the model by its provider when its name alone says nothing', async () => {
    const { id } = await create()
    expect((await bodyOf(say(id, { message: 'x', provider: 'fake' }))).message).toMatchObject({ content: 'x' })
    const refused = await say(id, { message: 'x', provider: 'nobody' })
    expect([refused.status, await refused.json()]).toEqual([
      422,
      { detail: 'There is no model of nobody. GET /v1/models lists what there is' },
    ])
    expect((await say(id, { message: 'x', provider: 'openai', model: 'missing' })).status).toBe(404)
  })

  test('that fail have the status and one sentence, and stay with their error', async () => {
    const { id } = await create()
    const failed = await say(id, { message: 'x', model: 'status:500' })
    expect(failed.status).toBe(502)
    const { detail } = await failed.json()
    expect(detail).toBeString()
    const { messages } = await bodyOf(at(`/${id}/messages`))
    expect(messages[1]).toMatchObject({ role: 'assistant', error: detail, provider: 'openai' })
  })

  test('do not stream here', async () => {
    const { id } = await create()
    expect((await say(id, { message: 'x', stream: true })).status).toBe(400)
    expect((await bodyOf(at(`/${id}`))).total_messages).toBe(0)
  })
})

describe('the stream', () => {
  test('has pieces of text, then the message', async () => {
    const { id } = await create()
    const response = await stream(id, { message: 'one two three', model: 'echo', temperature: '0.5', max_tokens: '9' })
    expect(response.headers.get('content-type')).toStartWith('text/event-stream')
    const frames = await framesOf(response)
    expect(textOf(frames)).toBe('one two three')
    expect(frames.slice(0, -1).every(({ data }) => data.done === false)).toBe(true)
    const { messages } = await bodyOf(at(`/${id}`))
    expect(frames.at(-1)?.data).toEqual({ content: '', done: true, message_id: messages[1].id })
    expect(messages[1]).toMatchObject({ content: 'one two three', time_to_first_token_ms: expect.any(Number) })
    expect(provider.requests.at(-1)?.body).toMatchObject({ temperature: 0.5, max_tokens: 9 })
  })

  test('asks nothing when only its headers are wanted', async () => {
    const { id } = await create()
    const asked = provider.requests.length
    const answer = await at(`/${id}/stream?message=Hello`, { method: 'HEAD' })
    expect([answer.status, answer.headers.get('content-type'), await answer.text()]).toEqual([
      200,
      'text/event-stream; charset=utf-8',
      '',
    ])
    expect((await at(`/${id}/stream?message=Hello`, { method: 'HEAD', token: undefined })).status).toBe(401)
    expect((await bodyOf(at(`/${id}`))).total_messages).toBe(0)
    expect(provider.requests.length).toBe(asked)
  })

  test('says what the model did wrong, and that this was all', async () => {
    const { id } = await create()
    const frames = await framesOf(await stream(id, { message: 'x', model: 'error-after:2' }))
    expect(frames).toHaveLength(3)
    expect(frames.at(-1)?.data).toEqual({ error: expect.any(String), done: true })
  })

  test('has a status for what is wrong before it begins', async () => {
    const { id } = await create()
    const slow = await stream(id, { message: 'x', model: 'silent-after:1' })
    const busy = await stream(id, { message: 'y' })
    expect([busy.status, await busy.json()]).toEqual([409, { detail: expect.any(String) }])
    expect((await stream(crypto.randomUUID(), { message: 'y' })).status).toBe(404)
    await at(`/${id}`, { method: 'DELETE' })
    expect((await framesOf(slow)).at(-1)?.data).toMatchObject({ done: true })
  })

  test('goes on where a reader lost it, and asks nothing twice', async () => {
    const { id } = await create()
    const query = { message: 'go', model: 'slow:20:10' }
    const seen = await framesOf(await stream(id, query), 3)
    const last = String(seen.at(-1)?.id)
    const rest = await framesOf(await stream(id, query, { 'last-event-id': last }))
    expect(textOf([...seen, ...rest])).toBe('t1 t2 t3 t4 t5 t6 t7 t8 t9 t10')
    expect(rest.at(-1)?.data).toMatchObject({ done: true })
    expect((await bodyOf(at(`/${id}`))).total_messages).toBe(2)
    const over = await stream(id, query, { 'last-event-id': String(rest.at(-1)?.id) })
    expect([over.status, await over.text()]).toEqual([204, ''])
    const [runId] = last.split(':')
    const { id: other } = await create()
    expect((await stream(other, query, { 'last-event-id': last })).status).toBe(404)
    expect((await at(`/${id}/stream?message=x`, { token: stranger, headers: { 'last-event-id': last } })).status).toBe(
      404,
    )
    expect(await framesOf(await stream(id, query, { 'last-event-id': `${runId}:99999` }))).toMatchObject([
      { data: { done: true } },
    ])
  })

  test('is read over a socket to its end, and the answer is made without a reader', async () => {
    const { id } = await create()
    const left = new AbortController()
    const url = `${app.listen()}/api/v1/conversations/${id}/stream?message=go&model=slow:10:20`
    const response = await fetch(url, { headers: { authorization: `Bearer ${token}` }, signal: left.signal })
    await framesOf(response, 2)
    left.abort()
    const answer = async () => (await bodyOf(at(`/${id}`))).messages[1]
    await until(async () => (await answer()).metadata.finish_reason === 'stop')
    expect((await answer()).content).toEndWith('t20')
  })
})

describe('feedback', () => {
  test('is given to a message, the last one unless it is named, and can be changed', async () => {
    const { id } = await create()
    const { message } = await bodyOf(say(id, { message: 'x' }))
    const json = { message_id: message.id, feedback_type: 'thumbs_up', rating: 5, comment: 'Very helpful response!' }
    const given = await at(`/${id}/feedback`, { json: { ...json, user_id: 'u', metadata: { a: 1 } } })
    expect(given.status).toBe(201)
    const body = await given.json()
    expect(body).toEqual({
      id: expect.any(String),
      conversation_id: id,
      ...json,
      user_id: 'u',
      metadata: { a: 1 },
      created_at: expect.stringMatching(TIME),
    })
    const changed = await bodyOf(at(`/${id}/feedback`, { json: { feedback_type: 'flag' } }))
    expect(changed).toMatchObject({
      id: body.id,
      message_id: message.id,
      feedback_type: 'flag',
      rating: null,
      metadata: {},
    })
    const { data } = await bodyOf(app.call(`/v1/messages/${message.id}/feedback`, { token }))
    expect(data).toMatchObject({ id: body.id, kind: 'flag', snapshot: { question: 'x', answer: 'x' } })
  })

  test('needs a message of that conversation', async () => {
    const [{ id }, { id: other }] = [await create(), await create()]
    const json = { feedback_type: 'thumbs_down' }
    expect((await at(`/${id}/feedback`, { json })).status).toBe(422)
    const { message } = await bodyOf(say(other, { message: 'x' }))
    expect((await at(`/${id}/feedback`, { json: { ...json, message_id: message.id } })).status).toBe(404)
    expect((await at(`/${id}/feedback`, { json: { ...json, message_id: crypto.randomUUID() } })).status).toBe(404)
  })
})

describe('refuses', () => {
  const everything = (id: string): [string, CallInit][] => [
    [`/${id}`, {}],
    [`/${id}`, { method: 'PATCH', json: { title: 'Taken' } }],
    [`/${id}`, { method: 'DELETE' }],
    [`/${id}/messages`, {}],
    [`/${id}/messages`, { json: { message: 'x' } }],
    [`/${id}/stream?message=x`, {}],
    [`/${id}/feedback`, { json: { feedback_type: 'flag' } }],
  ]
  const ask = async (id: string, as: string | undefined) => {
    const statuses: number[] = []
    for (const [path, init] of everything(id)) {
      const answer = await at(path, { ...init, token: as })
      statuses.push(answer.status)
      expect([path, Object.keys(await answer.json())]).toEqual([path, ['detail']])
    }
    return [...new Set(statuses)]
  }

  test('strangers, other people, and ids that are none', async () => {
    const { id } = await create({ title: 'Mine' })
    expect(await ask(id, undefined)).toEqual([401])
    expect(await ask(id, stranger)).toEqual([404])
    expect(await ask(crypto.randomUUID(), token)).toEqual([404])
    expect(await ask('none', token)).toEqual([422])
    expect(await bodyOf(at(`/${id}`))).toMatchObject({ title: 'Mine', total_messages: 0 })
    expect(await bodyOf(at('', { token: stranger }))).toEqual([])
  })

  test.each<[string, string, unknown]>([
    ['POST', '', { title: 5 }],
    ['POST', '', { title: ' ' }],
    ['POST', '', { title: 'x'.repeat(501) }],
    ['POST', '', { metadata: [] }],
    ['POST', '', { metadata: { a: 'x'.repeat(16_000) } }],
    ['POST', '', { user_id: 'x'.repeat(256) }],
    ['POST', '', null],
    ['PATCH', '/ID', { metadata: 'x' }],
    ['PATCH', '/ID', { title: '' }],
    ['POST', '/ID/messages', {}],
    ['POST', '/ID/messages', { message: '' }],
    ['POST', '/ID/messages', { message: ['x'] }],
    ['POST', '/ID/messages', { message: 'x'.repeat(100_001) }],
    ['POST', '/ID/messages', { message: 'x', temperature: 3 }],
    ['POST', '/ID/messages', { message: 'x', max_tokens: 0 }],
    ['POST', '/ID/messages', { message: 'x', model: '' }],
    ['POST', '/ID/messages', { message: 'x', provider: 7 }],
    ['POST', '/ID/feedback', { rating: 5 }],
    ['POST', '/ID/feedback', { feedback_type: 'love' }],
    ['POST', '/ID/feedback', { feedback_type: 'flag', rating: 9 }],
    ['POST', '/ID/feedback', { feedback_type: 'flag', message_id: 'none' }],
    ['GET', '?limit=101', undefined],
    ['GET', '?offset=-1', undefined],
    ['GET', '/ID/messages?limit=x', undefined],
    ['GET', '/ID/stream', undefined],
    ['GET', '/ID/stream?message=', undefined],
    ['GET', '/ID/stream?message=x&temperature=hot', undefined],
    ['GET', '/ID/stream?message=x&max_tokens=0', undefined],
  ])('%s %s %j', async (method, path, json) => {
    const { id } = await create({ title: 'As it was' })
    const before = await bodyOf(at(`/${id}`))
    const answer = await at(path.replace('ID', id), { method, ...(json === undefined ? {} : { json }) })
    const { detail } = await answer.json()
    expect([answer.status, typeof detail === 'string' || detail[0].loc.length > 0]).toEqual([422, true])
    expect(await bodyOf(at(`/${id}`))).toEqual(before)
  })

  test('nothing that a database cannot hold: it is replaced', async () => {
    const headers = { 'content-type': 'application/json' }
    const body = '{"title":"a\\u0000\\ud800","user_id":"\\u0000","metadata":{"\\u0000":"\\udfff"},"__proto__":{"x":1}}'
    const made = await bodyOf(at('', { method: 'POST', headers, body }))
    const replaced = { title: 'a\uFFFD\uFFFD', user_id: '\uFFFD', metadata: { '\uFFFD': '\uFFFD' } }
    expect(await bodyOf(at(`/${made.id}`))).toMatchObject(replaced)
    const frames = await framesOf(await at(`/${made.id}/stream?message=%00a%ED%A0%80`))
    expect(frames.at(-1)?.data).toMatchObject({ done: true, message_id: expect.any(String) })
  })
})
