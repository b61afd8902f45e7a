import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MemoryBus } from '../../src/bus/memory'
import { ANNOUNCED } from '../../src/modules/feed/announced'
import { Feed } from '../../src/modules/feed/service'
import { type TestApp, testApp } from '../support/app'
import { createDatabase } from '../support/db'
import { until } from '../support/servers'
import { closeAll, openSocket, type WsClient, type WsFrame } from '../support/ws-client'

let app: TestApp
let base: string
let owner: string
beforeAll(async () => {
  app = await testApp()
  base = app.listen()
  const admin = await app.signUp()
  await app.services.store.accounts.setRole(admin.userId, 'owner')
  app.services.accounts.forgetUser(admin.userId)
  owner = admin.token
})
afterEach(closeAll)
afterAll(() => app.close())

interface Changes {
  deletions: { id: string }[]
  conversations: { id: string; title: string }[]
  messages: { id: string; conversation_id: string; content: string; status: string }[]
  runs: { id: string; status: string }[]
  cursor: string
  reset: boolean
  balance?: { balance_usd: number }
}
const changesOf = ({ data }: WsFrame) => data as unknown as Partial<Changes>
const changed = (socket: WsClient) => socket.frames.filter(({ type }) => type === 'change').map(changesOf)
const seen = (socket: WsClient, fits: (changes: Partial<Changes>) => boolean | undefined) =>
  socket.next((frame) => frame.type === 'change' && Boolean(fits(changesOf(frame)))).then(changesOf)

async function subscribed(token: string, since?: string, url = base) {
  const socket = await openSocket(url, { token })
  socket.send({ type: 'subscribe', id: 's', ...(since ? { since } : {}) })
  const answer = await socket.next(({ id }) => id === 's')
  return { socket, answer, cursor: String(answer.cursor) }
}

const say = async (token: string, message: string, on = app) => {
  const answer = await on.call('/v1/chat/completions', { token, json: { message, stream: false } })
  return (await answer.json()) as { conversation_id: string; message_id: string; run_id: string }
}

describe('the change feed', () => {
  test('shows what another device does: its message, its run, its title, what it deletes', async () => {
    const { token } = await app.signUp()
    const { socket } = await subscribed(token)
    const { conversation_id: id, message_id, run_id } = await say(token, 'From my telephone')
    await seen(socket, ({ messages }) => messages?.some((m) => m.id === message_id && m.status === 'complete'))
    await seen(socket, ({ runs }) => runs?.some((run) => run.id === run_id && run.status === 'completed'))
    await seen(socket, ({ messages }) => messages?.some(({ content }) => content === 'From my telephone'))
    await app.call(`/v1/conversations/${id}`, { method: 'PATCH', token, json: { title: 'A new title' } })
    await seen(socket, ({ conversations }) => conversations?.some((c) => c.id === id && c.title === 'A new title'))
    await app.call(`/v1/conversations/${id}`, { method: 'DELETE', token })
    await seen(socket, ({ deletions }) => deletions?.some((gone) => gone.id === id))
  })

  test('shows money that comes', async () => {
    const { token, userId } = await app.signUp()
    const { socket, answer } = await subscribed(token)
    const before = (answer.balance as { balance_usd: number }).balance_usd
    expect(before).toBeGreaterThanOrEqual(0)
    const credit = { scope: 'user', owner_id: userId, kind: 'topup', amount_usd: '5.00', reason: 'a gift' }
    const headers = { 'idempotency-key': crypto.randomUUID() }
    const credited = await app.call('/v1/admin/ledger/credits', { token: owner, json: credit, headers })
    expect(credited.status).toBeLessThan(300)
    const { balance } = await seen(socket, (changes) => changes.balance !== undefined)
    expect(balance?.balance_usd).toBe(before + 5)
  })

  test('says what `GET /v1/sync` says, and its cursors are the same', async () => {
    const { token } = await app.signUp()
    const { socket, cursor } = await subscribed(token)
    const { message_id } = await say(token, 'Hello')
    const last = await seen(socket, ({ messages }) =>
      messages?.some((m) => m.id === message_id && m.status === 'complete'),
    )
    const sync = async (since: string) => (await (await app.call(`/v1/sync?since=${since}`, { token })).json()).data
    const { messages } = await sync(cursor)
    expect(last.messages?.find(({ id }) => id === message_id)).toEqual(
      messages.find((m: { id: string }) => m.id === message_id),
    )
    expect(await sync(String(changed(socket).at(-1)?.cursor))).toMatchObject({ more: false, deletions: [] })
  })

  test('goes on where the client left it', async () => {
    const { token } = await app.signUp()
    const first = await subscribed(token)
    await say(token, 'seen')
    await seen(first.socket, ({ messages }) => messages?.some(({ content }) => content === 'seen'))
    await first.socket.close()
    for (let i = 0; i < 3; i++) await say(token, `missed ${i}`)
    const { socket, answer } = await subscribed(token, first.cursor)
    expect(answer.cursor).toBe(first.cursor)
    const titles = () =>
      new Set(changed(socket).flatMap(({ conversations = [] }) => conversations.map(({ title }) => title)))
    await until(() => titles().size === 4)
    expect(titles()).toEqual(new Set(['seen', 'missed 0', 'missed 1', 'missed 2']))
    await say(token, 'new')
    await until(() => titles().has('new'))
  })

  test('tells nobody of what is not theirs', async () => {
    const [me, other] = [await app.signUp(), await app.signUp()]
    const [{ socket: mine }, { socket: theirs }] = [await subscribed(me.token), await subscribed(other.token)]
    await say(me.token, 'marker of mine')
    await say(other.token, 'marker of theirs')
    await seen(mine, ({ messages }) => messages?.some(({ content }) => content === 'marker of mine'))
    await seen(theirs, ({ messages }) => messages?.some(({ content }) => content === 'marker of theirs'))
    expect(JSON.stringify(mine.frames)).not.toContain('marker of theirs')
    expect(JSON.stringify(theirs.frames)).not.toContain('marker of mine')
  })

  test('ends when asked, may begin again, and is one for each connection', async () => {
    const { token } = await app.signUp()
    const { socket } = await subscribed(token)
    socket.send({ type: 'subscribe', id: 'twice' })
    expect((await socket.next(({ id }) => id === 'twice')).error?.code).toBe('CONFLICT')
    socket.send({ type: 'unsubscribe', id: 'u' })
    await socket.next(({ id }) => id === 'u')
    await until(() => app.services.feed.watched === 0)
    await say(token, 'unheard')
    socket.send({ type: 'subscribe', id: 'again' })
    await socket.next(({ id }) => id === 'again')
    await say(token, 'heard')
    await seen(socket, ({ messages }) => messages?.some(({ content }) => content === 'heard'))
    expect(JSON.stringify(changed(socket))).not.toContain('unheard')
  })

  test('is let go with its connection', async () => {
    const { token } = await app.signUp()
    const { socket } = await subscribed(token)
    expect(app.services.feed.watched).toBe(1)
    await socket.close()
    await until(() => app.services.feed.watched === 0)
  })
})

