import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CallInit, type TestApp, testApp } from '../support/app'
import { forge, seconds } from '../support/forge'

const JWT_SECRET_KEY = 'a secret that this server knows, and nobody else'

let app: TestApp
let token: string
beforeAll(async () => {
  app = await testApp({ JWT_SECRET_KEY })
  token = newToken()
})
afterAll(() => app.close())

const fixture = (name: string) => readFileSync(join(import.meta.dir, '../fixtures/imports', `${name}.json`), 'utf8')
const json = { 'content-type': 'application/json' }
const post = (body: BodyInit, init: CallInit = {}, query = '') =>
  app.call(`/v1/import/conversations${query}`, { token, method: 'POST', headers: json, body, ...init })
const bring = async (document: unknown, as = token, query = '') => {
  const body = typeof document === 'string' ? document : JSON.stringify(document)
  const answer = await post(body, { token: as }, query)
  expect(answer.status).toBe(200)
  return (await answer.json()).data
}
const take = async (format: string, as = token, more: object = {}) => {
  const answer = await app.call('/v1/export/conversations', { token: as, json: { format, ...more } })
  expect(answer.status).toBe(200)
  return answer.text()
}
/** The one conversation of a new person, as our own export has it. */
const only = async (as: string) => {
  const { conversations } = JSON.parse(await take('json', as))
  expect(conversations).toHaveLength(1)
  return conversations[0] as Exported
}
interface ExportedMessage {
  id: string
  parent_id: string | null
  role: string
  content: string
  [field: string]: unknown
}
interface Exported {
  id: string
  active_leaf_id: string
  title: string
  system_prompt: string | null
  branches: { id: string; name: string; parent_message_id: string | null; leaf_id: string | null }[]
  messages: ExportedMessage[]
  [field: string]: unknown
}
/** Somebody whom another issuer vouches for: signing up here is limited. */
const newToken = () =>
  forge({ alg: 'HS256', typ: 'JWT' }, { sub: crypto.randomUUID(), exp: seconds(3600) }, JWT_SECRET_KEY)

/** Ids are called by their order, so that two files can be compared. */
function named(file: string): string {
  const names = new Map<string, string>()
  return file.replaceAll(/[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}/g, (id) => {
    if (!names.has(id)) names.set(id, `id-${names.size}`)
    return names.get(id) ?? ''
  })
}

