import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { treaty } from '@elysiajs/eden'
import { ask } from '../../docs/examples/websocket'
import type { App } from '../../src/app'
import type { ServerFrame } from '../../src/modules/ws/model'
import { type Account, type TestApp, testApp } from '../support/app'
import { openGate } from '../support/gate'
import { readSse } from '../support/read-sse'
import { until } from '../support/servers'
import { closeAll, knock, openSocket, textOf, type WsFrame } from '../support/ws-client'

let app: TestApp
let base: string
let me: Account
beforeAll(async () => {
  app = await testApp({ CORS_ORIGINS: 'https://chat.example.com' })
  base = app.listen()
  me = await app.signUp()
})
afterEach(closeAll)
afterAll(() => app.close())

const keyOf = async (token: string): Promise<{ id: string; key: string }> =>
  (await (await app.call('/v1/keys', { token, json: { name: 'socket' } })).json()).data

describe('signing in', () => {
  test('takes a token or an API key in a header', async () => {
    const { key } = await keyOf(me.token)
    for (const headers of [
      { authorization: `Bearer ${me.token}` },
      { 'x-api-key': key },
      { authorization: `Bearer ${key}` },
    ]) {
      for (const path of ['/v1/ws', '/ws']) {
        const socket = await openSocket(base, { headers, path })
        const ready = await socket.next(({ type }) => type === 'ready')
        expect(ready).toMatchObject({ id: null, protocol: 'chat.v1', user: { id: me.userId, role: 'user' } })
      }
    }
  })

  test('takes a subprotocol, in whatever order, and never answers with the token', async () => {
    for (const offered of [`chat.v1, bearer.${me.token}`, `bearer.${me.token}, chat.v1`]) {
      const { status, headers, socket } = await knock(base, '/v1/ws', { 'sec-websocket-protocol': offered })
      socket.destroy()
      expect(status).toBe(101)
      expect(headers['sec-websocket-protocol']).toBe('chat.v1')
      expect(JSON.stringify(headers)).not.toContain(me.token)
    }
    const client = await openSocket(base, { protocols: ['chat.v1', `bearer.${me.token}`] })
    expect((await client.next(({ type }) => type === 'ready')).user).toMatchObject({ id: me.userId })
    expect(client.raw.protocol).toBe('chat.v1')
  })

  test('takes a first message, and what is sent right after it', async () => {
    const socket = await openSocket(base)
    socket.send({ type: 'auth', id: 'a', token: me.token })
    socket.send({ type: 'chat', id: 'c', message: 'Hello' })
    expect(await socket.next(({ type }) => type === 'ready')).toMatchObject({ id: 'a', user: { id: me.userId } })
    await socket.next(({ type, id }) => type === 'done' && id === 'c')
    expect(socket.text('c')).toStartWith('Hello! I am demo/eliza')
  })

  test('says that a token does not hold, and lets nothing be done before', async () => {
    const socket = await openSocket(base)
    socket.send({ type: 'auth', id: 'a', token: 'wrong' })
    expect(await socket.next(({ id }) => id === 'a')).toMatchObject({ type: 'error', error: { code: 'UNAUTHORIZED' } })
    for (const frame of [
      { type: 'chat', message: 'Hello' },
      { type: 'stop', run_id: crypto.randomUUID() },
      { type: 'resume', run_id: crypto.randomUUID() },
      { type: 'subscribe' },
      { type: 'unsubscribe' },
    ]) {
      socket.send({ ...frame, id: frame.type })
      expect((await socket.next(({ id }) => id === frame.type)).error?.code).toBe('UNAUTHORIZED')
    }
    expect((await app.call('/v1/conversations', { token: (await app.signUp()).token })).status).toBe(200)
  })

  test('takes a fresh token of the same person later, and of nobody else', async () => {
    const socket = await openSocket(base, { token: me.token })
    const { key } = await keyOf(me.token)
    socket.send({ type: 'auth', id: 'same', token: key })
    expect((await socket.next(({ id }) => id === 'same')).type).toBe('ready')
    socket.send({ type: 'auth', id: 'other', token: (await app.signUp()).token })
    expect((await socket.next(({ id }) => id === 'other')).error?.code).toBe('FORBIDDEN')
  })

  test.each([
    ['a token in the address', '/v1/ws?token=TOKEN', {}, 400],
    ['a token in the address by another name', '/v1/ws?Access_Token=TOKEN', {}, 400],
    ['a key in the address beside a good header', '/ws?api_key=TOKEN', { authorization: 'Bearer TOKEN' }, 400],
    ['a token that does not hold', '/v1/ws', { authorization: 'Bearer nobody' }, 401],
    ['a key that does not hold', '/v1/ws', { 'x-api-key': 'sk-orc-nobody' }, 401],
    ['a subprotocol token that does not hold', '/v1/ws', { 'sec-websocket-protocol': 'chat.v1, bearer.nobody' }, 401],
    ['two tokens in headers', '/v1/ws', { authorization: 'Bearer TOKEN', 'x-api-key': 'another' }, 400],
    [
      'two tokens, one of them a subprotocol',
      '/v1/ws',
      { authorization: 'Bearer TOKEN', 'sec-websocket-protocol': 'chat.v1, bearer.x' },
      400,
    ],
    ['two subprotocol tokens', '/v1/ws', { 'sec-websocket-protocol': 'chat.v1, bearer.TOKEN, bearer.x' }, 400],
    ['subprotocols without ours', '/v1/ws', { 'sec-websocket-protocol': 'bearer.TOKEN' }, 400],
    ['the subprotocol of somebody else', '/v1/ws', { 'sec-websocket-protocol': 'graphql-ws' }, 400],
  ] as const)('refuses %s', async (_, path, headers, status) => {
    const real = Object.fromEntries(Object.entries(headers).map(([k, v]) => [k, v.replace('TOKEN', me.token)]))
    const answer = await knock(base, path.replace('TOKEN', me.token), real)
    answer.socket.destroy()
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.body)).toMatchObject({ success: false, error: { message: expect.any(String) } })
    expect(answer.body).not.toContain(me.token)
  })
})

