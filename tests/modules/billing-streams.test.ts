import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { INPUT, OUTPUT, type Paid, paidApp } from '../support/paid'
import { readSse } from '../support/read-sse'
import { until } from '../support/servers'

let paid: Paid
beforeAll(async () => {
  paid = await paidApp()
})
afterAll(() => paid.close())

const BALANCE = 1_000_000_000n
const chat = (token: string, json: object) => paid.app.call('/v1/chat/completions', { token, json })
const stateless = (text: string, more: object = {}) => ({
  model: 'paid',
  stream: true,
  messages: [{ role: 'user', content: text }],
  ...more,
})
const promptCost = async (text: string) => BigInt(await paid.provider.promptTokens(text)) * INPUT
const wordsIn = (text: string) => text.match(/ the/g)?.length ?? 0
const settled = async (userId: string, count: number) => {
  await until(async () => (await paid.records(userId)).length === count)
  return paid.records(userId)
}

describe('a reader who leaves after k of 200 words', () => {
  /** The whole answer's words; the rest of a stream is closed when they are read. */
  const ALL = Array.from({ length: 201 }, (_, k) => k)

  test('pays for the request and for what was delivered, and no more than the provider would report', async () => {
    const { token, userId } = await paid.person(BALANCE)
    const aborted = paid.provider.aborted()
    for (const k of ALL) {
      const abort = new AbortController()
      const asked = paid.provider.requests.length
      const left = paid.app
        .call('/v1/chat/completions', { token, json: stateless(`after ${k}`), signal: abort.signal })
        .then((response) => readSse(response, (frames) => wordsIn(JSON.stringify(frames)) >= k))
        .catch(() => undefined)
      await until(() => paid.provider.requests.length === asked + 1)
      if (k > 0) await left
      abort.abort()
    }
    const records = await settled(userId, ALL.length)
    const charges = records.map(({ charge_nanos }) => BigInt(String(charge_nanos)))
    for (const k of ALL) {
      const prompt = await promptCost(`after ${k}`)
      expect(charges[k]).toBeGreaterThanOrEqual(prompt + BigInt(k) * OUTPUT)
      expect(charges[k]).toBeLessThanOrEqual(prompt + 200n * OUTPUT)
    }
    expect(records.every(({ status, cost_basis }) => status === 'stopped' && cost_basis === 'estimated')).toBe(true)
    const sum = charges.reduce((a, b) => a + b)
    expect(await paid.account(userId)).toMatchObject({ balance: BALANCE - sum, reserved: 0n })
    await until(() => paid.provider.aborted() === aborted + ALL.length)
  }, 120_000)

  test('pays as much when the answer is stored and stopped, and the message says what', async () => {
    const { token, userId } = await paid.person(BALANCE)
    for (const k of ALL.filter((k) => k % 10 === 0)) {
      const asked = paid.provider.requests.length
      const response = await chat(token, { model: 'paid', message: `after ${k}` })
      // Whoever stops before anybody was asked pays nothing.
      await until(() => paid.provider.requests.length === asked + 1)
      let run = ''
      const { frames } = await readSse(response, (frames) => {
        run = String(frames[0]?.data.run_id)
        return frames.length > 0 && wordsIn(JSON.stringify(frames)) >= k
      })
      const stopped = await paid.app.call(`/v1/runs/${run}/stop`, { method: 'POST', token })
      expect((await stopped.json()).data.status).toBe('stopped')
      const { conversation_id, message_id } = frames[0]?.data ?? {}
      const path = `/v1/conversations/${conversation_id}/messages`
      const message = (await (await paid.app.call(path, { token })).json()).data.items.at(-1)
      const [record] = (await paid.records(userId)).filter((one) => one.message_id === message_id)
      const charge = BigInt(String(record?.charge_nanos))
      const prompt = await promptCost(`after ${k}`)
      expect(charge).toBe(prompt + BigInt(k) * OUTPUT)
      expect(message).toMatchObject({ status: 'stopped', cost_usd: Number(charge) / 1e9 })
    }
    expect(await paid.account(userId)).toMatchObject({ reserved: 0n })
  }, 60_000)
})

