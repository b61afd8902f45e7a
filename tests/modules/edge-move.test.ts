import { afterAll, beforeAll, expect, test } from 'bun:test'
import { testApp } from '../support/app'
import { type EdgeApp, edgeApp } from '../support/supabase/app'

let edge: EdgeApp
beforeAll(async () => {
  edge = await edgeApp()
})
afterAll(() => edge.close())

test('a server with DATABASE_URL on the same database goes on where the Edge Function was', async () => {
  const { id, token } = await edge.person()
  const chat = (app: EdgeApp['app'], json: object) =>
    app.call('/v1/chat/completions', { token, json: { stream: false, ...json } }).then((response) => response.json())
  const first = await chat(edge.app, { message: 'one' })

  const direct = await testApp({
    DATABASE_URL: edge.supabase.databaseUrl,
    SUPABASE_URL: edge.supabase.url,
    JWT_SECRET_KEY: edge.supabase.api.jwtSecret,
    OPENAI_BASE_URL: edge.provider.url,
    DEFAULT_MODEL: 'echo',
  })
  const second = await chat(direct, { message: 'two', conversation_id: first.conversation_id })
  expect(second).toMatchObject({ conversation_id: first.conversation_id, branch_id: first.branch_id })
  expect(await (await direct.call('/api/v1/auth/me', { token })).json()).toMatchObject({ id })
  await direct.close()

  const third = await chat(edge.app, { message: 'three', conversation_id: first.conversation_id })
  expect(third.conversation_id).toBe(first.conversation_id)
  const sent = edge.provider.requests.at(-1)?.body?.messages.map(({ content }) => content)
  expect(sent).toEqual(['one', 'one', 'two', 'two', 'three'])
})
