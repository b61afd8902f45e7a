/** What becomes of answers when a server ends: they are finished, or ended, saved, settled and found again. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Pool } from 'pg'
import { broken } from './store/bank'
import { begin, type Child, call, data, endChildren, newDir, readiness, signUp, start } from './support/child'
import { createDatabase } from './support/db'
import { type FakeProvider, startFakeProvider } from './support/fake-provider'
import { FaultProxy } from './support/fault-proxy'
import { type Frame, readSse, textOf } from './support/read-sse'
import { until } from './support/servers'
import { closeAll, openSocket } from './support/ws-client'

let provider: FakeProvider
let llm: { OPENAI_BASE_URL: string; OPENAI_API_KEY: string }
const drops: (() => Promise<void>)[] = []
/** What it takes a busy machine to see that a process has ended. */
const SLACK = 1500

beforeAll(() => {
  provider = startFakeProvider()
  llm = { OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: 'sk-test' }
})
afterAll(async () => {
  await closeAll()
  await endChildren()
  await provider.stop()
  for (const drop of drops) await drop()
})

async function settings(): Promise<Record<string, string> & { DATABASE_URL: string; REDIS_URL: string }> {
  const database = await createDatabase()
  drops.push(database.drop)
  const redis = process.env.TEST_REDIS_URL
  if (!redis) throw new Error('These tests need Redis: run them with `bun run test`')
  const shared = { JWT_SECRET_KEY: 'x'.repeat(32), DATABASE_URL: database.url, REDIS_URL: redis }
  return { ...llm, ...shared, DATA_DIR: newDir(), DRAIN_TIMEOUT: '16' }
}

/** Sends SIGTERM. @returns the exit code and the milliseconds it took. */
async function terminate(child: Child) {
  const begun = performance.now()
  child.kill('SIGTERM')
  const code = await child.exited
  return { code, ms: performance.now() - begun }
}

/** An answer that ends within the drain, or not. */
const modelOf = (i: number) => `slow:50:${i % 2 === 0 ? 10 + i : 900}`
const isEnd = ({ data }: Frame) => Boolean(data.error) || data.choices?.some((choice) => choice.finish_reason) === true

/** An answer over a socket, as far as it got when the socket was closed. */
async function overSocket(child: Child, token: string, i: number) {
  const socket = await openSocket(child.base, { token })
  socket.send({ type: 'chat', id: 'a', message: 'go', model: modelOf(i) })
  await until(() => socket.text('a').includes('t1'))
  const run = socket.frames.find(({ run_id }) => run_id)?.run_id
  return { socket, run: String(run) }
}