describe('money that runs out', () => {
  test('makes the answer as short as the balance has it, and says why', async () => {
    const { token, userId } = await paid.person(120_000n)
    const { frames } = await readSse(await chat(token, stateless('say 200')))
    const sent = paid.provider.requests.at(-1)?.max_tokens ?? 0
    expect(sent).toBeGreaterThanOrEqual(16)
    expect(sent).toBeLessThan(50)
    expect(frames.at(-1)?.data).toMatchObject({ finish_reason: 'budget', choices: [{ finish_reason: 'length' }] })
    const account = await paid.account(userId)
    expect(account?.reserved).toBe(0n)
    expect(account?.balance).toBeGreaterThanOrEqual(0n)
    expect(await paid.records(userId)).toMatchObject([{ finish_reason: 'budget', completion_tokens: String(sent) }])
  })

  test('ends an answer that has become longer than anybody thought, and what was said is saved', async () => {
    const { token, userId } = await paid.person(5000n * OUTPUT)
    const { frames } = await readSse(await chat(token, { model: 'paid', message: 'say 20000' }))
    expect(frames.at(-1)?.data).toMatchObject({ finish_reason: 'budget', choices: [{ finish_reason: 'length' }] })
    const path = `/v1/conversations/${frames[0]?.data.conversation_id}/messages`
    const message = (await (await paid.app.call(path, { token })).json()).data.items.at(-1)
    const words = wordsIn(message.content)
    expect(words).toBeGreaterThan(4096)
    expect(words).toBeLessThanOrEqual(5000)
    expect(message).toMatchObject({ status: 'complete', finish_reason: 'budget' })
    const [record] = await settled(userId, 1)
    expect(record).toMatchObject({ status: 'completed', finish_reason: 'budget', completion_tokens: String(words) })
    const account = await paid.account(userId)
    expect(account?.balance).toBe(5000n * OUTPUT - BigInt(String(record?.charge_nanos)))
    expect(account?.balance).toBeGreaterThanOrEqual(0n)
    await until(() => paid.provider.open() === 0)
  })

  test('is fetched in time while there is some: a long answer comes whole', async () => {
    const { token, userId } = await paid.person(BALANCE)
    const { frames, text } = await readSse(await chat(token, { model: 'paid', message: 'say 9000' }))
    expect(wordsIn(text)).toBe(9000)
    expect(frames.at(-1)?.data).toMatchObject({ finish_reason: 'stop', usage: { completion_tokens: 9000 } })
    const cost = (await promptCost('say 9000')) + 9000n * OUTPUT
    expect(await paid.account(userId)).toMatchObject({ balance: BALANCE - cost, reserved: 0n })
  })
})

describe('a provider that is read to the end', () => {
  test('is charged as it reports when the reader has left, who does not wait', async () => {
    const { token, userId } = await paid.person(BALANCE)
    const aborted = paid.provider.aborted()
    await readSse(await chat(token, stateless('slow 60', { model: 'drained' })), (frames) => frames.length > 3)
    await until(() => paid.provider.open() === 1)
    const [record] = await settled(userId, 1)
    expect(record).toMatchObject({ status: 'stopped', cost_basis: 'drained', completion_tokens: '60' })
    expect(BigInt(String(record?.charge_nanos))).toBe((await promptCost('slow 60')) + 60n * OUTPUT)
    expect(paid.provider.aborted()).toBe(aborted)
  })

  test('is so for a stopped run, too', async () => {
    const { token, userId } = await paid.person(BALANCE)
    const response = await chat(token, { model: 'drained', message: 'slow 60' })
    const { frames } = await readSse(response, (frames) => frames.length > 3)
    const run = frames[0]?.data.run_id
    await paid.app.call(`/v1/runs/${run}/stop`, { method: 'POST', token })
    expect(await paid.records(userId)).toEqual([])
    const [record] = await settled(userId, 1)
    expect(record).toMatchObject({ status: 'stopped', cost_basis: 'drained', completion_tokens: '60', run_id: run })
  })

  test('takes as long as it does, and the stored answer learns what it cost', async () => {
    const { token, userId } = await paid.person(BALANCE)
    const letGo = paid.provider.hold()
    const { frames } = await readSse(
      await chat(token, { model: 'drained', message: 'half 60' }),
      (all) => all.length > 3,
    )
    const { run_id, message_id } = frames[0]?.data ?? {}
    await paid.app.call(`/v1/runs/${run_id}/stop`, { method: 'POST', token })
    const message = async () => (await (await paid.app.call(`/v1/messages/${message_id}`, { token })).json()).data
    expect(await message()).toMatchObject({ status: 'stopped', usage: null, cost_usd: null })
    await paid.pool.query("update runs set finished_at = finished_at - interval '1 minute' where id = $1", [run_id])
    await paid.app.services.billing.sweep()
    expect(await paid.records(userId)).toEqual([])
    letGo()
    const [record] = await settled(userId, 1)
    expect(record).toMatchObject({ status: 'stopped', cost_basis: 'drained', completion_tokens: '60' })
    const charge = (await promptCost('half 60')) + 60n * OUTPUT
    await until(async () => (await message()).cost_usd === Number(charge) / 1e9)
    const { usage, cost, content } = await message()
    expect(usage).toMatchObject({ completion_tokens: 60 })
    expect(cost).toMatchObject({ basis: 'drained', parts: { output: Number(60n * OUTPUT) / 1e9 } })
    expect(wordsIn(content)).toBeLessThan(60)
  })
})

describe('a provider that fails', () => {
  test('before its first word is not paid, and the record says failed', async () => {
    const { token, userId } = await paid.person(BALANCE)
    const answer = await chat(token, stateless('fail'))
    expect(answer.status).toBe(502)
    expect(await settled(userId, 1)).toMatchObject([{ status: 'failed', charge_nanos: '0', completion_tokens: '0' }])
    expect(await paid.account(userId)).toMatchObject({ balance: BALANCE, reserved: 0n })
  })

  test('in the middle is paid for what it said', async () => {
    const { token, userId } = await paid.person(BALANCE)
    await readSse(await chat(token, stateless('broken 12')))
    const [record] = await settled(userId, 1)
    expect(record).toMatchObject({ status: 'failed', cost_basis: 'estimated', completion_tokens: '12' })
    const charge = (await promptCost('broken 12')) + 12n * OUTPUT
    expect(await paid.account(userId)).toMatchObject({ balance: BALANCE - charge, reserved: 0n })
  })
})