describe('a reader of changes', () => {
  /** Changes that are made by hand, counted by their cursor. */
  function changesOfOne() {
    const rows: string[] = []
    let readings = 0
    const sync = {
      now: async () => String(rows.length),
      async changes(_: object, { since }: { since: string | undefined }) {
        readings++
        const conversations = rows.slice(Number(since ?? 0)).slice(0, 2)
        const cursor = String(Number(since ?? 0) + conversations.length)
        const more = Number(cursor) < rows.length
        return { deletions: [], conversations, messages: [], runs: [], cursor, more, reset: false }
      },
    }
    return { rows, sync, readings: () => readings }
  }
  const reader = (since?: string) => {
    const got: string[] = []
    return {
      since,
      hasRoom: true,
      got,
      joined: () => {},
      changed: (text: string) => void got.push(...(JSON.parse(text).conversations ?? [])),
    }
  }
  const somebody = { tenantId: crypto.randomUUID(), userId: crypto.randomUUID() }
  const balance = async () => undefined

  test('finds what no message told of', async () => {
    const { rows, sync } = changesOfOne()
    const feed = new Feed({ bus: new MemoryBus(), sync, balance, pollMs: 50, onFault: () => {} })
    const device = reader()
    const leave = await feed.join(somebody, device)
    rows.push('a')
    await until(() => device.got.length === 1)
    leave()
    expect(feed.watched).toBe(0)
  })

  test('who has no room is read for again later, from where they were, while others go on', async () => {
    const { rows, sync } = changesOfOne()
    const feed = new Feed({ bus: new MemoryBus(), sync, balance, pollMs: 50, onFault: () => {} })
    const [quick, slow] = [reader(), reader()]
    const leaves = [await feed.join(somebody, quick), await feed.join(somebody, slow)]
    slow.hasRoom = false
    rows.push('a', 'b', 'c')
    await until(() => quick.got.length === 3)
    expect(slow.got).toEqual([])
    slow.hasRoom = true
    rows.push('d')
    await until(() => slow.got.includes('d'))
    expect([...new Set(slow.got)]).toEqual(['a', 'b', 'c', 'd'])
    expect(quick.got).toEqual(['a', 'b', 'c', 'd'])
    for (const leave of leaves) leave()
  })

  test('costs one reading for all devices of a person', async () => {
    const { rows, sync, readings } = changesOfOne()
    const bus = new MemoryBus()
    const feed = new Feed({ bus, sync, balance, pollMs: 60_000, onFault: () => {} })
    const devices = Array.from({ length: 10 }, () => reader())
    const leaves = await Promise.all(devices.map((device) => feed.join(somebody, device)))
    expect(readings()).toBe(0)
    rows.push('a')
    for (let i = 0; i < 20; i++) bus.publish(`user:${somebody.userId}`, '{"kind":"message"}')
    await until(() => devices.every(({ got }) => got.length === 1))
    expect(readings()).toBe(1)
    for (const leave of leaves) leave()
  })

  test('is told again after a failure, which is reported once', async () => {
    const { rows, sync } = changesOfOne()
    let broken = true
    let faults = 0
    const changes: typeof sync.changes = async (...args) => {
      if (broken) throw new Error('The database is away')
      return sync.changes(...args)
    }
    const onFault = () => void faults++
    const feed = new Feed({ bus: new MemoryBus(), sync: { ...sync, changes }, balance, pollMs: 20, onFault })
    const device = reader()
    const leave = await feed.join(somebody, device)
    rows.push('a')
    await Bun.sleep(700)
    expect(faults).toBe(1)
    broken = false
    await until(() => device.got.length === 1)
    leave()
  })
})