describe('the origin', () => {
  const from = async (url: string, origin: string | undefined) => {
    const answer = await knock(url, '/v1/ws', { authorization: `Bearer ${me.token}`, ...(origin ? { origin } : {}) })
    answer.socket.destroy()
    return answer.status
  }

  test.each([
    [undefined, 101],
    ['https://chat.example.com', 101],
    ['OWN', 101],
    ['null', 403],
    ['https://evil.example', 403],
    ['http://chat.example.com', 403],
    ['https://chat.example.com.evil.example', 403],
    ['https://chat.example.com:444', 403],
    ['not a url', 403],
  ])('%s: %d', async (origin, status) => {
    expect(await from(base, origin === 'OWN' ? base : origin)).toBe(status)
  })

  test('may be any where the operator says so', async () => {
    const open = await testApp()
    const { token } = await open.signUp()
    for (const origin of ['https://evil.example', 'null']) {
      const answer = await knock(open.listen(), '/v1/ws', { authorization: `Bearer ${token}`, origin })
      answer.socket.destroy()
      expect(answer.status).toBe(101)
    }
    await open.close()
  })
})

describe('an answer', () => {
  const readRun = async (run: string, after = 0) =>
    readSse(await app.call(`/v1/runs/${run}/stream?after=${after}`, { token: me.token }))

  test('has the objects and numbers of the event stream', async () => {
    const socket = await openSocket(base, { token: me.token })
    socket.send({ type: 'chat', id: 'one', message: 'Hello', temperature: 0.5 })
    const done = await socket.next(({ type }) => type === 'done')
    const events = socket.frames.filter(({ type }) => type === 'event')
    const { frames } = await readRun(String(done.run_id))
    expect(frames.length).toBeGreaterThan(3)
    expect(events.map(({ seq, data }) => ({ seq, data }))).toEqual(
      frames.map(({ id, data }) => ({ seq: id, data })) as never,
    )
    for (const event of events) expect(event).toMatchObject({ id: 'one', run_id: done.run_id })
    expect(events[0]?.data).toMatchObject({ conversation_id: expect.any(String), run_id: done.run_id })
    expect(events.at(-1)?.data).toMatchObject({ finish_reason: 'stop', usage: expect.any(Object) })
  })

  test('comes beside nineteen others over one connection', async () => {
    const socket = await openSocket(base, { token: me.token })
    const ids = Array.from({ length: 20 }, (_, i) => `chat-${i}`)
    for (const id of ids) socket.send({ type: 'chat', id, message: `My number is ${id}` })
    await Promise.all(ids.map((id) => socket.next((frame) => frame.type === 'done' && frame.id === id)))
    const conversations = new Set<unknown>()
    for (const id of ids) {
      const events = socket.frames.filter((frame) => frame.id === id && frame.type === 'event')
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1))
      const { conversation_id: conversation, run_id: run } = events[0]?.data ?? {}
      conversations.add(conversation)
      expect(socket.text(id)).toBe((await readRun(String(run))).text)
      const stored = await (await app.call(`/v1/conversations/${conversation}/messages`, { token: me.token })).json()
      expect(stored.data.items.map(({ content }: { content: string }) => content)).toEqual([
        `My number is ${id}`,
        socket.text(id),
      ])
    }
    expect(conversations.size).toBe(20)
  })

  test('goes on in the conversation that it is told', async () => {
    const socket = await openSocket(base, { token: me.token })
    socket.send({ type: 'chat', id: 'first', message: 'Hello' })
    await socket.next(({ type, id }) => type === 'done' && id === 'first')
    const conversation = socket.frames.find(({ type }) => type === 'event')?.data?.conversation_id
    socket.send({ type: 'chat', id: 'second', message: 'And again', conversation_id: conversation })
    await socket.next(({ type, id }) => type === 'done' && id === 'second')
    const stored = await (await app.call(`/v1/conversations/${conversation}/messages`, { token: me.token })).json()
    expect(stored.data.items).toHaveLength(4)
  })

  test('can be stopped, and keeps what was said', async () => {
    const socket = await openSocket(base, { token: me.token })
    socket.send({ type: 'chat', id: 'long', message: 'word '.repeat(3000) })
    const first = await socket.next(({ type }) => type === 'event')
    socket.send({ type: 'stop', id: 'stop', run_id: first.run_id })
    expect(await socket.next(({ id }) => id === 'stop')).toMatchObject({
      type: 'stopped',
      run_id: first.run_id,
      status: 'stopped',
    })
    await socket.next(({ type }) => type === 'done')
    const { data } = await (await app.call(`/v1/messages/${first.data?.message_id}`, { token: me.token })).json()
    expect(data.content).toBe(socket.text('long'))
    socket.send({ type: 'stop', id: 'again', run_id: first.run_id })
    expect((await socket.next(({ id }) => id === 'again')).status).toBe('stopped')
  })

  test('with a key that was used before is the same answer, also over HTTP', async () => {
    const socket = await openSocket(base, { token: me.token })
    const key = crypto.randomUUID()
    for (const id of ['a', 'b']) {
      socket.send({ type: 'chat', id, idempotency_key: key, message: 'Once' })
      await socket.next((frame) => frame.type === 'done' && frame.id === id)
    }
    const [a, b] = ['a', 'b'].map((name) => socket.frames.find(({ type, id }) => type === 'done' && id === name))
    expect(b).toMatchObject({ run_id: a?.run_id, replayed: true })
    expect(a).not.toHaveProperty('replayed')
    expect(socket.text('b')).toBe(socket.text('a'))
    const again = await app.call('/v1/chat/completions', {
      token: me.token,
      json: { message: 'Once' },
      headers: { 'idempotency-key': key },
    })
    expect((await readSse(again)).frames[0]?.data.run_id).toBe(a?.run_id)
    socket.send({ type: 'chat', id: 'c', idempotency_key: key, message: 'Twice' })
    expect((await socket.next(({ id }) => id === 'c')).error?.code).toBe('VALIDATION_ERROR')
  })

  test('is one whole text however often the connection breaks', async () => {
    for (const cut of [1, 2, 3, 5, 8, 13]) {
      let socket = await openSocket(base, { token: me.token })
      socket.send({ type: 'chat', id: 'x', message: `Cut me at ${cut}. ${'more '.repeat(40)}` })
      const seen: WsFrame[] = []
      const take = async (enough: number) => {
        await socket.next(({ type, seq }) => type === 'done' || (seq ?? 0) >= enough)
        seen.push(...socket.frames.filter(({ type, seq }) => type === 'event' && (seq ?? 0) <= enough))
        const done =
          socket.frames.some(({ type }) => type === 'done') && !socket.frames.some(({ seq }) => (seq ?? 0) > enough)
        await socket.close()
        return done
      }
      for (let at = cut; !(await take(at)); at += cut * 3) {
        socket = await openSocket(base, { token: me.token })
        socket.send({ type: 'resume', id: 'x', run_id: seen[0]?.run_id, after: seen.at(-1)?.seq })
      }
      expect(seen.map(({ seq }) => seq)).toEqual(seen.map((_, i) => i + 1))
      expect(textOf(seen)).toBe((await readRun(String(seen[0]?.run_id))).text)
    }
  })

  test('refuses what the conversation does not allow, as HTTP does', async () => {
    const socket = await openSocket(base, { token: me.token })
    socket.send({ type: 'chat', id: 'nowhere', message: 'Hi', conversation_id: crypto.randomUUID() })
    expect((await socket.next(({ id }) => id === 'nowhere')).error).toMatchObject({
      code: 'NOT_FOUND',
      request_id: expect.any(String),
    })
    socket.send({ type: 'chat', id: 'model', message: 'Hi', model: 'no/such' })
    const status = await app.call('/v1/chat/completions', {
      token: me.token,
      json: { message: 'Hi', model: 'no/such' },
    })
    const { error } = await status.json()
    expect((await socket.next(({ id }) => id === 'model')).error).toMatchObject({
      code: error.code,
      message: error.message,
    })
  })
})

