import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { newId } from '../../src/lib/ids'
import { contained } from '../../src/modules/exports/markdown'
import type { ArchivedTree } from '../../src/store/port'
import { type CallInit, type TestApp, testApp } from '../support/app'
import { forge, seconds } from '../support/forge'
import { until } from '../support/servers'

const JWT_SECRET_KEY = 'a secret that this server knows, and nobody else'
let app: TestApp
beforeAll(async () => {
  app = await testApp({ JWT_SECRET_KEY })
})
afterAll(() => app.close())

const newPerson = () => {
  const userId = crypto.randomUUID()
  return { userId, token: forge({ alg: 'HS256', typ: 'JWT' }, { sub: userId, exp: seconds(3600) }, JWT_SECRET_KEY) }
}
const ask = (token: string, json: unknown, init: CallInit = {}) =>
  app.call('/v1/export/conversations', { token, json, ...init })
const progress = async (token: string, id: string | null) =>
  (await (await app.call(`/v1/export/${id}`, { token })).json()).data
const say = async (token: string, body: object) =>
  (await app.call('/v1/chat/completions', { token, json: { stream: false, ...body } })).json()

/** A conversation of so many messages of this text, one below the other, behind the back of the front door. */
async function library(userId: string, { messages, text }: { messages: number; text: string }): Promise<string> {
  const at = new Date()
  const ids = Array.from({ length: messages }, newId)
  const branch = { id: newId(), name: 'Main', parentMessageId: null, createdAt: at, viewedAt: at }
  const tree: ArchivedTree = {
    conversation: {
      id: newId(),
      title: 'Long',
      titleSource: 'user',
      model: null,
      systemPrompt: null,
      settings: null,
      metadata: null,
      tags: [],
      pinnedAt: null,
      archivedAt: null,
      activeLeafId: ids.at(-1) ?? null,
      createdAt: at,
      updatedAt: at,
    },
    branches: [{ ...branch, leafId: ids.at(-1) ?? null }],
    messages: ids.map((id, depth) => ({
      id,
      parentId: ids[depth - 1] ?? null,
      branchId: branch.id,
      depth,
      role: 'user',
      content: text,
      extra: null,
      status: 'complete',
      model: null,
      finishReason: null,
      usage: null,
      costNanos: null,
      metadata: null,
      createdAt: at,
      completedAt: at,
    })),
  }
  const user = { tenantId: '00000000-0000-0000-0000-000000000001', userId }
  expect(await app.services.store.archive.write(user, tree)).toBe('written')
  return tree.conversation.id
}

test('gives a file to save, with a name for its progress', async () => {
  const { token } = newPerson()
  await say(token, { message: 'What is tea?' })
  const answer = await ask(token, { format: 'json' })
  expect(answer.headers.get('content-disposition')).toMatch(
    /^attachment; filename="conversations-\d{4}-\d\d-\d\d\.json"$/,
  )
  expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8')
  const text = await answer.text()
  const file = JSON.parse(text)
  expect(file).toMatchObject({ format: 'ai-chat-orchestrator', version: 1 })
  expect(file.conversations[0]).toMatchObject({ title: 'What is tea?', branches: [{ name: 'Main' }] })
  const id = answer.headers.get('x-export-id')
  expect(await progress(token, id)).toEqual({
    id,
    format: 'json',
    state: 'done',
    conversations_done: 1,
    conversations_total: 1,
    bytes: Buffer.byteLength(text),
  })
})

test('gives everything, what is named, or what fits', async () => {
  const { token } = newPerson()
  const made = []
  for (const message of ['one', 'two', 'three']) made.push((await say(token, { message })).conversation_id)
  await app.call(`/v1/conversations/${made[0]}`, { token, method: 'PATCH', json: { archived: true, tags: ['old'] } })
  const titles = async (json: object) => {
    const lines = (await (await ask(token, { format: 'ndjson', ...json })).text()).trim().split('\n')
    return lines.filter(Boolean).map((line) => JSON.parse(line).title)
  }
  expect(await titles({})).toEqual(['one', 'two', 'three'])
  expect(await titles({ ids: [made[2], made[0], made[2]] })).toEqual(['one', 'three'])
  expect(await titles({ filter: { archived: true } })).toEqual(['one'])
  expect(await titles({ filter: { tag: 'old' } })).toEqual(['one'])
  expect(await titles({ filter: { model: 'demo/eliza', archived: false } })).toEqual(['two', 'three'])
  expect(await titles({ filter: { created_before: '2020-01-01T00:00:00Z' } })).toEqual([])
  expect(await titles({ ids: [made[1]], filter: { archived: true } })).toEqual([])
})

