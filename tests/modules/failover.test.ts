/** Two providers with the same models, of which the first one fails: what people see of it. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'
import { createDatabase } from '../support/db'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { type Frame, readSse } from '../support/read-sse'
import { freePort, until } from '../support/servers'

const SECRET = 'a secret that both servers know well'
let first: FakeProvider
let second: FakeProvider
let app: TestApp
let token: string
/** Both servers share it: an embedded one takes its time to start. */
let database: Awaited<ReturnType<typeof createDatabase>>

beforeAll(async () => {
  first = startFakeProvider({
    early: 'status:500',
    wrong: 'status:400',
    shy: 'hang',
    middle: 'cut-after:3',
    kept: 'cut-after:3',
    late: 'silent-after:2',
    tools: 'error-after:1',
    twice: 'cut-after:2',
  })
  second = startFakeProvider({
    early: 'echo',
    wrong: 'echo',
    shy: 'echo',
    middle: 'echo',
    kept: 'echo',
    late: 'slow:30:10',
    tools: 'tools',
    twice: 'cut-after:4',
  })
  database = await createDatabase()
  app = await testApp({
    DATABASE_URL: database.url,
    JWT_SECRET_KEY: SECRET,
    OPENAI_BASE_URL: first.url,
    OPENAI_API_KEY: 'sk-first',
    LITELLM_URL: second.url,
    LITELLM_MASTER_KEY: 'sk-second',
    DEFAULT_PROVIDER: 'openai',
    DEFAULT_MODEL: 'early',
    CONNECT_TIMEOUT: '1',
    IDLE_TIMEOUT: '1',
  })
  token = (await app.signUp()).token
})
afterAll(async () => {
  await app.close()
  await first.stop()
  await second.stop()
  await database.drop()
})

const post = (json: object, headers: Record<string, string> = {}) =>
  app.call('/v1/chat/completions', { token, json, headers })
const get = async (path: string) => (await (await app.call(path, { token })).json()).data
const stored = async (frames: Frame[]) => {
  const [start] = frames
  const path = await get(`/v1/conversations/${start?.data.conversation_id}/messages`)
  return path.items.at(-1)
}
const asked = (provider: FakeProvider) => provider.requests.filter(({ path }) => path.endsWith('/completions')).length
const messages = [{ role: 'user', content: 'one two three' }]

/** What a client ends with that heeds `restart`. */
function heard(frames: Frame[]): string {
  let text = ''
  for (const { event, data } of frames) {
    if (event === 'restart') text = ''
    text += data.choices?.[0]?.delta.content ?? ''
  }
  return text
}

const hasRestart = (frames: Frame[]) => frames.some(({ event }) => event === 'restart')

describe('before the first piece', () => {
  test.each(['early', 'shy'])('nobody sees that the first one failed (%s)', async (model) => {
    const { frames, text, done } = await readSse(await post({ message: 'one two three', model }))
    expect([text, done, hasRestart(frames)]).toEqual(['one two three', true, false])
    const whole = await (await post({ messages, model })).json()
    expect(whole.choices[0].message.content).toBe('one two three')
    const streamed = await readSse(await post({ messages, model, stream: true }))
    expect(streamed).toMatchObject({ text: 'one two three', done: true })
    expect(second.requests.at(-1)?.headers.authorization).toBe('Bearer sk-second')
    expect(second.requests.at(-1)?.body).not.toHaveProperty('caller')
  })

  test('a request that is wrong is not sent to the other one', async () => {
    const before = asked(second)
    expect((await post({ messages, model: 'wrong' })).status).toBe(400)
    expect(asked(second)).toBe(before)
  })

  test('a provider that cannot be reached costs no time', async () => {
    const without = await testApp({
      DATABASE_URL: database.url,
      JWT_SECRET_KEY: SECRET,
      OPENAI_BASE_URL: `http://127.0.0.1:${await freePort()}/v1`,
      OPENAI_API_KEY: 'sk-x',
      LITELLM_URL: second.url,
      LITELLM_MASTER_KEY: 'sk-second',
      DEFAULT_PROVIDER: 'openai',
    })
    const ask = () => without.call('/v1/chat/completions', { token, json: { messages, model: 'tokens:2' } })
    expect((await ask()).status).toBe(200)
    const begun = performance.now()
    expect((await (await ask()).json()).choices[0].message.content).toBe('t1 t2')
    expect(performance.now() - begun).toBeLessThan(500)
    await without.close()
  })
})

