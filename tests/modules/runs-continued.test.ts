/** A server is killed in the middle of an answer; of those that are left, one makes it again. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Pool } from 'pg'
import { begin, type Child, call, data, endChildren, newDir, signUp, start } from '../support/child'
import { createDatabase } from '../support/db'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { isLast, shown } from '../support/pair'
import { type Frame, readSse } from '../support/read-sse'
import { testRedisUrl } from '../support/redis'
import { until } from '../support/servers'

let provider: FakeProvider
const drops: (() => Promise<void>)[] = []

beforeAll(() => {
  provider = startFakeProvider()
})
afterEach(async () => {
  for (const drop of drops.splice(0)) await drop()
})
afterAll(async () => {
  await endChildren()
  await provider.stop()
})

/** A hundred words in a second, and five thousand in more time than a test has. Priced, so that there is something to pay. */
function modelsFile(url: string): string {
  const file = join(newDir(), 'models.yaml')
  const named = (name: string, model: string) =>
    `  ${name}: { deployments: [{ provider: fake, model: '${model}', info: { prices: { input: 1, output: 2 } } }] }`
  writeFileSync(
    file,
    `providers:
  fake: { kind: openai, base_url: ${url}, api_key: sk-test }
models:
${named('long', 'slow:10:400')}
${named('longer', 'slow:10:2000')}
${named('endless', 'slow:20:5000')}
`,
  )
  return file
}

interface Servers {
  maker: Child
  others: [Child, Child]
  pool: Pool
  token: string
}

async function three(env: Record<string, string>, url = provider.url): Promise<Servers> {
  const database = await createDatabase()
  const all = {
    DATABASE_URL: database.url,
    JWT_SECRET_KEY: 'a secret that all servers know well',
    MODELS_FILE: modelsFile(url),
    ORPHANED_ANSWERS: 'continue',
    LOG_LEVEL: 'silent',
    ...env,
  }
  const maker = await start({ ...all, DATA_DIR: newDir() })
  const others = await Promise.all([start({ ...all, DATA_DIR: newDir() }), start({ ...all, DATA_DIR: newDir() })])
  const pool = new Pool({ connectionString: database.url, max: 1 })
  drops.push(async () => {
    const children = [maker, ...others]
    for (const child of children) child.kill('SIGKILL')
    await Promise.all(children.map(({ exited }) => exited))
    await pool.end()
    await database.drop()
  })
  return { maker, others, pool, token: await signUp(maker) }
}

async function kill(child: Child): Promise<void> {
  child.kill('SIGKILL')
  await child.exited
}

const read = async ({ token }: Servers, child: Child, run: string, after?: number) =>
  readSse(await call(child, `/v1/runs/${run}/stream${after === undefined ? '' : `?after=${after}`}`, { token }))

const messages = async ({ others: [other], token }: Servers, conversation: string) =>
  (await data(other, token, `/v1/conversations/${conversation}/messages`)).items

/** What was begun, and how often the provider was asked for it. */
async function beginSlowly(servers: Servers, model: string, upTo: string) {
  const asked = provider.requests.length
  const begun = await begin(servers.maker, servers.token, { model, message: 'go' }, upTo)
  return { ...begun, calls: () => provider.requests.slice(asked).filter(({ path }) => path.includes('chat')).length }
}

const restarts = (frames: Frame[]) => frames.filter(({ event }) => event === 'restart')

describe.each([
  ['Redis', () => ({ REDIS_URL: testRedisUrl() })],
  ['the database only', () => ({})],
])('with %s', (_, env) => {
  test('readers elsewhere get the whole answer of another server behind a restart', async () => {
    const servers = await three(env())
    const { maker, others, token, pool } = servers
    const { run, conversation, rest, calls } = await beginSlowly(servers, 'long', 't150 ')
    const elsewhere = others.map((other) => read(servers, other, run))
    await until(async () => (await pool.query('select from run_checkpoints where run_id = $1', [run])).rowCount !== 0)
    await kill(maker)
    const own = await rest.then(
      ({ frames }) => frames,
      () => [],
    )
    const after = own.at(-1)?.id ?? 150
    const resumed = others.map((other) => read(servers, other, run, after))
    const heard = await Promise.all([...elsewhere, ...resumed])
    const [question, stored, ...more] = await messages(servers, conversation)
    expect([question.role, stored.role, more]).toEqual(['user', 'assistant', []])
    expect(stored).toMatchObject({ status: 'complete', metadata: { continued: 1 } })
    expect(stored.content).toEndWith('t400')
    for (const { frames, done } of heard) {
      expect(shown(frames)).toBe(stored.content)
      expect(frames.filter(isLast)).toHaveLength(1)
      expect(done).toBe(true)
    }
    for (const { frames } of heard.slice(2)) expect(restarts(frames)).toHaveLength(1)
    expect(calls()).toBe(2)
    const made = await data(others[0], token, `/v1/runs/${run}`)
    expect(made).toMatchObject({ status: 'completed', continued: 1 })
    // Whoever comes later, on either server, with a number of either or none.
    for (const other of others)
      for (const number of [undefined, 1, after, made.last_seq - 1]) {
        const { frames } = await read(servers, other, run, number)
        const tail = number === made.last_seq - 1 && restarts(frames).length === 0
        expect(shown(frames)).toBe(tail ? '' : stored.content)
        if (number === undefined) expect(frames[0]?.data).toMatchObject({ run_id: run, continued: 1 })
        expect(frames.filter(isLast)).toHaveLength(1)
      }
    await settled(servers, run)
  }, 90_000)
})