test("has the shape of ChatGPT's own file", async () => {
  const { token } = newPerson()
  const first = await say(token, { message: 'What is tea?' })
  await app.call('/v1/chat/regenerate', {
    token,
    json: { conversation_id: first.conversation_id, message_id: first.message_id },
  })
  const [conversation] = await (await ask(token, { format: 'chatgpt' })).json()
  const { mapping, current_node, title, conversation_id } = conversation
  expect({ title, conversation_id }).toEqual({ title: 'What is tea?', conversation_id: first.conversation_id })
  expect(current_node).not.toBe(first.message_id)
  for (const [id, node] of Object.entries(
    mapping as Record<string, { id: string; parent: string | null; children: string[] }>,
  )) {
    expect(node.id).toBe(id)
    for (const child of node.children) expect(mapping[child].parent).toBe(id)
    if (node.parent !== null) expect(mapping[node.parent].children).toContain(id)
  }
  expect(mapping[first.message_id].message).toMatchObject({
    author: { role: 'assistant' },
    content: { content_type: 'text', parts: [first.choices[0].message.content] },
    metadata: { model_slug: 'demo/eliza' },
  })
})

describe('Markdown', () => {
  test('has the shown path of each conversation', async () => {
    const { token } = newPerson()
    const first = await say(token, { message: 'What is tea?' })
    const again = await app.call('/v1/chat/regenerate', {
      token,
      json: { conversation_id: first.conversation_id, message_id: first.message_id },
    })
    const answer = await ask(token, { format: 'markdown' })
    expect(answer.headers.get('content-type')).toBe('text/markdown; charset=utf-8')
    const text = await answer.text()
    expect(text).toStartWith('# What is tea?\n\n_20')
    const { content } = (await again.json()).choices[0].message
    expect(text).toEndWith(`\n## User\n\nWhat is tea?\n\n## Assistant\n\n${content}\n`)
  })

  test.each([
    ['plain text', 'a\n\nb', 'a\n\nb'],
    ['headings go below ours', '# One\n###### Six\n#hash\n#', '### One\n###### Six\n#hash\n###'],
    ['headings underlined', 'One\n===\n\nTwo\n  ---\n\n---', 'One\n\\===\n\nTwo\n  \\---\n\n---'],
    ['code keeps its hashes', '```sh\n# comment\n```\n# Heading', '```sh\n# comment\n```\n### Heading'],
    ['a fence left open is closed', '~~~~js\nlet a\n~~~', '~~~~js\nlet a\n~~~\n~~~~'],
    ['a fence in a fence is text', '````\n```\n# x\n````', '````\n```\n# x\n````'],
    ['inline code is no fence', '```a``` and\n# b', '```a``` and\n### b'],
    ['a comment that hides the rest', 'a\n<!-- b', 'a\n&lt;!-- b'],
    ['lines of another system', '# a\r\n# b\r# c', '### a\n### b\n### c'],
  ])('%s', (_, text, written) => {
    expect(contained(text)).toBe(written)
  })
})

