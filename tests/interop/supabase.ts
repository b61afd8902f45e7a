/** The examples of the Python orchestrator's README, with the real curl, on a Supabase project. */
import assert from 'node:assert/strict'
import { checksFor } from './checks'
import type { Answer } from './curl'
import type { Setup } from './server'
import { supabaseFailures } from './supabase-failures'
import { olderFunction } from './supabase-older'
import { supabaseOperations } from './supabase-operations'
import { type Person, type Project, startProject } from './supabase-project'

export const SAY = `curl -X POST http://localhost:8000/v1/chat/completions \\
  -H "Authorization: Bearer YOUR_JWT_TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{
    "message": "Hello, how are you?",
    "stream": true,
    "model": "gpt-4",
    "temperature": 0.7
  }'`
export const REGENERATE = `curl -X POST http://localhost:8000/v1/chat/regenerate \\
  -H "Authorization: Bearer YOUR_JWT_TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{
    "conversation_id": "conversation-uuid",
    "message_id": "message-uuid",
    "model": "gpt-4"
  }'`
export const READ = `curl -X GET http://localhost:8000/v1/conversations/your-conversation-id \\
  -H "Authorization: Bearer YOUR_JWT_TOKEN"`

export type Row = Record<string, unknown> & { id: string; role: string; content: string; parent_id: string | null }
type Chunk = {
  id: string
  object: string
  choices: { delta: { role?: string; content?: string }; finish_reason: string | null }[]
  usage?: { completion_tokens: number }
  [field: string]: unknown
}
type Full = { conversation: Record<string, unknown>; branches: Record<string, unknown>[]; messages: Row[] }

export async function supabaseSuite(setup: Setup, options: Parameters<typeof startProject>[0]): Promise<void> {
  const project = await startProject(options)
  try {
    await chatting(setup, project)
    await supabaseOperations(setup, project)
    await supabaseFailures(setup, project)
  } finally {
    await project.close()
  }
  const bare = await startProject({ ...options, kind: 'bare' })
  try {
    await withoutOptional(setup, bare)
  } finally {
    await bare.close()
  }
  const older = await startProject({ ...options, kind: 'older' })
  try {
    await olderFunction(setup, older)
  } finally {
    await older.close()
  }
}

