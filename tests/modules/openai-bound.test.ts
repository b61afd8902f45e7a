/** OpenAI clients whose exchange is kept in a stored conversation. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { readSse } from '../support/read-sse'

let provider: FakeProvider
let app: TestApp
let token: string

beforeAll(async () => {
  provider = startFakeProvider()
  app = await testApp({ OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: 'sk-test', DEFAULT_MODEL: 'echo' })
  token = (await app.signUp()).token
})
afterAll(async () => {
  await app.close()
  await provider.stop()
})

const post = (json: object, headers: Record<string, string> = {}) =>
  app.call('/v1/chat/completions', { token, json, headers })
const complete = async (json: object) => (await post(json)).json()
const get = async (path: string) => (await (await app.call(path, { token })).json()).data
const lastSent = (): Record<string, unknown> & { messages: unknown[] } =>
  provider.requests.at(-1)?.body ?? { messages: [] }
const user = (content: unknown) => ({ role: 'user', content })
const assistant = (content: unknown) => ({ role: 'assistant', content })
const TOOLS = [{ type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: {} } } }]

const begin = async (message = 'one') => (await complete({ message, stream: false })).conversation_id as string
const path = async (id: string) => (await get(`/v1/conversations/${id}/messages`)).items
const said = async (id: string) => (await path(id)).map(({ content }: { content: string }) => content)
const branches = async (id: string) => (await get(`/v1/conversations/${id}`)).active_branch_id

test('named by the body or by X-Conversation-Id, one message goes on with what is stored', async () => {
  const id = await begin()
  const byBody = await complete({ conversation_id: id, messages: [user('two')] })
  expect(byBody).toMatchObject({ object: 'chat.completion', conversation_id: id, finish_reason: 'stop' })
  expect(lastSent().messages).toEqual([user('one'), assistant('one'), user('two')])
  expect(lastSent()).not.toHaveProperty('conversation_id')
  const byHeader = await post({ messages: [user('three')], stream: true }, { 'x-conversation-id': id })
  const { frames, text, done } = await readSse(byHeader)
  expect(done).toBe(true)
  expect(text).toBe('three')
  expect(frames[0]?.data).toMatchObject({ conversation_id: id })
  expect(await said(id)).toEqual(['one', 'one', 'two', 'two', 'three', 'three'])
})

test('a system message counts for one turn and is not stored', async () => {
  const id = await begin()
  const system = { role: 'system', content: 'Rhyme' }
  await complete({ conversation_id: id, messages: [system, user('two')] })
  expect(lastSent().messages).toEqual([system, user('one'), assistant('one'), user('two')])
  expect(await said(id)).toEqual(['one', 'one', 'two', 'two'])
})

test('a whole history goes on where the stored one ends', async () => {
  const id = await begin()
  const branch = await branches(id)
  const messages = [user('one'), assistant('one'), user('two')]
  await complete({ conversation_id: id, messages })
  expect(lastSent().messages).toEqual(messages)
  expect(await said(id)).toEqual(['one', 'one', 'two', 'two'])
  expect(await branches(id)).toBe(branch)
})

test('an edited history opens a branch where it differs', async () => {
  const id = await begin()
  await complete({ conversation_id: id, messages: [user('two')] })
  const branch = await branches(id)
  const messages = [user('one'), assistant('one'), user('zwei')]
  await complete({ conversation_id: id, messages })
  expect(await said(id)).toEqual(['one', 'one', 'zwei', 'zwei'])
  expect((await path(id))[2]).toMatchObject({ siblings: { index: 2, count: 2 } })
  expect(await branches(id)).not.toBe(branch)
  await complete({ conversation_id: id, messages: [user('uno'), assistant('eins'), user('due')] })
  expect(await said(id)).toEqual(['uno', 'eins', 'due', 'due'])
  expect((await path(id))[0]).toMatchObject({ parent_id: null, siblings: { index: 2, count: 2 } })
})

test('the same history again makes the answer again, beside the first', async () => {
  const id = await begin()
  const messages = [user('one'), assistant('one'), user('two')]
  const first = await complete({ conversation_id: id, messages })
  const again = await complete({ conversation_id: id, messages })
  expect(again.message_id).not.toBe(first.message_id)
  expect(await said(id)).toEqual(['one', 'one', 'two', 'two'])
  expect((await path(id))[3]).toMatchObject({
    id: again.message_id,
    siblings: { index: 2, count: 2, prev: first.message_id },
  })
})

test('keeps tool calls and sends them back with the result', async () => {
  const id = await begin()
  await complete({ conversation_id: id, model: 'tools', messages: [user('{"city":"Oslo"}')], tools: TOOLS })
  const [, , , called] = await path(id)
  expect(called.extra.tool_calls[0].function).toEqual({ name: 'get_weather', arguments: '{"city":"Oslo"}' })
  const result = { role: 'tool', tool_call_id: 'call_1', content: 'rain' }
  const answer = await complete({ conversation_id: id, model: 'tools', messages: [result] })
  expect(answer.choices[0].message.content).toBe('The tool said: rain')
  expect(lastSent().messages.slice(-2)).toMatchObject([{ role: 'assistant', tool_calls: [{ id: 'call_1' }] }, result])
})

test('keeps one choice only, and fails in the shape its client knows', async () => {
  const id = await begin()
  const several = await post({ conversation_id: id, messages: [user('x')], n: 2 })
  expect(several.status).toBe(400)
  expect((await several.json()).error.type).toBe('invalid_request_error')
  const broken = await post({ conversation_id: id, messages: [user('x')], model: 'error-after:2', stream: true })
  const { frames, done } = await readSse(broken)
  expect(done).toBe(false)
  expect(frames.at(-1)?.data.error).toMatchObject({ type: 'server_error', param: null })
  expect((await path(id)).at(-1)).toMatchObject({ content: 't1 t2', status: 'error' })
})
