import { afterAll, beforeAll, describe, expect, spyOn, test } from 'bun:test'
import { DEFAULT_TENANT, newId } from '../../src/lib/ids'
import { personAccount } from '../../src/modules/billing/account-ids'
import { INPUT, OUTPUT, type Paid, paidApp } from '../support/paid'
import { readSse } from '../support/read-sse'
import { until } from '../support/servers'

let prepaid: Paid
let metered: Paid
beforeAll(async () => {
  prepaid = await paidApp({ SIGNUP_CREDIT: '0.001', UNKNOWN_PRICE: 'at:3' })
  metered = await paidApp({ BILLING: 'metered', UNKNOWN_PRICE: 'free', CANCELLED_STREAMS: 'drain', BALANCE_LOW: '2' })
})
afterAll(async () => {
  await prepaid.close()
  await metered.close()
})

const say = (text: string, more: object = {}) => ({
  model: 'paid',
  messages: [{ role: 'user', content: text }],
  ...more,
})
const chat = ({ app }: Paid, token: string, json: object) => app.call('/v1/chat/completions', { token, json })
const costOf = async ({ provider }: Paid, text: string, tokens: number) =>
  BigInt(await provider.promptTokens(text)) * INPUT + BigInt(tokens) * OUTPUT
const GRANT = 1_000_000n

describe('who pays in advance', () => {
  test('is given something to begin with, once, however many of their answers come first', async () => {
    const { token, userId } = await prepaid.app.signUp()
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => chat(prepaid, token, say('say 2', { max_tokens: 20 }))),
    )
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
    const cost = await costOf(prepaid, 'say 2', 2)
    expect(await prepaid.account(userId)).toMatchObject({ balance: GRANT - 5n * cost, reserved: 0n, limited: true })
  })

  test('is given it with the next answer when the process died between the account and the gift', async () => {
    const { token, userId } = await prepaid.app.signUp()
    const at = new Date()
    const id = personAccount(DEFAULT_TENANT, userId)
    const { ledger } = prepaid.app.services.store
    await ledger.open({ id, tenantId: DEFAULT_TENANT, kind: 'user', ownerId: userId, limited: true, at })
    const answer = await chat(prepaid, token, say('say 1', { max_tokens: 20 }))
    expect(answer.status).toBe(200)
    const cost = await costOf(prepaid, 'say 1', 1)
    expect(await prepaid.account(userId)).toMatchObject({ balance: GRANT - cost, reserved: 0n })
  })

  test('is not refused when another of their answers brings it between a look at the balance and one at the entries', async () => {
    const { token, userId } = await prepaid.app.signUp()
    const { ledger } = prepaid.app.services.store
    const account = { id: personAccount(DEFAULT_TENANT, userId), tenantId: DEFAULT_TENANT, kind: 'user' as const }
    await ledger.open({ ...account, ownerId: userId, limited: true, at: new Date() })
    const entries = spyOn(ledger, 'entries').mockImplementationOnce(async (...asked) => {
      entries.mockRestore()
      await ledger.credit({
        id: newId(),
        accountId: account.id,
        amount: GRANT,
        kind: 'grant',
        reason: 'test',
        actorId: null,
        idempotencyKey: `signup:${userId}`,
        at: new Date(),
      })
      return ledger.entries(...asked)
    })
    const answer = await chat(prepaid, token, say('say 1', { max_tokens: 20 }))
    expect(answer.status).toBe(200)
    const cost = await costOf(prepaid, 'say 1', 1)
    expect(await prepaid.account(userId)).toMatchObject({ balance: GRANT - cost, reserved: 0n })
  })

  test('is refused once nothing of it is left', async () => {
    const { token } = await prepaid.app.signUp()
    expect((await chat(prepaid, token, say('say 490', { max_tokens: 490 }))).status).toBe(200)
    expect((await chat(prepaid, token, say('say 490', { max_tokens: 490 }))).status).toBe(402)
  })

  test('pays for models of unknown price what the policy says', async () => {
    const { token, userId } = await prepaid.app.signUp()
    await chat(prepaid, token, say('say 4', { model: 'unknown', max_tokens: 20 }))
    const tokens = BigInt((await prepaid.provider.promptTokens('say 4')) + 4)
    expect(await prepaid.records(userId)).toMatchObject([
      { charge_nanos: String(tokens * 3000n), price_version: 'unknown_price:at' },
    ])
  })
})

describe('who is only counted', () => {
  test('has an account from the first answer on that nothing limits', async () => {
    const { token, userId } = await metered.app.signUp()
    expect((await chat(metered, token, say('say 6'))).status).toBe(200)
    const balance = -(await costOf(metered, 'say 6', 6))
    expect(await metered.account(userId)).toMatchObject({ balance, reserved: 0n, limited: false, available: null })
  })

  test('pays nothing for models of unknown price where these are free', async () => {
    const { token, userId } = await metered.app.signUp()
    await chat(metered, token, say('say 4', { model: 'unknown' }))
    expect(await metered.records(userId)).toMatchObject([
      { charge_nanos: '0', cost_nanos: '0', price_version: 'unknown_price:free' },
    ])
  })

  test('is charged what the provider reports for a stream that they left, where streams are read to the end', async () => {
    const { token, userId } = await metered.app.signUp()
    await readSse(await chat(metered, token, say('slow 30', { stream: true })), (frames) => frames.length > 3)
    await until(async () => (await metered.records(userId)).length === 1)
    expect(await metered.records(userId)).toMatchObject([{ cost_basis: 'drained', completion_tokens: '30' }])
  })
})
