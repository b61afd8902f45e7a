import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import type { createApp } from '../../src/app'
import type { SocketsDeps } from '../../src/modules/ws/service'
import type { RunBatch } from '../../src/runs/port'
import { type Account, type TestApp, testApp } from '../support/app'
import { until } from '../support/servers'
import { closeAll, knock, openSocket, textMessage } from '../support/ws-client'
import { socketsOf } from '../support/ws-sockets'

const MAX_BODY = 100_000

let app: TestApp
let base: string
let me: Account
const more: ReturnType<typeof createApp>[] = []
beforeAll(async () => {
  app = await testApp({ MAX_BODY_BYTES: String(MAX_BODY) })
  base = app.listen()
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

describe('bad frames', () => {
  test.each([
    'not json',
    '',
    ' ',
    '{"type":"chat"',
    ' {"type":"ping"',
    '[]',
    '[{"type":"ping"}]',
    '7',
    'true',
    'null',
    '"ping"',
    '{}',
    '{"type":null}',
    '{"type":["ping"]}',
    '{"type":"constructor"}',
    '{"type":"__proto__"}',
    '{"type":"nonsense"}',
    '{"type":"chat"}',
    '{"type":"chat","message":""}',
    '{"type":"chat","message":7}',
    '{"type":"chat","message":"x","id":7}',
    '{"type":"chat","message":"x","conversation_id":"x"}',
    '{"type":"chat","message":"x","idempotency_key":"two words"}',
    '{"type":"chat","message":"x","temperature":9}',
    '{"type":"chat","messages":[{"role":"user","content":"x"}]}',
    '{"type":"resume"}',
    '{"type":"resume","run_id":"x"}',
    `{"type":"resume","run_id":"${crypto.randomUUID()}","after":-1}`,
    `{"type":"resume","run_id":"${crypto.randomUUID()}","after":1.5}`,
    `{"type":"resume","run_id":"${crypto.randomUUID()}","after":"1"}`,
    '{"type":"stop"}',
    '{"type":"subscribe","since":"no cursor"}',
    '{"type":"auth"}',
  ])('%s is answered with what is wrong, and the connection lives', async (text) => {
    const socket = await openSocket(base, { token: me.token })
    socket.send(text)
    const { error } = await socket.next(({ type }) => type === 'error')
    expect(error).toMatchObject({ code: 'VALIDATION_ERROR', message: expect.stringMatching(/.{10}/) })
    socket.send({ type: 'ping', id: 'alive' })
    expect(await socket.next(({ id }) => id === 'alive')).toMatchObject({ type: 'pong' })
  })

  test('with white space around them are read', async () => {
    const socket = await openSocket(base, { token: me.token })
    socket.send('\n {"type":"ping","id":"spaced"} \n')
    expect((await socket.next(({ id }) => id === 'spaced')).type).toBe('pong')
  })

  test('never come back: what was rejected may be a secret', async () => {
    const socket = await openSocket(base, { token: me.token })
    for (const text of ['canary-1', '{"type":"canary-1"}', '{"type":"chat","message":7,"model":{"a":"canary-1"}}'])
      socket.send(text)
    await until(() => socket.frames.filter(({ type }) => type === 'error').length === 3)
    expect(JSON.stringify(socket.frames)).not.toContain('canary')
  })

  test('too many of them end the connection', async () => {
    const socket = await openSocket(base, { token: me.token })
    for (let i = 0; i < 30; i++) socket.send('nonsense')
    expect((await socket.closed).code).toBe(1008)
  })

  test('of bytes end it', async () => {
    const socket = await openSocket(base, { token: me.token })
    socket.raw.send(new Uint8Array([1, 2, 3]))
    expect((await socket.closed).code).toBe(1003)
    expect(socket.frames.at(-1)).toMatchObject({ type: 'error', error: { code: 'VALIDATION_ERROR' } })
  })

  test('that are larger than a body may be end it', async () => {
    const socket = await openSocket(base, { token: me.token })
    socket.send({ type: 'ping', id: 'x'.repeat(100), filler: 'x'.repeat(MAX_BODY - 1000) })
    expect((await socket.next(({ type }) => type === 'pong')).id).toHaveLength(100)
    socket.send('x'.repeat(MAX_BODY + 1))
    expect((await socket.closed).code).toBe(1009)
  })

  test('ten thousand of them end it, and nobody else notices', async () => {
    const quiet = await openSocket(base, { token: me.token })
    const noisy = await openSocket(base, { token: me.token })
    for (let i = 0; i < 10_000; i++) noisy.send({ type: 'ping', id: `p${i}` })
    quiet.send({ type: 'chat', id: 'calm', message: 'Hello' })
    expect((await noisy.closed).code).toBe(1008)
    expect(noisy.frames.filter(({ type }) => type === 'pong').length).toBeLessThan(5000)
    expect(noisy.frames.at(-1)?.error).toMatchObject({ code: 'RATE_LIMIT_EXCEEDED', retry_after: 1 })
    await quiet.next(({ type }) => type === 'done')
    expect(quiet.text('calm')).toStartWith('Hello!')
  })
})

describe('limits', () => {
  test('answers at once are as many as allowed, with an id each', async () => {
    const { url } = withSockets({ limits: { streams: 2 } })
    const socket = await openSocket(url, { token: me.token })
    const message = 'long '.repeat(300)
    for (const id of ['a', 'b', 'c']) socket.send({ type: 'chat', id, message })
    expect((await socket.next(({ id }) => id === 'c')).error?.code).toBe('RATE_LIMIT_EXCEEDED')
    await Promise.all(['a', 'b'].map((name) => socket.next(({ type, id }) => type === 'done' && id === name)))
    socket.send({ type: 'chat', id: 'd', message })
    socket.send({ type: 'chat', id: 'd', message: 'the same id' })
    expect((await socket.next(({ type, id }) => type === 'error' && id === 'd')).error?.code).toBe('CONFLICT')
    await socket.next(({ type, id }) => type === 'done' && id === 'd')
  })

  test('whoever does not sign in is sent away', async () => {
    const { url, sockets } = withSockets({ limits: { signIn: 100 } })
    const socket = await openSocket(url)
    expect(await socket.closed).toMatchObject({ code: 4401 })
    await until(() => sockets.connections === 0)
  })

  test('chats count as requests do', async () => {
    const counted: string[] = []
    const admit: SocketsDeps['admit'] = async ({ userId }) => void counted.push(userId)
    const { url } = withSockets({ admit })
    const socket = await openSocket(url, { token: me.token })
    socket.send({ type: 'ping' })
    socket.send({ type: 'chat', id: 'c', message: 'Hello' })
    await socket.next(({ type }) => type === 'done')
    expect(counted).toEqual([me.userId])
  })
})

describe('a reader who takes nothing', () => {
  /** An answer that never ends, and what was taken of it. */
  function endless() {
    const taken = { events: 0, ended: false }
    const run = {
      ...{ id: crypto.randomUUID(), conversationId: crypto.randomUUID(), branchId: crypto.randomUUID() },
      ...{ messageId: crypto.randomUUID(), model: 'demo/eliza', createdAt: new Date() },
    }
    async function* events(): AsyncGenerator<RunBatch> {
      try {
        for (;;) {
          await Bun.sleep(0)
          const batch = Array.from({ length: 64 }, () => 'x'.repeat(1024))
          yield { seq: taken.events + 1, events: batch }
          taken.events += batch.length
        }
      } finally {
        taken.ended = true
      }
    }
    return { taken, send: async () => ({ run, events: events(), replayed: false }) }
  }

  test('is not waited for with more than a little memory, and is sent away', async () => {
    const { taken, send } = endless()
    const { url, sockets } = withSockets({ chat: { send }, limits: { stall: 500 } })
    const { socket, status } = await knock(url, '/v1/ws', { authorization: `Bearer ${me.token}` })
    expect(status).toBe(101)
    socket.write(textMessage(JSON.stringify({ type: 'chat', id: 'c', message: 'Hello' })))
    let before = -1
    await until(async () => {
      const still = taken.events > 0 && taken.events === before
      before = taken.events
      await Bun.sleep(100)
      return still
    })
    // What the kernel takes for both ends is some megabytes; without a limit this would not have come to rest.
    expect(taken.events).toBeLessThan(15_000)
    await until(() => sockets.connections === 0)
    await until(() => taken.ended)
    socket.destroy()
  })

  test('and then does gets everything, in order', async () => {
    const { send, taken } = endless()
    const { url } = withSockets({ chat: { send } })
    const { socket } = await knock(url, '/v1/ws', { authorization: `Bearer ${me.token}` })
    socket.write(textMessage(JSON.stringify({ type: 'chat', id: 'c', message: 'Hello' })))
    await until(() => taken.events > 1000)
    let text = ''
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1')
    })
    socket.resume()
    const seqs = () => [...text.matchAll(/"seq":(\d+),"data"/g)].map(([, seq]) => Number(seq))
    await until(() => seqs().length > 20_000)
    socket.destroy()
    expect(seqs()).toEqual(seqs().map((_, i) => i + 1))
    await until(() => taken.ended)
  })
})