test('servers that share Redis and a database see what is done on the other', async () => {
  const database = await createDatabase()
  const env = {
    DATABASE_URL: database.url,
    REDIS_URL: process.env.TEST_REDIS_URL ?? '',
    JWT_SECRET_KEY: 's'.repeat(40),
  }
  const [one, two] = [await testApp(env), await testApp(env)]
  const { token } = await one.signUp()
  const { socket } = await subscribed(token, undefined, two.listen())
  const { message_id } = await say(token, 'On the other server', one)
  await seen(socket, ({ messages }) => messages?.some((m) => m.id === message_id && m.status === 'complete'))
  await one.call('/api/v1/auth/logout', { method: 'POST', token, json: {} })
  expect((await socket.closed).code).toBe(4401)
  await Promise.all([one.close(), two.close()])
  await database.drop()
}, 60_000)

test('every method of the store that writes what the feed shows is announced', () => {
  /** What reads, and what writes rows that the feed does not show or finds by itself. */
  const quiet: Record<string, string[]> = {
    conversations: ['list', 'find', 'path', 'prefix', 'findMessage', 'tree', 'stats'],
    branches: ['list', 'compare'],
    messages: ['find', 'siblings', 'writing'],
    // Pieces of an answer are in its own stream; what it took becomes known with its settlement.
    turns: ['checkpoint', 'amend'],
    bulk: ['select'],
    archive: ['find', 'outline', 'messages', 'holder'],
    // Reservations come and go with answers; who left them open is not known.
    ledger: [
      'open',
      'reserve',
      'draw',
      'extend',
      'note',
      'void',
      'expire',
      'orphans',
      'accounts',
      'balance',
      'entries',
    ],
  }
  /** Sessions, settings, money of others and files of the program: nothing that a device keeps. */
  const unshown = [
    ...['accounts', 'keys', 'wallets', 'feedback', 'search', 'stats', 'sync', 'budgets', 'usage', 'outbox', 'tenants'],
    ...['people', 'idempotency', 'runs'],
  ]
  const groups = groupsOfPort()
  expect(Object.keys(groups).sort()).toEqual([...Object.keys(quiet), ...unshown].sort())
  for (const [group, names] of Object.entries(quiet)) {
    expect([group, [...names, ...(ANNOUNCED[group] ?? [])].sort()]).toEqual([group, groups[group]?.sort() ?? []])
  }
  expect(Object.keys(ANNOUNCED).sort()).toEqual(Object.keys(quiet).sort())
})

/** The methods of each part of the store, as its port declares them. */
function groupsOfPort(): Record<string, string[]> {
  const folder = join(import.meta.dir, '../../src/store')
  const text = readdirSync(folder)
    .filter((name) => name.startsWith('port'))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n')
  const bodyOf = (name: string) => new RegExp(`export interface ${name} \\{\\n(.*?)\\n\\}`, 's').exec(text)?.[1] ?? ''
  const parts = [...bodyOf('Store').matchAll(/^ {2}readonly (\w+): (\w+Store)$/gm)]
  return Object.fromEntries(
    parts.map(([, group, type = '']) => [group, [...bodyOf(type).matchAll(/^ {2}(\w+)\(/gm)].map(([, name]) => name)]),
  )
}