async function chatting({ provider, proxyOnly }: Setup, project: Project): Promise<void> {
  const { check } = checksFor('supabase', proxyOnly)
  const { curl, journal, litellm } = project
  const ada = await project.person()
  const words = { YOUR_JWT_TOKEN: ada.token }
  const sent = () => provider.requests.findLast(({ path }) => path.endsWith('/chat/completions'))?.body
  const spoken = () => sent()?.messages.map(({ content }) => content)
  const ids = { conversation: '', branch: '', answer: '', user: '' }
  const say = (fields: object, more: Record<string, string> = {}) =>
    curl(SAY, { ...words, '"message": "Hello, how are you?"': JSON.stringify(fields).slice(1, -1), ...more })

  await check('streams chunks that the existing clients read', async () => {
    journal.length = 0
    const answer = await curl(SAY, words)
    assert.equal(answer.status, 200, answer.body)
    assert.match(answer.headers.get('content-type') ?? '', /^text\/event-stream/)
    assert.match(answer.headers.get('cache-control') ?? '', /no-cache/)
    assert.equal(answer.headers.get('x-accel-buffering'), 'no')
    const chunks = chunksOf(answer)
    assert.equal(textOf(chunks), 'Hello, how are you?')
    assert.deepEqual(new Set(chunks.map(({ object }) => object)), new Set(['chat.completion.chunk']))
    assert.equal(new Set(chunks.map(({ id }) => id)).size, 1)
    assert.equal(chunks[0]?.choices[0]?.delta.role, 'assistant')
    assert.deepEqual(
      chunks.flatMap(({ choices }) => choices[0]?.finish_reason ?? []),
      ['stop'],
    )
    ids.conversation = String(chunks[0]?.conversation_id)
    ids.branch = String(chunks[0]?.branch_id)
    ids.answer = String(chunks[0]?.message_id)
    assert.equal(chunks.at(-1)?.saving, undefined)
  })
  await check(
    'asks the function once before the first word of a new conversation, and saves after the last',
    async () => {
      assert.deepEqual(journal, TURN)
    },
  )
  await check('sends the model what was asked, and no defaults', async () => {
    assert.deepEqual(spoken(), ['Hello, how are you?'])
    const { temperature, max_tokens } = sent() as Record<string, unknown>
    assert.deepEqual([temperature, max_tokens], [0.7, undefined])
  })
  await check('stores both messages with their tokens, and a title', async () => {
    const { conversation, branches, messages } = await full(project, ada, ids.conversation)
    const [user, answer] = messages
    assert.deepEqual(
      messages.map(({ role, content }) => [role, content]),
      [
        ['user', 'Hello, how are you?'],
        ['assistant', 'Hello, how are you?'],
      ],
    )
    ids.user = user?.id ?? ''
    assert.equal(answer?.id, ids.answer)
    assert.equal(answer?.parent_id, ids.user)
    assert.equal(answer?.tokens_count, 4)
    assert.equal(answer?.model, 'gpt-4')
    assert.equal(answer?.branch_id, ids.branch)
    assert.deepEqual(
      branches.map(({ id, name }) => [id, name]),
      [[ids.branch, 'Main']],
    )
    assert.equal(conversation.title, 'Hello, how are you?')
    assert.equal(conversation.user_id, ada.id)
  })
  await check('finds the same rows in Postgres', async () => {
    const { rows } = await project.supabase.pool.query(
      "select role, status, usage->>'completion_tokens' as tokens from messages where conversation_id = $1 order by depth",
      [ids.conversation],
    )
    assert.deepEqual(rows, [
      { role: 'user', status: 'complete', tokens: null },
      { role: 'assistant', status: 'complete', tokens: '4' },
    ])
  })
  await check('goes on with a conversation and its model, in one piece', async () => {
    journal.length = 0
    const fields = { message: 'and you?', conversation_id: ids.conversation }
    const answer = await say(fields, { '"stream": true': '"stream": false', '"model": "gpt-4",': '' })
    assert.match(answer.headers.get('content-type') ?? '', /^application\/json/)
    const body = JSON.parse(answer.body)
    assert.equal(body.object, 'chat.completion')
    assert.equal(body.model, 'gpt-4')
    assert.equal(body.choices[0].message.content, 'and you?')
    assert.equal(body.choices[0].finish_reason, 'stop')
    assert.equal(body.usage.completion_tokens, 2)
    assert.equal(body.conversation_id, ids.conversation)
    assert.deepEqual(spoken(), ['Hello, how are you?', 'Hello, how are you?', 'and you?'])
    assert.deepEqual(journal, TURN)
  })
  await check('branches below an older message', async () => {
    journal.length = 0
    const fields = { message: 'or so', conversation_id: ids.conversation, parent_message_id: ids.answer }
    const [first] = chunksOf(await say(fields))
    assert.deepEqual(spoken(), ['Hello, how are you?', 'Hello, how are you?', 'or so'])
    assert.notEqual(first?.branch_id, ids.branch)
    assert.deepEqual(journal, TURN)
    const { conversation, messages } = await full(project, ada, ids.conversation)
    assert.equal(conversation.active_branch_id, first?.branch_id)
    assert.equal(messages.filter(({ parent_id }) => parent_id === ids.answer).length, 2)
  })
  await check('regenerates and names the conversation, the branch and the real message', async () => {
    journal.length = 0
    const answer = await curl(REGENERATE, {
      ...words,
      'conversation-uuid': ids.conversation,
      'message-uuid': ids.answer,
    })
    assert.equal(answer.status, 200, answer.body)
    const { conversation_id, branch_id, message_id } = JSON.parse(answer.body)
    assert.equal(conversation_id, ids.conversation)
    assert.deepEqual(spoken(), ['Hello, how are you?'])
    const { conversation, branches, messages } = await full(project, ada, ids.conversation)
    const made = messages.find(({ id }) => id === message_id)
    assert.equal(made?.parent_id, ids.user)
    assert.equal(made?.role, 'assistant')
    assert.ok(branches.some(({ id }) => id === branch_id))
    assert.equal(conversation.active_branch_id, branch_id)
  })
  await check('asks the function once before an answer it has just given is made again', async () => {
    assert.deepEqual(journal, [
      'function POST /conversation-manager/create-branch',
      'litellm POST /chat/completions',
      'litellm speaks',
      'function POST /conversation-manager/save-response',
    ])
  })
  await check('tells the details of a conversation', async () => {
    const answer = await curl(READ, { ...words, 'your-conversation-id': ids.conversation })
    assert.equal(answer.status, 200)
    const { success, data } = JSON.parse(answer.body)
    assert.equal(success, true)
    for (const field of ['id', 'title', 'model', 'active_branch_id', 'created_at', 'updated_at']) {
      assert.equal(typeof data[field], 'string', field)
    }
  })
  await check("asks LiteLLM with the profile's key and no other", async () => {
    const keys = litellm.credentials.filter(({ call }) => call === 'POST /chat/completions').map(({ token }) => token)
    assert.deepEqual(new Set(keys), new Set([ada.litellmKey]))
  })
}

/** The function tells everything a turn needs in one answer. */
const TURN = [
  'function POST /conversation-manager/add-message',
  'litellm POST /chat/completions',
  'litellm speaks',
  'function POST /conversation-manager/save-response',
]

/** What the example calls optional is left out: no key of the server's own, no service key. */
async function withoutOptional({ proxyOnly }: Setup, project: Project): Promise<void> {
  const { check } = checksFor('supabase without optional settings', proxyOnly)
  const bob = await project.person()
  await check("answers with people's own keys alone", async () => {
    const chunks = chunksOf(await project.curl(SAY, { YOUR_JWT_TOKEN: bob.token }))
    assert.equal(textOf(chunks), 'Hello, how are you?')
  })
  await check('chooses a model when nobody does', async () => {
    const words = { YOUR_JWT_TOKEN: bob.token, '"model": "gpt-4",': '' }
    assert.ok(textOf(chunksOf(await project.curl(SAY, words))))
  })
  await check('is healthy', async () => {
    const { status, body } = await project.curl('curl http://localhost:8000/health')
    assert.equal(status, 200)
    assert.equal(JSON.parse(body).status, 'ok', body)
  })
}

export function chunksOf(answer: Answer): Chunk[] {
  assert.equal(answer.status, 200, answer.body)
  const data = answer.body.split('\n').flatMap((line) => (line.startsWith('data: ') ? [line.slice(6)] : []))
  assert.equal(data.at(-1), '[DONE]')
  assert.ok(answer.body.endsWith('data: [DONE]\n\n'))
  return data.slice(0, -1).map((each) => JSON.parse(each))
}

export const textOf = (chunks: Chunk[]): string =>
  chunks.map(({ choices }) => choices?.[0]?.delta.content ?? '').join('')

/** What the function itself tells of a conversation. */
export async function full({ supabase }: Project, { token }: Person, id: string): Promise<Full> {
  const response = await fetch(`${supabase.functionUrl}/conversations/${id}/full`, {
    headers: { authorization: `Bearer ${token}`, apikey: supabase.api.anonKey },
  })
  const { data } = (await response.json()) as { data: Full }
  return data
}