test('an answer is stored though its connection is gone', async () => {
  const { token } = await app.signUp()
  const socket = await openSocket(base, { token })
  socket.send({ type: 'chat', id: 'c', message: 'Remember this' })
  const { run_id: run } = await socket.next(({ type }) => type === 'event')
  await socket.close()
  const find = async () => (await (await app.call(`/v1/runs/${run}`, { token })).json()).data
  await until(async () => (await find()).status !== 'running')
  expect(await find()).toMatchObject({ status: 'completed' })
})

describe('a server that is about to stop', () => {
  test('tells its clients, lets them read to the end, closes with 1012 and takes no more', async () => {
    const { url, sockets } = withSockets({})
    const [idle, busy] = [await openSocket(url, { token: me.token }), await openSocket(url, { token: me.token })]
    busy.send({ type: 'chat', id: 'c', message: 'Hello' })
    await busy.next(({ type }) => type === 'event')
    await Promise.all([sockets.close(20_000), idle.closed, busy.closed])
    for (const socket of [idle, busy]) {
      expect(await socket.closed).toMatchObject({ code: 1012 })
      expect(socket.frames.find(({ type }) => type === 'closing')).toEqual({
        type: 'closing',
        code: 'server_draining',
        resumable: true,
      })
    }
    expect(busy.frames.at(-1)?.type).toBe('done')
    await until(() => sockets.connections === 0)
    const { status, headers, socket } = await knock(url, '/v1/ws', { authorization: `Bearer ${me.token}` })
    socket.destroy()
    expect([status, headers['retry-after']]).toEqual([503, '2'])
  })

  test('does not wait longer than it may', async () => {
    const events: AsyncIterableIterator<RunBatch> = {
      [Symbol.asyncIterator]: () => events,
      next: () => new Promise(() => {}),
      return: async () => ({ done: true, value: undefined }),
    }
    const run = { id: 'x', conversationId: 'x', branchId: 'x', messageId: 'x', model: 'x', createdAt: new Date() }
    const { url, sockets } = withSockets({ chat: { send: async () => ({ run, events, replayed: false }) } })
    const socket = await openSocket(url, { token: me.token })
    socket.send({ type: 'chat', message: 'Hello' })
    await Bun.sleep(50)
    await sockets.close(100)
    expect((await socket.closed).code).toBe(1012)
  })
})