describe('in the middle', () => {
  test('our own stream takes back what was said, begins anew, and stores what the client ends with', async () => {
    const { frames, done } = await readSse(await post({ message: 'one two three', model: 'middle' }))
    expect(done).toBe(true)
    expect(frames.map(({ id }) => id)).toEqual(frames.map((_, i) => i + 1))
    const restart = frames.find(({ event }) => event === 'restart')
    expect(restart).toMatchObject({ id: 5, data: { restart: { after: 1 } } })
    expect(frames.filter(({ event }) => event === 'restart')).toHaveLength(1)
    expect(heard(frames)).toBe('one two three')
    expect(frames.at(-1)?.data).toMatchObject({ finish_reason: 'stop', usage: { completion_tokens: 3 } })
    expect(await stored(frames)).toMatchObject({ content: 'one two three', status: 'complete' })
  })

  test('a client that resumes on either side of it ends with the same', async () => {
    const cut = await readSse(await post({ message: 'go', model: 'late' }), (frames) => frames.length === 3)
    const run = cut.frames[0]?.data.run_id
    const resume = async (after: number | undefined) =>
      readSse(await app.call(`/v1/runs/${run}/stream`, { token, headers: { 'last-event-id': String(after) } }))
    const rest = await resume(cut.frames.at(-1)?.id)
    const whole = [...cut.frames, ...rest.frames]
    expect(whole.map(({ id }) => id)).toEqual(whole.map((_, i) => i + 1))
    expect(heard(whole)).toBe('t1 t2 t3 t4 t5 t6 t7 t8 t9 t10')
    const at = whole.find(({ event }) => event === 'restart')?.id
    expect((await resume(at)).text).toBe(heard(whole))
    expect(heard((await resume(0)).frames)).toBe(heard(whole))
    expect(await stored(whole)).toMatchObject({ content: heard(whole), status: 'complete' })
  })

  test('one that is stopped after it is not pasted together from both', async () => {
    const { frames } = await readSse(await post({ message: 'go', model: 'late' }), hasRestart)
    const { run_id } = frames[0]?.data ?? {}
    await app.call(`/v1/runs/${run_id}/stop`, { token, method: 'POST' })
    const answer = await stored(frames)
    expect(answer.status).toBe('stopped')
    expect('t1 t2 t3 t4 t5 t6 t7 t8 t9 t10').toStartWith(answer.content)
  })

  test('calls of tools come from one provider', async () => {
    const body = { message: 'go', model: 'tools', stream: false }
    const { choices } = await (await post(body)).json()
    expect(choices[0].message).toMatchObject({
      content: null,
      tool_calls: [{ id: 'call_1', function: { name: 'get_weather', arguments: '{"city":"Paris"}' } }],
    })
  })

  test('a plain answer is the last one only', async () => {
    for (const body of [
      { messages, model: 'middle' },
      { message: 'one two three', model: 'middle', stream: false },
    ]) {
      const answer = await (await post(body)).json()
      expect(answer.choices).toMatchObject([{ message: { content: 'one two three' }, finish_reason: 'stop' }])
    }
  })

  test("OpenAI's stream ends with an error, and nobody is asked in vain", async () => {
    const before = asked(second)
    const { frames, text, done } = await readSse(await post({ messages, model: 'middle', stream: true }))
    expect([text, done]).toEqual(['t1 t2 t3', false])
    expect(frames.at(-1)?.data.error).toMatchObject({ type: 'server_error', param: null })
    expect(frames.some(({ data }) => data.choices?.some((choice) => choice.finish_reason))).toBe(false)
    expect(asked(second)).toBe(before)
  })

  test("OpenAI's stream begins anew for a client that says it can", async () => {
    const headers = { 'x-stream-restart': 'allow' }
    const { frames, done } = await readSse(await post({ messages, model: 'middle', stream: true }, headers))
    expect(done).toBe(true)
    const at = frames.findIndex(({ data }) => data.restart)
    expect(frames[at]?.data).toMatchObject({ object: 'chat.completion.chunk', choices: [], restart: true })
    expect(frames[at]?.data.id).toBe(frames[0]?.data.id)
    expect(heard(frames.slice(0, at))).toBe('t1 t2 t3')
    expect(heard(frames.slice(at))).toBe('one two three')
    expect(frames.slice(at + 1)[0]?.data.choices?.[0]?.delta.role).toBe('assistant')
  })

  test("OpenAI's stream of a stored answer ends with an error, while the answer is finished and kept", async () => {
    const begun = await readSse(await post({ message: 'hello', model: 'early' }))
    const { conversation_id } = begun.frames[0]?.data ?? {}
    const bound = { messages, model: 'kept', stream: true, conversation_id }
    const { frames, text, done } = await readSse(await post(bound))
    expect([text, done]).toEqual(['t1 t2 t3', false])
    expect(frames.at(-1)?.data.error?.message).toContain('X-Stream-Restart')
    const run = () => get(`/v1/runs/${frames[0]?.data.run_id}`)
    await until(async () => (await run()).status !== 'running')
    expect(await run()).toMatchObject({ status: 'completed' })
    expect(await stored(frames)).toMatchObject({ content: 'one two three', status: 'complete' })

    const allowed = await readSse(await post(bound, { 'x-stream-restart': 'allow' }))
    expect(allowed.done).toBe(true)
    const at = allowed.frames.findIndex(({ data }) => data.restart)
    expect(heard(allowed.frames.slice(at))).toBe('one two three')
  })

  test('when the last one breaks off, too, what it said is kept, and the error is told', async () => {
    const { frames, done } = await readSse(await post({ message: 'go', model: 'twice' }))
    expect(done).toBe(true)
    expect(heard(frames)).toBe('t1 t2 t3 t4')
    expect(frames.at(-1)?.data.error).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' })
    expect(await stored(frames)).toMatchObject({ content: 't1 t2 t3 t4', status: 'error' })
  })
})

