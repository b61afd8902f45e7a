import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type CallInit, type TestApp, testApp } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { readSse } from '../support/read-sse'
import { until } from '../support/servers'

let app: TestApp
let provider: FakeProvider
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

const call = (path: string, init: CallInit = {}) => app.call(`/v1${path}`, { token, ...init })
const data = async (answer: Response | Promise<Response>) => (await (await answer).json()).data
const chat = async (message: string, more: object = {}) => {
  const answer = await call('/chat/completions', { json: { message, model: 'echo', stream: false, ...more } })
  expect(answer.status).toBe(200)
  return answer.json()
}
const pathOf = async (id: string) => (await data(call(`/conversations/${id}/messages`))).items
const said = async (id: string) => (await pathOf(id)).map(({ content }: { content: string }) => content)
const edit = (id: string, content: unknown, headers = {}) =>
  call(`/messages/${id}`, { method: 'PATCH', json: { content }, headers })
const remove = (id: string, headers = {}) => call(`/messages/${id}`, { method: 'DELETE', headers })

/** A question, its answer, another question and its answer. */
async function talk() {
  const first = await chat('one')
  const id: string = first.conversation_id
  await chat('two', { conversation_id: id })
  const ids: string[] = (await pathOf(id)).map((m: { id: string }) => m.id)
  const [question = '', answer = '', question2 = '', answer2 = ''] = ids
  return { id, question, answer, question2, answer2 }
}

test('shows one message as its conversation does', async () => {
  const { id, answer, question2 } = await talk()
  const path = await pathOf(id)
  expect(await data(call(`/messages/${answer}`))).toEqual(path[1])
  expect(await data(call(`/messages/${question2}`))).toEqual(path[2])
})

test("edits the user's words on a new branch, and answers nothing by itself", async () => {
  const { id, answer, question2 } = await talk()
  const asked = provider.requests.length
  const response = await edit(question2, 'three')
  expect(response.headers.get('etag')).toBe('"3"')
  const made = await data(response)
  expect(made).toMatchObject({
    conversation_id: id,
    parent_id: answer,
    role: 'user',
    content: 'three',
    status: 'complete',
    siblings: { index: 2, count: 2, prev: question2, next: null },
  })
  expect(await said(id)).toEqual(['one', 'one', 'three'])
  expect((await data(call(`/messages/${question2}`))).content).toBe('two')
  const conversation = await data(call(`/conversations/${id}`))
  expect(conversation).toMatchObject({ active_leaf_id: made.id, rev: 3 })
  expect(provider.requests).toHaveLength(asked)
  const answered = await call(`/messages/${made.id}/regenerate`, { json: { stream: false } })
  expect(await answered.json()).toMatchObject({ conversation_id: id, branch_id: conversation.active_branch_id })
  expect(await said(id)).toEqual(['one', 'one', 'three', 'three'])
})

test('edits the text between the pictures of a message', async () => {
  const picture = { type: 'image_url', image_url: { url: 'https://example.com/cat.png' } }
  const { id } = await talk()
  const content = [picture, { type: 'text', text: 'What is this?' }]
  const json = { model: 'echo', conversation_id: id, messages: [{ role: 'user', content }] }
  expect((await call('/chat/completions', { json })).status).toBe(200)
  const made = await data(edit((await pathOf(id)).at(-2).id, 'Who is this?'))
  expect(made.extra).toEqual({ content: [picture, { type: 'text', text: 'Who is this?' }] })
  await call(`/messages/${made.id}/regenerate`, { json: { stream: false } })
  expect(await said(id)).toEqual(['one', 'one', 'two', 'two', 'Who is this?', 'Who is this?'])
})

test('edits nothing but what the user said', async () => {
  const { id, answer } = await talk()
  const response = await edit(answer, 'better')
  expect([response.status, (await response.json()).error.code]).toEqual([409, 'CONFLICT'])
  expect(await said(id)).toEqual(['one', 'one', 'two', 'two'])
})