/** Both askings are paid for, each once, and nothing is kept back any more. */
async function settled({ pool }: Servers, run: string): Promise<void> {
  const open = async () => (await pool.query(`select from reservations where state = 'open'`)).rowCount
  await until(async () => (await open()) === 0, 60_000)
  const { rows } = await pool.query('select * from usage_records where run_id = $1 order by id', [run])
  expect(rows).toMatchObject([
    { status: 'interrupted', cost_basis: 'estimated', provider: null },
    { status: 'completed', cost_basis: 'provider', provider: 'fake' },
  ])
  for (const { charge_nanos } of rows) expect(Number(charge_nanos)).toBeGreaterThan(0)
  const [books] = (
    await pool.query(`
      select (select count(*) from accounts where reserved_nanos <> 0) as held,
        (select count(*) from (select from ledger_entries group by transaction_id having sum(amount_nanos) <> 0) t) as wrong,
        (select balance_nanos from accounts where kind = 'user') as balance`)
  ).rows
  const charged = rows.reduce((sum, { charge_nanos }) => sum + BigInt(charge_nanos), 0n)
  expect(books).toEqual({ held: '0', wrong: '0', balance: String(-charged) })
}

/** Begins an answer, and kills its server when something of it is kept. */
async function orphan(servers: Servers) {
  const { maker, pool } = servers
  const begun = await beginSlowly(servers, 'endless', 't60 ')
  const kept = async () => (await pool.query('select from run_checkpoints where run_id = $1', [begun.run])).rowCount
  await until(async () => (await kept()) !== 0)
  await kill(maker)
  const row = async () => (await pool.query('select * from runs where id = $1', [begun.run])).rows[0]
  const text = async (): Promise<string> => {
    const { message_id } = await row()
    return (await pool.query('select content from messages where id = $1', [message_id])).rows[0].content
  }
  return { ...begun, row, text }
}

test('a second death closes it with what was kept', async () => {
  const servers = await three({ REDIS_URL: testRedisUrl() })
  const { others } = servers
  const { run, row, text, calls } = await orphan(servers)
  const busy = async (child: Child) => /^answers_in_work 1$/m.test(await (await call(child, '/metrics')).text())
  // Ten seconds without a heartbeat, then a look every three: on a busy machine that is no more than a beginning.
  await until(async () => (await busy(others[0])) || busy(others[1]), 45_000)
  const [heir, last] = (await busy(others[0])) ? others : [others[1], others[0]]
  const elsewhere = read(servers, last, run)
  await until(async () => (await row()).continued === 1 && calls() === 2)
  await kill(heir)
  const { frames } = await elsewhere
  expect(await row()).toMatchObject({ status: 'interrupted', continued: 1 })
  expect(await text()).toStartWith('t1')
  expect(shown(frames)).toBe(await text())
  expect(shown((await read(servers, last, run)).frames)).toBe(await text())
  expect(calls()).toBe(2)
}, 90_000)

test('nobody goes on for a person who was disabled meanwhile', async () => {
  const servers = await three({})
  const { row, text, calls } = await orphan(servers)
  await servers.pool.query('update users set disabled_at = now()')
  await until(async () => (await row()).status === 'interrupted', 45_000)
  expect((await row()).continued).toBe(0)
  expect(await text()).toStartWith('t1')
  expect(calls()).toBe(1)
}, 60_000)

test('when it cannot be made again, what was kept stays and is read by everybody', async () => {
  const own = startFakeProvider()
  const servers = await three({}, own.url)
  const { run, row, text } = await orphan(servers)
  await own.stop()
  const heard = await Promise.all(servers.others.map((other) => read(servers, other, run)))
  expect(await row()).toMatchObject({ status: 'interrupted', continued: 1 })
  expect(await text()).toStartWith('t1')
  for (const { frames, done } of heard) {
    expect(shown(frames)).toBe(await text())
    expect(frames.filter(isLast)).toHaveLength(1)
    expect(done).toBe(true)
  }
}, 60_000)

test('one that was only slow ends what it was writing, and garbles nothing', async () => {
  const servers = await three({ REDIS_URL: testRedisUrl() })
  const { maker, others, pool } = servers
  const { run, conversation, rest } = await beginSlowly(servers, 'longer', 't20 ')
  const elsewhere = others.map((other) => read(servers, other, run))
  maker.kill('SIGSTOP')
  const status = async () => (await pool.query('select status, continued from runs where id = $1', [run])).rows[0]
  await until(async () => (await status()).continued === 1, 30_000)
  maker.kill('SIGCONT')
  const { frames } = await rest
  expect(frames.filter(isLast)).toHaveLength(1)
  expect(frames.at(-1)?.data.error).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' })
  expect(await status()).toEqual({ status: 'running', continued: 1 })
  // Who was reading there takes it up where it is, on the very same server.
  const heard = [...elsewhere, read(servers, maker, run, frames.at(-1)?.id)]
  for (const { frames } of await Promise.all(heard)) {
    const [, stored] = await messages(servers, conversation)
    expect(stored).toMatchObject({ status: 'complete' })
    expect(stored.content).toEndWith('t2000')
    expect(shown(frames)).toBe(stored.content)
    expect(frames.filter(isLast)).toHaveLength(1)
  }
}, 120_000)
