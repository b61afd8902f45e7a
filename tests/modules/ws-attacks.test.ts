/** What clients may do to a connection that is not meant well, or is meant too fast. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import type { createApp } from '../../src/app'
import { Outgoing } from '../../src/modules/ws/outgoing'
import type { SocketsDeps } from '../../src/modules/ws/service'
import { type Account, type TestApp, testApp } from '../support/app'
import { until } from '../support/servers'
import { closeAll, openSocket } from '../support/ws-client'
import { socketsOf } from '../support/ws-sockets'

let app: TestApp
let me: Account
const more: ReturnType<typeof createApp>[] = []
beforeAll(async () => {
  app = await testApp()
  me = await app.signUp()
})
afterEach(async () => {
  await closeAll()
  for (const other of more.splice(0)) await other.server?.stop(true)
})
afterAll(() => app.close())

/** The same server with sockets of its own. */
function withSockets(changes: Partial<SocketsDeps>) {
  const { sockets, other } = socketsOf(app, changes)
  more.push(other)
  return { sockets, url: `http://127.0.0.1:${other.server?.port}` }
}

describe('a fresh token', () => {
  test('is not undone by a look at the one before it that was on its way', async () => {
    const asked = Promise.withResolvers<string>()
    const answer = Promise.withResolvers<undefined>()
    const { accounts } = app.services
    const { url } = withSockets({
      limits: { recheck: 50 },
      identifyAnew(credential) {
        if (credential !== me.token) return accounts.identifyAnew(credential)
        asked.resolve(credential)
        return answer.promise
      },
    })
    const socket = await openSocket(url, { token: me.token })
    await asked.promise
    const { tokens } = await (
      await app.call('/api/v1/auth/login', { json: { email: me.email, password: 'password123' } })
    ).json()
    socket.send({ type: 'auth', id: 'fresh', token: tokens.access_token })
    await socket.next(({ id, type }) => id === 'fresh' && type === 'ready')
    // The old one has ended meanwhile.
    answer.resolve(undefined)
    await Bun.sleep(20)
    socket.send({ type: 'ping', id: 'alive' })
    expect((await socket.next(({ id }) => id === 'alive')).type).toBe('pong')
  })

  test('is what a message counts by that was sent before it and looked at after it', async () => {
    const old = Promise.withResolvers<undefined>()
    const asked = Promise.withResolvers<void>()
    let times = 0
    const { url } = withSockets({
      identify(credential) {
        // Once for opening; then for the message.
        if (credential !== me.token || ++times === 1) return app.services.accounts.identify(credential)
        asked.resolve()
        return old.promise
      },
    })
    const { tokens } = await (
      await app.call('/api/v1/auth/login', { json: { email: me.email, password: 'password123' } })
    ).json()
    const socket = await openSocket(url, { token: me.token })
    socket.send({ type: 'chat', id: 'c', message: 'Hello' })
    await asked.promise
    socket.send({ type: 'auth', id: 'fresh', token: tokens.access_token })
    await socket.next(({ id, type }) => id === 'fresh' && type === 'ready')
    old.resolve(undefined)
    await socket.next(({ id, type }) => id === 'c' && type === 'done')
    expect(socket.text('c')).toStartWith('Hello!')
  })
})

test('subscribing and its end are done in the order in which they were asked for', async () => {
  const { url } = withSockets({})
  const socket = await openSocket(url, { token: me.token })
  socket.send({ type: 'subscribe', id: '1' })
  socket.send({ type: 'unsubscribe', id: '2' })
  socket.send({ type: 'subscribe', id: '3' })
  socket.send({ type: 'unsubscribe', id: '4' })
  await socket.next(({ id }) => id === '4')
  const told = socket.frames.filter(({ id }) => id).map(({ id, type }) => `${id} ${type}`)
  expect(told).toEqual(['1 subscribed', '2 unsubscribed', '3 subscribed', '4 unsubscribed'])
  await until(() => app.services.feed.watched === 0)
})

test('whoever goes on asking and takes hardly anything of what is answered is sent away', () => {
  const line = { buffered: 0, closed: 0 }
  const out = new Outgoing(
    {
      send(text) {
        line.buffered += text.length
        return -1
      },
      close: (code) => {
        line.closed = code
      },
      getBufferedAmount: () => line.buffered,
    },
    1000,
  )
  const reply = (times: number) => {
    for (let i = 0; i < times; i++) out.reply('x'.repeat(100))
  }
  reply(20)
  // Whoever makes room begins anew, and an answer that waits is no reply.
  line.buffered = 0
  out.drained()
  out.send('x'.repeat(5000))
  reply(10)
  expect(line.closed).toBe(0)
  // They take a little now and then.
  line.buffered -= 100
  out.drained()
  reply(1)
  expect(line.closed).toBe(1013)
  reply(100)
  expect(line.buffered).toBeLessThan(7000)
})

test('of those who never sign in, the first make room for others', async () => {
  const { url, sockets } = withSockets({ limits: { strangers: 3 } })
  const known = await openSocket(url, { token: me.token })
  const strangers = [await openSocket(url), await openSocket(url), await openSocket(url)]
  strangers[1]?.send({ type: 'auth', id: 'a', token: me.token })
  await strangers[1]?.next(({ type }) => type === 'ready')
  for (let i = 0; i < 2; i++) strangers.push(await openSocket(url))
  expect(await strangers[0]?.closed).toMatchObject({ code: 1013 })
  await until(() => sockets.connections === 5)
  for (const socket of [known, ...strangers.slice(1)]) {
    socket.send({ type: 'ping', id: 'alive' })
    expect((await socket.next(({ id }) => id === 'alive')).type).toBe('pong')
  }
})

test('what is asked counts as the same request does over HTTP', async () => {
  const counted: string[] = []
  const { url } = withSockets({ admit: async ({ userId }, operation) => void counted.push(`${userId} ${operation}`) })
  const socket = await openSocket(url, { token: me.token })
  const run_id = crypto.randomUUID()
  socket.send({ type: 'ping', id: '0' })
  socket.send({ type: 'chat', id: '1', message: 'Hello' })
  await socket.next(({ id, type }) => id === '1' && type === 'done')
  for (const frame of [
    { type: 'resume', id: '2', run_id },
    { type: 'stop', id: '3', run_id },
    { type: 'subscribe', id: '4' },
  ]) {
    socket.send(frame)
    await socket.next(({ id }) => id === frame.id)
  }
  const operations = ['POST /v1/chat/completions', 'GET /v1/runs/:id/stream', 'POST /v1/runs/:id/stop', 'GET /v1/sync']
  expect(counted).toEqual(operations.map((operation) => `${me.userId} ${operation}`))
})
