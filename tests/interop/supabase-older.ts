/** The same examples with a function that has the documented contract and nothing more, as those that are deployed. */
import assert from 'node:assert/strict'
import { until } from '../support/servers'
import { checksFor } from './checks'
import type { Setup } from './server'
import { chunksOf, full, READ, REGENERATE, SAY, textOf } from './supabase'
import type { Project } from './supabase-project'

const ADD = 'function POST /conversation-manager/add-message'
const CONTEXT = 'function GET /conversation-manager/build-context'
const SAVE = 'function POST /conversation-manager/save-response'
const ASK = ['litellm POST /chat/completions', 'litellm speaks']

export async function olderFunction({ provider, proxyOnly }: Setup, project: Project): Promise<void> {
  const { check } = checksFor('older function', proxyOnly)
  const { curl, edge, journal } = project
  const ada = await project.person()
  const words = { YOUR_JWT_TOKEN: ada.token }
  const spoken = () => provider.requests.findLast(({ path }) => path.endsWith('/chat/completions'))?.body?.messages
  const say = async (fields: object) => {
    journal.length = 0
    return chunksOf(
      await curl(SAY, { ...words, '"message": "Hello, how are you?"': JSON.stringify(fields).slice(1, -1) }),
    )
  }
  const ids = { conversation: '', user: '', answer: '' }

  await check('makes a conversation, and tells the id of the answer when it is saved', async () => {
    const chunks = await say({ message: 'Hello, how are you?' })
    assert.equal(textOf(chunks), 'Hello, how are you?')
    assert.deepEqual(
      journal.filter((line) => line !== 'function GET /conversation-manager/'),
      [ADD, ...ASK, SAVE],
    )
    ids.conversation = String(chunks[0]?.conversation_id)
    assert.equal(chunks[0]?.message_id, null)
    ids.answer = String(chunks.at(-1)?.message_id)
    const { conversation, messages } = await full(project, ada, ids.conversation)
    const [user, answer] = messages
    ids.user = String(user?.id)
    assert.deepEqual([answer?.id, answer?.parent_id, answer?.tokens_count], [ids.answer, ids.user, 4])
    assert.equal(conversation.title, 'Hello, how are you?')
  })
  await check('goes on with two calls before the first word', async () => {
    await say({ message: 'and you?', conversation_id: ids.conversation })
    assert.deepEqual(journal, [ADD, CONTEXT, ...ASK, SAVE])
    assert.deepEqual(
      spoken()?.map(({ content }) => content),
      ['Hello, how are you?', 'Hello, how are you?', 'and you?'],
    )
  })
  await check('branches below an older message', async () => {
    const chunks = await say({ message: 'or so', conversation_id: ids.conversation, parent_message_id: ids.answer })
    assert.deepEqual(
      spoken()?.map(({ content }) => content),
      ['Hello, how are you?', 'Hello, how are you?', 'or so'],
    )
    const { conversation, messages } = await full(project, ada, ids.conversation)
    assert.equal(messages.filter(({ parent_id }) => parent_id === ids.answer).length, 2)
    assert.equal(conversation.active_branch_id, chunks[0]?.branch_id)
  })
  await check('regenerates and names the real message', async () => {
    journal.length = 0
    const answer = await curl(REGENERATE, {
      ...words,
      'conversation-uuid': ids.conversation,
      'message-uuid': ids.answer,
    })
    assert.equal(answer.status, 200, answer.body)
    const { conversation_id, branch_id, message_id } = JSON.parse(answer.body)
    assert.equal(conversation_id, ids.conversation)
    const { messages } = await full(project, ada, ids.conversation)
    const made = messages.find(({ id }) => id === message_id)
    assert.deepEqual([made?.parent_id, made?.role, made?.branch_id], [ids.user, 'assistant', branch_id])
    assert.deepEqual(
      spoken()?.map(({ content }) => content),
      ['Hello, how are you?'],
    )
  })
  await check('asks at most twice before a regenerated answer begins', async () => {
    const before = journal.slice(0, journal.indexOf(ASK[0] ?? '')).filter((line) => line.startsWith('function'))
    assert.ok(before.length <= 2, before.join(', '))
  })
  await check('tells the details of a conversation, and its path', async () => {
    const answer = await curl(READ, { ...words, 'your-conversation-id': ids.conversation })
    assert.equal(JSON.parse(answer.body).data.id, ids.conversation)
    const path = await curl(`${READ.replace('your-conversation-id', `${ids.conversation}/messages`)}`, words)
    const { items } = JSON.parse(path.body).data
    assert.deepEqual(
      items.map(({ role }: { role: string }) => role),
      ['user', 'assistant'],
    )
    assert.equal(items[1].siblings.count, 2)
  })
  await check('refuses what such a function cannot keep', async () => {
    const patch = `curl -X PATCH http://localhost:8000/v1/conversations/${ids.conversation} \\
      -H "Authorization: Bearer YOUR_JWT_TOKEN" -H "Content-Type: application/json" -d '{"system_prompt": "Be brief"}'`
    const answer = await curl(patch, words)
    assert.equal(answer.status, 501, answer.body)
    assert.equal(JSON.parse(answer.body).error.code, 'NOT_SUPPORTED')
  })
  await check('saves an answer once when the function saved it and could not say so', async () => {
    edge.instead('/save-response', async (pass) => {
      await pass()
      return new Response('', { status: 500 })
    })
    const chunks = await say({ message: 'once' }).finally(() => edge.instead('/save-response'))
    assert.equal(chunks.at(-1)?.saving, 'delayed')
    journal.length = 0
    await until(() => journal.some((line) => line.endsWith('/full')), 15_000)
    await Bun.sleep(3000)
    const { messages } = await full(project, ada, String(chunks[0]?.conversation_id))
    assert.deepEqual(
      messages.map(({ role }) => role),
      ['user', 'assistant'],
    )
  })
}