describe('50 MB', () => {
  test('leave in pieces as they are asked for, with flat memory', async () => {
    const { userId, token } = newPerson()
    await app.call('/v1/conversations', { token })
    const text = 'x'.repeat(50_000)
    for (let i = 0; i < 5; i++) await library(userId, { messages: 200, text })

    const reader = (await ask(token, { format: 'json' })).body?.getReader()
    let [size, largest, checked, first, most] = [0, 0, 0, 0, 0]
    for (let next = await reader?.read(); next?.value; next = await reader?.read()) {
      size += next.value.length
      largest = Math.max(largest, next.value.length)
      if (size - checked < 5_000_000) continue
      checked = size
      Bun.gc(true)
      const { heapUsed, external } = process.memoryUsage()
      first ||= heapUsed + external
      most = Math.max(most, heapUsed + external)
    }
    expect(size).toBeGreaterThan(50_000_000)
    expect(largest).toBeLessThan(500_000)
    expect(most - first).toBeLessThan(20_000_000)
  }, 120_000)

  test('wait for a slow reader, and end when it leaves', async () => {
    const { userId, token } = newPerson()
    await app.call('/v1/conversations', { token })
    for (let i = 0; i < 3; i++) await library(userId, { messages: 100, text: 'y'.repeat(50_000) })
    const answer = await ask(token, { format: 'ndjson' })
    const id = answer.headers.get('x-export-id')
    const reader = answer.body?.getReader()
    await reader?.read()
    await Bun.sleep(200)
    const halfway = await progress(token, id)
    expect(halfway).toMatchObject({ state: 'running', conversations_done: 0, conversations_total: 3 })
    expect(halfway.bytes).toBeLessThan(1_000_000)
    await reader?.cancel()
    await until(async () => (await progress(token, id)).state === 'cancelled')
    expect(await progress(token, id)).toMatchObject({ conversations_done: 0 })
  }, 60_000)

  test('break off with a sign of it when the database fails', async () => {
    const { userId, token } = newPerson()
    await app.call('/v1/conversations', { token })
    await library(userId, { messages: 40, text: 'z'.repeat(50_000) })
    const answer = await ask(token, { format: 'json' })
    const { archive } = app.services.store
    const messages = archive.messages
    archive.messages = async () => {
      throw new Error('gone')
    }
    const fault = await answer.text().catch((error) => error)
    archive.messages = messages
    expect(fault).toMatchObject({ message: 'gone' })
    expect(await progress(token, answer.headers.get('x-export-id'))).toMatchObject({ state: 'failed' })
  })
})

describe('others', () => {
  test('see nothing of an export, nor of what was never theirs', async () => {
    const [mine, other] = [newPerson(), newPerson()]
    const { conversation_id } = await say(mine.token, { message: 'Hello' })
    const answer = await ask(mine.token, { format: 'json' })
    const id = answer.headers.get('x-export-id')
    expect((await app.call(`/v1/export/${id}`, { token: other.token })).status).toBe(404)
    expect((await app.call(`/v1/export/${crypto.randomUUID()}`, { token: other.token })).status).toBe(404)
    expect((await app.call('/v1/export/nothing', { token: other.token })).status).toBe(422)
    const refused = await ask(other.token, { format: 'json', ids: [conversation_id] })
    expect(refused.status).toBe(404)
    expect((await refused.json()).error.details).toEqual({ missing: [conversation_id] })
    expect(JSON.parse(await (await ask(other.token, { format: 'json' })).text()).conversations).toEqual([])
  })

  test.each([
    ['no format', {}],
    ['an unknown format', { format: 'pdf' }],
    ['no ids', { format: 'json', ids: [] }],
    ['ids that are none', { format: 'json', ids: ['1'] }],
    ['ids that are no list', { format: 'json', ids: crypto.randomUUID() }],
    ['a filter of nothing', { format: 'json', filter: {} }],
    ['a filter that is none', { format: 'json', filter: [] }],
    ['an unknown filter', { format: 'json', filter: { user_id: 'x' } }],
    ['a time that is none', { format: 'json', filter: { created_before: 'yesterday' } }],
    ['a day that is none', { format: 'json', filter: { created_before: '2026-02-31T00:00:00Z' } }],
    ['a model that is too long', { format: 'json', filter: { model: 'x'.repeat(201) } }],
  ])('are refused %s', async (_, json) => {
    expect((await ask(newPerson().token, json)).status).toBe(422)
  })

  test('may filter by NUL and half surrogates, which fit nothing', async () => {
    const body = '{"format":"ndjson","filter":{"tag":"\\u0000\\ud800","model":"\'; drop table users; --%_"}}'
    const { token } = newPerson()
    const headers = { 'content-type': 'application/json' }
    const answer = await app.call('/v1/export/conversations', { token, method: 'POST', headers, body })
    expect([answer.status, (await answer.text()).trim()]).toEqual([200, ''])
  })
})