test('fifty answers are complete or resumable after SIGTERM, and each is paid for once', async () => {
  const env = await settings()
  const child = await start(env)
  const token = await signUp(child)
  // What counts the words of answers that are broken off is loaded by the first one, and that takes a while.
  const first = await begin(child, token, { message: 'go', model: 'slow:50' }, 't1')
  await call(child, `/v1/runs/${first.run}/stop`, { token, method: 'POST' })
  await first.rest
  const several = <T>(count: number, make: (i: number) => Promise<T>) =>
    Promise.all(Array.from({ length: count }, (_, i) => make(i)))
  const stored = await several(32, (i) => begin(child, token, { message: 'go', model: modelOf(i) }, 't1'))
  const messages = [{ role: 'user', content: 'go' }]
  const fleeting = await several(10, (i) => begin(child, token, { messages, model: modelOf(i), stream: true }, 't1'))
  const sockets = await several(8, (i) => overSocket(child, token, i))
  await Bun.sleep(Math.random() * 1000)

  const { code, ms } = await terminate(child)
  expect(code).toBe(0)
  expect(ms).toBeLessThan(16_000 + SLACK)
  const read = await Promise.all(stored.map(({ rest }) => rest))
  const readOnce = await Promise.all(fleeting.map(({ rest }) => rest))
  const closes = await Promise.all(sockets.map(({ socket }) => socket.closed))
  expect(closes.map((close) => close.code)).toEqual(sockets.map(() => 1012))
  for (const { frames } of [...read, ...readOnce]) expect(frames.filter(isEnd)).toHaveLength(1)
  for (const [i, { frames, text }] of [...read.entries(), ...readOnce.entries()]) {
    const error = frames.at(-1)?.data.error as { message: string } | undefined
    if (i % 2 === 0) expect([error, text.split(' ').at(-1)]).toEqual([undefined, `t${10 + i}`])
    else expect(error?.message).toContain('server is restarting')
  }
  expect(read[1]?.frames.at(-1)?.data.error).toMatchObject({ details: { reason: 'server_draining', resumable: true } })

  const again = await start(env)
  const runs = [...stored.map(({ run }) => run), ...sockets.map(({ run }) => run)]
  for (const [i, run] of runs.entries()) {
    const { status, message_id, conversation_id } = await data(again, token, `/v1/runs/${run}`)
    expect(status).toBeOneOf(['completed', 'interrupted'])
    const { items } = await data(again, token, `/v1/conversations/${conversation_id}/messages`)
    const { content } = items.find(({ id }: { id: string }) => id === message_id)
    const resumed = await readSse(await call(again, `/v1/runs/${run}/stream`, { token }))
    expect(resumed.text).toBe(content)
    expect(resumed.frames.filter(isEnd)).toHaveLength(1)
    if (read[i]) expect(textOf(read[i].frames)).toBe(content)
  }

  const pool = new Pool({ connectionString: env.DATABASE_URL, max: 1 })
  const sql = async <T>(text: string) => (await pool.query(text)).rows as T[]
  const faults = await broken({ sql })
  const open = await sql(`select 1 from reservations where state = 'open'`)
  const [usage] = await sql<{ count: number }>('select count(*)::int as count from usage_records')
  await pool.end()
  expect({ faults, open: open.length, usage: usage?.count }).toEqual({ faults: [], open: 0, usage: 51 })
  expect((await terminate(again)).code).toBe(0)
}, 120_000)

test.each(['Postgres', 'Redis'])(
  'ends in time and well while %s is away',
  async (away) => {
    const env = await settings()
    const name = away === 'Redis' ? 'REDIS_URL' : 'DATABASE_URL'
    const proxy = await FaultProxy.open(env[name])
    const child = await start({ ...env, [name]: proxy.through(env[name]) })
    const token = await signUp(child)
    const answers = await Promise.all([
      begin(child, token, { message: 'go', model: 'slow:50:600' }, 't3'),
      begin(child, token, { message: 'go', model: 'slow:50:20' }, 't3'),
    ])
    // Connections stand, and nothing comes through them.
    proxy.set({ blackHole: true })
    const { code, ms } = await terminate(child)
    expect(code).toBe(0)
    expect(ms).toBeLessThan(16_000 + SLACK)
    await Promise.allSettled(answers.map(({ rest }) => rest))
    await proxy.close()

    const again = await start(env)
    for (const { run } of answers) {
      await until(async () => (await data(again, token, `/v1/runs/${run}`)).status !== 'running', 40_000)
      expect((await data(again, token, `/v1/runs/${run}`)).status).toBeOneOf(['completed', 'interrupted'])
    }
    expect((await terminate(again)).code).toBe(0)
  },
  120_000,
)

test('goes on beginning answers for DRAIN_DELAY seconds, while it says that it is not ready', async () => {
  const child = await start({ ...llm, DATA_DIR: newDir(), DRAIN_DELAY: '4', DRAIN_TIMEOUT: '20' })
  const token = await signUp(child)
  child.kill('SIGTERM')
  await until(async () => (await readiness(child)) === 503)
  const late = await begin(child, token, { message: 'go', model: 'tokens:5' }, 't5')
  expect(await late.rest).toMatchObject({ done: true, text: 't1 t2 t3 t4 t5' })
  expect(await child.exited).toBe(0)
}, 60_000)
