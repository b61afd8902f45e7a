import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { testApp } from '../support/app'
import { call, endChildren, newDir, start } from '../support/child'
import { type Gate, openGate } from '../support/gate'
import { INPUT, OUTPUT, type Paid, paidApp } from '../support/paid'
import { readSse } from '../support/read-sse'
import { until } from '../support/servers'

let paid: Paid
let gate: Gate
const dir = mkdtempSync(join(tmpdir(), 'orchestrator-faults-'))
beforeAll(async () => {
  paid = await paidApp({ DATA_DIR: dir, DRAIN_TIMEOUT: '0' }, async (url) => {
    gate = await openGate(url)
    return gate.url
  })
})
afterAll(async () => {
  await endChildren()
  await paid.close()
  gate.close()
  rmSync(dir, { recursive: true, force: true })
})

const BALANCE = 1_000_000_000n
const charge = async (text: string, tokens: number) =>
  BigInt(await paid.provider.promptTokens(text)) * INPUT + BigInt(tokens) * OUTPUT
const stateless = (text: string, more: object = {}) => ({
  model: 'paid',
  stream: true,
  messages: [{ role: 'user', content: text }],
  ...more,
})
const kept = () => readdirSync(dir).filter((name) => name.startsWith('settlements-'))
const waiting = async () => /llm_settlements_waiting (\d+)/.exec(await (await paid.app.call('/metrics')).text())?.[1]

/** Has an answer whose settlement finds no database. */
async function answeredWithoutDatabase(token: string, json: object) {
  const response = await paid.app.call('/v1/chat/completions', { token, json })
  await until(() => paid.provider.open() === 1)
  gate.cut()
  return readSse(response)
}

describe('a database that is gone between an answer and its settlement', () => {
  test('has it settled once when it is back, and the answer is whole all the same', async () => {
    const { token, userId } = await paid.person(BALANCE)
    const { text, done } = await answeredWithoutDatabase(token, stateless('slow 40'))
    expect(text.match(/ the/g)).toHaveLength(40)
    expect(done).toBe(true)
    expect(await waiting()).toBe('1')
    expect(kept()).toHaveLength(1)
    gate.restore()
    await until(async () => (await paid.records(userId)).length === 1)
    expect(await paid.account(userId)).toMatchObject({ balance: BALANCE - (await charge('slow 40', 40)), reserved: 0n })
    await until(async () => (await waiting()) === '0' && kept().length === 0)
    const entries = await paid.pool.query("select 1 from ledger_entries where kind = 'charge' and amount_nanos < 0")
    expect(entries.rows).toHaveLength(1)
  }, 60_000)

  test('has the stored answer stored when it is back', async () => {
    const { token, userId } = await paid.person(BALANCE)
    const { frames } = await answeredWithoutDatabase(token, { model: 'paid', message: 'slow 40' })
    const { conversation_id, run_id } = frames[0]?.data ?? {}
    gate.restore()
    await until(async () => (await paid.records(userId)).length === 1)
    const cost = await charge('slow 40', 40)
    await until(async () => {
      const answer = await paid.app.call(`/v1/conversations/${conversation_id}/messages`, { token })
      const message = answer.status === 200 ? (await answer.json()).data.items.at(-1) : undefined
      return message?.status === 'complete' && message.cost_usd === Number(cost) / 1e9
    })
    const run = (await (await paid.app.call(`/v1/runs/${run_id}`, { token })).json()).data
    expect(run.status).toBe('completed')
    expect(await paid.account(userId)).toMatchObject({ balance: BALANCE - cost, reserved: 0n })
  }, 60_000)

  test('has it settled by the next process when this one ends before', async () => {
    const { token, userId } = await paid.person(BALANCE)
    const data = mkdtempSync(join(tmpdir(), 'orchestrator-next-'))
    const env = { ...paid.env, DATA_DIR: data }
    const second = await testApp(env)
    const json = stateless('slow 40')
    const response = await second.call('/v1/chat/completions', { token, json })
    await until(() => paid.provider.open() === 1)
    gate.cut()
    await readSse(response)
    await second.close().catch(() => {})
    expect(readdirSync(data).filter((name) => name.startsWith('settlements-'))).toHaveLength(1)
    gate.restore()
    const third = await testApp(env)
    await until(async () => (await paid.records(userId)).length === 1)
    expect(await paid.account(userId)).toMatchObject({ balance: BALANCE - (await charge('slow 40', 40)), reserved: 0n })
    await until(() => readdirSync(data).every((name) => !name.startsWith('settlements-')))
    await third.close()
    rmSync(data, { recursive: true, force: true })
  }, 60_000)

  test('lets nobody ask a model while it is away', async () => {
    const { token, userId } = await paid.person(BALANCE)
    await readSse(await paid.app.call('/v1/chat/completions', { token, json: stateless('say 1') }))
    await until(async () => (await paid.records(userId)).length === 1)
    const asked = paid.provider.requests.length
    gate.cut()
    const answer = await paid.app.call('/v1/chat/completions', { token, json: stateless('say 1') })
    gate.restore()
    expect(answer.status).toBeGreaterThanOrEqual(500)
    expect(paid.provider.requests.length).toBe(asked)
  }, 60_000)
})

