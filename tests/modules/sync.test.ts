import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'

let app: TestApp
let token: string
beforeAll(async () => {
  app = await testApp()
  token = (await app.signUp()).token
})
afterAll(() => app.close())

const ask = (query: Record<string, string>, as = token) =>
  app.call(`/v1/sync?${new URLSearchParams(query)}`, { token: as })
const sync = async (query: Record<string, string> = {}, as = token) => (await (await ask(query, as)).json()).data
const get = async (path: string) => (await (await app.call(path, { token })).json()).data
const chat = async (message: string, as = token) => {
  const answer = await app.call('/v1/chat/completions', { token: as, json: { message, stream: false } })
  return answer.json()
}
const encoded = (text: string) => Buffer.from(text).toString('base64url')

test('shows what changed as its own operations show it', async () => {
  const { conversation_id: id, run_id } = await chat('Hello')
  const first = await sync()
  expect(first).toMatchObject({ deletions: [], more: false, reset: false })
  expect(first.conversations).toEqual([await get(`/v1/conversations/${id}`)])
  const { items } = await get(`/v1/conversations/${id}/messages`)
  expect(first.messages).toEqual(items.map(({ siblings, ...rest }: { siblings: object }) => rest))
  expect(first.runs).toEqual([await get(`/v1/runs/${run_id}`)])

  expect(await sync({ since: first.cursor })).toMatchObject({ conversations: [], messages: [], runs: [], more: false })
  await app.call(`/v1/conversations/${id}`, { method: 'PATCH', token, json: { title: 'New' } })
  const second = await sync({ since: first.cursor })
  expect(second).toMatchObject({ conversations: [{ id, title: 'New' }], messages: [], deletions: [] })
  await app.call(`/v1/conversations/${id}`, { method: 'DELETE', token })
  expect(await sync({ since: second.cursor })).toMatchObject({
    conversations: [],
    deletions: [{ kind: 'conversation', id, conversation_id: id, deleted_at: expect.any(String) }],
  })
})

test('can be read in pages', async () => {
  const { token: other } = await app.signUp()
  for (const message of ['one', 'two', 'three']) await chat(message, other)
  const seen: string[] = []
  let page = await sync({ limit: '2' }, other)
  for (let pages = 1; ; pages++) {
    seen.push(...[...page.conversations, ...page.messages].map(({ id }: { id: string }) => id))
    if (!page.more) break
    expect(pages).toBeLessThan(10)
    page = await sync({ limit: '2', since: page.cursor }, other)
  }
  expect(seen).toHaveLength(9)
  expect(new Set(seen).size).toBe(9)
})

test('begins anew, and says so, with a cursor from the time after a restored backup', async () => {
  const { conversations } = await sync()
  const beyond = encoded('1.9000000000000000000.9000000000000000000')
  expect(await sync({ since: beyond })).toMatchObject({ reset: true, conversations, more: false })
})

test('refuses what is no cursor', async () => {
  const { cursor } = await sync()
  const uuid = crypto.randomUUID()
  const bad = [
    '',
    'x',
    '!!!!',
    `${cursor}=`,
    `${cursor} `,
    'x'.repeat(500),
    '\0',
    '\ud800',
    ...[
      '',
      '1',
      '1.2',
      '2.1.1',
      '1.-1.1',
      '1.1.x',
      '1. 1.1',
      '1.99999999999999999999.1',
      '1.9223372036854775808.1',
    ].map(encoded),
    ...[
      '1.1.1.x',
      '1.1.1.',
      '1.1.1.c.1.2',
      `1.1.1.m.${uuid}`,
      `1.1.1.d.${uuid}.${uuid}`,
      `1.1.1.c.${uuid}.${uuid}.1`,
    ].map(encoded),
    encoded(`1.1.1.m.${uuid}.' or 1=1`),
  ]
  for (const since of bad) {
    const answer = await ask({ since })
    expect([since, answer.status]).toEqual([since, 422])
    expect((await answer.json()).error.code).toBe('VALIDATION_ERROR')
  }
  for (const limit of ['0', '501', '-1', '1.5', 'x'])
    expect([limit, (await ask({ limit })).status]).toEqual([limit, 422])
})

test("answers 401 to strangers and tells nobody of another's, with whatever cursor", async () => {
  expect((await app.call('/v1/sync')).status).toBe(401)
  const { conversation_id } = await chat('secret')
  const { token: other } = await app.signUp()
  for (const since of [undefined, encoded('1.0.0'), encoded(`1.0.1.m.${conversation_id}.${conversation_id}`)]) {
    const data = await sync(since ? { since } : {}, other)
    expect(data).toMatchObject({ conversations: [], messages: [], runs: [], deletions: [] })
  }
})