describe('the formats', () => {
  test.each(['chatgpt', 'claude', 'open-webui', 'librechat', 'assistant-ui', 'own'])(
    'takes %s as a tree, and gives it away again',
    async (name) => {
      const mine = newToken()
      const first = await bring(fixture(name), mine)
      expect(first).toMatchObject({ imported: 1, skipped: 0, dry_run: false })
      expect(first.conversations).toMatchObject([{ title: 'Tea or coffee', messages: 3 }])
      const { messages, branches, active_leaf_id } = await only(mine)
      expect(messages.map(({ role, content }) => [role, content])).toEqual([
        ['user', 'Tea or coffee?'],
        ['assistant', 'Coffee.'],
        ['assistant', 'Tea.'],
      ])
      const [question, , tea] = messages
      expect(messages.map(({ parent_id }) => parent_id)).toEqual([null, String(question?.id), String(question?.id)])
      expect(active_leaf_id).toBe(String(tea?.id))
      expect(branches.map(({ leaf_id }) => leaf_id)).toEqual(messages.slice(1).map(({ id }) => id))
      expect(branches.map(({ parent_message_id }) => parent_message_id)).toEqual([null, String(question?.id)])

      const path = await app.call(`/v1/conversations/${first.conversations[0].id}/messages`, { token: mine })
      expect((await path.json()).data.items).toMatchObject([
        { content: 'Tea or coffee?' },
        { content: 'Tea.', siblings: { index: 2, count: 2, prev: messages[1]?.id } },
      ])

      const again = await bring(fixture(name), mine)
      expect(again).toMatchObject({ imported: 0, skipped: 1, conversations: [{ skipped: 'exists' }] })
      const file = await take('json', mine)
      expect(await bring(file, mine)).toMatchObject({ imported: 0, skipped: 1 })
      expect(await take('json', mine)).toBe(file)
    },
  )

  test('takes a list of OpenAI messages, with the calls of tools', async () => {
    const mine = newToken()
    const answer = await bring(fixture('openai'), mine)
    expect(answer.conversations).toMatchObject([
      { title: 'Tea or coffee?', messages: 4, repairs: { system_messages: 1 } },
    ])
    const { messages, system_prompt } = await only(mine)
    expect(system_prompt).toBe('Be brief')
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant'])
    expect(messages[1]?.extra).toMatchObject({ tool_calls: [{ id: 'c1' }] })
    expect(messages[2]?.extra).toEqual({ tool_call_id: 'c1' })
    expect(messages.map(({ parent_id }) => parent_id)).toEqual([null, ...messages.slice(0, 3).map(({ id }) => id)])
    expect(await bring(fixture('openai'), mine)).toMatchObject({ imported: 0, skipped: 1 })
  })

  test('takes OpenAI messages that say something else than text', async () => {
    const mine = newToken()
    const call = { name: 'menu', arguments: '{}' }
    const messages = [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Tea?' },
          { type: 'image_url', image_url: { url: 'data:,' } },
        ],
      },
      { role: 'assistant', function_call: call },
      { role: 'assistant', refusal: 'No tea' },
    ]
    await bring({ messages }, mine)
    expect((await only(mine)).messages.map(({ content, extra }) => [content, extra])).toEqual([
      ['Tea?', { content: messages[0]?.content }],
      ['', { function_call: call }],
      ['', { refusal: 'No tea' }],
    ])
  })

  test('keeps what a source says beside the text', async () => {
    const [gpt, claude, webui, libre, aui] = await Promise.all(
      ['chatgpt', 'claude', 'open-webui', 'librechat', 'assistant-ui'].map(async (name) => {
        const mine = newToken()
        await bring(fixture(name), mine)
        return only(mine)
      }),
    )
    expect(gpt?.messages.map(({ model }) => model)).toEqual([null, 'gpt-4o', 'o3'])
    expect(gpt).toMatchObject({
      model: null,
      created_at: '2023-11-14T22:13:20.250Z',
      metadata: { imported_from: 'chatgpt' },
    })
    expect(claude?.messages[0]?.metadata).toMatchObject({
      attachments: [{ extracted_content: 'tea' }],
      files: ['menu.txt'],
    })
    expect(claude?.messages[2]?.extra).toEqual({ reasoning_content: 'Tea it is' })
    expect(webui).toMatchObject({ system_prompt: 'Be brief', tags: ['drinks'], pinned_at: expect.any(String) })
    expect(libre).toMatchObject({ system_prompt: 'Be brief' })
    expect(aui?.messages[2]?.extra).toEqual({ reasoning_content: 'Tea it is' })
  })

  test('keeps files, calls of tools, errors and thoughts of answers', async () => {
    const brought = async (document: unknown) => {
      const mine = newToken()
      await bring(document, mine)
      return (await only(mine)).messages.map(({ role, content, extra, metadata }) => [role, content, extra, metadata])
    }
    const call = { type: 'tool_call', tool_call: { name: 'menu', args: '{}', output: 'tea' } }
    const think = { type: 'think', think: 'Tea it is' }
    const question = {
      messageId: 'u',
      parentMessageId: null,
      isCreatedByUser: true,
      text: 'Tea?',
      files: [{ file_id: 'f' }],
    }
    const answer = { messageId: 'a', text: '', content: [think, call, { type: 'text', text: 'Tea.' }] }
    const failed = { messageId: 'b', parentMessageId: 'a', text: 'Out of tea', error: true }
    expect(await brought({ conversationId: 'c', messages: [question, answer, failed] })).toEqual([
      ['user', 'Tea?', null, { files: [{ file_id: 'f' }] }],
      ['assistant', 'Tea.', { reasoning_content: 'Tea it is' }, { parts: [call] }],
      ['assistant', 'Out of tea', null, { error: true }],
    ])

    const file = { id: 'f', type: 'file', name: 'menu.txt', content: [{ type: 'text', text: 'tea' }] }
    const sent = { id: 'u', role: 'user', content: [{ type: 'text', text: 'Tea?' }], attachments: [file] }
    expect(await brought({ headId: 'u', messages: [{ parentId: null, message: sent }] })).toEqual([
      ['user', 'Tea?', null, { attachments: [file] }],
    ])

    const thought = '<details type="reasoning" done="true" duration="2">\n<summary>Thought for 2 seconds</summary>\n'
    const history = {
      u: { id: 'u', parentId: null, role: 'user', content: `${thought}?`, childrenIds: ['a', 'b'] },
      b: { id: 'b', parentId: 'u', role: 'assistant', content: '', error: { content: 'No model' } },
      a: {
        id: 'a',
        parentId: 'u',
        role: 'assistant',
        content: `${thought}&gt; Is 1 &lt; 2?\n&gt; Yes\n</details>\n<details><summary>More</summary>x</details>\nTea.`,
      },
    }
    expect(await brought([{ id: 'w', chat: { history: { messages: history } } }])).toEqual([
      ['user', `${thought}?`, null, null],
      ['assistant', '<details><summary>More</summary>x</details>\nTea.', { reasoning_content: 'Is 1 < 2?\nYes' }, null],
      ['assistant', '', null, { error: { content: 'No model' } }],
    ])

    const node = (id: string, parent: string | null, role: string, content: object, metadata = {}) => ({
      [id]: { id, parent, children: [], message: { author: { role }, content, metadata } },
    })
    const attachments = [{ id: 'f', name: 'menu.pdf' }]
    const thoughts = { content_type: 'thoughts', thoughts: [{ summary: 'Tea', content: 'Tea it is' }] }
    const picture = { content_type: 'image_asset_pointer', asset_pointer: 'file-service://file-1' }
    const mapping = {
      ...node('u', null, 'user', { content_type: 'text', parts: [''] }, { attachments }),
      ...node('t', 'u', 'assistant', thoughts),
      ...node('r', 't', 'assistant', { content_type: 'reasoning_recap', content: 'Thought for 2 seconds' }),
      ...node('a', 'r', 'assistant', { content_type: 'multimodal_text', parts: ['Tea.', picture] }),
      ...node('b', 'r', 'assistant', { content_type: 'text', parts: ['Coffee.'] }),
    }
    expect(await brought([{ id: 'g', mapping }])).toEqual([
      ['user', '', null, { attachments }],
      ['assistant', 'Tea.', { reasoning_content: 'Tea it is' }, { parts: [picture] }],
      ['assistant', 'Coffee.', null, null],
    ])
  })

  test('numbers the alternatives of Open WebUI as it lists them', async () => {
    const [row] = JSON.parse(fixture('open-webui'))
    const { u1, a1, a2 } = row.chat.history.messages
    row.chat.history.messages = { a2, a1, u1 }
    const mine = newToken()
    await bring([row], mine)
    expect((await only(mine)).messages.map(({ content }) => content)).toEqual(['Tea or coffee?', 'Coffee.', 'Tea.'])
  })

  test('takes a tree of LibreChat, nested and of a thousand messages deep', async () => {
    let tree: object = { messageId: 'm999', isCreatedByUser: false, text: 'm999', children: [] }
    for (let i = 998; i >= 0; i--)
      tree = { messageId: `m${i}`, isCreatedByUser: i % 2 === 0, text: `m${i}`, children: [tree] }
    const mine = newToken()
    const { conversations } = await bring({ conversationId: 'deep', recursive: true, messagesTree: [tree] }, mine)
    expect(conversations[0]).toMatchObject({ messages: 1000, repairs: {} })
    expect((await only(mine)).branches).toHaveLength(1)
  })

  test('goes on in a conversation that came from elsewhere', async () => {
    const mine = newToken()
    const { conversations } = await bring(fixture('chatgpt'), mine)
    const turn = { conversation_id: conversations[0].id, message: 'Thank you', stream: false }
    const answer = await app.call('/v1/chat/completions', { token: mine, json: turn })
    expect(await answer.json()).toMatchObject({ conversation_id: conversations[0].id, model: 'demo/eliza' })
    const again = await bring(fixture('chatgpt'), mine)
    expect(again).toMatchObject({ imported: 0 })
    expect((await only(mine)).messages).toHaveLength(5)
  })

  test('takes many of several kinds in one list, and leaves out what it does not know', async () => {
    const mine = newToken()
    const both = [...JSON.parse(fixture('claude')), ...JSON.parse(fixture('open-webui')), { what: 'is this' }]
    const answer = await bring(both, mine)
    expect(answer).toMatchObject({ imported: 2, skipped: 1 })
    expect(answer.conversations[2]).toMatchObject({ id: null, skipped: 'unknown_format' })
  })
})

