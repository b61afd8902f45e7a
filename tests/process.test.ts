/** The server as a process that is started, killed, drained and misconfigured. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { begin, call, data, endChildren, newDir, PASSWORD, readiness, signUp, spawn, start } from './support/child'
import { createDatabase } from './support/db'
import { type FakeProvider, startFakeProvider } from './support/fake-provider'
import { readSse } from './support/read-sse'
import { freePort, until } from './support/servers'

const KEY = 'canary-provider-key-1111111111'
let provider: FakeProvider
let llm: { OPENAI_BASE_URL: string; OPENAI_API_KEY: string }
const drops: (() => Promise<void>)[] = []

beforeAll(() => {
  provider = startFakeProvider()
  llm = { OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: KEY }
})
afterAll(async () => {
  await endChildren()
  await provider.stop()
  for (const drop of drops) await drop()
})

test.each(['pglite', 'postgres'])(
  'keeps what was said when it is killed in mid-stream, on %s',
  async (store) => {
    const env: Record<string, string> = { ...llm, DATA_DIR: newDir() }
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
  },
  90_000,
)

test('finishes running answers on SIGTERM, is not ready meanwhile, and ends well', async () => {
  const child = await start({ ...llm, DATA_DIR: newDir() })
  const token = await signUp(child)
  const stored = await begin(child, token, { message: 'go', model: 'slow:40:60' }, 't3')
  // The one that no run waits for is the longer one.
  const body = { messages: [{ role: 'user', content: 'go' }], model: 'slow:40:150', stream: true }
  const stateless = await begin(child, token, body, 't3')
  child.kill('SIGTERM')
  await until(async () => (await readiness(child)) === 503)
  expect((await call(child, '/live')).status).toBe(200)
  const refused = await call(child, '/v1/chat/completions', { token, json: { message: 'more' } })
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).toBe('2')
  expect(await stored.rest).toMatchObject({ done: true, text: expect.stringMatching(/^t1 .* t60$/) })
  expect(await stateless.rest).toMatchObject({ done: true, text: expect.stringMatching(/^t1 .* t150$/) })
  expect(await child.exited).toBe(0)
  expect(child.out()).toContain('"msg":"stopped"')
}, 60_000)

test('ends what does not finish within DRAIN_TIMEOUT, with its words kept', async () => {
  const env = { ...llm, DATA_DIR: newDir(), DRAIN_TIMEOUT: '1' }
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
  const env = { ...llm, DATA_DIR: newDir() }
  const child = await start(env)
  expect(await failsToStart(env)).toMatch(/is in use by process \d+/)
  expect(await readiness(child)).toBe(200)
}, 60_000)

test('refuses a port that is taken', async () => {
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('mine') })
  const { port } = server
  const message = await failsToStart({ ...llm, DATA_DIR: newDir(), PORT: String(port) })
  await server.stop(true)
  expect(message).toMatch(new RegExp(`^Port ${port} is taken: .+\n$`))
}, 60_000)

test('refuses bad settings with one message that names them all', async () => {
  const env = { ...llm, DATA_DIR: newDir(), PORT: 'abc', LOG_LEVEL: 'loud', DATABASE_URL: 'mysql://root:canary@db/x' }
  const message = await failsToStart(env)
  expect(message).toContain('3 setting(s)')
  for (const name of ['PORT', 'LOG_LEVEL', 'DATABASE_URL']) expect(message).toContain(name)
  expect(message).not.toContain('canary')
})

test('says when the database cannot be reached', async () => {
  const DATABASE_URL = `postgres://me:${PASSWORD}@127.0.0.1:${await freePort()}/x`
  const message = await failsToStart({ ...llm, DATA_DIR: newDir(), DATABASE_URL })
  expect(message).toMatch(/database/i)
  expect(message).not.toContain(PASSWORD)
}, 60_000)

test('reads MODELS_FILE again on SIGHUP, and goes on with the old one when the new one is bad', async () => {
  const path = join(newDir(), 'models.yaml')
  const models = async () =>
    ((await (await call(child, '/v1/models', { token })).json()).data as { id: string }[]).map(({ id }) => id)
  const write = (...names: string[]) => {
    const entries = names.map((name) => `  ${name}: { deployments: [{ provider: fake, model: "slow:40:60" }] }\n`)
    const fake = `  fake: { kind: openai, base_url: "\${URL}", api_key: "\${KEY}" }\n`
    writeFileSync(path, `providers:\n${fake}models:\n${entries.join('')}`)
  }
  write('first')
  const child = await start({ DATA_DIR: newDir(), MODELS_FILE: path, URL: provider.url, KEY })
  const token = await signUp(child)
  const running = await begin(child, token, { message: 'go' }, 't3')
  write('second', 'third')
  child.kill('SIGHUP')
  await until(async () => (await models()).join() === 'second,third')
  writeFileSync(path, 'providers: { fake: { kind: nothing } }')
  child.kill('SIGHUP')
  await until(async () => child.out().includes('the models stay as they are'))
  expect(child.out()).toContain('line 1, providers.fake.kind: must be one of')
  expect(await models()).toEqual(['second', 'third'])
  expect(await running.rest).toMatchObject({ done: true, text: expect.stringMatching(/^t1 .* t60$/) })
  expect(child.out() + child.err()).not.toContain(KEY)
  child.kill('SIGTERM')
  expect(await child.exited).toBe(0)
}, 60_000)

test('does not start with a bad MODELS_FILE, and says all that is wrong', async () => {
  const path = join(newDir(), 'models.yaml')
  writeFileSync(path, 'providers: { fake: { kind: nothing, kye: x } }')
  const message = await failsToStart({ DATA_DIR: newDir(), MODELS_FILE: path })
  expect(message).toContain('2 setting(s)')
  expect(message).toContain('MODELS_FILE: line 1, providers.fake.kind: must be one of')
}, 60_000)
