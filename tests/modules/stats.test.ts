import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'

let app: TestApp
let token: string
beforeAll(async () => {
  app = await testApp()
  token = (await app.signUp()).token
})
afterAll(() => app.close())

const PATH = '/v1/user/conversations/stats'
const stats = async (query = '', as = token) => (await (await app.call(`${PATH}${query}`, { token: as })).json()).data

test('counts conversations, messages, tokens and cost', async () => {
  expect(await stats()).toMatchObject({ conversations: 0, messages: 0, cost_usd: 0, models: [], time_zone: 'UTC' })
  for (const message of ['one', 'two'])
    await app.call('/v1/chat/completions', { token, json: { message, stream: false } })
  const data = await stats('?tz=Europe/Berlin')
  expect(data).toMatchObject({ conversations: 2, archived: 0, branches: 2, messages: 4, answers: 2 })
  expect(data).toMatchObject({ time_zone: 'Europe/Berlin', models: [{ model: 'demo/eliza', answers: 2, cost_usd: 0 }] })
  expect(data.total_tokens).toBe(data.prompt_tokens + data.completion_tokens)
  expect(data.total_tokens).toBeGreaterThan(0)
  expect(data.days).toHaveLength(30)
  expect(data.days.at(-1)).toMatchObject({ messages: 4, answers: 2, total_tokens: data.total_tokens })
  expect(data.most_active).toHaveLength(2)
  expect(data.most_active[0]).toMatchObject({ messages: 2 })
})

test.each([
  '',
  'Nowhere/Land',
  '+03:00',
  'UTC+3',
  "'; drop",
  '%00',
  '%ED%A0%80',
  'x'.repeat(100),
  '../etc/passwd',
  'a&tz=b',
])('refuses the time zone %j', async (zone) => {
  const answer = await app.call(`${PATH}?tz=${zone}`, { token })
  expect([answer.status, (await answer.json()).error.code]).toEqual([422, 'VALIDATION_ERROR'])
})

test("answers 401 to strangers and counts nobody else's", async () => {
  expect((await app.call(PATH)).status).toBe(401)
  const { token: other } = await app.signUp()
  expect(await stats('', other)).toMatchObject({ conversations: 0, messages: 0, most_active: [] })
})