describe('our own files', () => {
  test('keep everything, and their ids where these are free', async () => {
    const mine = newToken()
    // Another test may have this conversation: the ids of a file belong to whoever brings it first.
    const file = fixture('own').replaceAll('0199c0de-0000-7000-8000-0000000000', '0199c0de-0000-7000-8000-1111111111')
    await bring(file, mine)
    const [given] = JSON.parse(file).conversations
    expect(await only(mine)).toEqual(given)

    const other = newToken()
    const answer = await bring(file, other)
    expect(answer).toMatchObject({ imported: 1 })
    expect(answer.conversations[0].id).not.toBe(given.id)
    const [copy, original] = [await take('json', other), await take('json', mine)]
    expect(named(copy)).toBe(named(original))
    expect(await bring(original, other)).toMatchObject({ imported: 0, skipped: 1 })
    expect(await bring(copy, other)).toMatchObject({ imported: 0, skipped: 1 })
    expect(await take('json', mine)).toBe(original)
  })

  test('come back identical from a tree that was grown here, as JSON and line by line', async () => {
    const mine = newToken()
    const say = async (body: object) =>
      (await app.call('/v1/chat/completions', { token: mine, json: { stream: false, ...body } })).json()
    const first = await say({ message: 'one' })
    const id = first.conversation_id
    await say({ message: 'two', conversation_id: id })
    await say({ message: 'two, or rather', conversation_id: id, parent_message_id: first.message_id })
    await app.call('/v1/chat/regenerate', { token: mine, json: { conversation_id: id, message_id: first.message_id } })
    await say({ message: 'another' })
    for (const [format, type] of [
      ['json', 'application/json'],
      ['ndjson', 'application/x-ndjson'],
    ] as const) {
      const file = await take(format, mine)
      const other = newToken()
      const answer = await post(file, { token: other, headers: { 'content-type': type } })
      expect((await answer.json()).data).toMatchObject({ imported: 2, skipped: 0 })
      // Conversations are listed by their ids, which are others now.
      const sorted = (text: string) =>
        text
          .split('\n')
          .map((line) => named(line.replace(/,$/, '')))
          .sort()
      expect(sorted(await take(format, other))).toEqual(sorted(file))
      expect((await (await post(file, { token: mine, headers: { 'content-type': type } })).json()).data.imported).toBe(
        0,
      )
      expect(await take(format, mine)).toBe(file)
    }
    const chatgpt = await take('chatgpt', mine)
    const other = newToken()
    expect(await bring(chatgpt, other)).toMatchObject({ imported: 2 })
    const shape = ({ messages }: Exported) =>
      messages.map(({ role, content, parent_id }) => [role, content, messages.findIndex((m) => m.id === parent_id)])
    const shapes = async (as: string) =>
      JSON.parse(await take('json', as))
        .conversations.map(shape)
        .sort()
    expect(await shapes(other)).toEqual(await shapes(mine))
  })

  test('come back after they were deleted', async () => {
    const mine = newToken()
    await bring(fixture('openai'), mine)
    const file = await take('json', mine)
    const { id } = await only(mine)
    await app.call(`/v1/conversations/${id}`, { token: mine, method: 'DELETE' })
    expect(await bring(file, mine)).toMatchObject({ imported: 1, conversations: [{ id }] })
    expect(await take('json', mine)).toBe(file)
  })

  test('lend nobody the ids of somebody else, and change nothing of theirs', async () => {
    const [mine, thief] = [newToken(), newToken()]
    await bring(fixture('claude'), mine)
    const file = JSON.parse(await take('json', mine))
    file.conversations[0].title = 'Stolen'
    for (const message of file.conversations[0].messages) message.content = 'Stolen'
    expect(await bring(file, thief)).toMatchObject({ imported: 1 })
    // A new conversation of the thief's that names messages of the owner's.
    file.conversations[0].id = crypto.randomUUID()
    const second = await bring(file, thief)
    expect(second).toMatchObject({ imported: 1 })
    const { title, messages } = await only(mine)
    expect([title, messages[0]?.content]).toEqual(['Tea or coffee', 'Tea or coffee?'])
  })

  test('say what a dry run would do, and do nothing', async () => {
    const mine = newToken()
    const dry = await bring(fixture('librechat'), mine, '?dry_run=true')
    expect(dry).toMatchObject({ imported: 1, dry_run: true })
    expect(JSON.parse(await take('json', mine)).conversations).toEqual([])
    const real = await bring(fixture('librechat'), mine)
    expect(real.conversations).toEqual(dry.conversations)
    expect(await bring(fixture('librechat'), mine, '?dry_run=true')).toMatchObject({ imported: 0, skipped: 1 })
  })

  test('say the same of one that comes twice, dry or not', async () => {
    const mine = newToken()
    const twice = [JSON.parse(fixture('claude'))[0], JSON.parse(fixture('claude'))[0]]
    const dry = await bring(twice, mine, '?dry_run=true')
    expect(dry).toMatchObject({ imported: 1, skipped: 1 })
    expect((await bring(twice, mine)).conversations).toEqual(dry.conversations)
  })

  test('come back with a title as long as the Observatory takes', async () => {
    const mine = newToken()
    const json = { title: `${'word '.repeat(99)}end` }
    const { id } = await (await app.call('/api/v1/conversations', { token: mine, json })).json()
    const file = await take('json', mine)
    await app.call(`/v1/conversations/${id}`, { token: mine, method: 'DELETE' })
    expect(await bring(file, mine)).toMatchObject({ imported: 1, conversations: [{ repairs: {} }] })
    expect(await take('json', mine)).toBe(file)
  })

  test('with a status that is a word of the language are taken', async () => {
    const own = fixture('own').replaceAll('-7000-8000-', '-7000-a000-')
    for (const word of ['constructor', '__proto__']) {
      const mine = newToken()
      await bring(own.replaceAll('"complete"', `"${word}"`), mine)
      expect((await only(mine)).messages.map(({ status }) => status)).toEqual(['complete', 'stopped', 'complete'])
    }
  })
})

