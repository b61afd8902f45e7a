/** The same `Idempotency-Key` fifty times at once, on Postgres: asked for once, said once, paid for once. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { newId } from '../../src/lib/ids'
import { type Child, call, endChildren, newDir, signUp, start } from '../support/child'
import { INPUT, OUTPUT, type Paid, paidApp } from '../support/paid'
import { readSse } from '../support/read-sse'
import { until } from '../support/servers'

const BALANCE = 1_000_000_000n
const TIMES = 50
/** Of each of many at once: a test has 256 connections. */
const FEWER = 25

let paid: Paid
let other: Child
const server = () => start({ ...paid.env, DATA_DIR: newDir(), LOG_LEVEL: 'silent' })
beforeAll(async () => {
  paid = await paidApp()
  other = await server()
}, 60_000)
afterAll(async () => {
  await endChildren()
  await paid.close()
})

interface Way {
  name: string
  path: string
  json: (text: string, conversation_id: string) => object
  /** It is kept in a conversation: who comes while it is made reads along. */
  kept: boolean
}

const said = (text: string) => ({ model: 'paid', messages: [{ role: 'user', content: text }] })
const claude = (text: string) => ({ ...said(text), max_tokens: 100 })
const response = (input: string) => ({ model: 'paid', input })
const [OURS, MESSAGES, RESPONSES] = ['/v1/chat/completions', '/v1/messages', '/v1/responses']

/** Each in one piece and streamed. */
const ways = (kept: boolean, all: [name: string, path: string, json: Way['json']][]): Way[] =>
  [false, true].flatMap((stream) =>
    all.map(([name, path, json]) => ({
      name: stream ? `${name}, streamed` : name,
      path,
      json: (text: string, id: string) => ({ ...json(text, id), stream }),
      kept,
    })),
  )
const KEPT = ways(true, [
  ['our own', OURS, (message) => ({ model: 'paid', message })],
  ["OpenAI's in a conversation", OURS, (text, conversation_id) => ({ ...said(text), conversation_id })],
  ["Anthropic's in a conversation", MESSAGES, (text, id) => ({ ...claude(text), metadata: { conversation_id: id } })],
  ['a response', RESPONSES, response],
])
const STATELESS = ways(false, [
  ["OpenAI's", OURS, said],
  ["Anthropic's", MESSAGES, claude],
  ['a response that is not kept', RESPONSES, (text) => ({ ...response(text), store: false })],
])

/** Somebody with money who asks one thing with one key. */
async function asker(way: Way, registering: Child) {
  const token = await signUp(registering)
  const { id: userId } = await (await paid.app.call('/api/v1/auth/me', { token })).json()
  await paid.give(userId, BALANCE)
  const created = await paid.app.call('/v1/conversations', { token, json: { title: 'Here' } })
  const conversation = (await created.json()).data.id
  const headers = { 'idempotency-key': newId() }
  const init = (text: string) => ({ token, headers, json: way.json(text, conversation) })
  return {
    token,
    userId,
    way,
    here: (text: string) => paid.app.call(way.path, init(text)).then(told),
    at: (child: Child, text: string) => call(child, way.path, init(text)).then(told),
  }
}
type Asker = Awaited<ReturnType<typeof asker>>

/** An answer, without what differs between two tellings of it. */
async function told(answer: Response) {
  const body = (await answer.text()).replaceAll(': hb\n\n', '').replaceAll(/"request_id":"[^"]*"/g, '"request_id":""')
  const { status, headers } = answer
  return { status, body, retryAfter: headers.get('retry-after'), replayed: headers.get('idempotency-replayed') }
}
type Told = Awaited<ReturnType<typeof told>>

/** What an answer says, whether it comes in many pieces or in one. */
async function gist({ body }: Told) {
  if (body.startsWith('{')) return JSON.parse(body)
  const { frames, text } = await readSse(new Response(body))
  const { sequence_number, ...end } = frames.at(-1)?.data ?? {}
  const pieces = frames.map(({ data }) => (data.delta as { text?: string } | undefined)?.text ?? '')
  return { text: text + pieces.join(''), end }
}

const many = <T>(one: (i: number) => Promise<T>, length = TIMES) =>
  Promise.all(Array.from({ length }, (_, i) => one(i)))
const once = (answers: Told[]) => [...new Set(answers.map(({ body }) => body))]

const rows = async (text: string, userId: string) => (await paid.pool.query(text, [userId])).rows
/** What the books and the conversations have of somebody. */
async function left(userId: string) {
  const [messages, charges] = await Promise.all([
    rows("select 1 from messages where user_id = $1 and role = 'user'", userId),
    rows(
      `select 1 from ledger_entries e join accounts a on a.id = e.account_id
       where a.owner_id = $1 and a.kind = 'user' and e.kind = 'charge'`,
      userId,
    ),
  ])
  const { balance, reserved } = (await paid.account(userId)) ?? {}
  return { messages: messages.length, charges: charges.length, spent: BALANCE - (balance ?? 0n), reserved }
}
const chargeOf = ({ prompt_tokens, completion_tokens }: Record<string, unknown> = {}) =>
  BigInt(String(prompt_tokens)) * INPUT + BigInt(String(completion_tokens)) * OUTPUT

