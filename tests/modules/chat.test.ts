import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Pool } from 'pg'
import { type Account, type TestApp, testApp } from '../support/app'
import { createDatabase } from '../support/db'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { readSse } from '../support/read-sse'
import { until } from '../support/servers'

/** On Postgres, so that two servers can share it. */
let provider: FakeProvider
let app: TestApp
let me: Account
let drop: () => Promise<void>
let databaseUrl: string
const SECRET = 'a secret that all servers here know'

beforeAll(async () => {
  const database = await createDatabase()
  drop = database.drop
  databaseUrl = database.url
  provider = startFakeProvider()
  app = await testApp({
    DATABASE_URL: database.url,
    JWT_SECRET_KEY: SECRET,
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: 'sk-test',
    DEFAULT_MODEL: 'echo',
    MAX_CONTEXT_MESSAGES: '4',
  })
  me = await app.signUp()
})
afterAll(async () => {
  await app.close()
  await provider.stop()
  await drop()
})

const post = (json: object) => app.call('/v1/chat/completions', { token: me.token, json })
/** A whole answer as one object. */
const say = async (json: object) => (await post({ stream: false, ...json })).json()
const get = async (path: string) => (await (await app.call(path, { token: me.token })).json()).data
const pathOf = async (conversation: string) => (await get(`/v1/conversations/${conversation}/messages`)).items
const patch = (id: string, json: object) =>
  app.call(`/v1/conversations/${id}`, { method: 'PATCH', token: me.token, json })
const lastSent = () => provider.requests.at(-1)?.body
const calls = () => provider.requests.filter(({ path }) => path.endsWith('/completions')).length

test('begins a conversation, streams, and stores exactly what it streamed', async () => {
  const { frames, text, done } = await readSse(await post({ message: 'one two three' }))
  expect(done).toBe(true)
  expect(text).toBe('one two three')
  const { conversation_id, branch_id, message_id } = frames[0]?.data ?? {}
  const [question, answer] = await pathOf(String(conversation_id))
  expect(question).toMatchObject({ role: 'user', content: 'one two three', status: 'complete', parent_id: null })
  const { usage } = frames.at(-1)?.data ?? {}
  expect(usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 })
  expect(answer).toMatchObject({
    id: message_id,
    parent_id: question.id,
    content: text,
    status: 'complete',
    finish_reason: 'stop',
    model: 'echo',
    usage,
  })
  expect(await get(`/v1/conversations/${conversation_id}`)).toMatchObject({
    title: 'one two three',
    active_leaf_id: message_id,
    active_branch_id: branch_id,
    model: 'echo',
  })
})

