/** Tools of MCP servers, through the front door: what a model may call, what people see, what is kept. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestApp, testApp } from '../support/app'
import { createDatabase } from '../support/db'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import { startMcpServer, type TestMcpServer } from '../support/mcp-server'
import { type Frame, readSse } from '../support/read-sse'
import { until } from '../support/servers'

const SECRET = 'a secret of the tool server, long enough to be found'
let provider: FakeProvider
let mcp: TestMcpServer
let app: TestApp
let token: string
let dir: string
let database: Awaited<ReturnType<typeof createDatabase>>

beforeAll(async () => {
  provider = startFakeProvider({
    looks: 'call:tiny__echo',
    twice: 'call:tiny__echo:2',
    sleeps: 'call:tiny__slow',
    asks: 'call:careful__echo',
    both: 'tools:20',
    plain: 'echo',
  })
  mcp = startMcpServer()
  dir = mkdtempSync(join(tmpdir(), 'orchestrator-tools-'))
  writeFileSync(
    join(dir, 'mcp.yaml'),
    `servers:
  tiny: { url: "${mcp.url}", headers: { x-key: "\${TOOL_KEY}" }, tools: { allow: [echo, slow] } }
  careful: { url: "${mcp.url}", tools: { allow: [echo], approve: true } }
  elsewhere: { url: "${mcp.url}", tenants: [0199c0de-0000-7000-8000-00000000000f] }
  gone: { url: "http://127.0.0.1:1/mcp" }
limits: { steps: 4 }`,
  )
  database = await createDatabase()
  app = await testApp({
    DATABASE_URL: database.url,
    OPENAI_BASE_URL: provider.url,
    DEFAULT_MODEL: 'plain',
    JWT_SECRET_KEY: SECRET,
    MCP_FILE: join(dir, 'mcp.yaml'),
    TOOL_KEY: SECRET,
  })
  token = (await app.signUp()).token
})
afterAll(async () => {
  await app.close()
  await mcp.stop()
  await provider.stop()
  await database.drop()
  rmSync(dir, { recursive: true, force: true })
})
beforeEach(() => {
  mcp.calls.length = 0
})

const post = (path: string, json: object, as = token) => app.call(path, { token: as, json })
const say = async (json: object) => (await post('/v1/chat/completions', { stream: false, ...json })).json()
const stream = async (json: object) => readSse(await post('/v1/chat/completions', { stream: true, ...json }))
const get = async (path: string) => (await (await app.call(path, { token })).json()).data
const pathOf = async (id: unknown) => (await get(`/v1/conversations/${id}/messages`)).items
const lastSent = () => provider.requests.findLast(({ body }) => body)?.body
const offered = () => lastSent()?.tools?.map(({ function: { name } }) => name)
const deltas = (frames: Frame[], key: string) =>
  frames.flatMap(({ data }) => (data.choices?.[0]?.delta[key] ?? []) as Record<string, unknown>[])
const argumentsOf = (text: string) => JSON.stringify({ text })

describe('a chat of ours', () => {
  test('has its model call a tool, shows call and result, and keeps them', async () => {
    const { frames, text, done } = await stream({ message: argumentsOf('found'), model: 'looks' })
    expect(offered()).toEqual(['tiny__echo', 'tiny__slow', 'careful__echo'])
    expect(mcp.calls).toEqual([{ name: 'echo', arguments: { text: 'found' }, aborted: false }])
    expect(mcp.headers().get('x-key')).toBe(SECRET)
    expect([text, done]).toEqual(['Let me see. The tool said: found', true])
    expect(deltas(frames, 'tool_calls')[0]).toMatchObject({ index: 0, id: 'call_1', function: { name: 'tiny__echo' } })
    const results = [{ tool_call_id: 'call_1', name: 'tiny__echo', content: 'found', is_error: false }]
    expect(deltas(frames, 'tool_results')).toEqual(results)
    const last = frames.at(-1)?.data
    expect(last).toMatchObject({ finish_reason: 'stop', choices: [{ finish_reason: 'stop' }] })
    const conversation = frames[0]?.data.conversation_id
    const [, answer] = await pathOf(conversation)
    expect(answer).toMatchObject({ content: text, status: 'complete', finish_reason: 'stop', usage: last?.usage })
    expect(answer.extra.steps).toMatchObject([
      { content: 'Let me see. ', tool_calls: [{ id: 'call_1' }], tool_results: results },
    ])
    expect(answer.extra.tool_calls).toBeUndefined()

    await say({ message: 'and now?', conversation_id: conversation, model: 'plain' })
    expect(lastSent()?.messages).toEqual([
      { role: 'user', content: argumentsOf('found') },
      { role: 'assistant', content: 'Let me see. ', tool_calls: answer.extra.steps[0].tool_calls },
      { role: 'tool', tool_call_id: 'call_1', content: 'found' },
      { role: 'assistant', content: 'The tool said: found' },
      { role: 'user', content: 'and now?' },
    ])
  })

  test('counts the tokens of all steps', async () => {
    const [one, two] = [await say({ message: '{}', model: 'looks' }), await say({ message: '{}', model: 'twice' })]
    expect(two.choices[0].message.steps).toHaveLength(2)
    expect(two.usage.completion_tokens).toBeGreaterThan(one.usage.completion_tokens)
    expect(two.usage.total_tokens).toBe(two.usage.prompt_tokens + two.usage.completion_tokens)
  })

  test('can be read again, from the log and from the store', async () => {
    const { frames } = await stream({ message: argumentsOf('again'), model: 'looks' })
    const run = frames[0]?.data.run_id
    const replay = async () => readSse(await app.call(`/v1/runs/${run}/stream`, { token }))
    expect((await replay()).frames).toEqual(frames)

    const other = await testApp({ DATABASE_URL: database.url, JWT_SECRET_KEY: SECRET })
    const stored = await readSse(await other.call(`/v1/runs/${run}/stream`, { token }))
    await other.close()
    expect(stored.text).toBe('Let me see. The tool said: again')
    expect(deltas(stored.frames, 'tool_results')).toEqual(deltas(frames, 'tool_results'))
    expect(deltas(stored.frames, 'tool_calls')).toMatchObject([
      { index: 0, function: { arguments: argumentsOf('again') } },
    ])
  })

  test('goes without tools when it says so', async () => {
    await say({ message: 'x', model: 'plain', server_tools: false })
    expect(lastSent()).not.toHaveProperty('tools')
    expect(lastSent()).not.toHaveProperty('server_tools')
    const { conversation_id, message_id } = await say({ message: 'x', model: 'plain' })
    expect(offered()).toContain('tiny__echo')
    await (
      await post('/v1/chat/regenerate', { conversation_id, message_id, server_tools: false, stream: false })
    ).json()
    expect(offered()).toBeUndefined()
  })

  test('has its tool let go when it is stopped, and can go on', async () => {
    const begun = await post('/v1/chat/completions', { message: '{"ms":20000}', model: 'sleeps', stream: true })
    const run = Promise.withResolvers<Frame['data'] | undefined>()
    const rest = readSse(begun, (frames) => {
      if (frames[0]) run.resolve(frames[0].data)
      return false
    })
    const start = await run.promise
    await until(() => mcp.calls.length === 1)
    await post(`/v1/runs/${start?.run_id}/stop`, {})
    expect((await rest).frames.at(-1)?.data.finish_reason).toBe('stopped')
    await until(() => mcp.calls[0]?.aborted === true)
    await say({ message: 'go on', conversation_id: start?.conversation_id, model: 'plain' })
    expect(lastSent()?.messages.slice(1)).toEqual([
      expect.objectContaining({ role: 'assistant', tool_calls: [expect.objectContaining({ id: 'call_1' })] }),
      { role: 'tool', tool_call_id: 'call_1', content: 'This tool was not called.' },
      { role: 'user', content: 'go on' },
    ])
  })
})

describe('the OpenAI API', () => {
  const messages = [{ role: 'user', content: argumentsOf('hi') }]

  test('has tools of the server only when it asks for them', async () => {
    await say({ messages, model: 'looks' })
    expect(offered()).toBeUndefined()
    const { choices, usage } = await say({ messages, model: 'looks', server_tools: true })
    expect(lastSent()).not.toHaveProperty('server_tools')
    expect(choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: 'Let me see. The tool said: hi' } })
    expect(choices[0].message.tool_calls).toBeUndefined()
    expect(usage.total_tokens).toBeGreaterThan(0)
  })

  test('is not offered what needs approval when nothing is kept', async () => {
    await stream({ messages, model: 'plain', server_tools: true })
    expect(offered()).toEqual(['tiny__echo', 'tiny__slow'])
  })

  test('gets its own calls back, with the others made', async () => {
    const tools = [{ type: 'function', function: { name: 'theirs', parameters: { type: 'object' } } }]
    const { choices } = await say({ messages, model: 'both', tools, server_tools: true })
    const [{ message, finish_reason }] = choices
    expect(finish_reason).toBe('tool_calls')
    expect(message.tool_calls.map((call: { function: { name: string } }) => call.function.name)).toEqual(['theirs'])
    expect(message.steps[0].tool_results.map(({ name }: { name: string }) => name)).toEqual([
      'tiny__echo',
      'tiny__slow',
    ])
  })

  test('bound to a conversation, knows an answer again by its text', async () => {
    const { conversation_id } = await say({ message: 'x', model: 'plain' })
    const bound = { conversation_id, server_tools: true }
    const first = await say({ ...bound, messages, model: 'looks' })
    const history = [{ role: 'user', content: 'x' }, { role: 'assistant', content: 'x' }, ...messages]
    const { content } = first.choices[0].message
    const next = [...history, { role: 'assistant', content }, { role: 'user', content: 'more' }]
    const second = await say({ ...bound, messages: next, model: 'plain' })
    expect(second.branch_id).toBe(first.branch_id)
    expect(await pathOf(conversation_id)).toHaveLength(6)
  })
})

describe('a tool that needs approval', () => {
  const ask = async () => {
    const { frames } = await stream({ message: argumentsOf('done'), model: 'asks' })
    const { run_id, conversation_id } = frames[0]?.data ?? {}
    return { frames, run: String(run_id), conversation: conversation_id }
  }
  const decide = (run: string, body: object, as = token) => post(`/v1/runs/${run}/approvals`, body, as)
  const yes = { decisions: [{ tool_call_id: 'call_1', approve: true }] }

  test('is not called; the last frame says what waits, also when it is read again', async () => {
    const { frames, run, conversation } = await ask()
    expect(mcp.calls).toEqual([])
    const waiting = [{ tool_call_id: 'call_1', name: 'careful__echo', arguments: { text: 'done' } }]
    const last = { finish_reason: 'tool_calls', approval_required: waiting }
    expect(frames.at(-1)?.data).toMatchObject(last)
    const [, answer] = await pathOf(conversation)
    expect(answer.extra).toMatchObject({ approval_required: waiting, tool_calls: [{ id: 'call_1' }] })
    const again = await readSse(await app.call(`/v1/runs/${run}/stream`, { token }))
    expect(again.frames.at(-1)?.data).toMatchObject(last)
    expect(await say({ message: argumentsOf('done'), model: 'asks' })).toMatchObject(last)
  })

  test('is called once somebody agreed, and the answer goes on below', async () => {
    const { run, conversation } = await ask()
    const { frames, text } = await readSse(await decide(run, yes))
    expect(mcp.calls).toHaveLength(1)
    expect(deltas(frames, 'tool_results')).toMatchObject([{ tool_call_id: 'call_1', content: 'done', is_error: false }])
    expect(text).toBe('The tool said: done')
    expect(frames[0]?.data).toMatchObject({ conversation_id: conversation })
    const path = await pathOf(conversation)
    expect(path.map(({ role }: { role: string }) => role)).toEqual(['user', 'assistant', 'assistant'])
    await say({ message: 'and?', conversation_id: conversation, model: 'plain' })
    expect(lastSent()?.messages.slice(1)).toMatchObject([
      { role: 'assistant', content: 'Let me see. ', tool_calls: [{ id: 'call_1' }] },
      { role: 'tool', tool_call_id: 'call_1', content: 'done' },
      { role: 'assistant', content: 'The tool said: done' },
      { role: 'user', content: 'and?' },
    ])
  })

  test('is not called when they do not, and the model is told why', async () => {
    const { run } = await ask()
    const no = { decisions: [{ tool_call_id: 'call_1', approve: false, reason: 'not today' }], stream: false }
    const answer = await (await decide(run, no)).json()
    expect(mcp.calls).toEqual([])
    expect(answer.choices[0].message.content).toContain('The user did not allow this call. They say: not today')
  })

  test('is decided once, however many decide at once', async () => {
    const { run } = await ask()
    const answers = await Promise.all(Array.from({ length: 5 }, () => decide(run, { ...yes, stream: false })))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409, 409])
    expect(mcp.calls).toHaveLength(1)
    const late = await decide(run, yes)
    expect(late.status).toBe(409)
    const { error } = await late.json()
    const { run_id } = await (answers.find(({ ok }) => ok) as Response).json()
    expect(error).toMatchObject({ code: 'CONFLICT', details: { run_id } })
  })

  test('waits on when the decision is none', async () => {
    const { run } = await ask()
    const other = (await app.signUp()).token
    expect((await decide(run, yes, other)).status).toBe(404)
    for (const body of [
      {},
      { decisions: [] },
      { decisions: [{ tool_call_id: 'call_9', approve: true }] },
      { decisions: [...yes.decisions, ...yes.decisions] },
      { decisions: [{ tool_call_id: 'call_1', approve: 'yes' }] },
    ]) {
      const { status } = await decide(run, body)
      expect([body, status]).toEqual([body, 422])
    }
    expect(mcp.calls).toEqual([])
    expect((await decide(run, yes)).status).toBe(200)
  })

  test('is left when the conversation goes on without a decision, and can still be decided', async () => {
    const { run, conversation } = await ask()
    await say({ message: 'never mind', conversation_id: conversation, model: 'plain' })
    expect(lastSent()?.messages.at(-2)).toMatchObject({ role: 'tool', content: 'This tool was not called.' })
    expect((await (await decide(run, { ...yes, stream: false })).json()).choices[0].message.content).toContain('done')
  })

  test('an answer that waits for nothing is a conflict', async () => {
    const { run_id } = await say({ message: 'x', model: 'plain' })
    expect((await decide(run_id, yes)).status).toBe(409)
  })
})

test('shows its servers in /health, and is not unhealthy without one', async () => {
  const answer = await app.call('/health')
  const { status, checks } = await answer.json()
  expect([answer.status, status]).toEqual([200, 'degraded'])
  expect([checks['tools:tiny'].status, checks['tools:gone'].status]).toEqual(['ok', 'failed'])
})

test('does not start with a bad file', async () => {
  const file = join(dir, 'bad.yaml')
  writeFileSync(file, `servers: { a: { url: "\${NOT_SET}" }, b: 7 }`)
  expect(testApp({ MCP_FILE: file })).rejects.toThrow(`MCP_FILE: names \${NOT_SET}, which is not set`)
  expect(testApp({ MCP_FILE: join(dir, 'none.yaml') })).rejects.toThrow('MCP_FILE names a file that is not there')
})
