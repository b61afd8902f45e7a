/** The AI SDK's own clients of three releases against this server. The same runs behind a real LiteLLM in tests/interop. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type UiLevel, uiFrames } from '../../src/dialects/ai-sdk'
import { type UiMessage, uiTurns } from '../../src/dialects/ai-sdk-messages'
import type { RunEvent } from '../../src/runs/port'
import { uiScenarios } from '../interop/ai-sdk-ui'
import { type TestApp, testApp } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { until } from '../support/servers'
import { RELEASES, uiChat, uiText } from '../support/ui-chat'

const MODELS = { echo: 'echo', slow: 'slow:20:20', tools: 'tools', broken: 'error-after:3' }

let provider: FakeProvider
let app: TestApp
let token: string
let origin: string

beforeAll(async () => {
  provider = startFakeProvider()
  app = await testApp({ OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: 'sk-test', DEFAULT_MODEL: 'echo' })
  origin = app.listen()
  token = (await app.signUp()).token
})
afterAll(async () => {
  await app.close()
  await provider.stop()
})

describe.each(RELEASES)('release %s', (release) => {
  const scenarios = uiScenarios(release, { origin: '', token: '', models: MODELS })
  test.each(Object.keys(scenarios) as (keyof typeof scenarios)[])('%s', async (name) => {
    await uiScenarios(release, { origin, token, models: MODELS })[name]()
  })
})

test.each(RELEASES)('an answer that began anew counts once for a page of release %s', async (release) => {
  const call = (id: string, args: string): RunEvent => ({
    type: 'delta',
    index: 0,
    delta: { tool_calls: [{ index: 0, id, type: 'function', function: { name: 'look', arguments: args } }] },
  })
  const answers: RunEvent[][] = [
    ['Hel', call('void', '{"city":"O'), { type: 'restart' }, 'Hello', call('real', '{"city":"Oslo"}')],
    ['It is', { type: 'restart' }, 'It is sunny'],
  ]
  const asked: UiMessage[][] = []
  const server = Bun.serve({
    port: 0,
    async fetch(request) {
      const { messages } = (await request.json()) as { messages: UiMessage[] }
      asked.push(messages)
      const events = answers[asked.length - 1] ?? []
      const start: RunEvent = { type: 'start', fields: { message_id: 'a1' } }
      const done: RunEvent = { type: 'done', finishReason: 'stop', usage: null, costUsd: null }
      const body = uiFrames({ level: Number(release) as UiLevel })({ seq: 1, events: [start, ...events, done] })
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
    },
  })
  const called: string[] = []
  const chat = uiChat(release, {
    origin: server.url.origin,
    token: '',
    onToolCall({ toolCallId }) {
      called.push(toolCallId)
      void chat.addToolOutput({ tool: 'look', toolCallId, output: 'sun' })
    },
  })
  await chat.sendMessage({ text: 'go' })
  await until(() => chat.status === 'ready' && asked.length === 2, 5000)
  await server.stop(true)
  expect([called, chat.messages.length, chat.error]).toEqual([['real'], 2, undefined])
  const answer = chat.messages[1] ?? { id: '', role: 'assistant', parts: [] }
  expect(uiText(answer)).toBe('HelloIt is sunny')
  expect(answer.parts.some((part) => part.type === 'text' && part.text === 'Hel')).toBe(release !== '7')
  // And so does the server read it when it comes back.
  const [, turn] = uiTurns(asked[1] ?? [])
  expect(turn?.messages).toMatchObject([
    { role: 'assistant', content: 'Hello', tool_calls: [{ id: 'real' }] },
    { role: 'tool', tool_call_id: 'real', content: 'sun' },
  ])
})

const post = (json: object) => app.call('/api/chat', { token, json })
const resume = (id: string, headers: Record<string, string> = {}) =>
  app.call(`/api/chat/${id}/stream`, { token, headers })
const slow = (id: string) => ({
  id,
  model: 'slow:20:20',
  message: { role: 'user', parts: [{ type: 'text', text: 'go' }] },
})

test('a reader that was cut off gets the rest after the last number it has, and nothing twice', async () => {
  const id = crypto.randomUUID()
  const first = post(slow(id)).then((response) => response.text())
  await until(async () => (await resume(id)).status === 200, 5000)
  const again = await (await resume(id, { 'last-event-id': '5' })).text()
  const whole = await first
  const after = whole.slice(whole.indexOf('\n\n', whole.indexOf('\nid: 5\n')) + 2)
  expect(again.replace(/: -\n\n/g, '')).toBe(`: open\n\n${after}`)
  expect((await resume(id, { 'last-event-id': 'x' })).status).toBe(422)
})

test('nobody reads or stops the answer of somebody else', async () => {
  const id = crypto.randomUUID()
  const first = post(slow(id)).then((response) => response.text())
  await until(async () => (await resume(id)).status === 200, 5000)
  const other = (await app.signUp()).token
  expect((await app.call(`/api/chat/${id}/stream`, { token: other })).status).toBe(204)
  const stop = await app.call(`/api/chat/${id}/stop`, { method: 'POST', token: other })
  expect([stop.status, await stop.json()]).toEqual([200, { stopped: false }])
  expect(await first).toContain('"type":"finish"')
})

test('an answer that waits for its tool is resumed under the id of the message that it goes on with', async () => {
  const id = crypto.randomUUID()
  const user = { id: 'u', role: 'user', parts: [{ type: 'text', text: 'go' }] }
  const asked = await (await post({ id, messages: [user], model: 'tools' })).text()
  const head = /"messageId":"([^"]+)"/.exec(asked)?.[1]
  const call = { type: 'tool-get_weather', toolCallId: 'call_1', input: {}, state: 'output-available', output: 'sun' }
  const messages = [user, { id: head, role: 'assistant', parts: [{ type: 'step-start' }, call] }]
  const going = post({ id, messages, model: 'slow:20:20' }).then((response) => response.text())
  let resumed: Response | undefined
  await until(async () => {
    resumed = await resume(id)
    return resumed.status === 200
  }, 5000)
  expect(/"messageId":"([^"]+)"/.exec((await resumed?.text()) ?? '')?.[1]).toBe(head)
  expect(/"messageId":"([^"]+)"/.exec(await going)?.[1]).toBe(head)
})
