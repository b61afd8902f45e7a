import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'
import { readSse } from '../support/read-sse'

let app: TestApp
beforeAll(async () => {
  app = await testApp()
})
afterAll(() => app.close())

test('streams an answer, finds it again and makes it again on a branch of its own', async () => {
  const { token } = await app.signUp()
  const first = await readSse(await app.call('/v1/chat/completions', { token, json: { message: 'Hello' } }))
  expect(first.done).toBe(true)
  const { conversation_id, message_id, branch_id } = first.frames[0]?.data ?? {}

  const list = await (await app.call('/v1/conversations', { token })).json()
  expect(list.data.items).toMatchObject([{ id: conversation_id, title: 'Hello', active_branch_id: branch_id }])

  const again = await app.call('/v1/chat/regenerate', { token, json: { conversation_id, message_id } })
  const sibling = await again.json()
  expect(sibling).toMatchObject({ conversation_id, choices: [{ finish_reason: 'stop' }] })
  expect(sibling.message_id).not.toBe(message_id)
  expect(sibling.branch_id).not.toBe(branch_id)

  const path = await (await app.call(`/v1/conversations/${conversation_id}/messages`, { token })).json()
  expect(path.data.pagination).toEqual({ page: 1, limit: 50, total: 2, pages: 1 })
  expect(path.data.items[0]).toMatchObject({ role: 'user', content: 'Hello', siblings: { index: 1, count: 1 } })
  expect(path.data.items[1]).toMatchObject({
    id: sibling.message_id,
    content: sibling.choices[0].message.content,
    siblings: { index: 2, count: 2, prev: message_id, next: null },
  })
})