describe('those who run it', () => {
  test('see who failed, who helped out and who is left alone', async () => {
    const metrics = (await (await app.call('/metrics')).text()).split('\n')
    const value = (line: string) => Number(metrics.find((said) => said.startsWith(`${line} `))?.split(' ')[1])
    expect(value('llm_attempts_total{provider="openai",outcome="UPSTREAM_ERROR"}')).toBeGreaterThan(2)
    expect(value('llm_failovers_total{from="openai",to="litellm",when="before"}')).toBeGreaterThan(2)
    expect(value('llm_failovers_total{from="openai",to="litellm",when="after"}')).toBeGreaterThan(4)
    expect(value('llm_breaker_open{provider="litellm"}')).toBe(0)
    const open = value('llm_breaker_open{provider="openai"}')
    expect(open).toBeGreaterThan(0)
    const health = await (await app.call('/health')).json()
    expect(health).toMatchObject({
      status: 'degraded',
      checks: {
        'llm:openai': { status: 'degraded', message: `${open} deployment(s) left alone after failures` },
        'llm:litellm': { status: 'ok' },
      },
    })
  })

  test('leave no connection open behind', async () => {
    await until(() => first.openStreams() + second.openStreams() === 0)
    expect(app.services.runs.active).toBe(0)
  })
})