describe('what is broken', () => {
  const gpt = (mapping: object, more: object = {}) => ({
    title: 'Broken',
    conversation_id: crypto.randomUUID(),
    mapping,
    ...more,
  })
  const node = (
    id: string,
    parent: string | null,
    text: string,
    time: number | null = null,
    children: string[] = [],
  ) => ({
    [id]: {
      id,
      parent,
      children,
      message: { author: { role: 'user' }, create_time: time, content: { content_type: 'text', parts: [text] } },
    },
  })

  test('is mended, and the answer says what was', async () => {
    const mine = newToken()
    const mapping = {
      ...node('a', null, 'a', 10),
      ...node('orphan', 'nowhere', 'orphan', 20),
      ...node('self', 'self', 'self', 30),
      ...node('x', 'z', 'x', 40),
      ...node('y', 'x', 'y', 41),
      ...node('z', 'y', 'z', 42),
      ...node('early', 'z', 'early', 1),
    }
    const { conversations } = await bring(gpt(mapping), mine)
    expect(conversations[0]).toMatchObject({
      messages: 7,
      repairs: { missing_parents: 1, self_parents: 1, cycles: 1, times: 1 },
    })
    const { messages } = await only(mine)
    const parent = (text: string) => {
      const id = messages.find(({ content }) => content === text)?.parent_id
      return messages.find((message) => message.id === id)?.content ?? null
    }
    expect(['a', 'orphan', 'self', 'x', 'y', 'z', 'early'].map(parent)).toEqual([
      null,
      'a',
      'orphan',
      null,
      'x',
      'y',
      'z',
    ])
  })

  test('in ids and roles, is mended as well', async () => {
    const mine = newToken()
    const message = (id: string, parentId: string | null, role: string, text: string) => ({
      parentId,
      message: { id, role, content: [{ type: 'text', text }] },
    })
    const messages = [
      message('1', null, 'system', 'Be kind'),
      message('2', '1', 'user', 'Hello'),
      message('2', '1', 'user', 'Hello'),
      message('2', '1', 'user', 'Hallo'),
      message('3', '2', 'wizard', 'Abracadabra'),
      message('4', '3', 'tool', 'no call'),
    ]
    const { conversations } = await bring({ headId: '4', messages }, mine)
    expect(conversations[0]).toMatchObject({ messages: 4, repairs: { duplicate_ids: 2, roles: 2, system_messages: 1 } })
    const file = await only(mine)
    expect(file.system_prompt).toBe('Be kind')
    expect(file.messages.map(({ role, content }) => [role, content])).toEqual([
      ['user', 'Hello'],
      ['user', 'Hallo'],
      ['assistant', 'Abracadabra'],
      ['assistant', 'no call'],
    ])
  })

  test('in text, is replaced; a title of a megabyte is cut', async () => {
    const mine = newToken()
    const body = `{"title":"${'ab '.repeat(350_000)}","messages":[{"role":"user","content":"a\\u0000b\\ud800","\\u0000key\\udfff":{"\\u0000":1}}]}`
    const { conversations } = await bring(body, mine)
    expect(conversations[0].title.length).toBeLessThanOrEqual(200)
    expect(conversations[0].repairs).toEqual({ titles: 1 })
    const { messages } = await only(mine)
    expect(messages[0]?.content).toBe('a\uFFFDb\uFFFD')
    const own = fixture('own')
      .replaceAll('-7000-8000-', '-7000-9000-')
      .replace('"shelf": 7', '"\\u0000shelf\\ud800": "\\udfff"')
      .replace('"temperature": 0.3', '"api_base": "http://evil.example", "\\u0000": 1')
    expect(await bring(own, newToken())).toMatchObject({ imported: 1 })
  })

  test('is taken even when the path is 10,000 deep and goes backwards', async () => {
    const mine = newToken()
    const parts = Array.from({ length: 10_000 }, (_, i) => node(`n${i}`, i === 9_999 ? null : `n${i + 1}`, `m${i}`))
    const { conversations } = await bring(gpt(Object.assign({}, ...parts), { current_node: 'n0' }), mine)
    expect(conversations[0]).toMatchObject({ messages: 10_000, repairs: {} })
    const path = await app.call(`/v1/conversations/${conversations[0].id}/messages?limit=2`, { token: mine })
    const { data } = await path.json()
    expect(data.pagination.total).toBe(10_000)
    expect(data.items.map(({ content }: { content: string }) => content)).toEqual(['m1', 'm0'])
    const other = newToken()
    const file = await take('json', mine)
    expect(await bring(file, other)).toMatchObject({ imported: 1 })
    expect(named(await take('json', other))).toBe(named(file))
  }, 60_000)

  test('as one circle of 10,000 is a path', async () => {
    const mine = newToken()
    const parts = Array.from({ length: 10_000 }, (_, i) => node(`n${i}`, `n${(i + 9_999) % 10_000}`, `m${i}`))
    const { conversations } = await bring(gpt(Object.assign({}, ...parts)), mine)
    expect(conversations[0]).toMatchObject({ messages: 10_000, repairs: { cycles: 1 } })
    expect((await only(mine)).branches).toHaveLength(1)
  }, 60_000)

  test('without any message is left out', async () => {
    const answer = await bring([{ uuid: crypto.randomUUID(), name: 'Empty', chat_messages: [] }])
    expect(answer).toMatchObject({ imported: 0, skipped: 1, conversations: [{ skipped: 'empty' }] })
  })
})

