import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { DEFAULT_TENANT, newId } from '../../src/lib/ids'
import { keyAccount, personAccount, tenantAccount } from '../../src/modules/billing/account-ids'
import { INPUT, OUTPUT, type Paid, paidApp } from '../support/paid'
import { readSse } from '../support/read-sse'

let paid: Paid
beforeAll(async () => {
  paid = await paidApp()
})
afterAll(() => paid.close())

const BALANCE = 1_000_000_000n
const say = (text: string, more: object = {}) => ({
  model: 'paid',
  messages: [{ role: 'user', content: text }],
  ...more,
})
const chat = (token: string, json: object) => paid.app.call('/v1/chat/completions', { token, json })
const asked = () => paid.provider.requests.length
const costOf = async (text: string, tokens: number) =>
  BigInt(await paid.provider.promptTokens(text)) * INPUT + BigInt(tokens) * OUTPUT

describe('an answer', () => {
  test('is charged what the provider reports, and its last frame says so with the parts', async () => {
    const { token, userId } = await paid.person()
    const { frames } = await readSse(await chat(token, { model: 'paid', message: 'say 20' }))
    const cost = await costOf('say 20', 20)
    const last = frames.at(-1)?.data as Record<string, unknown>
    expect(last).toMatchObject({
      usage: { completion_tokens: 20 },
      cost_usd: Number(cost) / 1e9,
      cost: { basis: 'provider', parts: { output: 0.00004 } },
    })
    expect(await paid.account(userId)).toMatchObject({ balance: 1_000_000_000n - cost, reserved: 0n })
    expect(await paid.records(userId)).toMatchObject([
      {
        message_id: frames[0]?.data.message_id,
        run_id: frames[0]?.data.run_id,
        conversation_id: frames[0]?.data.conversation_id,
        model: 'paid',
        provider: 'counting',
        provider_model: 'gpt-4o-a',
        status: 'completed',
        finish_reason: 'stop',
        completion_tokens: '20',
        charge_nanos: String(cost),
        cost_nanos: String(cost),
        cost_basis: 'provider',
      },
    ])
  })

  test('is charged to the API key and the tenant, too, where they have accounts', async () => {
    const { token, userId } = await paid.person(BALANCE)
    const { ledger } = paid.app.services.store
    const made = await (await paid.app.call('/v1/keys', { token, json: { name: 'k' } })).json()
    const { id: keyId, key } = made.data
    const at = new Date()
    const [ofKey, ofTenant] = [keyAccount(DEFAULT_TENANT, keyId), tenantAccount(DEFAULT_TENANT)]
    const limited = false
    await ledger.open({ id: ofKey, tenantId: DEFAULT_TENANT, kind: 'key', ownerId: keyId, limited, at })
    await ledger.open({ id: ofTenant, tenantId: DEFAULT_TENANT, kind: 'tenant', ownerId: DEFAULT_TENANT, limited, at })
    expect((await chat(key, say('say 7'))).status).toBe(200)
    const cost = await costOf('say 7', 7)
    expect(await paid.account(userId)).toMatchObject({ balance: BALANCE - cost })
    expect(await ledger.balance(ofKey)).toMatchObject({ balance: -cost, reserved: 0n })
    expect(await ledger.balance(ofTenant)).toMatchObject({ balance: -cost, reserved: 0n })
    expect(await paid.records(userId)).toMatchObject([{ key_id: keyId, conversation_id: null, run_id: null }])
    await chat(token, say('say 7'))
    expect(await ledger.balance(ofKey)).toMatchObject({ balance: -cost })
  })

  test('costs the margin of the tenant more, in its parts, too', async () => {
    const { tenants } = paid.app.services.store
    const tenant = await tenants.create({ id: newId(), name: 'Margin', marginBp: 1234, at: new Date() })
    const { token, userId } = await paid.app.signUp()
    await paid.pool.query('update users set tenant_id = $1 where id = $2', [tenant.id, userId])
    const { ledger } = paid.app.services.store
    const id = personAccount(tenant.id, userId)
    const { frames } = await readSse(await chat(await keyOf(token), { model: 'paid', message: 'say 33' })).catch(
      () => ({ frames: [] }),
    )
    expect(frames.at(-1)?.data.error).toMatchObject({ code: 'INSUFFICIENT_BALANCE' })
    const credit = { kind: 'topup' as const, reason: 'test', actorId: null, idempotencyKey: newId(), at: new Date() }
    await ledger.credit({ id: newId(), accountId: id, amount: BALANCE, ...credit })
    const { cost, cost_usd } = await (
      await chat(await keyOf(token), { model: 'paid', message: 'say 33', stream: false })
    ).json()
    const charge = ((await costOf('say 33', 33)) * 11_234n + 5000n) / 10_000n
    expect(cost_usd).toBe(Number(charge) / 1e9)
    expect(Math.round((cost.parts.input + cost.parts.output) * 1e9)).toBe(Number(charge))
    expect(await ledger.balance(id)).toMatchObject({ balance: BALANCE - charge, reserved: 0n })
    const [record] = await paid.records(userId)
    expect(record).toMatchObject({ charge_nanos: String(charge), cost_nanos: String(await costOf('say 33', 33)) })
  })

  /** Another credential: who somebody is, is believed for a while. */
  const keyOf = async (token: string) =>
    (await (await paid.app.call('/v1/keys', { token, json: { name: newId() } })).json()).data.key

  test('that costs nothing is written down all the same', async () => {
    const { token, userId } = await paid.person(10n)
    expect((await chat(token, say('say 5', { model: 'gratis' }))).status).toBe(200)
    expect(await paid.account(userId)).toMatchObject({ balance: 10n, reserved: 0n })
    expect(await paid.records(userId)).toMatchObject([{ cost_nanos: '0', charge_nanos: '0', completion_tokens: '5' }])
  })

  test('whose price nobody knows is refused to whoever is limited, and counted for others', async () => {
    const limited = await paid.person(BALANCE)
    const before = asked()
    const refused = await chat(limited.token, say('say 5', { model: 'unknown' }))
    expect(refused.status).toBe(403)
    expect((await refused.json()).error.message).toContain('Nobody has said what unknown costs')
    expect(asked()).toBe(before)
    expect(await paid.account(limited.userId)).toMatchObject({ balance: BALANCE, reserved: 0n })

    const free = await unlimited()
    const answer = await chat(free.token, { model: 'unknown', message: 'say 5', stream: false })
    expect(await answer.json()).toMatchObject({ cost_usd: null, usage: { completion_tokens: 5 } })
    expect(await paid.records(free.userId)).toMatchObject([{ cost_nanos: null, charge_nanos: '0' }])
  })

  /** Somebody who is only counted. */
  async function unlimited() {
    const account = await paid.app.signUp()
    const { userId } = account
    const id = personAccount(DEFAULT_TENANT, userId)
    const at = new Date()
    const { ledger } = paid.app.services.store
    await ledger.open({ id, tenantId: DEFAULT_TENANT, kind: 'user', ownerId: userId, limited: false, at })
    return account
  }

  test('of somebody who is not limited may cost more than there is', async () => {
    const { token, userId } = await unlimited()
    await chat(token, say('say 9000'))
    expect(await paid.account(userId)).toMatchObject({ balance: -(await costOf('say 9000', 9000)), reserved: 0n })
  })

  test('in vectors is charged by its texts', async () => {
    const { token, userId } = await paid.person(BALANCE)
    const json = { model: 'paid', input: ['one', 'two'] }
    const answer = await paid.app.call('/v1/embeddings', { token, json })
    expect(answer.status).toBe(200)
    expect(await paid.account(userId)).toMatchObject({ balance: BALANCE - 6n * INPUT, reserved: 0n })
    expect(await paid.records(userId)).toMatchObject([{ prompt_tokens: '6', completion_tokens: '0' }])
  })
})

