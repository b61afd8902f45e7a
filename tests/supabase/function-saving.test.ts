import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Client, openClient, type Person, talked, UUID } from './client'
import { newAnswer, newTurn, parentIn, SAVED_AT } from './turns'

// The extension: answers with ids of ours, and changes that name the state they are made to.

let client: Client
let person: Person
beforeAll(async () => {
  client = await openClient()
  person = await client.person()
})
afterAll(() => client.close())

const state = (id: string) => person.get(`/conversations/${id}/full`)

describe('an answer', () => {
  test('is stored exactly as it is told, once', async () => {
    const turn = newTurn()
    const { id } = turn.conversation
    const { message_id: parent_id, branch_id } = await person.post('/add-message', { turn })
    const answer = newAnswer({
      parent_id,
      branch_id,
      status: 'stopped',
      finish_reason: null,
      extra: { reasoning_content: 'hm' },
    })
    const body = {
      conversation_id: id,
      branch_id,
      parent_id,
      content: 'as far as it go',
      model: 'm',
      tokens_count: 99,
      turn: answer,
    }
    const saved = { message_id: answer.message_id, tokens_count: 5, branch_id }
    expect<unknown>(await person.post('/save-response', body)).toEqual(saved)
    const before = await state(id)
    expect(before).toMatchObject({
      conversation: {
        title: 'Title',
        active_leaf_id: answer.message_id,
        rev: 1,
        updated_at: '2026-11-21T10:00:09+00:00',
      },
      branches: [{ leaf_id: answer.message_id }],
    })
    expect<unknown>(await person.get(`/messages/${answer.message_id}`)).toEqual({
      id: answer.message_id,
      conversation_id: id,
      branch_id,
      parent_id,
      role: 'assistant',
      content: 'as far as it go',
      model: 'm',
      tokens_count: 5,
      created_at: '2026-11-21T10:00:00+00:00',
      depth: 1,
      extra: { reasoning_content: 'hm' },
      status: 'stopped',
      finish_reason: null,
      usage: { prompt_tokens: 3, completion_tokens: 5 },
      cost_nanos: '9007199254740993',
      completed_at: '2026-11-21T10:00:09+00:00',
    })
    const repeated = await Promise.all(Array.from({ length: 20 }, () => person.post('/save-response', body)))
    for (const again of repeated) expect<unknown>(again).toEqual(saved)
    expect(await state(id)).toEqual(before)
  })

  test('comes once when it is saved twenty times at once', async () => {
    const turn = newTurn()
    const { id } = turn.conversation
    const { message_id: parent_id, branch_id } = await person.post('/add-message', { turn })
    const body = { conversation_id: id, content: 'a', turn: newAnswer({ parent_id, branch_id }) }
    await Promise.all(Array.from({ length: 20 }, () => person.post('/save-response', body)))
    expect(await state(id)).toMatchObject({ branches: [{}], messages: [{ depth: 0 }, { depth: 1 }] })
  })

  test('does not pull away the path that somebody has gone to meanwhile', async () => {
    const { id, branchId, questionId, answerId } = await talked(person)
    const turn = parentIn(id, questionId, { messages: [] })
    await person.post('/create-branch', { turn })
    await person.post('/switch-branch', { conversation_id: id, branch_id: branchId })
    const late = newAnswer({ parent_id: questionId, branch_id: turn.branch_id })
    await person.post('/save-response', { conversation_id: id, content: 'late', turn: late })
    expect(await state(id)).toMatchObject({
      conversation: { active_leaf_id: answerId },
      branches: expect.arrayContaining([
        expect.objectContaining({ id: branchId, leaf_id: answerId }),
        expect.objectContaining({ id: turn.branch_id, leaf_id: late.message_id }),
      ]),
    })
  })

  test('may stand at the root', async () => {
    const { conversation_id, branch_id } = await person.post('/init-conversation')
    const answer = newAnswer({ branch_id })
    const saved = await person.post('/save-response', { conversation_id, content: 'welcome', turn: answer })
    expect(saved).toMatchObject({ branch_id })
    expect(await state(conversation_id)).toMatchObject({
      conversation: { title: 'New conversation', active_leaf_id: answer.message_id },
      messages: [{ parent_id: null, depth: 0 }],
    })
  })
})

test('a change to an older state of a conversation is refused, with the current state', async () => {
  const { id } = await talked(person)
  const change = { title: 'Mine', system_prompt: 'Be kind', rev: 1, at: SAVED_AT }
  const changed = await person.patch(`/conversations/${id}`, change)
  expect(changed).toMatchObject({
    id,
    title: 'Mine',
    title_source: 'user',
    system_prompt: 'Be kind',
    rev: 2,
    updated_at: '2026-11-21T10:00:09+00:00',
    active_leaf_id: UUID,
  })
  const stale = await person.call('PATCH', `/conversations/${id}`, { title: 'Theirs', rev: 1 })
  expect(stale).toMatchObject({ status: 409, success: false, error: 'The conversation has changed meanwhile' })
  expect(stale.data).toEqual(changed)
  const many = Array.from({ length: 20 }, (_, i) =>
    person.call('PATCH', `/conversations/${id}`, { title: `t${i}`, rev: 2 }),
  )
  const statuses = (await Promise.all(many)).map(({ status }) => status)
  expect(statuses.filter((status) => status === 200)).toHaveLength(1)
  expect(await person.get(`/conversations/${id}`)).toMatchObject({ rev: 3 })
})
