import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readSse } from '../support/read-sse'
import { type EdgeApp, edgeApp } from '../support/supabase/app'

/** Everything here goes for both functions: ours, and one that keeps to the documented contract. */
describe.each([
  ['our function', false],
  ['an older function', true],
])('in front of %s', (_, older) => {
  let edge: EdgeApp
  let me: { id: string; token: string }
  beforeAll(async () => {
    edge = await edgeApp({}, { older })
    me = await edge.person()
  })
  afterAll(() => edge.close())

  const call = (path: string, init: { method?: string; json?: unknown } = {}) =>
    edge.app.call(path, { token: me.token, ...init })
  const post = (json: object) => call('/v1/chat/completions', { json })
  const say = async (json: object) => (await post({ stream: false, ...json })).json()
  const rows = async (conversation: string) =>
    (
      await edge.supabase.pool.query('select * from messages where conversation_id = $1 order by depth, id', [
        conversation,
      ])
    ).rows
  const shown = async (conversation: string) =>
    (await (await call(`/v1/conversations/${conversation}/messages`)).json()).data.items
  const lastSent = () => edge.provider.requests.at(-1)

  test('streams a first answer and stores what it streamed', async () => {
    const { frames, text, done } = await readSse(await post({ message: 'one two three' }))
    expect(done).toBe(true)
    expect(text).toBe('one two three')
    const { conversation_id, branch_id, message_id } = { ...frames[0]?.data, ...frames.at(-1)?.data }
    expect(await rows(String(conversation_id))).toMatchObject([
      { role: 'user', content: 'one two three', parent_id: null, branch_id },
      { id: message_id, role: 'assistant', content: 'one two three', branch_id, model: 'echo', status: 'complete' },
    ])
    expect(await shown(String(conversation_id))).toMatchObject([
      { role: 'user', content: 'one two three' },
      { id: message_id, role: 'assistant', content: 'one two three', usage: { completion_tokens: 3 } },
    ])
  })

  test('goes on with the path as context, in at most two calls before the first token', async () => {
    const first = await say({ message: 'one' })
    edge.function.calls.length = 0
    const next = await say({ message: 'two', conversation_id: first.conversation_id })
    expect(next.conversation_id).toBe(first.conversation_id)
    expect(next.choices[0].message.content).toBe('two')
    expect(lastSent()?.body?.messages).toMatchObject([
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'one' },
      { role: 'user', content: 'two' },
    ])
    const before = older ? ['POST /add-message', 'GET /build-context'] : ['POST /add-message']
    expect(edge.function.calls).toEqual([...before, 'POST /save-response'])
  })

  test('branches below an earlier message', async () => {
    const first = await say({ message: 'one' })
    const main = await say({ message: 'two', conversation_id: first.conversation_id })
    const parent_message_id = first.message_id
    const fork = await say({ message: 'instead', conversation_id: first.conversation_id, parent_message_id })
    expect(fork.branch_id).not.toBe(main.branch_id)
    expect((await shown(first.conversation_id)).map(({ content }: { content: string }) => content)).toEqual([
      'one',
      'one',
      'instead',
      'instead',
    ])
  })

  test('makes an answer again as a sibling with a real id', async () => {
    const first = await say({ message: 'one' })
    const { conversation_id, message_id } = first
    const again = await (await call('/v1/chat/regenerate', { json: { conversation_id, message_id } })).json()
    expect(again).toMatchObject({ conversation_id, choices: [{ message: { content: 'one' } }] })
    expect(again.branch_id).not.toBe(first.branch_id)
    const [question, ...answers] = await rows(conversation_id)
    expect(answers.map(({ id, parent_id }) => [id, parent_id])).toEqual([
      [message_id, question.id],
      [again.message_id, question.id],
    ])
    expect(await shown(conversation_id)).toMatchObject([{}, { id: again.message_id, siblings: { index: 2, count: 2 } }])
  })

  test('lists, renames and deletes conversations', async () => {
    const { conversation_id: id } = await say({ message: 'Tea' })
    const path = `/v1/conversations/${id}`
    const renamed = await (await call(path, { method: 'PATCH', json: { title: 'Coffee' } })).json()
    expect(renamed).toMatchObject({ success: true, data: { id, title: 'Coffee' } })
    const { data } = await (await call('/v1/conversations?limit=100')).json()
    expect(data.items.find((item: { id: string }) => item.id === id)).toMatchObject({ title: 'Coffee', model: 'echo' })
    expect(data.pagination.total).toBe(data.items.length)
    expect(await (await call(path, { method: 'DELETE' })).json()).toMatchObject({ data: { id, deleted: true } })
    expect((await call(path)).status).toBe(404)
    expect(await rows(id)).toEqual([])
  })

  test('lists by what the function itself cannot filter', async () => {
    const { token } = await edge.person()
    const get = async (path: string) => {
      const { data } = await (await edge.app.call(`/v1/conversations${path}`, { token })).json()
      return data
    }
    const titles = async (query: string) => (await get(query)).items.map(({ title }: { title: string }) => title)
    const ids: string[] = []
    for (const message of ['one', 'two', 'three']) {
      const json = { message, stream: false }
      const made = await (await edge.app.call('/v1/chat/completions', { token, json })).json()
      ids.push(made.conversation_id)
    }
    expect(await titles('?sort=title')).toEqual(['one', 'three', 'two'])
    expect(await titles('?q=T&sort=-title')).toEqual(['two', 'three'])
    expect(await titles('?sort=created_at&page=2&limit=2')).toEqual(['three'])
    expect(await titles('?has_branches=true')).toEqual([])
    expect((await get('?min_messages=2&sort=created_at')).items).toMatchObject(
      ids.map((id) => ({ id, message_count: 2, branch_count: 1 })),
    )
    expect((await get('')).items[0]).toMatchObject({ message_count: null, branch_count: null })
    expect(await titles('?archived=true')).toEqual([])
  })

  test('makes an empty conversation, shows its tree and sums it up', async () => {
    const made = (await (await call('/v1/conversations', { json: { title: 'Plans', model: 'echo' } })).json()).data
    expect(made).toMatchObject({ title: 'Plans', model: 'echo', active_leaf_id: null, tags: [] })
    const path = `/v1/conversations/${made.id}`
    const { message_id } = await say({ message: 'one two', conversation_id: made.id })
    await call('/v1/chat/regenerate', { json: { conversation_id: made.id, message_id } })
    const { data } = await (await call(`${path}/full?limit=2`)).json()
    expect(data.branches).toMatchObject([
      { name: 'Main', leaf_id: message_id, message_count: 2, preview: 'one two', active: false },
      { message_count: 2, active: true },
    ])
    expect(data.messages).toMatchObject({
      items: [{ role: 'user' }, { id: message_id, siblings: { index: 1, count: 2 } }],
      pagination: { total: 3, pages: 2 },
    })
    expect((await (await call(`${path}/stats`)).json()).data).toMatchObject({
      messages: 3,
      branches: 2,
      answers: 2,
      completion_tokens: 4,
      models: [{ model: 'echo', answers: 2 }],
    })
  })

  test('says what keeps settings, tags, pins and the archive', async () => {
    const { conversation_id: id } = await say({ message: 'Tea' })
    for (const json of [{ pinned: true }, { archived: true }, { tags: ['x'] }, { settings: {} }, { metadata: {} }]) {
      const refused = await call(`/v1/conversations/${id}`, { method: 'PATCH', json })
      expect(refused.status).toBe(501)
      expect((await refused.json()).error).toMatchObject({
        code: 'NOT_SUPPORTED',
        message: expect.stringContaining('set DATABASE_URL and STORE=postgres'),
      })
    }
    expect((await call('/v1/conversations', { json: { tags: ['x'] } })).status).toBe(501)
  })

  test('refuses a change to an older state', async () => {
    const { conversation_id: id } = await say({ message: 'Tea' })
    const path = `/v1/conversations/${id}`
    const etag = (await call(path)).headers.get('etag') ?? ''
    const change = (title: string) =>
      edge.app.call(path, { method: 'PATCH', token: me.token, json: { title }, headers: { 'if-match': etag } })
    expect((await change('First')).status).toBe(200)
    expect((await change('Second')).status).toBe(409)
  })

  test('shows nothing to somebody else', async () => {
    const { conversation_id: id, message_id } = await say({ message: 'secret' })
    const { token } = await edge.person()
    for (const path of [`/v1/conversations/${id}`, `/v1/conversations/${id}/messages`]) {
      expect((await edge.app.call(path, { token })).status).toBe(404)
    }
    const json = { message: 'hello', conversation_id: id, stream: false }
    expect((await edge.app.call('/v1/chat/completions', { token, json })).status).toBe(404)
    const again = { conversation_id: id, message_id }
    expect((await edge.app.call('/v1/chat/regenerate', { token, json: again })).status).toBe(404)
    expect((await edge.app.call(`/v1/conversations/${id}`, { token, method: 'DELETE' })).status).toBe(404)
    expect(await rows(id)).toHaveLength(2)
  })

  test("forwards the caller's token and the project's key, and nothing else of the request", async () => {
    await edge.app.call('/v1/chat/completions', {
      token: me.token,
      json: { message: 'hello', stream: false },
      headers: { cookie: 'a=b', 'x-forwarded-for': '1.2.3.4', 'x-custom': 'c', 'x-request-id': 'req-1' },
    })
    const { authorization, apikey, ...rest } = edge.function.headers.at(-1) ?? {}
    expect(authorization).toBe(`Bearer ${me.token}`)
    expect(apikey).toBe(edge.supabase.api.anonKey)
    expect(Object.keys(rest).sort()).toEqual(
      ['accept', 'accept-encoding', 'connection', 'content-length', 'content-type', 'host', 'user-agent'].sort(),
    )
  })

  test('keeps what goes beyond the contract where the function can, and says what is missing where not', async () => {
    const { conversation_id: id } = await say({ message: 'weather' })
    const messages = [{ role: 'tool', tool_call_id: 'c1', content: 'rain' }]
    const sent = await post({ messages, conversation_id: id, model: 'echo' })
    const prompt = await call(`/v1/conversations/${id}`, { method: 'PATCH', json: { system_prompt: 'Be brief' } })
    if (!older) {
      expect([sent.status, prompt.status]).toEqual([200, 200])
      expect((await rows(id)).map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant'])
      return
    }
    expect([sent.status, prompt.status]).toEqual([501, 501])
    expect((await sent.json()).error.message).toContain('supabase/')
    expect((await prompt.json()).error).toMatchObject({
      code: 'NOT_SUPPORTED',
      message: 'System prompts need the Edge Function in supabase/, or DATABASE_URL',
    })
    expect(await rows(id)).toHaveLength(2)
  })

  test('answers a second message at once with 409 while the first is being answered', async () => {
    const response = await post({ message: 'hello', model: 'slow:30' })
    const { frames } = await readSse(response, (frames) => frames.length > 2)
    const { conversation_id, run_id } = frames[0]?.data ?? {}
    expect((await post({ message: 'more', conversation_id })).status).toBe(409)
    const stopped = await call(`/v1/runs/${run_id}/stop`, { method: 'POST' })
    expect((await stopped.json()).data).toMatchObject({ status: 'stopped' })
    expect(await rows(String(conversation_id))).toMatchObject([{ role: 'user' }, { role: 'assistant' }])
    expect((await post({ message: 'more', conversation_id, stream: false })).status).toBe(200)
  })
})
