import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'

let app: TestApp
let token: string
let id: string
beforeAll(async () => {
  app = await testApp()
  token = (await app.signUp()).token
  id = await chat('Tell me about <b>kettles</b> & "teapots"')
})
afterAll(() => app.close())

const chat = async (message: string, as = token): Promise<string> => {
  const answer = await app.call('/v1/chat/completions', { token: as, json: { message, stream: false } })
  expect(answer.status).toBe(200)
  return (await answer.json()).conversation_id
}
const ask = (query: Record<string, string>, as = token) =>
  app.call(`/v1/conversations/search?${new URLSearchParams(query)}`, { token: as })
const search = async (query: Record<string, string>, as = token) => (await (await ask(query, as)).json()).data

test('finds a conversation with its places, as offsets and as safe HTML', async () => {
  const data = await search({ q: 'kettle', role: 'user' })
  expect(data).toEqual({
    method: 'words',
    items: [
      {
        conversation: { id, title: expect.any(String), model: 'demo/eliza', updated_at: expect.any(String) },
        score: expect.any(Number),
        matches: [
          {
            message_id: expect.any(String),
            role: 'user',
            created_at: expect.any(String),
            snippet: {
              text: 'Tell me about <b>kettles</b> & "teapots"',
              highlights: [{ start: 17, end: 24 }],
              html: 'Tell me about &lt;b&gt;<mark>kettles</mark>&lt;/b&gt; &amp; &quot;teapots&quot;',
            },
          },
        ],
      },
    ],
    pagination: { page: 1, limit: 20, total: 1, pages: 1 },
    total_is_estimate: false,
    facets: {
      models: [{ model: 'demo/eliza', conversations: 1 }],
      months: [{ month: expect.stringMatching(/^\d{4}-\d{2}$/), conversations: 1 }],
    },
  })
  expect((await search({ q: 'kettle' })).items[0].matches[0].message_id).toBe(null)
})

test('says how it was found', async () => {
  expect((await search({ q: 'teap' })).method).toBe('substring')
  expect((await search({ q: 'ketles' })).method).toBe('similar')
  expect(await search({ q: 'qqqqqqq' })).toMatchObject({ items: [], pagination: { total: 0, pages: 0 } })
})

test('takes a day with all its hours, and a time as it is', async () => {
  const today = new Date().toISOString().slice(0, 10)
  const found = async (query: Record<string, string>) => (await search({ q: 'kettle', ...query })).items.length
  expect(await found({ date_from: today, date_to: today })).toBe(1)
  expect(await found({ date_to: `${today}T00:00:00Z` })).toBe(0)
  expect(await found({ date_from: '2999-01-01' })).toBe(0)
  expect(await found({ date_to: '2001-02-03T04:05:06.789+03:00' })).toBe(0)
  expect(await found({ date_from: '0001-01-01', date_to: '9999-12-31' })).toBe(1)
  expect(await found({ model: 'demo/eliza', min_messages: '2' })).toBe(1)
  expect(await found({ model: 'other' })).toBe(0)
  expect(await found({ min_messages: '3' })).toBe(0)
})

test.each([
  {},
  { q: '' },
  { q: '  \t ' },
  { q: 'x'.repeat(10_241) },
  { q: 'x', date_from: 'yesterday' },
  { q: 'x', date_from: '2026-02-31' },
  { q: 'x', date_to: '2026-13-01' },
  { q: 'x', date_to: '2026-01-01T25:00:00Z' },
  { q: 'x', date_to: '2026-01-01T10:00' },
  { q: 'x', date_to: '0000-01-01' },
  { q: 'x', date_to: '9999-12-31T23:59:59-23:59' },
  { q: 'x', min_messages: '0' },
  { q: 'x', min_messages: '1.5' },
  { q: 'x', min_messages: 'many' },
  { q: 'x', role: 'system' },
  { q: 'x', model: '' },
  { q: 'x', page: '0' },
  { q: 'x', page: '1000001' },
  { q: 'x', limit: '101' },
])('refuses %j', async (query) => {
  const answer = await ask(query as Record<string, string>)
  const { error } = await answer.json()
  expect([answer.status, error.code]).toEqual([422, 'VALIDATION_ERROR'])
  expect(error.details.fields.length).toBeGreaterThan(0)
})

test('takes anything in the query for what it is', async () => {
  const odd = [
    '%',
    '_',
    "'",
    '"',
    "'; drop table messages; --",
    ':*',
    '!!',
    '<->',
    '\0',
    '\ud800',
    '\\',
    '😀',
    '()',
    '-',
    '*',
  ]
  for (const q of odd) expect([q, (await ask({ q })).status]).toEqual([q, 200])
  for (const raw of ['q=%00', 'q=%ff%fe', 'q=%ED%A0%80', 'q=a&q=b', 'q[]=a', 'q=%', `q=${'%20'.repeat(100)}x`]) {
    const { status } = await app.call(`/v1/conversations/search?${raw}`, { token })
    expect([raw, [200, 400, 422].includes(status)]).toEqual([raw, true])
  }
})

test("answers 401 to strangers and shows nobody else's", async () => {
  expect((await app.call('/v1/conversations/search?q=kettle')).status).toBe(401)
  const { token: other } = await app.signUp()
  for (const q of ['kettle', 'ettl', 'ketles', id]) expect((await search({ q }, other)).items).toEqual([])
})