test('answers in one object when it is not to stream', async () => {
  const answer = await say({ message: 'Hello you' })
  expect(answer).toMatchObject({
    object: 'chat.completion',
    model: 'echo',
    choices: [{ index: 0, message: { role: 'assistant', content: 'Hello you' }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 2, completion_tokens: 2 },
    cost_usd: null,
    finish_reason: 'stop',
  })
  const [, stored] = await pathOf(answer.conversation_id)
  expect(stored.id).toBe(answer.message_id)
})

test('goes on with a conversation and sends the model what was said, after the system prompt', async () => {
  const first = await say({ message: 'first' })
  await patch(first.conversation_id, { system_prompt: 'Be brief' })
  const second = await say({ message: 'second', conversation_id: first.conversation_id, temperature: 0.5, seed: 7 })
  expect(second).toMatchObject({ conversation_id: first.conversation_id, branch_id: first.branch_id })
  expect(lastSent()).toMatchObject({ temperature: 0.5, seed: 7, stream: true })
  expect(lastSent()?.messages).toEqual([
    { role: 'system', content: 'Be brief' },
    { role: 'user', content: 'first' },
    { role: 'assistant', content: 'first' },
    { role: 'user', content: 'second' },
  ])
  for (const key of ['conversation_id', 'message', 'parent_message_id']) expect(lastSent()).not.toHaveProperty(key)
  expect((await pathOf(first.conversation_id)).map(({ content }: { content: string }) => content)).toEqual([
    'first',
    'first',
    'second',
    'second',
  ])
})

test('sends no more of a long conversation than MAX_CONTEXT_MESSAGES', async () => {
  const { conversation_id } = await say({ message: '1' })
  for (const message of ['2', '3', '4']) await say({ message, conversation_id })
  expect(lastSent()?.messages.map(({ content }) => content)).toEqual(['2', '2', '3', '3', '4'])
})

test('a message below an earlier one opens a branch and makes it the active one', async () => {
  const first = await say({ message: 'first' })
  const { conversation_id } = first
  const second = await say({ message: 'second', conversation_id })
  const edit = await say({ message: 'other', conversation_id, parent_message_id: first.message_id })
  expect(edit.branch_id).not.toBe(second.branch_id)
  expect(lastSent()?.messages.map(({ content }) => content)).toEqual(['first', 'first', 'other'])
  const path = await pathOf(conversation_id)
  expect(path[2]).toMatchObject({ content: 'other', siblings: { index: 2, count: 2 } })
  expect(path[3]).toMatchObject({ id: edit.message_id })
  expect((await get(`/v1/conversations/${conversation_id}`)).active_branch_id).toBe(edit.branch_id)
})

test('the model of the request comes before that of the conversation, and that before the default', async () => {
  const { conversation_id, model } = await say({ message: 'hi' })
  expect(model).toBe('echo')
  await patch(conversation_id, { model: 'tokens:2' })
  expect(await say({ message: 'hi', conversation_id })).toMatchObject({ model: 'tokens:2' })
  expect(await say({ message: 'hi', conversation_id, model: 'tokens:3' })).toMatchObject({ model: 'tokens:3' })
  expect(lastSent()?.model).toBe('tokens:3')
})

test('does not answer below an answer that is still being written', async () => {
  const response = await post({ message: 'go', model: 'slow:10:30' })
  const begun = Promise.withResolvers<string>()
  const rest = readSse(response, ([frame]) => {
    if (frame) begun.resolve(String(frame.data.conversation_id))
    return false
  })
  const conversation_id = await begun.promise
  const refused = await post({ message: 'and?', conversation_id })
  expect(refused.status).toBe(409)
  expect((await refused.json()).error.code).toBe('CONFLICT')
  await rest
  expect((await say({ message: 'and?', conversation_id, model: 'echo' })).choices[0].message.content).toBe('and?')
})

test('keeps a failed answer as an error with what was said, and goes on after it', async () => {
  const { frames } = await readSse(await post({ message: 'go', model: 'error-after:3' }))
  const { conversation_id, run_id } = frames[0]?.data ?? {}
  const [, answer] = await pathOf(String(conversation_id))
  expect(answer).toMatchObject({
    content: 't1 t2 t3',
    status: 'error',
    // What was said is charged, as far as there is a price.
    usage: { cost_basis: 'estimated' },
    cost_usd: null,
    finish_reason: null,
  })
  expect(await get(`/v1/runs/${run_id}`)).toMatchObject({ status: 'failed', error: { code: 'UPSTREAM_ERROR' } })
  expect(await say({ message: 'again', conversation_id, model: 'echo' })).toMatchObject({ finish_reason: 'stop' })
  expect(lastSent()?.messages.map(({ content }) => content)).toEqual(['go', 't1 t2 t3', 'again'])
})

test('sends no empty answer back to a model after one that failed at once', async () => {
  const { frames } = await readSse(await post({ message: 'go', model: 'status:500' }))
  await say({ message: 'again', conversation_id: frames[0]?.data.conversation_id, model: 'echo' })
  expect(lastSent()?.messages).toEqual([
    { role: 'user', content: 'go' },
    { role: 'user', content: 'again' },
  ])
})

test('sends a model nothing of messages from elsewhere that hold no text', async () => {
  const message = (uuid: string, sender: string, text: string, thinking?: string) => {
    const content = [{ type: 'text', text }, ...(thinking ? [{ type: 'thinking', thinking }] : [])]
    return { uuid, sender, content, files: [{ file_name: 'tea.png' }] }
  }
  const chat_messages = [
    message('1', 'human', ''),
    message('2', 'assistant', '', 'A picture'),
    message('3', 'human', 'Tea?'),
  ]
  const json = [{ uuid: crypto.randomUUID(), chat_messages }]
  const brought = await (await app.call('/v1/import/conversations', { token: me.token, json })).json()
  const { id, messages } = brought.data.conversations[0]
  expect(messages).toBe(3)
  await say({ conversation_id: id, message: 'Well?' })
  expect(lastSent()?.messages.map(({ role, content }) => [role, content])).toEqual([
    ['user', 'Tea?'],
    ['user', 'Well?'],
  ])
})

test.each(['api_base', 'api_key', 'base_url', 'extra_headers', 'fallbacks', 'mock_response', 'litellm_params'])(
  'refuses %s, which the server decides',
  async (key) => {
    const before = calls()
    const messages = [{ role: 'user', content: 'x' }]
    expect((await post({ message: 'x', [key]: 'http://evil.example' })).status).toBe(422)
    const openAi = await post({ messages, [key]: 'http://evil.example' })
    expect(openAi.status).toBe(400)
    expect((await openAi.json()).error).toMatchObject({ type: 'invalid_request_error', param: key })
    expect(calls()).toBe(before)
  },
)

test("someone else's conversation or message is as unknown as one that never was", async () => {
  const { conversation_id, message_id } = await say({ message: 'mine' })
  const stranger = await app.signUp()
  const as = (json: object, path = 'completions') => app.call(`/v1/chat/${path}`, { token: stranger.token, json })
  const ids = { conversation_id: crypto.randomUUID(), message_id: crypto.randomUUID() }
  const before = calls()
  const bodies = [
    [{ message: 'x', conversation_id }, { message: 'x', conversation_id: ids.conversation_id }, 'completions'],
    [{ conversation_id, message_id }, ids, 'regenerate'],
  ] as const
  for (const [foreign, unknown, path] of bodies) {
    const [one, other] = await Promise.all([as(foreign, path), as(unknown, path)])
    expect([one.status, other.status]).toEqual([404, 404])
    const [a, b] = [(await one.json()).error, (await other.json()).error]
    expect({ ...a, request_id: null }).toEqual({ ...b, request_id: null })
  }
  const own = await (await as({ message: 'own', stream: false })).json()
  const across = await as({ message: 'x', conversation_id: own.conversation_id, parent_message_id: message_id })
  expect(across.status).toBe(404)
  expect(calls()).toBe(before + 1)
  expect(await pathOf(conversation_id)).toHaveLength(2)
})

test("sends a person's own LiteLLM key to LiteLLM and to nobody else, and shows it to nobody", async () => {
  const litellm = await testApp({
    DATABASE_URL: databaseUrl,
    JWT_SECRET_KEY: SECRET,
    LITELLM_URL: provider.url,
    LITELLM_MASTER_KEY: 'sk-master',
  })
  const authorization = async (on: TestApp, token: string) => {
    for (const json of [
      { message: 'x', model: 'echo' },
      { messages: [{ role: 'user', content: 'x' }], model: 'echo' },
    ]) {
      const answer = await on.call('/v1/chat/completions', { token, json })
      expect(await answer.text()).not.toContain('sk-own')
    }
    return provider.requests.slice(-2).map(({ headers }) => headers.authorization)
  }
  const { token, userId } = await app.signUp()
  const pool = new Pool({ connectionString: databaseUrl, max: 1 })
  await pool.query("update users set litellm_key = 'sk-own-4711' where id = $1", [userId])
  await pool.end()
  expect(await authorization(litellm, token)).toEqual(['Bearer sk-own-4711', 'Bearer sk-own-4711'])
  expect(await authorization(app, token)).toEqual(['Bearer sk-test', 'Bearer sk-test'])
  expect(await authorization(litellm, me.token)).toEqual(['Bearer sk-master', 'Bearer sk-master'])
  expect(await (await litellm.call('/api/v1/auth/me', { token })).text()).not.toContain('sk-own')
  await litellm.close()
})

test('leaves nothing running behind', async () => {
  await until(() => provider.openStreams() === 0)
  expect(app.services.runs.active).toBe(0)
})

test('counts what an answer took when its provider does not, and says that it did', async () => {
  const { usage, conversation_id } = await say({ message: 'hello world', model: 'no-usage' })
  const { prompt_tokens, completion_tokens, total_tokens, cost_basis } = usage
  expect(cost_basis).toBe('estimated')
  expect(prompt_tokens).toBeGreaterThan(2)
  expect(completion_tokens).toBeGreaterThan(2)
  expect(total_tokens).toBe(prompt_tokens + completion_tokens)
  const [, stored] = await pathOf(conversation_id)
  expect(stored).toMatchObject({ usage: { prompt_tokens, completion_tokens } })
})
