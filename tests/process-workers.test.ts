/** Several processes on one port: started, counted together, killed, drained and orphaned. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { begin, type Child, call, data, endChildren, newDir, readiness, signUp, spawn, start } from './support/child'
import { createDatabase } from './support/db'
import { type FakeProvider, startFakeProvider } from './support/fake-provider'
import { freePort, until } from './support/servers'

let provider: FakeProvider
let llm: { OPENAI_BASE_URL: string; OPENAI_API_KEY: string }
const drops: (() => Promise<void>)[] = []

beforeAll(() => {
  provider = startFakeProvider()
  llm = { OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: 'sk-test' }
})
afterAll(async () => {
  await endChildren()
  await provider.stop()
  for (const drop of drops) await drop()
})

async function settings(more: Record<string, string> = {}): Promise<Record<string, string>> {
  const database = await createDatabase()
  drops.push(database.drop)
  const redis = process.env.TEST_REDIS_URL
  if (!redis) throw new Error('These tests need Redis: run them with `bun run test`')
  const shared = { JWT_SECRET_KEY: 'x'.repeat(32), DATABASE_URL: database.url, REDIS_URL: redis }
  return { ...llm, ...shared, DATA_DIR: newDir(), ...more }
}

/** The processes that a supervisor has started and that live. */
const workersOf = ({ pid }: Child): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)

/** Waits until so many workers have said that they are ready. */
const ready = (child: Child, count: number) => until(() => (child.out().match(/"msg":"ready"/g) ?? []).length >= count)

const alive = (pid: number): boolean => {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z')
  } catch {
    return false
  }
}

test('serves one port with several processes, counts for all of them, and replaces one that dies', async () => {
  const child = await start(await settings({ WORKERS: '2' }))
  await ready(child, 2)
  const [first = 0, second = 0] = workersOf(child)
  expect(workersOf(child)).toHaveLength(2)

  // A new connection each time: the system gives it to either.
  const asks = 60
  for (let i = 0; i < asks; i++) await call(child, '/info', { headers: { connection: 'close' } })
  const served = [1, 2].map((n) => child.out().match(new RegExp(`"worker":${n},.*"/info"`, 'g'))?.length ?? 0)
  expect(served[0]).toBeGreaterThan(0)
  expect(served[1]).toBeGreaterThan(0)
  const metrics = async () => (await call(child, '/metrics', { headers: { connection: 'close' } })).text()
  for (let i = 0; i < 4; i++) {
    expect(await metrics()).toContain(`http_requests_total{method="GET",endpoint="/info",status="200"} ${asks}`)
  }

  const token = await signUp(child)
  process.kill(first, 'SIGKILL')
  await ready(child, 3)
  expect(alive(first)).toBe(false)
  expect(workersOf(child)).toContain(second)
  expect(workersOf(child)).toHaveLength(2)
  expect(child.out()).toContain('another takes its place')
  const answer = await begin(child, token, { message: 'go', model: 'tokens:5' }, 't5')
  await answer.rest
  child.kill('SIGTERM')
  expect(await child.exited).toBe(0)
}, 90_000)

test('lets all processes finish their answers on SIGTERM, even when everybody is told twice', async () => {
  const child = await start(await settings({ WORKERS: '2' }))
  await ready(child, 2)
  const pids = workersOf(child)
  const token = await signUp(child)
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => begin(child, token, { message: 'go', model: 'slow:40:40' }, 't2')),
  )
  child.kill('SIGTERM')
  // So do managers of services that stop a whole group; a terminal interrupts all of it.
  for (const pid of pids) process.kill(pid, 'SIGTERM')
  for (const pid of pids) process.kill(pid, 'SIGINT')
  const ends = await Promise.all(answers.map(({ rest }) => rest))
  for (const { done, text } of ends)
    expect({ done, text }).toEqual({ done: true, text: expect.stringMatching(/ t40$/) })
  expect(await child.exited).toBe(0)
  expect(pids.filter(alive)).toEqual([])
}, 90_000)

test('ends its workers when it is killed itself', async () => {
  const child = await start(await settings({ WORKERS: '2', DRAIN_TIMEOUT: '5' }))
  await ready(child, 2)
  const pids = workersOf(child)
  child.kill('SIGKILL')
  await child.exited
  await until(() => pids.every((pid) => !alive(pid)))
  await until(async () => (await readiness(child)) === undefined)
}, 60_000)

test('gives up when workers cannot start, and says why', async () => {
  const DATABASE_URL = `postgres://me:secret@127.0.0.1:${await freePort()}/x`
  const child = await spawn(await settings({ WORKERS: '2', DATABASE_URL }))
  expect(await child.exited).toBe(1)
  expect(child.err()).toContain('The database of DATABASE_URL cannot be used')
  expect(child.out()).toContain('right after its start; giving up')
  expect(child.out() + child.err()).not.toContain('secret@')
}, 60_000)

test('refuses a port that is taken, also one that would be shared', async () => {
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', reusePort: true, fetch: () => new Response('mine') })
  const { port } = server
  const child = await spawn(await settings({ WORKERS: '2', PORT: String(port) }))
  expect(await child.exited).toBe(1)
  await server.stop(true)
  expect(child.err()).toBe(`Port ${port} is taken: stop what listens there, or set PORT\n`)
}, 60_000)

test('brings up ten instances at once on an empty database', async () => {
  const env = await settings()
  const children = await Promise.all(Array.from({ length: 10 }, () => spawn({ ...env, DATA_DIR: newDir() })))
  await until(async () => {
    const states = await Promise.all(children.map(readiness))
    return states.every((status) => status === 200)
  }, 80_000)
  const [one, other] = children
  if (!one || !other) throw new Error('No children')
  const token = await signUp(one)
  expect(await data(other, token, '/v1/conversations')).toMatchObject({ items: [] })
  for (const child of children) child.kill('SIGTERM')
  expect(await Promise.all(children.map(({ exited }) => exited))).toEqual(children.map(() => 0))
}, 120_000)
