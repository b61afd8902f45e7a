/** Tokens a minute, and answers at once, at the front door. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { CallInit } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { readSse } from '../support/read-sse'
import { until } from '../support/servers'
import { type Json, type Someone, startTenancy, type Tenancy } from '../support/tenancy'

let tenancy: Tenancy
let provider: FakeProvider
let tenantId: string
beforeAll(async () => {
  provider = startFakeProvider()
  tenancy = await startTenancy({
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: 'sk-test',
    UNKNOWN_PRICE: 'free',
    MAX_CONCURRENT_ANSWERS: '20',
  })
  tenantId = String((await tenancy.tenant()).id)
})
afterAll(async () => {
  await tenancy.close()
  await provider.stop()
})

async function personWith(limits: object, tenant = tenantId): Promise<Someone> {
  const person = await tenancy.person(tenant)
  const json = { limits }
  await tenancy.ask(`/v1/admin/users/${person.userId}?tenant_id=${tenant}`, { method: 'PATCH', json })
  return person
}

const call = (path: string, init: CallInit) => tenancy.app.call(path, init)
const messages = [{ role: 'user', content: 'go' }]
const openAi = ({ token }: Someone, json: object) =>
  call('/v1/chat/completions', { token, json: { messages, ...json } })
const native = ({ token }: Someone, json: object, headers: Record<string, string> = {}) =>
  call('/v1/chat/completions', { token, json: { message: 'go', ...json }, headers })

const refusalOf = async (answer: Response): Promise<Json> => {
  expect(answer.status).toBe(429)
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  return (await answer.json()).error
}

/** Begins an answer that goes on until it is ended. */
async function hold(person: Someone) {
  const response = await native(person, { model: 'silent' })
  expect(response.status).toBe(200)
  const begun = Promise.withResolvers<string>()
  const rest = readSse(response, ([frame]) => {
    if (frame) begun.resolve(String(frame.data.run_id))
    return false
  })
  const run = await begun.promise
  return {
    run,
    rest,
    async end() {
      await call(`/v1/runs/${run}/stop`, { method: 'POST', token: person.token })
      await rest
    },
  }
}

/** Gives places back a moment after the answer has ended. */
const isFree = (person: Someone) => until(async () => (await openAi(person, { model: 'echo' })).status === 200)

