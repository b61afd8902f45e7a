import { afterAll, beforeAll, expect, test } from 'bun:test'
import { testApp } from '../support/app'
import { createDatabase } from '../support/db'

const ADMIN = { ADMIN_EMAIL: 'Owner@example.com', ADMIN_PASSWORD: 'correct horse battery' }
const LOGIN = { email: 'owner@example.com', password: ADMIN.ADMIN_PASSWORD }

let url: string
let drop: () => Promise<void>
beforeAll(async () => {
  ;({ url, drop } = await createDatabase())
})
afterAll(() => drop())

/** What a server with these settings says to whoever asks for what is the administrators'. */
async function statuses(env: Record<string, string>, login: object): Promise<number[]> {
  const app = await testApp({ DATABASE_URL: url, ...env })
  try {
    const answer = await app.call('/api/v1/auth/login', { json: login })
    const token = answer.ok ? (await answer.json()).tokens.access_token : 'none'
    return [answer.status, (await app.call('/v1/admin/feedback', { token })).status]
  } finally {
    await app.close()
  }
}

test('the owner is made at the start, once, and stays', async () => {
  expect(await statuses({}, LOGIN)).toEqual([401, 401])
  expect(await statuses(ADMIN, LOGIN)).toEqual([200, 200])
  expect(await statuses(ADMIN, LOGIN)).toEqual([200, 200])
  expect(await statuses({}, LOGIN)).toEqual([200, 200])
})

test('an owner whom another one has disabled stays so, and the server starts', async () => {
  const app = await testApp({ DATABASE_URL: url, ...ADMIN })
  const { user, tokens } = await (await app.call('/api/v1/auth/login', { json: LOGIN })).json()
  const { userId: id } = await app.signUp('second@example.com')
  const change = (id: string, json: object, token: string) =>
    app.call(`/v1/admin/users/${id}`, { method: 'PATCH', json, token })
  expect((await change(id, { role: 'owner' }, tokens.access_token)).status).toBe(200)
  const second = { email: 'second@example.com', password: 'password123' }
  const { access_token } = (await (await app.call('/api/v1/auth/login', { json: second })).json()).tokens
  expect((await change(user.id, { disabled: true }, access_token)).status).toBe(200)
  await app.close()
  expect(await statuses(ADMIN, LOGIN)).toEqual([401, 401])
  expect(await statuses(ADMIN, second)).toEqual([200, 200])
})

test('whoever had the address first does not become the owner by it', async () => {
  const first = await testApp({ DATABASE_URL: url })
  const json = { email: 'taken@example.com', password: 'another password' }
  await first.call('/api/v1/auth/register', { json })
  await first.close()
  const started = await testApp({ DATABASE_URL: url, ...ADMIN, ADMIN_EMAIL: 'taken@example.com' }).then(
    () => 'started',
    (error: Error) => error.message,
  )
  expect(started).toBe('There is an account with the address of ADMIN_EMAIL, and its password is not ADMIN_PASSWORD')
  expect(await statuses({}, json)).toEqual([200, 403])
})