describe('refuses', () => {
  test.each([
    ['half a document', '{"messages": [', json, 400],
    ['nothing', '', json, 422],
    ['an unknown format', '{"hello":"world"}', json, 422],
    ['messages that are none', '{"messages":[7,"x",null]}', json, 422],
    ['an empty list', '[]', json, 422],
    ['text', '"conversations"', json, 422],
    ['arrays 3,000 deep', '['.repeat(3000) + ']'.repeat(3000), json, 400],
    ['another content type', '{}', { 'content-type': 'text/csv' }, 415],
    ['a body said to be packed', '{}', { ...json, 'content-encoding': 'gzip' }, 415],
  ] as const)('%s', async (_, body, headers, status) => {
    const answer = await post(body, { headers })
    expect(answer.status).toBe(status)
    expect((await answer.json()).error.message).toBeString()
  })

  test.each([
    ['gzip', () => Bun.gzipSync(Buffer.from(fixture('own')))],
    ['zip', () => Buffer.from('504b0304140000000800', 'hex')],
  ])('a %s archive that is called JSON', async (_, pack) => {
    expect((await post(new Uint8Array(pack()))).status).toBe(415)
  })

  test('an unclear dry_run', async () => {
    expect((await post(fixture('own'), {}, '?dry_run=maybe')).status).toBe(422)
  })
})