describe('answers at once', () => {
  test('are as many as are allowed, and one more when one has ended', async () => {
    const person = await personWith({ concurrent_streams: 2 })
    const held = [await hold(person), await hold(person)]
    const error = await refusalOf(await native(person, { model: 'echo', stream: false }))
    expect(error).toMatchObject({
      code: 'RATE_LIMIT_EXCEEDED',
      message: 'The limit of your answers at once is reached. Wait for one to end, or stop it',
      details: { limit: 'user-streams' },
    })
    expect(await refusalOf(await openAi(person, { model: 'echo' }))).toMatchObject({ type: 'rate_limit_error' })
    await held[0]?.end()
    await isFree(person)
    await held[1]?.end()
  })

  test('write nothing when they are refused', async () => {
    const person = await personWith({ concurrent_streams: 1 })
    const { end } = await hold(person)
    await refusalOf(await native(person, { model: 'echo' }))
    const { data } = await (await call('/v1/conversations', { token: person.token })).json()
    expect(data.pagination.total).toBe(1)
    await end()
  })

  test('count until the answer has ended, not until its reader has left', async () => {
    const person = await personWith({ concurrent_streams: 1 })
    const response = await native(person, { model: 'silent' })
    let run = ''
    await readSse(response, ([frame]) => {
      run = String(frame?.data.run_id)
      return frame !== undefined
    })
    // Nobody reads it any more, and it is still being made.
    await refusalOf(await native(person, { model: 'echo' }))
    await call(`/v1/runs/${run}/stop`, { method: 'POST', token: person.token })
    await isFree(person)
  })

  test('end with the client where nobody keeps the answer', async () => {
    const person = await personWith({ concurrent_streams: 1 })
    const abort = new AbortController()
    const response = await fetch(`${tenancy.app.listen()}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${person.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'silent-after:1', messages, stream: true }),
      signal: abort.signal,
    })
    expect(response.status).toBe(200)
    await refusalOf(await openAi(person, { model: 'echo' }))
    abort.abort()
    await isFree(person)
  })

  test.each(['status:500', 'error-after:3', 'cut-after:3', 'empty'])('free their place after %s', async (model) => {
    const person = await personWith({ concurrent_streams: 1 })
    await (await openAi(person, { model, stream: true })).text()
    await isFree(person)
    await (await native(person, { model })).text()
    await isFree(person)
  })

  test('take no place when the request is at fault, or came before', async () => {
    const person = await personWith({ concurrent_streams: 1 })
    expect((await native(person, { model: 'echo', n: 2 })).status).toBe(422)
    const place = { model: 'echo', conversation_id: crypto.randomUUID(), stream: false }
    expect((await native(person, place)).status).toBe(404)
    for (let i = 0; i < 3; i++) {
      const again = await native(person, { model: 'echo', stream: false }, { 'idempotency-key': 'the-same' })
      expect(again.status).toBe(200)
      await again.text()
    }
    await isFree(person)
  })

  test('are counted for a whole tenant', async () => {
    const id = String((await tenancy.tenant({ limits: { concurrent_streams: 1 } })).id)
    const [one, two] = [await tenancy.person(id), await tenancy.person(id)]
    const { end } = await hold(one)
    expect(await refusalOf(await native(two, { model: 'echo' }))).toMatchObject({
      details: { limit: 'tenant-streams' },
    })
    await end()
    await isFree(two)
  })

  test('do not include vectors', async () => {
    const person = await personWith({ concurrent_streams: 1 })
    const { end } = await hold(person)
    const { token } = person
    const vectors = await call('/v1/embeddings', { token, json: { model: 'embed', input: 'hello' } })
    expect(vectors.status).toBe(200)
    await end()
  })
})

describe('tokens a minute', () => {
  test('are taken before, and corrected by what the answer took', async () => {
    const person = await personWith({ tokens_per_minute: 2000 })
    // Expected are some 1030 tokens each; they take a few.
    for (let i = 0; i < 5; i++) {
      const answer = await openAi(person, { model: 'echo' })
      expect(answer.status).toBe(200)
      expect((await answer.json()).usage.total_tokens).toBeLessThan(100)
    }
  })

  test('refuse an answer that is expected to take more than is left', async () => {
    const person = await personWith({ tokens_per_minute: 2000 })
    const { run, rest } = await hold(person)
    const error = await refusalOf(await native(person, { model: 'echo', stream: false }))
    expect(error).toMatchObject({ code: 'RATE_LIMIT_EXCEEDED', details: { limit: 'user-tokens' } })
    expect((await native(person, { model: 'echo', stream: false, max_tokens: 10 })).status).toBe(200)
    await call(`/v1/runs/${run}/stop`, { method: 'POST', token: person.token })
    await rest
  })

  test('may go into debt by an answer that is longer than expected, which is then waited for', async () => {
    const person = await personWith({ tokens_per_minute: 100 })
    expect((await openAi(person, { model: 'tokens:400' })).status).toBe(200)
    const error = await refusalOf(await openAi(person, { model: 'echo', max_tokens: 1 }))
    expect(error).toMatchObject({ type: 'rate_limit_error', code: 'rate_limit_exceeded' })
  })

  test('let in what is larger than a minute when nothing else was asked', async () => {
    const person = await personWith({ tokens_per_minute: 10 })
    const long = [{ role: 'user', content: 'word '.repeat(500) }]
    expect((await openAi(person, { model: 'echo', messages: long })).status).toBe(200)
    expect((await openAi(person, { model: 'echo', messages: long })).status).toBe(429)
  })

  test.each([[-1e9], [0], ['many'], [{}], [[]]])(
    'are not made by an answer of at most %j',
    async (max_completion_tokens) => {
      const person = await personWith({ tokens_per_minute: 100 })
      expect((await openAi(person, { model: 'tokens:400' })).status).toBe(200)
      // In debt, whatever is asked: none of these may fill the bucket, or make it a bucket of nothing that can be compared.
      for (let i = 0; i < 2; i++) {
        await refusalOf(await openAi(person, { model: 'echo', max_completion_tokens }))
        await refusalOf(await native(person, { model: 'echo', stream: false, max_completion_tokens }))
      }
      await refusalOf(await openAi(person, { model: 'echo', max_tokens: 1 }))
    },
  )

  test('are given back when the provider failed before it said anything', async () => {
    const person = await personWith({ tokens_per_minute: 1500 })
    for (let i = 0; i < 3; i++)
      expect((await openAi(person, { model: 'status:500' })).status).toBeGreaterThanOrEqual(500)
    expect((await openAi(person, { model: 'echo' })).status).toBe(200)
  })

  test('are shared by a tenant, and spent by vectors, too', async () => {
    const id = String((await tenancy.tenant({ limits: { tokens_per_minute: 60 } })).id)
    const [one, two] = [await tenancy.person(id), await tenancy.person(id)]
    const input = 'word '.repeat(300)
    const embed = ({ token }: Someone) => call('/v1/embeddings', { token, json: { model: 'embed', input } })
    expect((await embed(one)).status).toBe(200)
    expect((await embed(two)).status).toBe(429)
  })
})
