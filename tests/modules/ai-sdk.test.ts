/** `/api/chat` through the front door: where messages land in the tree, and what a page is told. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type Account, type TestApp, testApp } from '../support/app'
import { createDatabase } from '../support/db'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'

/** On Postgres: two tabs that begin the same chat race there. */
let provider: FakeProvider
let app: TestApp
let me: Account
let drop: () => Promise<void>

beforeAll(async () => {
  const database = await createDatabase()
  drop = database.drop
  provider = startFakeProvider()
  app = await testApp({
    DATABASE_URL: database.url,
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: 'sk-test',
    DEFAULT_MODEL: 'echo',
  })
  me = await app.signUp()
})
afterAll(async () => {
  await app.close()
  await provider.stop()
  await drop()
})

type Part = { type: string; [key: string]: unknown }
type Shown = { id: string; role: string; parts: Part[] }
const text = (said: string): Part => ({ type: 'text', text: said })
const user = (said: string | Part[], id: string = crypto.randomUUID().slice(0, 8)): Shown => ({
  id,
  role: 'user',
  parts: typeof said === 'string' ? [text(said)] : said,
})
const chatId = () => `chat-${crypto.randomUUID()}`

const post = (json: object, init: { token?: string; headers?: Record<string, string>; query?: string } = {}) =>
  app.call(`/api/chat${init.query ?? ''}`, { token: me.token, json, ...init })

