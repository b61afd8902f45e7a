import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Pool } from 'pg'
import { type TestApp, testApp } from '../support/app'
import { createDatabase } from '../support/db'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { type Frame, readSse } from '../support/read-sse'
import { until } from '../support/servers'

/** Two servers on one database: the second one never holds the events of the first one's answers. */
let provider: FakeProvider
let app: TestApp
let other: TestApp
let dropDatabase: () => Promise<void>
let pool: Pool
let token: string

beforeAll(async () => {
  const database = await createDatabase()
  dropDatabase = database.drop
  pool = new Pool({ connectionString: database.url, max: 1 })
  provider = startFakeProvider()
  const env = {
    DATABASE_URL: database.url,
    JWT_SECRET_KEY: 'a secret that both servers know well',
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: 'sk-test',
  }
  app = await testApp(env)
  other = await testApp(env)
  token = (await app.signUp()).token
})
afterAll(async () => {
  await app.close()
  await other.close()
  await provider.stop()
  await pool.end()
  await dropDatabase()
})

/** Begins an answer and reads it to the end; gives back its ids as soon as the first event has them. */
async function begin(model: string) {
  const response = await app.call('/v1/chat/completions', { token, json: { model, message: 'go' } })
  const first = Promise.withResolvers<Frame>()
  const rest = readSse(response, ([frame]) => {
    if (frame) first.resolve(frame)
    return false
  })
  const { run_id, conversation_id, message_id } = (await first.promise).data
  return { run: String(run_id), conversation: String(conversation_id), message: String(message_id), rest }
}

const stream = (run: string, { on = app, headers = {}, query = '' } = {}) =>
  on.call(`/v1/runs/${run}/stream${query}`, { token, headers })
const get = async (path: string) => (await (await app.call(path, { token })).json()).data
const answerIn = async (conversation: string) => (await get(`/v1/conversations/${conversation}/messages`)).items.at(-1)
const stop = (run: string, as = token) => app.call(`/v1/runs/${run}/stop`, { method: 'POST', token: as })
const textIn = (frames: Frame[]) => frames.map(({ data }) => data.choices?.[0]?.delta.content ?? '').join('')
const hasText = (part: string) => (frames: Frame[]) => textIn(frames).includes(part)
const idsOf = (frames: Frame[]) => frames.map(({ id }) => id)

test('stops before the first word, and closes the connection to the provider', async () => {
  const aborted = provider.aborted()
  const { run, conversation, rest } = await begin('silent')
  await until(() => provider.openStreams() === 1)
  const stopped = await stop(run)
  expect(stopped.status).toBe(200)
  expect((await stopped.json()).data).toMatchObject({ id: run, status: 'stopped', error: null, last_seq: 2 })
  const { frames, done } = await rest
  expect(done).toBe(true)
  expect(frames).toHaveLength(2)
  expect(frames[1]?.data).toMatchObject({
    finish_reason: 'stopped',
    usage: { completion_tokens: 0, cost_basis: 'estimated' },
  })
  expect(frames[1]?.data.choices?.[0]?.finish_reason).toBe('stop')
  expect(await answerIn(conversation)).toMatchObject({ content: '', status: 'stopped', finish_reason: 'stopped' })
  await until(() => provider.aborted() === aborted + 1)
})

test('stops in the middle and stores what was delivered', async () => {
  const { run, conversation, rest } = await begin('slow:15:200')
  await readSse(await stream(run), hasText('t5'))
  await stop(run)
  const { text, frames } = await rest
  const stored = await answerIn(conversation)
  expect(stored.content).toMatch(/^t1 t2 t3 t4 t5/)
  expect(stored.content.length).toBeLessThan(500)
  expect(stored).toMatchObject({ content: text, status: 'stopped', cost_usd: null })
  expect(stored.usage).toMatchObject({ cost_basis: 'estimated' })
  expect(frames.at(-1)?.data).toMatchObject({ finish_reason: 'stopped' })
})

test('stores no more than was delivered when nobody is listening at the stop', async () => {
  const response = await app.call('/v1/chat/completions', { token, json: { model: 'slow:10:300', message: 'go' } })
  const { frames, text } = await readSse(response, hasText('t3'))
  const { run_id, conversation_id } = frames[0]?.data ?? {}
  // The answer goes on: what is kept of it has outgrown what the client took.
  await until(async () => {
    const kept = await pool.query('select max(seq) as seq from run_checkpoints where run_id = $1', [run_id])
    return Number(kept.rows[0].seq) > frames.length + 20
  })
  const run = (await (await stop(String(run_id))).json()).data
  const stored = await answerIn(String(conversation_id))
  expect(stored.status).toBe('stopped')
  expect(stored.content).toStartWith(text)
  // One more event may have been on its way out when the client left.
  expect(stored.content.split(' ').length).toBeLessThanOrEqual(text.split(' ').length + 2)
  const replayed = await readSse(await stream(String(run_id)))
  expect(replayed.text).toBe(stored.content)
  expect(replayed.frames.at(-1)?.id).toBe(run.last_seq)
})

test('stopping twice, or after the end, changes nothing', async () => {
  const { run, conversation, rest } = await begin('slow:15:200')
  const [first, second] = await Promise.all([stop(run), stop(run)])
  const once = (await first.json()).data
  expect(once.status).toBe('stopped')
  expect((await second.json()).data).toEqual(once)
  expect((await (await stop(run)).json()).data).toEqual(once)
  await rest

  const whole = await begin('tokens:3')
  await whole.rest
  expect((await (await stop(whole.run)).json()).data.status).toBe('completed')
  expect(await answerIn(whole.conversation)).toMatchObject({ content: 't1 t2 t3', status: 'complete' })
  expect(await answerIn(conversation)).toMatchObject({ status: 'stopped' })
})