describe('processes', () => {
  test('two of them answer exactly 3 of 200 requests when there is credit for 3', async () => {
    const servers = await Promise.all([1, 2].map(() => start({ ...paid.env, DATA_DIR: newDir(), LOG_LEVEL: 'silent' })))
    const { token, userId } = await paid.person(1n)
    const json = stateless('say 100', { max_tokens: 100 })
    const probe = { model: 'paid', message: 'say 100', max_tokens: 100, stream: false }
    const refused = await (await paid.app.call('/v1/chat/completions', { token, json: probe })).json()
    const needed = BigInt(Math.round(refused.error.details.needed_usd * 1e9))
    await paid.give(userId, 3n * needed - 1n)
    const before = paid.provider.requests.length
    const statuses = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const server = servers[i % 2]
        if (!server) return 0
        const answer = await call(server, '/v1/chat/completions', { token, json })
        await answer.text()
        return answer.status
      }),
    )
    expect(statuses.filter((status) => status === 200)).toHaveLength(3)
    expect(statuses.filter((status) => status === 402)).toHaveLength(197)
    expect(paid.provider.requests.length - before).toBe(3)
    expect(await paid.records(userId)).toHaveLength(3)
    const left = 3n * (needed - (await charge('say 100', 100)))
    expect(await paid.account(userId)).toMatchObject({ balance: left, reserved: 0n })
  }, 120_000)

  test('that die in the middle of a stored answer leave it to the others to settle what was said', async () => {
    const server = await start({ ...paid.env, DATA_DIR: newDir(), LOG_LEVEL: 'silent' })
    const { token, userId } = await paid.person(BALANCE)
    const response = await call(server, '/v1/chat/completions', {
      token,
      json: { model: 'paid', message: 'slow 2000' },
    })
    const frames: unknown[] = []
    const read = readSse(response, (all) => {
      frames.push(...all.slice(frames.length))
      return false
    }).catch(() => undefined)
    await until(async () => {
      const { rows } = await paid.pool.query('select max(seq) as seq from run_checkpoints')
      return Number(rows[0]?.seq ?? 0) > 20
    })
    server.kill('SIGKILL')
    await read
    // What takes ten seconds and half a minute more, for a database that is told so.
    await until(async () => {
      const { rows } = await paid.pool.query("select 1 from runs where status = 'interrupted'")
      return rows.length > 0
    }, 40_000)
    await paid.pool.query(
      "update runs set finished_at = finished_at - interval '1 minute' where status = 'interrupted'",
    )
    await paid.app.services.billing.sweep()
    const [record] = await paid.records(userId)
    expect(record).toMatchObject({ status: 'interrupted', cost_basis: 'estimated' })
    expect(Number(record?.completion_tokens)).toBeGreaterThan(15)
    expect(await paid.account(userId)).toMatchObject({
      balance: BALANCE - BigInt(String(record?.charge_nanos)),
      reserved: 0n,
    })
  }, 120_000)

  test('that die before a conversation is deleted leave the request to be paid for', async () => {
    const { token, userId } = await paid.person(BALANCE)
    const letGo = paid.provider.hold()
    const json = { model: 'paid', message: 'say 40' }
    const answer = Promise.resolve(paid.app.call('/v1/chat/completions', { token, json })).then(readSse)
    await until(() => paid.provider.open() === 1)
    // As if another server had been asked: this one does not hear of it.
    await paid.pool.query('delete from conversations where user_id = $1', [userId])
    await paid.app.services.billing.sweep()
    expect(await paid.records(userId)).toEqual([])
    await paid.pool.query("update reservations set expires_at = now() + interval '20 seconds' where state = 'open'")
    await paid.app.services.billing.sweep()
    const records = await paid.records(userId)
    expect(records).toMatchObject([{ status: 'interrupted', completion_tokens: '0' }])
    const spent = BigInt(String(records[0]?.prompt_tokens)) * INPUT
    expect(spent).toBeGreaterThan(0n)
    expect(await paid.account(userId)).toMatchObject({ balance: BALANCE - spent, reserved: 0n })
    letGo()
    await answer
    expect(await paid.records(userId)).toEqual(records)
  }, 60_000)
})