/** The chunks of a stream, read to its end, and what they make of our facts and the text. */
async function read(response: Response) {
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`)
  const body = await response.text()
  const chunks = [...body.matchAll(/^data: (\{.*)$/gm)].map(([, json = '']) => JSON.parse(json))
  const ids = chunks.find(({ type }) => type === 'data-ids')?.data
  const said = chunks.map(({ type, delta }) => (type === 'text-delta' ? delta : '')).join('')
  const answer: Shown = { id: chunks[0]?.messageId, role: 'assistant', parts: [{ type: 'step-start' }, text(said)] }
  return { body, chunks, ids, said, answer, types: chunks.map(({ type }) => type) }
}
const say = async (json: object, init = {}) => read(await post(json, init))

const get = async (path: string) => (await (await app.call(path, { token: me.token })).json()).data
const path = async (conversation: string) => (await get(`/v1/conversations/${conversation}/messages`)).items
const said = async (conversation: string) =>
  (await path(conversation)).map(({ content }: { content: string }) => content)
const lastSent = () => provider.requests.at(-1)?.body

test('the first message makes a conversation, named by the person and the chat', async () => {
  const id = chatId()
  const response = await post({ id, messages: [user('one two')], trigger: 'submit-message' })
  expect(response.headers.get('content-type')).toStartWith('text/event-stream')
  expect(response.headers.get('cache-control')).toBe('no-cache, no-transform')
  expect(response.headers.get('x-vercel-ai-ui-message-stream')).toBe('v1')
  const { ids, answer, chunks, body } = await read(response)
  expect(body).toEndWith('data: [DONE]\n\n')
  expect(chunks.at(-1)).toEqual({ type: 'finish' })
  expect(ids.conversation_id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(answer.id).toBe(ids.message_id)
  expect(await said(ids.conversation_id)).toEqual(['one two', 'one two'])
  expect(await get(`/v1/conversations/${ids.conversation_id}`)).toMatchObject({ title: 'one two', model: 'echo' })
  const other = await app.signUp()
  const theirs = await say({ id, messages: [user('three')] }, { token: other.token })
  expect(theirs.ids.conversation_id).not.toBe(ids.conversation_id)
})

test('a second message, an edit and a regeneration land where they belong', async () => {
  const id = chatId()
  const one = user('one')
  const first = await say({ id, messages: [one] })
  const two = user('two')
  const second = await say({ id, messages: [one, first.answer, two] })
  const conversation = second.ids.conversation_id
  expect(await said(conversation)).toEqual(['one', 'one', 'two', 'two'])
  expect(second.ids.branch_id).toBe(first.ids.branch_id)

  const again = await say({ id, messages: [one, first.answer, two], trigger: 'regenerate-message' })
  expect((await path(conversation)).at(-1)).toMatchObject({
    id: again.ids.message_id,
    siblings: { index: 2, count: 2, prev: second.ids.message_id },
  })

  const edited = user('zwei', two.id)
  await say({ id, messages: [one, first.answer, edited], trigger: 'submit-message', messageId: two.id })
  expect(await said(conversation)).toEqual(['one', 'one', 'zwei', 'zwei'])
  expect((await path(conversation))[2]).toMatchObject({ siblings: { index: 2, count: 2 } })

  await say({ id, messages: [user('eins', one.id)], messageId: one.id })
  expect(await said(conversation)).toEqual(['eins', 'eins'])
  expect((await path(conversation))[0]).toMatchObject({ parent_id: null, siblings: { index: 2, count: 2 } })
})

test('a page that shows another branch goes on with that one', async () => {
  const id = chatId()
  const one = user('one')
  const first = await say({ id, messages: [one] })
  const another = await say({ id, messages: [one], trigger: 'regenerate-message', messageId: first.answer.id })
  expect(another.ids.message_id).not.toBe(first.ids.message_id)
  const { ids } = await say({ id, messages: [one, first.answer, user('two')] })
  const nodes = await path(ids.conversation_id)
  expect(nodes.map((node: { id: string }) => node.id)[1]).toBe(first.ids.message_id)
  expect(nodes).toHaveLength(4)
})

test('an answer that the page has only in part is still the same answer', async () => {
  const id = chatId()
  const one = user('one two three')
  const { answer } = await say({ id, messages: [one] })
  const partial = { ...answer, parts: [{ type: 'step-start' }, text('one'), { type: 'data-mine', data: 1 }] }
  const { ids } = await say({ id, messages: [one, partial, user('next')] })
  expect(await said(ids.conversation_id)).toEqual(['one two three', 'one two three', 'next', 'next'])
  expect(lastSent()?.messages.map(({ content }) => content)).toEqual(['one two three', 'one two three', 'next'])
})

test('a history that is not stored here is taken over', async () => {
  const id = chatId()
  const answer = { id: 'elsewhere', role: 'assistant', parts: [text('eins')] }
  const { ids } = await say({ id, messages: [user('one'), answer, user('two')] })
  expect(await said(ids.conversation_id)).toEqual(['one', 'eins', 'two', 'two'])
  await say({ id, messages: [user('one'), answer, user('three')] })
  expect(await said(ids.conversation_id)).toEqual(['one', 'eins', 'three', 'three'])
})

test('only the last message is added to what is shown', async () => {
  const id = chatId()
  const first = await say({ id, message: user('one') })
  const conversation = first.ids.conversation_id
  await say({ id, message: user('two'), trigger: 'submit-message' })
  expect(await said(conversation)).toEqual(['one', 'one', 'two', 'two'])
  await say({ id, trigger: 'regenerate-message' })
  expect((await path(conversation)).at(-1)).toMatchObject({ siblings: { index: 2, count: 2 } })
  await say({ id, trigger: 'regenerate-message', messageId: first.answer.id })
  expect(await said(conversation)).toEqual(['one', 'one'])
  const [question] = await path(conversation)
  await say({ id, message: user('eins', question.id), messageId: question.id })
  expect(await said(conversation)).toEqual(['eins', 'eins'])
  const unknown = await post({ id, message: user('x', 'msg-1'), messageId: 'msg-1' })
  expect([unknown.status, await unknown.text()]).toEqual([422, expect.stringMatching(/whole history/)])
})

test('the id of a conversation of ones own is that conversation; of somebody elses it is a name', async () => {
  const native = await app.call('/v1/chat/completions', { token: me.token, json: { message: 'one', stream: false } })
  const { conversation_id, message_id } = await native.json()
  const shown = [user('one'), { id: message_id, role: 'assistant', parts: [text('one')] }]
  const { ids } = await say({ id: conversation_id, messages: [...shown, user('two')] })
  expect(ids.conversation_id).toBe(conversation_id)
  expect(await said(conversation_id)).toEqual(['one', 'one', 'two', 'two'])
  const other = await app.signUp()
  const theirs = await say({ id: conversation_id, messages: [user('mine?')] }, { token: other.token })
  expect(theirs.ids.conversation_id).not.toBe(conversation_id)
  const stolen = { id: message_id, trigger: 'regenerate-message', messageId: message_id, messages: [user('x')] }
  const { ids: made } = await say(stolen, { token: other.token })
  expect(made.conversation_id).not.toBe(conversation_id)
  expect(await said(conversation_id)).toEqual(['one', 'one', 'two', 'two'])
})

test('tabs that begin one chat at once make one conversation', async () => {
  const id = chatId()
  const answers = await Promise.all([1, 2, 3, 4].map((n) => say({ id, messages: [user(`tab ${n}`)] })))
  expect(new Set(answers.map(({ ids }) => ids.conversation_id)).size).toBe(1)
  expect(answers.map((answer) => answer.said)).toEqual(['tab 1', 'tab 2', 'tab 3', 'tab 4'])
})

test('what the page adds for the model reaches it, for this turn; what else it adds does not', async () => {
  const id = chatId()
  const parameters = { type: 'object', properties: {} }
  const extra = { system: 'Rhyme', temperature: 0.5, max_tokens: 9, tools: { look: { description: 'd', parameters } } }
  const first = await say({ id, messages: [user('one')], model: 'tokens:2', ...extra, sessionId: 'x', api_base: 'y' })
  expect(lastSent()).toMatchObject({
    model: 'tokens:2',
    temperature: 0.5,
    max_tokens: 9,
    tools: [{ type: 'function', function: { name: 'look', description: 'd', parameters } }],
    messages: [{ role: 'system', content: 'Rhyme' }, { role: 'user' }],
  })
  expect(Object.keys(lastSent() ?? {})).not.toContain('sessionId')
  expect(Object.keys(lastSent() ?? {})).not.toContain('api_base')
  const system = { id: 's', role: 'system', parts: [text('Briefly')] }
  await say({ id, messages: [system, user('one'), first.answer, user('two')] })
  expect(lastSent()?.messages[0]).toEqual({ role: 'system', content: 'Briefly' })
  expect(await said(first.ids.conversation_id)).toHaveLength(4)
})

test('images are passed on, other files are refused', async () => {
  const url = 'data:image/png;base64,iVBORw0KGgo='
  const { ids } = await say({
    id: chatId(),
    messages: [user([{ type: 'file', mediaType: 'image/png', url }, text('what?')])],
  })
  expect(lastSent()?.messages[0]?.content).toEqual([
    { type: 'image_url', image_url: { url } },
    { type: 'text', text: 'what?' },
  ] as never)
  expect((await path(ids.conversation_id))[0].content).toBe('what?')
  for (const [mediaType, address] of [
    ['application/pdf', 'data:application/pdf;base64,AAAA'],
    ['image/png', 'http://127.0.0.1/x.png'],
    ['image/png', 'file:///etc/passwd'],
    ['image/png', 'data:text/html;base64,AAAA'],
    ['image/png', 'data:image/png;base64,<svg>'],
    [undefined, url],
  ]) {
    const refused = await post({ id: chatId(), messages: [user([{ type: 'file', mediaType, url: address }])] })
    expect([mediaType, address, refused.status]).toEqual([mediaType, address, 422])
    expect(refused.headers.get('x-error-code')).toBe('VALIDATION_ERROR')
  }
})

test('results of tools go on with the answer that asked for them, under its id', async () => {
  for (const whole of [true, false]) {
    const id = chatId()
    const question = user('{"city":"Oslo"}')
    const { answer, chunks, ids } = await say({ id, messages: [question], model: 'tools' })
    expect(chunks.filter(({ type }) => type === 'tool-input-available')).toMatchObject([{ input: { city: 'Oslo' } }])
    const call = { type: 'tool-get_weather', toolCallId: 'call_1', input: { city: 'Oslo' } }
    const waiting = { ...answer, parts: [{ type: 'step-start' }, { ...call, state: 'input-available' }] }
    const history = (last: Shown) => (whole ? { messages: [question, last] } : { message: last })
    expect((await post({ id, ...history(waiting), messageId: answer.id })).status).toBe(422)
    const output = { ...call, state: 'output-available', output: { sky: 'rain' } }
    const shown = { ...answer, parts: [{ type: 'step-start' }, output] }
    const next = await say({ id, ...history(shown), messageId: answer.id, model: 'tools' })
    expect(next.said).toBe('The tool said: {"sky":"rain"}')
    expect(next.answer.id).toBe(answer.id)
    const nodes = await path(ids.conversation_id)
    expect(nodes.map(({ role }: { role: string }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant'])

    const all = { ...shown, parts: [...shown.parts, { type: 'step-start' }, text('The tool')] }
    await say({ id, messages: [question, all, user('thanks')] })
    expect(lastSent()?.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant', 'user'])
    expect(await path(ids.conversation_id)).toHaveLength(6)
  }
})

test('a call that the user went on without gets a result all the same', async () => {
  const id = chatId()
  const { answer, ids } = await say({ id, messages: [user('go')], model: 'tools' })
  const call = { type: 'tool-get_weather', toolCallId: 'call_1', state: 'input-available', input: { city: 'Paris' } }
  const shown = { ...answer, parts: [{ type: 'step-start' }, call] }
  await say({ id, messages: [user('go'), shown, user('never mind')] })
  expect(lastSent()?.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'user'])
  const { answer: last } = await say({
    id,
    messages: [user('go'), shown, user('never mind')],
    trigger: 'regenerate-message',
  })
  expect((await path(ids.conversation_id)).at(-1)).toMatchObject({ id: last.id, siblings: { index: 2, count: 2 } })
})

test('why an answer ended is said to those who asked for more than the strictest stream', async () => {
  const ends = async (init: object) => (await say({ id: chatId(), messages: [user('x')] }, init)).chunks.at(-1)
  expect(await ends({})).toEqual({ type: 'finish' })
  expect(await ends({ headers: { 'ui-stream': '6' } })).toEqual({ type: 'finish', finishReason: 'stop' })
  expect(await ends({ query: '?ui-stream=7' })).toEqual({ type: 'finish', finishReason: 'stop' })
  expect((await post({ id: 'x', messages: [user('x')] }, { headers: { 'ui-stream': '4' } })).status).toBe(422)
})

test('failures before the stream are one sentence, with the code beside it', async () => {
  const refusals: [object, number, string, RegExp][] = [
    [{ id: 'x', messages: [] }, 422, 'VALIDATION_ERROR', /^messages/],
    [{ id: 'x' }, 422, 'VALIDATION_ERROR', /nothing to answer/],
    [{ id: 'x', messages: [user([])] }, 422, 'VALIDATION_ERROR', /nothing to answer/],
    [{ id: 'with space', messages: [user('x')] }, 422, 'VALIDATION_ERROR', /^id/],
    [{ id: 'x', messages: [{ role: 'tool', parts: [] }] }, 422, 'VALIDATION_ERROR', /^messages\.0/],
    [
      { id: 'x', messages: [user('x'), { id: 'a', role: 'assistant', parts: [text('y')] }] },
      422,
      'VALIDATION_ERROR',
      /nothing/,
    ],
  ]
  for (const [json, status, code, sentence] of refusals) {
    const refused = await post(json)
    const body = await refused.text()
    expect([json, refused.status, refused.headers.get('x-error-code')]).toEqual([json, status, code])
    expect(refused.headers.get('content-type')).toStartWith('text/plain')
    expect(body).toMatch(sentence)
    expect(body).not.toContain('{')
  }
  expect((await app.call('/api/chat', { json: { id: 'x' } })).status).toBe(401)
  expect((await app.call('/api/chat/x/stream', { token: me.token })).status).toBe(204)
})

test('a failure in the stream is its last chunk, and the chat goes on after it', async () => {
  const id = chatId()
  const one = user('one')
  const { chunks, answer, ids } = await say({ id, messages: [one], model: 'error-after:2' })
  expect(chunks.slice(-3)).toMatchObject([
    { type: 'finish-step' },
    { type: 'data-error', data: { code: 'UPSTREAM_ERROR', request_id: expect.any(String) }, transient: true },
    { type: 'error', errorText: expect.stringMatching(/^[^{]+$/) },
  ])
  await say({ id, messages: [one], trigger: 'regenerate-message', model: 'echo' })
  expect(await said(ids.conversation_id)).toEqual(['one', 'one'])
  await say({ id, messages: [one, answer, user('two')], model: 'echo' })
  expect(await said(ids.conversation_id)).toEqual(['one', 't1 t2', 'two', 'two'])
})

test('an Idempotency-Key gives what the first request made', async () => {
  const headers = { 'idempotency-key': crypto.randomUUID() }
  const json = { id: chatId(), messages: [user('once')] }
  const first = await say(json, { headers })
  const again = await post(json, { headers })
  expect(again.headers.get('idempotency-replayed')).toBe('true')
  expect((await read(again)).chunks).toEqual(first.chunks)
})