describe('resuming', () => {
  const chat = async (token: string) => {
    const answer = await app.call('/v1/chat/completions', { token, json: { message: 'Hello', stream: false } })
    return (await answer.json()) as { run_id: string; choices: { message: { content: string } }[] }
  }

  test("of a stranger's, an unknown and a misspelt run is told apart by nobody", async () => {
    const { run_id: theirs } = await chat((await app.signUp()).token)
    const socket = await openSocket(base, { token: me.token })
    const errors: unknown[] = []
    for (const [i, run] of [theirs, crypto.randomUUID()].entries()) {
      for (const type of ['resume', 'stop']) {
        socket.send({ type, id: `${type}-${i}`, run_id: run })
        const { error } = await socket.next(({ id }) => id === `${type}-${i}`)
        errors.push({ ...error, request_id: null })
      }
    }
    expect(new Set(errors.map((error) => JSON.stringify(error))).size).toBe(1)
    expect(errors[0]).toMatchObject({ code: 'NOT_FOUND' })
    socket.send({ type: 'resume', id: 'bad', run_id: 'not-an-id' })
    expect((await socket.next(({ id }) => id === 'bad')).error?.code).toBe('VALIDATION_ERROR')
  })

  test('a finished run gives the rest, the end alone, and beyond it everything anew', async () => {
    const { run_id: run, choices } = await chat(me.token)
    const { data } = await (await app.call(`/v1/runs/${run}`, { token: me.token })).json()
    const socket = await openSocket(base, { token: me.token })
    const last = data.last_seq as number
    for (const after of [0, 2, last - 1, last, last + 100]) {
      const id = `after-${after}`
      socket.send({ type: 'resume', id, run_id: run, after })
      await socket.next((frame) => frame.type === 'done' && frame.id === id)
      const mine = socket.frames.filter((frame) => frame.id === id)
      const seqs = mine.flatMap(({ type, seq }) => (type === 'event' ? [seq] : []))
      const beyond = after > last
      expect(mine.some(({ type }) => type === 'restart')).toBe(beyond)
      expect(seqs).toEqual(Array.from({ length: beyond ? last : last - after }, (_, i) => (beyond ? 0 : after) + i + 1))
      if (beyond || after === 0) expect(textOf(mine)).toBe(choices[0]?.message.content ?? '')
    }
  })
})