test('answers a message again as /v1/chat/regenerate does', async () => {
  const { id, answer, answer2 } = await talk()
  const json = { branch_name: 'Again', model: 'tokens:3', stream: false }
  const again = await (await call(`/messages/${answer2}/regenerate`, { json })).json()
  expect(again).toMatchObject({ object: 'chat.completion', conversation_id: id, model: 'tokens:3' })
  expect(await said(id)).toEqual(['one', 'one', 'two', again.choices[0].message.content])
  const branches = (await data(call(`/conversations/${id}/branches`))).items
  expect(branches).toMatchObject([{ name: 'Main' }, { name: 'Again', active: true }])
  const stream = await call(`/messages/${answer}/regenerate`, { json: {}, headers: { accept: 'text/event-stream' } })
  const { frames, done } = await readSse(stream, () => false)
  expect([done, frames[0]?.data.conversation_id]).toEqual([true, id])
  expect((await data(call(`/messages/${answer}/history`))).items).toHaveLength(2)
})

test('answers again once for one key', async () => {
  const { answer2 } = await talk()
  const headers = { 'idempotency-key': 'again' }
  const again = () => call(`/messages/${answer2}/regenerate`, { json: { stream: false }, headers })
  const [one, two] = [await again(), await again()]
  expect([one.headers.get('idempotency-replayed'), two.headers.get('idempotency-replayed')]).toEqual([null, 'true'])
  expect((await two.json()).message_id).toBe((await one.json()).message_id)
  expect((await data(call(`/messages/${answer2}/history`))).pagination.total).toBe(2)
})

test('lists all versions of a message, and the path that leads to one', async () => {
  const { question, answer, question2 } = await talk()
  const made = await data(edit(question2, 'three'))
  const history = await data(call(`/messages/${question2}/history?limit=1`))
  expect(history).toMatchObject({ items: [{ id: question2 }], pagination: { total: 2, pages: 2 } })
  expect((await data(call(`/messages/${question2}/history?page=2&limit=1`))).items).toMatchObject([{ id: made.id }])
  const thread = await data(call(`/messages/${question2}/thread`))
  expect(thread.items.map((m: { id: string }) => m.id)).toEqual([question, answer, question2])
  expect((await data(call(`/messages/${made.id}/thread?page=2&limit=2`))).items).toMatchObject([{ id: question }])
})

test('deletes a message with all below it', async () => {
  const { id, answer, question2, answer2 } = await talk()
  const response = await remove(question2)
  expect(response.headers.get('etag')).toBe('"3"')
  expect(await data(response)).toEqual({ id: question2, deleted: true, deleted_messages: 2 })
  expect(await said(id)).toEqual(['one', 'one'])
  expect(await data(call(`/conversations/${id}`))).toMatchObject({ active_leaf_id: answer })
  for (const gone of [question2, answer2]) expect((await call(`/messages/${gone}`)).status).toBe(404)
  expect((await remove(question2)).status).toBe(404)
})

test('empties a conversation, in which one can go on', async () => {
  const { id, question } = await talk()
  expect((await data(remove(question))).deleted_messages).toBe(4)
  expect(await said(id)).toEqual([])
  expect(await data(call(`/conversations/${id}`))).toMatchObject({ active_leaf_id: null })
  const { items } = await data(call(`/conversations/${id}/branches`))
  expect(items).toMatchObject([{ name: 'Main', leaf_id: null, message_count: 0, active: true }])
  await chat('new', { conversation_id: id })
  expect(await said(id)).toEqual(['new', 'new'])
})

test('stops what is being written below a message that is deleted, and only that', async () => {
  const { id, answer, question2 } = await talk()
  const left = provider.aborted()
  const slow = { conversation_id: id, model: 'slow:50:400', stream: true }
  const running = await call('/chat/completions', { json: { ...slow, message: 'go on' } })
  const kept = await call('/chat/completions', { json: { ...slow, message: 'and', parent_message_id: answer } })
  await until(() => provider.openStreams() === 2)
  expect((await remove(question2, { 'if-match': '"1"' })).status).toBe(409)
  expect(app.services.runs.active).toBe(2)
  expect((await data(remove(question2))).deleted_messages).toBe(4)
  expect(await running.text()).toContain('[DONE]')
  await until(() => provider.aborted() === left + 1)
  const active = (await data(call('/runs?active=true'))).items
  expect(active).toHaveLength(1)
  await call(`/runs/${active[0].id}/stop`, { method: 'POST' })
  await kept.text()
})

