/** The server as operators meet it: a process that is started, killed, drained, misconfigured and watched. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDatabase } from './support/db'
import { type FakeProvider, startFakeProvider, UPSTREAM_SECRET } from './support/fake-provider'
import { type Frame, readSse, textOf } from './support/read-sse'
import { freePort, until } from './support/servers'

const KEY = 'canary-provider-key-1111111111'
const PASSWORD = 'canary-password-222'
const START_LIMIT_MS = 25_000

interface Child {
  base: string
  /** Standard output and standard error so far. */
  out: () => string
  err: () => string
  exited: Promise<number>
  kill: (signal: NodeJS.Signals) => void
}

let provider: FakeProvider
const scratch = mkdtempSync(join(tmpdir(), 'orchestrator-process-'))
const children: Child[] = []
const drops: (() => Promise<void>)[] = []

beforeAll(() => {
  provider = startFakeProvider()
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await Promise.all(children.map((child) => child.exited))
  await provider.stop()
  for (const drop of drops) await drop()
  rmSync(scratch, { recursive: true, force: true })
})

const newDir = () => mkdtempSync(join(scratch, 'data-'))

/** Spawns without waiting. Nothing of this process's own settings reaches the child. */
async function spawn(env: Record<string, string>): Promise<Child> {
  const port = env.PORT ?? String(await freePort())
  const { PATH = '', HOME = '' } = process.env
  const subprocess = Bun.spawn([process.execPath, 'src/index.ts'], {
    cwd: join(import.meta.dir, '..'),
    env: {
      PATH,
      HOME,
      HOST: '127.0.0.1',
      PORT: port,
      OPENAI_BASE_URL: provider.url,
      OPENAI_API_KEY: KEY,
      BUN_CONFIG_MAX_HTTP_REQUESTS: '65535',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const child = {
    base: `http://127.0.0.1:${port}`,
    out: collect(subprocess.stdout),
    err: collect(subprocess.stderr),
    exited: subprocess.exited,
    kill: (signal: NodeJS.Signals) => subprocess.kill(signal),
  }
  children.push(child)
  return child
}

function collect(stream: ReadableStream<Uint8Array>): () => string {
  let text = ''
  const decoder = new TextDecoder()
  void (async () => {
    for await (const chunk of stream) text += decoder.decode(chunk, { stream: true })
  })()
  return () => text
}

const readiness = async ({ base }: Child) => (await fetch(`${base}/ready`).catch(() => undefined))?.status

async function start(env: Record<string, string>): Promise<Child> {
  const child = await spawn(env)
  let code: number | undefined
  void child.exited.then((exitCode) => {
    code = exitCode
  })
  await until(async () => code !== undefined || (await readiness(child)) === 200, START_LIMIT_MS)
  if (code !== undefined) throw new Error(`The server ended with ${code}: ${child.err()}`)
  return child
}

interface Call {
  token?: string
  json?: unknown
  headers?: Record<string, string>
  method?: string
  signal?: AbortSignal
}

const call = ({ base }: Child, path: string, { token, json, headers, method, signal }: Call = {}) =>
  fetch(base + path, {
    method: method ?? (json === undefined ? 'GET' : 'POST'),
    headers: {
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    ...(signal ? { signal } : {}),
  })

async function signUp(child: Child): Promise<string> {
  const person = { email: `${crypto.randomUUID()}@example.com`, password: PASSWORD, name: 'Test' }
  const answer = await call(child, '/api/v1/auth/register', { json: person })
  expect(answer.status).toBe(201)
  return (await answer.json()).tokens.access_token
}

/** Begins an answer and resolves when it has said so much; `rest` goes on reading. */
async function begin(child: Child, token: string, json: object, until: string) {
  const enough = Promise.withResolvers<Frame[]>()
  const response = await call(child, '/v1/chat/completions', { token, json })
  const rest = readSse(response, (frames) => {
    if (textOf(frames).includes(until)) enough.resolve(frames)
    return false
  })
  rest.catch(() => {})
  const first = (await enough.promise)[0]?.data
  return { rest, run: String(first?.run_id), conversation: String(first?.conversation_id) }
}

async function data(child: Child, token: string, path: string) {
  return (await (await call(child, path, { token })).json()).data
}

test.each(['pglite', 'postgres'])('keeps what was said when it is killed in mid-stream, on %s', async (store) => {
  const env: Record<string, string> = { DATA_DIR: newDir() }
  if (store === 'postgres') {
    const database = await createDatabase()
    drops.push(database.drop)
    env.DATABASE_URL = database.url
  }
  const killed = await start(env)
  const token = await signUp(killed)
  const whole = await begin(killed, token, { message: 'first', model: 'tokens:5' }, 't5')
  await whole.rest
  // Three seconds of an answer: what was said in the first of them is in a checkpoint.
  const cut = await begin(killed, token, { message: 'second', model: 'slow:50:400' }, 't60')
  killed.kill('SIGKILL')
  await killed.exited

  const child = await start(env)
  await until(async () => (await data(child, token, `/v1/runs/${cut.run}`)).status !== 'running')
  expect(await data(child, token, `/v1/runs/${cut.run}`)).toMatchObject({ status: 'interrupted' })
  const [question, answer] = (await data(child, token, `/v1/conversations/${cut.conversation}/messages`)).items
  expect(question).toMatchObject({ content: 'second', status: 'complete' })
  expect(answer.status).toBe('interrupted')
  expect(answer.content).toMatch(/^t1 t2 t3 t4 t5( t\d+)+$/)
  const words = answer.content.split(' ')
  expect(words).toEqual(words.map((_: string, i: number) => `t${i + 1}`))
  const [, kept] = (await data(child, token, `/v1/conversations/${whole.conversation}/messages`)).items
  expect(kept).toMatchObject({ content: 't1 t2 t3 t4 t5', status: 'complete' })

  // A client that had more than was kept learns how it ended.
  const headers = { 'last-event-id': '61' }
  const resumed = await readSse(await call(child, `/v1/runs/${cut.run}/stream`, { token, headers }))
  expect(resumed.frames[0]?.event).toBe('restart')
  expect(resumed.text).toBe(answer.content)
  expect(resumed.frames.at(-1)?.data.error).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' })
  child.kill('SIGTERM')
  expect(await child.exited).toBe(0)
}, 90_000)

test('finishes running answers on SIGTERM, is not ready meanwhile, and ends well', async () => {
  const child = await start({ DATA_DIR: newDir() })
  const token = await signUp(child)
  const stored = await begin(child, token, { message: 'go', model: 'slow:40:60' }, 't3')
  const body = { messages: [{ role: 'user', content: 'go' }], model: 'slow:40:60', stream: true }
  const stateless = await begin(child, token, body, 't3')
  child.kill('SIGTERM')
  await until(async () => (await readiness(child)) === 503)
  expect((await call(child, '/live')).status).toBe(200)
  const refused = await call(child, '/v1/chat/completions', { token, json: { message: 'more' } })
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).toBe('2')
  expect(await stored.rest).toMatchObject({ done: true, text: expect.stringMatching(/^t1 .* t60$/) })
  expect(await stateless.rest).toMatchObject({ done: true, text: expect.stringMatching(/^t1 .* t60$/) })
  expect(await child.exited).toBe(0)
  expect(child.out()).toContain('"msg":"stopped"')
}, 60_000)

test('ends what does not finish within DRAIN_TIMEOUT, with its words kept', async () => {
  const env = { DATA_DIR: newDir(), DRAIN_TIMEOUT: '1' }
  const child = await start(env)
  const token = await signUp(child)
  const { rest, conversation } = await begin(child, token, { message: 'go', model: 'silent-after:3' }, 't3')
  child.kill('SIGTERM')
  const { frames, done } = await rest
  expect(done).toBe(true)
  expect(frames.at(-1)?.data.error).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' })
  expect(await child.exited).toBe(0)
  const again = await start(env)
  const [, answer] = (await data(again, token, `/v1/conversations/${conversation}/messages`)).items
  expect(answer).toMatchObject({ content: 't1 t2 t3', status: 'interrupted' })
}, 60_000)

/** What an operator reads when a start fails: sentences, no stack. */
async function failsToStart(env: Record<string, string>): Promise<string> {
  const child = await spawn(env)
  expect(await child.exited).toBe(1)
  expect(child.err()).not.toContain('    at ')
  return child.err()
}

test('refuses a data directory that another process uses', async () => {
  const env = { DATA_DIR: newDir() }
  const child = await start(env)
  expect(await failsToStart(env)).toMatch(/is in use by process \d+/)
  expect(await readiness(child)).toBe(200)
}, 60_000)

test('refuses a port that is taken', async () => {
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('mine') })
  const message = await failsToStart({ DATA_DIR: newDir(), PORT: String(server.port) })
  await server.stop(true)
  expect(message).toMatch(new RegExp(`port ${server.port} is (taken|in use)`, 'i'))
  expect(message.trim().split('\n')).toHaveLength(1)
}, 60_000)

test('refuses bad settings with one message that names them all', async () => {
  const env = { DATA_DIR: newDir(), PORT: 'abc', LOG_LEVEL: 'loud', DATABASE_URL: 'mysql://root:canary@db/x' }
  const message = await failsToStart(env)
  expect(message).toContain('3 setting(s)')
  for (const name of ['PORT', 'LOG_LEVEL', 'DATABASE_URL']) expect(message).toContain(name)
  expect(message).not.toContain('canary')
})

test('says when the database cannot be reached', async () => {
  const DATABASE_URL = `postgres://me:${PASSWORD}@127.0.0.1:${await freePort()}/x`
  const message = await failsToStart({ DATA_DIR: newDir(), DATABASE_URL })
  expect(message).toMatch(/database/i)
  expect(message).not.toContain(PASSWORD)
}, 60_000)