describe('the schema', () => {
  test('is served to everybody and names all frames', async () => {
    const answer = await app.call('/v1/ws/schema.json')
    expect(answer.status).toBe(200)
    const { $defs } = await answer.json()
    const types = (side: { oneOf: { properties: { type: { const: string } } }[] }) =>
      side.oneOf.map(({ properties }) => properties.type.const)
    expect(types($defs.client)).toEqual(['auth', 'chat', 'stop', 'resume', 'subscribe', 'unsubscribe', 'ping'])
    expect(types($defs.server)).toEqual(
      expect.arrayContaining(['ready', 'event', 'restart', 'done', 'stopped', 'change', 'error', 'closing', 'pong']),
    )
  })

  test('fits what is sent', async () => {
    const socket = await openSocket(base, { token: me.token })
    socket.send({ type: 'subscribe', id: 's' })
    await socket.next(({ type }) => type === 'subscribed')
    socket.send({ type: 'chat', id: 'c', message: 'Hello' })
    await socket.next(({ type }) => type === 'done')
    socket.send({ type: 'ping', id: 'p' })
    socket.send({ type: 'unsubscribe' })
    socket.send({ type: 'nonsense' })
    await socket.next(({ type }) => type === 'error')
    const { $defs } = await (await app.call('/v1/ws/schema.json')).json()
    const schemas = $defs.server.oneOf as { properties: Record<string, { const?: string }>; required: string[] }[]
    for (const frame of socket.frames) {
      const schema = schemas.find(({ properties }) => properties.type?.const === frame.type)
      expect(Object.keys(frame).filter((name) => !schema?.properties[name])).toEqual([])
      expect(schema?.required.filter((name) => !(name in frame))).toEqual([])
    }
  })
})

