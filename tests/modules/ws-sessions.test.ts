import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import { AccessTokens } from '../../src/modules/accounts/access-tokens'
import { type Account, type TestApp, testApp } from '../support/app'
import { closeAll, openSocket, type WsClient } from '../support/ws-client'

let app: TestApp
let base: string
let admin: Account
beforeAll(async () => {
  app = await testApp()
  base = app.listen()
  admin = await app.signUp()
  await app.services.store.accounts.setRole(admin.userId, 'owner')
  app.services.accounts.forgetUser(admin.userId)
})
afterEach(closeAll)
afterAll(() => app.close())

const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())

/** Sent away, with a reason. */
async function expectExpired(socket: WsClient) {
  expect(await socket.closed).toEqual({ code: 4401, reason: expect.stringContaining('Sign in') })
  expect(socket.frames.at(-1)).toMatchObject({ type: 'error', error: { code: 'UNAUTHORIZED' } })
}

test('signing out ends the connections of that session, and no others', async () => {
  const me = await app.signUp()
  const { tokens } = await (
    await app.call('/api/v1/auth/login', { json: { email: me.email, password: 'password123' } })
  ).json()
  const [ends, stays] = [
    await openSocket(base, { token: me.token }),
    await openSocket(base, { token: tokens.access_token }),
  ]
  await app.call('/api/v1/auth/logout', { method: 'POST', token: me.token, json: {} })
  await expectExpired(ends)
  stays.send({ type: 'ping', id: 'p' })
  expect((await stays.next(({ id }) => id === 'p')).type).toBe('pong')
})

test('so does whatever ends a session elsewhere, where nobody tells us', async () => {
  const me = await app.signUp()
  const socket = await openSocket(base, { protocols: ['chat.v1', `bearer.${me.token}`] })
  await app.services.store.accounts.revokeSession(claimsOf(me.token).sid, new Date())
  await expectExpired(socket)
}, 15_000)

test('a person who is disabled is sent away, also with a key, also when they signed in with a message', async () => {
  const me = await app.signUp()
  const { data } = await (await app.call('/v1/keys', { token: me.token, json: { name: 'k' } })).json()
  const sockets = [
    await openSocket(base, { token: me.token }),
    await openSocket(base, { token: data.key }),
    await openSocket(base),
  ]
  sockets[2]?.send({ type: 'auth', token: me.token })
  for (const socket of sockets) await socket.next(({ type }) => type === 'ready')
  const change = { method: 'PATCH', token: admin.token, json: { disabled: true } }
  expect((await app.call(`/v1/admin/users/${me.userId}`, change)).status).toBe(200)
  for (const socket of sockets) await expectExpired(socket)
})

test('a key that is deleted ends its connections', async () => {
  const me = await app.signUp()
  const { data } = await (await app.call('/v1/keys', { token: me.token, json: { name: 'k' } })).json()
  const socket = await openSocket(base, { headers: { 'x-api-key': data.key } })
  expect((await app.call(`/v1/keys/${data.id}`, { method: 'DELETE', token: me.token })).status).toBe(200)
  await expectExpired(socket)
})

test('a token that expires ends its connection, unless a fresh one was sent', async () => {
  const me = await app.signUp()
  const shortLived = new AccessTokens(app.services.config.auth.signingKey, 2)
  const { sub: userId, sid: sessionId } = claimsOf(me.token)
  const token = await shortLived.issue({ userId, sessionId }, new Date())
  const [ends, stays] = [await openSocket(base, { token }), await openSocket(base, { token })]
  stays.send({ type: 'auth', id: 'fresh', token: me.token })
  await stays.next(({ id, type }) => id === 'fresh' && type === 'ready')
  await expectExpired(ends)
  stays.send({ type: 'ping', id: 'p' })
  expect((await stays.next(({ id }) => id === 'p')).type).toBe('pong')
}, 15_000)