describe('fifty at once', () => {
  test.each([...KEPT, ...STATELESS])('$name', async (way) => {
    const { userId, here, at } = await asker(way, other)
    const before = paid.provider.requests.length
    const letGo = paid.provider.hold()
    let refused = 0
    const asking = many(() =>
      here('say 40').then((answer) => {
        if (answer.status === 409) refused++
        return answer
      }),
    )
    await until(() => paid.provider.open() === 1 && (way.kept || refused === TIMES - 1))
    letGo()
    const answers = await asking

    const made = answers.filter(({ status }) => status === 200)
    expect(made).toHaveLength(way.kept ? TIMES : 1)
    expect(made.filter(({ replayed }) => replayed === null)).toHaveLength(1)
    expect(answers.every(({ status, retryAfter }) => status === 200 || (status === 409 && retryAfter === '1'))).toBe(
      true,
    )
    const [first = ''] = once(made)
    expect(once(made)).toEqual([first])

    const again = await here('say 40')
    expect(again).toMatchObject({ status: 200, replayed: 'true', body: first })
    const elsewhere = await at(other, 'say 40')
    expect([elsewhere.status, elsewhere.replayed]).toEqual([200, 'true'])
    expect(await gist(elsewhere)).toEqual(await gist(again))
    const another = await here('say 41')
    // As clients of others have it.
    expect(another.status).toBe(way.name.startsWith('our own') ? 422 : 400)
    expect(another.body).toContain('used with a different request')

    expect(paid.provider.requests.length - before).toBe(1)
    const records = await paid.records(userId)
    expect(records).toMatchObject([{ status: 'completed', completion_tokens: '40', cost_basis: 'provider' }])
    const spent = chargeOf(records[0])
    expect(await left(userId)).toEqual({ messages: way.kept ? 1 : 0, charges: 1, spent, reserved: 0n })
  })
})

describe('a server that is killed when the provider has begun to answer', () => {
  let askers: Asker[]
  let before: number
  let restarted: Child
  const kept = () => askers.filter(({ way }) => way.kept)
  const everywhere = ({ at }: Asker) => many((i) => at(i % 2 ? other : restarted, 'half 40'))

  beforeAll(async () => {
    const killed = await server()
    askers = await Promise.all([...KEPT, ...STATELESS].map((way) => asker(way, killed)))
    before = paid.provider.requests.length
    const letGo = paid.provider.hold()
    const cut = askers.map(({ at }) => many(() => at(killed, 'half 40').catch(() => undefined), FEWER))
    await until(async () => {
      const { rows } = await paid.pool.query('select 1 from run_checkpoints group by run_id having max(seq) > 20')
      return rows.length === kept().length && paid.provider.open() === askers.length
    })
    const noted = "select 1 from reservations where state = 'open' and (usage->>'said')::int = 20"
    await until(async () => (await paid.pool.query(noted)).rows.length === STATELESS.length)
    killed.kill('SIGKILL')
    await Promise.all(cut)
    for (const { way, at } of askers.filter(({ way }) => !way.kept)) {
      const { status, retryAfter } = await at(other, 'half 40')
      expect([way.name, status, retryAfter]).toEqual([way.name, 409, '1'])
    }
    letGo()
    // It takes ten seconds until nobody waits for it any more: for a database that is told so.
    await paid.pool.query(
      `update instances set heartbeat_at = heartbeat_at - interval '1 minute'
       where id in (select instance_id from runs where status = 'running')`,
    )
    await until(async () => (await paid.pool.query("select 1 from runs where status = 'running'")).rows.length === 0)
    restarted = await server()
  }, 90_000)

  test('has asked once for what is kept, and gives everybody what was said', async () => {
    for (const asker of kept()) {
      const { name } = asker.way
      const answers = await everywhere(asker)
      expect([name, once(answers)]).toEqual([name, [answers[0]?.body ?? '']])
      expect([name, new Set(answers.map(({ status }) => status)).size]).toEqual([name, 1])
      if (answers[0]?.status === 200) expect(answers[0].body).toContain(' the'.repeat(20))
    }
    expect(paid.provider.requests.length - before).toBe(askers.length)
  }, 60_000)

  test('has what is kept paid for once, as far as it was said', async () => {
    await paid.pool.query(
      "update runs set finished_at = finished_at - interval '1 minute' where status = 'interrupted'",
    )
    await Promise.all([1, 2, 3].map(() => paid.app.services.billing.sweep()))
    for (const { userId } of kept()) {
      const records = await paid.records(userId)
      expect(records).toMatchObject([{ status: 'interrupted', cost_basis: 'estimated' }])
      // Nobody knows how the model of this name counts: a tenth more.
      expect(records[0]?.completion_tokens).toBe('22')
      expect(await left(userId)).toEqual({ messages: 1, charges: 1, spent: chargeOf(records[0]), reserved: 0n })
    }
  })

  test('has asked once for what is not kept, charged what was said, and tells everybody that it is lost', async () => {
    const lost = askers.filter(({ way }) => !way.kept)
    for (const asker of lost) {
      const answers = await everywhere(asker)
      expect(answers.filter(({ status, retryAfter }) => status === 409 && retryAfter === null)).toHaveLength(TIMES)
      expect(once(answers)).toEqual([expect.stringContaining('the answer is lost')])
    }
    expect(paid.provider.requests.length - before).toBe(askers.length)
    await paid.pool.query("update reservations set expires_at = now() - interval '1 second' where state = 'open'")
    await paid.app.services.billing.sweep()
    for (const { userId } of lost) {
      const records = await paid.records(userId)
      expect(records).toMatchObject([{ status: 'interrupted', completion_tokens: '20', cost_basis: 'estimated' }])
      expect(await left(userId)).toEqual({ messages: 0, charges: 1, spent: chargeOf(records[0]), reserved: 0n })
    }
  }, 60_000)
})