test("neither shows, reads nor stops someone else's run", async () => {
  const { run, rest } = await begin('slow:10:20')
  const stranger = await app.signUp()
  const unknown = await app.call(`/v1/runs/${crypto.randomUUID()}`, { token: stranger.token })
  const { code, message } = (await unknown.json()).error
  for (const answer of [
    await stop(run, stranger.token),
    await app.call(`/v1/runs/${run}`, { token: stranger.token }),
    await app.call(`/v1/runs/${run}/stream`, { token: stranger.token }),
  ]) {
    expect(answer.status).toBe(404)
    expect((await answer.json()).error).toMatchObject({ code, message })
  }
  const list = await (await app.call('/v1/runs', { token: stranger.token })).json()
  expect(list.data.items).toEqual([])
  expect((await rest).text).toEndWith('t20')
})

test('lists the answers being written, and no others', async () => {
  const { run, conversation, message, rest } = await begin('silent')
  const { items, pagination } = await get('/v1/runs?active=true')
  expect(items).toMatchObject([{ id: run, conversation_id: conversation, message_id: message, status: 'running' }])
  expect(pagination).toMatchObject({ total: 1 })
  await stop(run)
  await rest
  expect((await get('/v1/runs?active=true')).items).toEqual([])
  expect((await get('/v1/runs')).items[0]).toMatchObject({ id: run, status: 'stopped' })
})

test('resumes after Last-Event-ID and after ?after=, while it is written and when it is done', async () => {
  const { run, rest } = await begin('slow:10:30')
  const byHeader = readSse(await stream(run, { headers: { 'last-event-id': '4' } }))
  const byQuery = readSse(await stream(run, { query: '?after=4' }))
  const { frames } = await rest
  expect(idsOf(frames)).toEqual(Array.from({ length: 32 }, (_, i) => i + 1))
  for (const resumed of [await byHeader, await byQuery, await readSse(await stream(run, { query: '?after=4' }))]) {
    expect(resumed.frames).toEqual(frames.slice(4))
    expect(resumed.done).toBe(true)
  }
})

test('two readers see the same events at the same time', async () => {
  const { run, rest } = await begin('slow:5:60')
  const [mine, late] = await Promise.all([rest, stream(run).then((response) => readSse(response))])
  expect(late.frames).toEqual(mine.frames)
  expect(mine.frames).toHaveLength(62)
})

test('has nothing more for a reader who has it all, and refuses a number that is none', async () => {
  const { run, rest } = await begin('tokens:3')
  await rest
  for (const on of [app, other]) {
    const { frames } = await readSse(await stream(run, { on, query: '?after=5' }))
    expect(frames).toEqual([])
  }
  expect((await stream(run, { headers: { 'last-event-id': 'x' } })).status).toBe(422)
  expect((await stream(run, { query: '?after=-1' })).status).toBe(422)
})

test('beyond the end it gives the whole answer again, behind a restart', async () => {
  const { run, rest } = await begin('tokens:3')
  const { text } = await rest
  for (const on of [app, other]) {
    const resumed = await readSse(await stream(run, { on, query: '?after=77' }))
    expect(resumed.frames[0]).toMatchObject({ event: 'restart' })
    expect(resumed.text).toBe(text)
    expect(resumed.done).toBe(true)
  }
})

test('gives the whole text behind a restart when the events are not kept any more', async () => {
  const { run, conversation, rest } = await begin('reasoning')
  const { frames: original, text } = await rest
  const { frames, done } = await readSse(await stream(run, { on: other, query: '?after=3' }))
  expect(done).toBe(true)
  expect(frames[0]).toMatchObject({ id: 0, event: 'restart', data: { restart: { after: 0 } } })
  expect(frames[1]?.data).toMatchObject({ run_id: run, conversation_id: conversation })
  expect(frames[2]?.data.choices?.[0]?.delta).toMatchObject({
    content: text,
    reasoning_content: 'Six times seven.',
  })
  expect(frames.at(-1)).toEqual(original.at(-1))
  const fresh = await readSse(await stream(run, { on: other }))
  expect(fresh.frames).toEqual(frames.slice(1))
})

test('completes the answer of a client that left', async () => {
  const aborted = provider.aborted()
  const left = await app.call('/v1/chat/completions', { token, json: { model: 'slow:5:40', message: 'go' } })
  const { frames } = await readSse(left, hasText('t2'))
  const { run_id, conversation_id } = frames[0]?.data ?? {}
  await until(async () => (await get(`/v1/runs/${run_id}`)).status === 'completed')
  const stored = await answerIn(String(conversation_id))
  expect(stored).toMatchObject({ status: 'complete', usage: { completion_tokens: 40 } })
  expect(stored.content).toEndWith('t40')
  expect(provider.aborted()).toBe(aborted)
})

test('deleting a conversation stops its answer and closes the connection to the provider', async () => {
  const aborted = provider.aborted()
  const { run, conversation, rest } = await begin('slow:20:500')
  await until(() => provider.openStreams() === 1)
  const deleted = await app.call(`/v1/conversations/${conversation}`, { method: 'DELETE', token })
  expect(deleted.status).toBe(200)
  await until(() => provider.aborted() === aborted + 1)
  expect((await rest).frames.at(-1)?.data).toMatchObject({ finish_reason: 'stopped' })
  expect((await app.call(`/v1/runs/${run}`, { token })).status).toBe(404)
  expect((await stream(run)).status).toBe(404)
  expect(app.services.runs.active).toBe(0)
})