test('refuses a write on top of an older state, with the current one', async () => {
  const { id, question2 } = await talk()
  const current = await data(call(`/conversations/${id}`))
  for (const write of [
    (etag: string) => edit(question2, 'three', { 'if-match': etag }),
    (etag: string) => remove(question2, { 'if-match': etag }),
  ]) {
    const answer = await write('"1"')
    expect(answer.status).toBe(409)
    expect((await answer.json()).error).toMatchObject({ code: 'CONFLICT', details: { current } })
    expect((await write('1')).status).toBe(422)
  }
  expect(await said(id)).toHaveLength(4)
  expect((await edit(question2, 'three', { 'if-match': '"2"' })).status).toBe(200)
})

describe('bad input', () => {
  const bad: [string, CallInit, string][] = [
    ['nothing', { method: 'PATCH', json: {} }, 'content'],
    ['an empty text', { method: 'PATCH', json: { content: '' } }, 'content'],
    ['a text that is none', { method: 'PATCH', json: { content: { text: 'x' } } }, 'content'],
    ['a text that is too long', { method: 'PATCH', json: { content: 'x'.repeat(32_001) } }, 'content'],
  ]
  test.each(bad)('edits no message by %s', async (_, init, field) => {
    const { question } = await talk()
    const answer = await call(`/messages/${question}`, init)
    expect(answer.status).toBe(422)
    expect((await answer.json()).error).toMatchObject({ details: { fields: [{ path: field }] } })
  })

  test('refuses what is no id, and pages that are none', async () => {
    const { question } = await talk()
    for (const path of ['', '/history', '/thread']) expect((await call(`/messages/x${path}`)).status).toBe(422)
    for (const query of ['/history?page=0', '/thread?limit=101', '/history?page=1e12']) {
      expect((await call(`/messages/${question}${query}`)).status).toBe(422)
    }
    for (const json of [
      { stream: 'yes' },
      { branch_name: '' },
      { branch_name: ' ' },
      { temperature: 9 },
      { n: 2 },
      [],
      'text',
      { api_base: 'https://x.example' },
    ]) {
      expect([json, (await call(`/messages/${question}/regenerate`, { json })).status]).toEqual([json, 422])
    }
  })

  test('does not answer again what answers nothing', async () => {
    const messages = [
      { role: 'assistant', content: 'Welcome!' },
      { role: 'user', content: 'hi' },
    ]
    const [{ id }] = (await data(call('/import/conversations', { json: { messages } }))).conversations
    const [welcome] = await pathOf(id)
    const asked = provider.requests.length
    const answer = await call(`/messages/${welcome.id}/regenerate`, { json: {} })
    expect([answer.status, provider.requests.length]).toEqual([409, asked])
  })

  test('takes from the body neither another conversation nor another message', async () => {
    const [mine, elsewhere] = [await talk(), await talk()]
    const json = { stream: false, conversation_id: elsewhere.id, message_id: elsewhere.answer }
    const again = await (await call(`/messages/${mine.answer2}/regenerate`, { json })).json()
    expect(again.conversation_id).toBe(mine.id)
    expect((await data(call(`/messages/${elsewhere.answer}/history`))).pagination.total).toBe(1)
  })

  test('keeps of a text what can be stored', async () => {
    const { question } = await talk()
    const headers = { 'content-type': 'application/json' }
    const body = '{"content":"a\\u0000b\\ud800"}'
    const made = await data(call(`/messages/${question}`, { method: 'PATCH', headers, body }))
    expect(made).toMatchObject({ content: 'a\uFFFDb\uFFFD', parent_id: null })
  })

  test('shows strangers and other people nothing', async () => {
    const { id, question } = await talk()
    const { token: other } = await app.signUp()
    const asked: [string, CallInit][] = [
      ['', {}],
      ['/history', {}],
      ['/thread', {}],
      ['', { method: 'PATCH', json: { content: 'x' }, headers: { 'if-match': '"1"' } }],
      ['', { method: 'DELETE' }],
      ['/regenerate', { json: { stream: false } }],
    ]
    for (const [path, init] of asked) {
      const ask = (as: string | undefined) => call(`/messages/${question}${path}`, { ...init, token: as })
      expect([path, (await ask(other)).status, (await ask(undefined)).status]).toEqual([path, 404, 401])
    }
    expect(await said(id)).toEqual(['one', 'one', 'two', 'two'])
  })
})
