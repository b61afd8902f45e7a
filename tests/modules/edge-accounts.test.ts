import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type EdgeApp, edgeApp } from '../support/supabase/app'

let edge: EdgeApp
beforeAll(async () => {
  edge = await edgeApp({ ACCOUNTS: 'supabase' })
})
afterAll(() => edge.close())

const auth = async (what: string, json: object, token?: string) => {
  const response = await edge.app.call(`/api/v1/auth/${what}`, { json, token })
  return { status: response.status, body: await response.json() }
}

test('registers, chats, refreshes and signs out through Supabase Auth', async () => {
  const person = { email: 'Ada@example.com', password: 'correct horse', name: 'Ada' }
  const registered = await auth('register', person)
  expect(registered).toMatchObject({
    status: 201,
    body: { user: { email: 'ada@example.com', name: 'Ada' }, tokens: { token_type: 'bearer', expires_in: 3600 } },
  })
  const { id } = registered.body.user
  await edge.supabase.pool.query('update user_profiles set litellm_key = $2 where id = $1', [id, 'sk-ada'])

  const { body } = await auth('login', { email: person.email, password: person.password })
  const token = body.tokens.access_token
  const json = { message: 'hello', stream: false }
  expect(await (await edge.app.call('/v1/chat/completions', { token, json })).json()).toMatchObject({
    choices: [{ message: { content: 'hello' } }],
  })
  expect(await (await edge.app.call('/api/v1/auth/me', { token })).json()).toMatchObject({ id, name: 'Ada' })

  const refreshed = await auth('refresh', { refresh_token: body.tokens.refresh_token })
  expect(refreshed).toMatchObject({ status: 200, body: { user: { id } } })
  const tokens = refreshed.body.tokens
  expect(await auth('logout', { refresh_token: tokens.refresh_token }, tokens.access_token)).toMatchObject({
    status: 200,
  })
  expect(await auth('refresh', { refresh_token: tokens.refresh_token })).toMatchObject({ status: 401 })
  expect(await auth('login', { ...person, password: 'wrong horse' })).toMatchObject({ status: 401 })
})
