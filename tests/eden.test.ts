import { afterAll, beforeAll, expect, test } from 'bun:test'
import { treaty } from '@elysiajs/eden'
import { tour } from '../docs/examples/eden'
import { askAll } from '../docs/examples/eden-socket'
import type { App } from '../src/app'
import { type TestApp, testApp } from './support/app'

let app: TestApp
let url: string
beforeAll(async () => {
  app = await testApp()
  url = app.listen()
})
afterAll(() => app.close())

test('signs up, reads a stream and lists conversations with the example of the documentation', async () => {
  const { text, titles } = await tour(url, 'eden@example.com', 'correct horse')
  expect(text).toStartWith('Hello! I am demo/eliza')
  expect(titles).toEqual(['Hello'])
})

test('knows the types of answers and leaves dates as they were written', async () => {
  const { token } = await app.signUp()
  const api = treaty<App>(url, { parseDate: false, headers: { authorization: `Bearer ${token}` } })
  const me = await api.api.v1.auth.me.get()
  const createdAt: string | null | undefined = me.data?.created_at
  expect(createdAt).toMatch(/^\d{4}-\d\d-\d\dT/)

  await api.v1.chat.completions.post({ message: '2026-01-01' })
  const list = await api.v1.conversations.get()
  const [first] = list.data?.data.items ?? []
  expect(first?.title).toBe('2026-01-01')
  const messages = await api.v1.conversations({ id: first?.id ?? '' }).messages.get()
  expect(messages.data?.data.items[0]).toMatchObject({ role: 'user', content: '2026-01-01' })
  // @ts-expect-error: there is no such field, and the compiler knows
  expect(first?.nonsense).toBeUndefined()
})

test('hands failures over with their status', async () => {
  const api = treaty<App>(url, { parseDate: false })
  const { data, error } = await api.v1.conversations.get()
  expect(data).toBeNull()
  expect(error).toMatchObject({ status: 401, value: { success: false, error: { code: 'UNAUTHORIZED' } } })
})

test('asks several things at once over a socket with the example of the documentation', async () => {
  const { token } = await app.signUp()
  const messages = ['First', 'Second, at 2026-01-01T10:00:00.000Z', 'Third']
  const answers = await askAll(url, token, messages)
  expect(answers).toHaveLength(3)
  for (const [i, message] of messages.entries()) expect(answers[i]).toContain(message)
  expect(await askAll(url, `${token}x`, messages).catch(String)).toContain('Error: ')
})
