/** Ids as clients may write them: in capitals, and with what standards put in front. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
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
const chat = async (message: string, more: object = {}) =>
  (await call('/chat/completions', { json: { message, stream: false, ...more } })).json()

test('means the same id in capitals, in paths and in bodies', async () => {
  const { conversation_id: id, message_id: answer } = await chat('one')
  const [conversation_id, message_id] = [id.toUpperCase(), answer.toUpperCase()]
  const again = await call('/chat/regenerate', { json: { conversation_id, message_id } })
  expect(again.status).toBe(200)
  expect(await (await call(`/conversations/${conversation_id}`)).json()).toMatchObject({ data: { id } })
  const gone = await call(`/messages/${message_id}`, { method: 'DELETE' })
  expect(await gone.json()).toMatchObject({ data: { id: answer, deleted_messages: 1 } })
})

test('stops the answer that is being written in a conversation named in capitals, when it is deleted', async () => {
  const answer = await call('/chat/completions', { json: { message: 'go', model: 'slow:500:20' } })
  const [run] = (await (await call('/runs?active=true')).json()).data.items
  const deleted = await call(`/conversations/${run.conversation_id.toUpperCase()}`, { method: 'DELETE' })
  expect(await deleted.json()).toMatchObject({ data: { id: run.conversation_id, deleted: true } })
  await until(() => app.services.runs.active === 0, 2000)
  expect((await readSse(answer)).text).not.toContain('t20')
})

test('refuses a name of an id that no database knows', async () => {
  const { conversation_id: id, message_id: answer } = await chat('one')
  const body = (json: object): CallInit => ({ json })
  const asked: [path: string, init?: CallInit][] = [
    [`/conversations/urn:uuid:${id}`],
    [`/messages/urn:uuid:${answer}`],
    [`/conversations/${id}/messages?leaf=urn:uuid:${answer}`],
    [`/conversations/${id}/branches`, body({ parent_message_id: `urn:uuid:${answer}` })],
    ['/chat/completions', body({ message: 'x', conversation_id: `urn:uuid:${id}` })],
  ]
  for (const [path, init] of asked) {
    const refused = await call(path, init)
    expect([path, refused.status]).toEqual([path, 422])
    expect((await refused.json()).error.message).toContain('must be a UUID')
  }
})
