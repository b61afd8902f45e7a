import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { readSse } from '../support/read-sse'
import { until } from '../support/servers'
import { type EdgeApp, edgeApp } from '../support/supabase/app'
import type { FunctionFault } from '../support/supabase/function-proxy'

/** A minute's timeouts shortened to what a test can wait for. */
const ENV = { EDGE_FUNCTION_TIMEOUT: '1' }

describe.each([
  ['our function', false],
  ['an older function', true],
])('when %s fails', (_, older) => {
  let edge: EdgeApp
  let me: { id: string; token: string }
  beforeAll(async () => {
    edge = await edgeApp(ENV, { older })
  })
  beforeEach(async () => {
    me = await edge.person()
    // A success closes the breaker that the test before may have opened.
    await until(async () => (await call('/v1/conversations')).status === 200)
  })
  afterEach(() => edge.function.mend())
  afterAll(() => edge.close())

  const call = (path: string, init: { method?: string; json?: unknown } = {}) =>
    edge.app.call(path, { token: me.token, ...init })
  const post = (json: object) => call('/v1/chat/completions', { json })
  const say = async (json: object) => (await post({ stream: false, ...json })).json()
  const answers = async (conversation: unknown) =>
    (
      await edge.supabase.pool.query(
        `select * from messages where conversation_id = $1 and role = 'assistant' order by created_at`,
        [conversation],
      )
    ).rows

  test.each<[FunctionFault, number, string, string]>([
    ['error', 502, 'UPSTREAM_ERROR', 'The Edge Function failed (HTTP 500)'],
    ['html', 502, 'UPSTREAM_ERROR', 'The Edge Function gave an answer that is not JSON (HTTP 200)'],
    ['refusal', 502, 'UPSTREAM_ERROR', 'The Edge Function failed (HTTP 200)'],
    ['truncated', 502, 'UPSTREAM_ERROR', 'The Edge Function gave an answer that is not JSON (HTTP 200)'],
    ['unauthorized', 401, 'UNAUTHORIZED', 'Supabase does not accept this token any more: sign in again.'],
    ['missing', 404, 'NOT_FOUND', 'There is no such conversation or message'],
    ['hang', 504, 'UPSTREAM_TIMEOUT', 'The Edge Function did not answer within 1 s'],
  ])('says so when adding the message meets: %s', async (fault, status, code, message) => {
    const { conversation_id } = await say({ message: 'first' })
    edge.function.calls.length = 0
    edge.function.fail('/add-message', fault)
    const response = await post({ message: 'hello', conversation_id })
    expect(response.status).toBe(status)
    const { error } = await response.json()
    expect(error).toMatchObject({ code })
    expect(error.message).toStartWith(message)
    // Nothing of the other side's own words, and nothing asked of the model.
    expect(JSON.stringify(error)).not.toContain('10.0.0.7')
    expect(edge.function.calls).toEqual(['POST /add-message'])
    expect(edge.provider.requests.at(-1)?.body?.messages).toHaveLength(1)
  })

  test('does not send a write twice, and reads again what fails once', async () => {
    const { conversation_id: id } = await say({ message: 'first' })
    edge.function.calls.length = 0
    edge.function.fail('/add-message', 'error', 1)
    edge.function.fail(`/conversations/${id}`, 'error', 2)
    expect((await post({ message: 'hello', conversation_id: id })).status).toBe(502)
    expect((await call(`/v1/conversations/${id}`)).status).toBe(200)
    const count = (line: string) => edge.function.calls.filter((made) => made === line).length
    expect([count('POST /add-message'), count(`GET /conversations/${id}`)]).toEqual([1, 3])
  })

  test('finds what it has written a moment ago although the function does not yet', async () => {
    const { conversation_id: id } = await say({ message: 'first' })
    edge.function.fail(`/conversations/${id}`, 'missing', 2)
    expect((await call(`/v1/conversations/${id}`)).status).toBe(200)
    edge.function.fail('/build-context', 'missing', 2)
    expect((await post({ message: 'second', conversation_id: id, stream: false })).status).toBe(200)
    if (!older) return
    edge.function.fail('/build-context', 'missing')
    const response = await post({ message: 'third', conversation_id: id, stream: false })
    expect(response.status).toBe(502)
    expect((await response.json()).error.message).toBe('The Edge Function does not find what it has just written')
  })

  test('asks once for what many ask at the same time', async () => {
    const { conversation_id: id } = await say({ message: 'first' })
    edge.function.calls.length = 0
    const all = await Promise.all(Array.from({ length: 20 }, () => call(`/v1/conversations/${id}`)))
    expect(all.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200))
    expect(edge.function.calls).toEqual([`GET /conversations/${id}`])
  })

  test('leaves a group of endpoints alone that keeps failing, and only that', async () => {
    edge.function.fail('/messages', 'error')
    const path = '/v1/chat/regenerate'
    const ids = { conversation_id: crypto.randomUUID(), message_id: crypto.randomUUID() }
    // Three tries of the first, two of the second, which then meets the open breaker.
    expect((await call(path, { json: ids })).status).toBe(502)
    expect((await call(path, { json: ids })).status).toBe(503)
    edge.function.calls.length = 0
    const response = await call(path, { json: ids })
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('5')
    expect((await response.json()).error.message).toBe(
      'The Edge Function keeps failing and is left alone for the moment',
    )
    expect(edge.function.calls).toEqual([])
    expect((await call('/v1/conversations')).status).toBe(200)
    edge.function.mend()
    await until(async () => (await call(path, { json: ids })).status === 404)
  })

  test('keeps an answer that cannot be saved, says so in the stream, shows it and saves it once', async () => {
    edge.function.fail('/save-response', 'error', 1)
    const { frames, text, done } = await readSse(await post({ message: 'one two' }))
    expect([text, done]).toEqual(['one two', true])
    expect(frames.at(-1)?.data).toMatchObject({ finish_reason: 'stop', saving: 'delayed' })
    const { conversation_id } = frames[0]?.data ?? {}
    expect(await answers(conversation_id)).toEqual([])
    const path = `/v1/conversations/${conversation_id}/messages`
    expect((await (await call(path)).json()).data.items).toMatchObject([{}, { content: 'one two', status: 'complete' }])
    await until(async () => (await answers(conversation_id)).length === 1)
    expect(await answers(conversation_id)).toMatchObject([{ content: 'one two', model: 'echo' }])
    expect((await (await call(path)).json()).data.items).toHaveLength(2)
  })

  test('saves an answer once when saving works and nobody hears of it', async () => {
    edge.function.fail('/save-response', 'lost', 1)
    const { frames } = await readSse(await post({ message: 'one two' }))
    const { conversation_id } = frames[0]?.data ?? {}
    expect(frames.at(-1)?.data).toMatchObject({ saving: 'delayed' })
    expect(await answers(conversation_id)).toHaveLength(1)
    // The next turn settles what is open first, and hangs below the answer.
    const next = await say({ message: 'three', conversation_id })
    expect(await answers(conversation_id)).toMatchObject([{ content: 'one two' }, { content: 'three' }])
    expect(next.conversation_id).toBe(conversation_id)
    const sent = edge.provider.requests.at(-1)?.body?.messages.map(({ content }) => content)
    expect(sent).toEqual(['one two', 'one two', 'three'])
  })

  test('takes no new message below an answer that cannot be saved', async () => {
    edge.function.fail('/save-response', 'error')
    const { conversation_id } = await say({ message: 'one two' })
    const refused = await post({ message: 'three', conversation_id, stream: false })
    expect(refused.status).toBe(502)
    edge.function.mend()
    await until(async () => (await post({ message: 'three', conversation_id, stream: false })).status === 200)
    expect(await answers(conversation_id)).toHaveLength(2)
  })

  test('waits for the owner when the token does not serve any more', async () => {
    edge.function.fail('/save-response', 'unauthorized', 1)
    const { frames } = await readSse(await post({ message: 'one two' }))
    expect(frames.at(-1)?.data).toMatchObject({ saving: 'delayed' })
    const { conversation_id } = frames[0]?.data ?? {}
    await Bun.sleep(2500)
    expect(edge.function.calls.filter((line) => line === 'POST /save-response').length).toBeGreaterThan(0)
    expect(await answers(conversation_id)).toEqual([])
    // Any request of theirs will do.
    await call('/v1/conversations')
    await until(async () => (await answers(conversation_id)).length === 1)
  })
})

describe('a function that cannot be reached', () => {
  test('is told from one that fails, and asks for patience', async () => {
    const edge = await edgeApp({ EDGE_FUNCTION_URL: 'http://127.0.0.1:1/functions/v1' })
    const { token } = await edge.person()
    const response = await edge.app.call('/v1/chat/completions', { token, json: { message: 'hello' } })
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('1')
    expect((await response.json()).error).toMatchObject({
      code: 'UPSTREAM_UNAVAILABLE',
      message: 'The Edge Function cannot be reached',
    })
    expect((await edge.app.call('/ready')).status).toBe(503)
    await edge.close()
  })
})