describe('the example of the documentation', () => {
  test('reads one whole answer over a connection that keeps breaking', async () => {
    const gate = await openGate(base)
    const url = new URL(gate.url).origin
    let cuts = 0
    const text = await ask(url, me.token, `Tell me ${'more '.repeat(60)}`, (soFar) => {
      if (cuts >= 3 || soFar.length < 15 * (cuts + 1)) return
      cuts++
      gate.cut()
      setTimeout(gate.restore, 100)
    })
    gate.close()
    expect(cuts).toBe(3)
    expect(text).toBe(await ask(base, me.token, `Tell me ${'more '.repeat(60)}`, () => {}))
  })

  test('says why it was refused', async () => {
    const refused = await ask(base, 'nobody', 'Hello', () => {}).catch((error: Error) => error.message)
    expect(refused).toContain('token does not hold')
  })
})

test('Eden knows the frames', async () => {
  const api = treaty<App>(base, { parseDate: false, headers: { authorization: `Bearer ${me.token}` } })
  const socket = api.v1.ws.subscribe()
  const types: ServerFrame['type'][] = []
  socket.subscribe(({ data }) => void types.push(data.type))
  await new Promise((resolve) => socket.on('open', resolve))
  socket.send({ type: 'auth', token: me.token })
  // @ts-expect-error: there is no such frame, and the compiler knows
  socket.send({ type: 'nonsense' })
  await until(() => types.includes('ready') && types.includes('error'))
  socket.close()
})