describe('without money', () => {
  const user = { role: 'user', content: 'say 5' }
  const WAYS: [string, string, object, Record<string, string>?][] = [
    ['a message', '/v1/chat/completions', { model: 'paid', message: 'say 5', stream: false }],
    ['Chat Completions', '/v1/chat/completions', say('say 5')],
    ['Chat Completions as a stream', '/v1/chat/completions', say('say 5', { stream: true })],
    ['Messages', '/v1/messages', { model: 'paid', max_tokens: 50, messages: [user] }],
    ['Responses', '/v1/responses', { model: 'paid', input: 'say 5' }],
    ['Responses that are not stored', '/v1/responses', { model: 'paid', input: 'say 5', store: false }],
    ['embeddings', '/v1/embeddings', { model: 'paid', input: 'say 5' }],
  ]

  test.each(WAYS)('nobody is asked by %s', async (_, path, json) => {
    const { token, userId } = await paid.person(20_000n)
    const before = asked()
    // As much as the balance would pay for is not enough for a few words.
    await paid.pool.query('update accounts set reserved_nanos = 19999 where owner_id = $1', [userId])
    const answer = await paid.app.call(path, { token, json })
    expect(answer.status).toBe(402)
    expect(await answer.text()).toMatch(/balance does not pay|insufficient_quota/)
    expect(asked()).toBe(before)
    expect(await paid.records(userId)).toEqual([])
  })

  test('a stream of ours says what is missing, and what to do', async () => {
    const { token } = await paid.person(5000n)
    const { frames } = await readSse(await chat(token, { model: 'paid', message: 'say 5' }))
    const error = frames.at(-1)?.data.error as unknown as Record<string, unknown>
    expect(error.code).toBe('INSUFFICIENT_BALANCE')
    expect(error.message).toContain('Top it up')
    expect(error.details).toMatchObject({ reason: 'balance', available_usd: 0.000005, period: null })
    const metrics = await (await paid.app.call('/metrics')).text()
    expect(metrics).toMatch(/llm_reservations_refused_total\{reason="balance"\} [1-9]/)
  })

  test('a budget that is used up says which one, and an answer is made as short as it has it', async () => {
    const { token, userId } = await paid.person(BALANCE)
    const accountId = personAccount(DEFAULT_TENANT, userId)
    const limit = (await costOf('say 9', 9)) * 2n
    const budget = {
      id: newId(),
      tenantId: DEFAULT_TENANT,
      accountId,
      period: 'day' as const,
      warnPercent: null,
      hard: true,
    }
    await paid.app.services.store.budgets.put({ ...budget, limit, at: new Date() })
    await chat(token, say('say 9'))
    const before = asked()
    const refused = await chat(token, say('say 9'))
    expect(refused.status).toBe(402)
    expect((await refused.json()).error.message).toContain('Your budget for this day does not allow it')
    expect(asked()).toBe(before)
  })

  test('of 200 requests at once with credit for exactly 3, exactly 3 are answered', async () => {
    const text = 'say 100'
    const { token, userId } = await paid.person(1n)
    const probe = await chat(token, { model: 'paid', message: text, max_tokens: 100, stream: false })
    const needed = BigInt(Math.round((await probe.json()).error.details.needed_usd * 1e9))
    await paid.give(userId, 3n * needed - 1n)
    const before = asked()
    const answers = await Promise.all(
      Array.from({ length: 200 }, () => chat(token, say(text, { max_tokens: 100 })).then(({ status }) => status)),
    )
    expect(answers.filter((status) => status === 200)).toHaveLength(3)
    expect(answers.filter((status) => status === 402)).toHaveLength(197)
    expect(asked() - before).toBe(3)
    const account = await paid.account(userId)
    expect(account).toMatchObject({ balance: 3n * needed - 3n * (await costOf(text, 100)), reserved: 0n })
    expect(await paid.records(userId)).toHaveLength(3)
  }, 60_000)
})
