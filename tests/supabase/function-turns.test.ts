import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { randomUUID } from 'node:crypto'
import { type Client, openClient, type Person, talked } from './client'
import { newAnswer, newTurn, parentIn, said, turnIn } from './turns'

// The extension: what this server says in the key `turn`, and functions of older deployments do not read.

let client: Client
let person: Person
beforeAll(async () => {
  client = await openClient()
  person = await client.person()
})
afterAll(() => client.close())

const state = (id: string) => person.get(`/conversations/${id}/full`)

describe('a turn', () => {
  test('begins a conversation with the ids, the title and the model it is given', async () => {
    const turn = newTurn({
      messages: [said('look', 'user', { content: [{ type: 'text', text: 'look' }] }), said('at this')],
    })
    const { id } = turn.conversation
    expect<unknown>(await person.post('/add-message', { role: 'user', content: 'at this', turn })).toEqual({
      message_id: String(turn.messages[1]?.id),
      conversation_id: id,
      branch_id: turn.branch_id,
      parent_id: String(turn.messages[0]?.id),
      is_new_conversation: true,
      turn: {
        outcome: 'begun',
        conversation_id: id,
        branch_id: turn.branch_id,
        model: 'default-model',
        system_prompt: 'Be brief',
        settings: null,
        context: [],
        depth: 2,
      },
    })
    expect(await state(id)).toMatchObject({
      conversation: { title: 'Title', system_prompt: 'Be brief', active_leaf_id: turn.messages[1]?.id, rev: 1 },
      branches: [{ id: turn.branch_id, name: 'Main' }],
      messages: [
        { id: turn.messages[0]?.id, extra: turn.messages[0]?.extra, created_at: '2026-11-21T10:00:00+00:00' },
        { id: turn.messages[1]?.id, depth: 1, branch_id: turn.branch_id },
      ],
    })
  })

  test('goes on from the active leaf, from any message, or from a new root', async () => {
    const { id, branchId, questionId, answerId } = await talked(person)
    const context = [
      { role: 'user', content: 'question', extra: null },
      { role: 'assistant', content: 'answer', extra: null },
    ]
    const next = await person.post('/add-message', { turn: turnIn(id, { model: 'chosen' }) })
    expect(next).toMatchObject({ branch_id: branchId, parent_id: answerId, turn: { model: 'chosen', context } })
    const beside = await person.post('/add-message', { turn: parentIn(id, questionId, { branch_name: 'Beside' }) })
    expect(beside).toMatchObject({ parent_id: questionId, turn: { model: 'chosen', context: context.slice(0, 1) } })
    const over = await person.post('/add-message', { turn: parentIn(id, null) })
    expect(over).toMatchObject({ parent_id: null, turn: { context: [] } })
    const short = await person.post('/add-message', { turn: parentIn(id, answerId, { max_context: 1 }) })
    expect(short).toMatchObject({ turn: { context: context.slice(1) } })
    const branches = (await state(id)).branches as { name: string }[]
    expect(branches.map(({ name }) => name).sort()).toEqual(['Beside', 'Branch 3', 'Branch 4', 'Main'])
  })

  test('changes nothing when it comes again, and is answered the same', async () => {
    const first = newTurn()
    const begun = await person.post('/add-message', { turn: first })
    const { id } = first.conversation
    await person.post('/save-response', {
      conversation_id: id,
      content: 'a',
      turn: newAnswer({ parent_id: begun.message_id }),
    })
    const second = turnIn(id, { messages: [said('and'), said('then')] })
    const went = await person.post('/add-message', { turn: second })
    const before = await state(id)
    expect(await person.post('/add-message', { turn: first })).toEqual(begun)
    expect(await person.post('/add-message', { turn: second })).toEqual(went)
    expect(await state(id)).toEqual(before)
  })

  test('is written once when it comes twenty times at once', async () => {
    const twenty = async (turn: object) => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => person.post('/add-message', { turn })))
      for (const answer of answers) expect<unknown>(answer).toEqual(answers[0])
    }
    const first = newTurn()
    const { id } = first.conversation
    await twenty(first)
    await twenty(turnIn(id, { messages: [said('next')] }))
    expect(await state(id)).toMatchObject({
      conversation: { rev: 2 },
      branches: [{}],
      messages: [{ depth: 0 }, { depth: 1 }],
    })
  })

  test('waits for its place when twenty come to one conversation at once', async () => {
    const { id, answerId } = await talked(person)
    await Promise.all(Array.from({ length: 20 }, () => person.post('/add-message', { turn: turnIn(id) })))
    const { messages, branches, conversation } = await state(id)
    const depths = (messages as { depth: number }[]).map(({ depth }) => depth)
    expect(depths.sort((x, y) => x - y)).toEqual(Array.from({ length: 22 }, (_, depth) => depth))
    expect(branches).toMatchObject([{ name: 'Main' }])
    expect(conversation).toMatchObject({ rev: 21, active_leaf_id: expect.not.stringContaining(answerId) })
  })

  test('is refused when its ids are taken', async () => {
    const turn = newTurn()
    await person.post('/add-message', { turn })
    const other = newTurn({ conversation: turn.conversation })
    expect(await person.call('POST', '/add-message', { turn: other })).toMatchObject({ status: 409, success: false })
    const stranger = await client.person()
    expect(await stranger.call('POST', '/add-message', { turn })).toMatchObject({ status: 409, success: false })
    const reused = newTurn({ messages: turn.messages })
    expect(await person.call('POST', '/add-message', { turn: reused })).toMatchObject({ status: 409, success: false })
    expect(await person.call('GET', `/conversations/${reused.conversation.id}`)).toMatchObject({ status: 404 })
  })

  test('waits for an answer that is still being written', async () => {
    const { id, answerId } = await talked(person)
    await client.pool.query(`update messages set status = 'streaming' where id = $1`, [answerId])
    const before = await state(id)
    expect(await person.call('POST', '/add-message', { turn: turnIn(id) })).toMatchObject({
      status: 409,
      success: false,
      error: 'The answer to continue from is still being written',
      data: { turn: { outcome: 'busy' } },
    })
    expect(await state(id)).toEqual(before)
  })

  test.each([
    ['a conversation there is not', turnIn(randomUUID()), 404],
    ['no messages', newTurn({ messages: [] }), 400],
    ['a role there is not', newTurn({ messages: [said('x', 'system')] }), 400],
    ['a message without an id', newTurn({ messages: [{ role: 'user', content: 'x' }] }), 400],
    ['a time that is none', newTurn({ at: 'soon' }), 400],
    ['no title', newTurn({ conversation: { id: randomUUID() } }), 400],
    ['no context', newTurn({ max_context: 0 }), 400],
    ['an answer to be written', newTurn({ messages: [], answer_id: randomUUID() }), 400],
  ])('is refused with %s', async (_, turn, status) => {
    expect(await person.call('POST', '/add-message', { turn })).toMatchObject({ status, success: false })
  })
})

describe('a branch', () => {
  test('is opened for an answer to be made again, and once however often it is asked for', async () => {
    const { id, questionId } = await talked(person)
    const turn = parentIn(id, questionId, { messages: [], branch_name: 'Again' })
    const opened = await person.post('/create-branch', { turn })
    expect<unknown>(opened).toEqual({
      branch_id: turn.branch_id,
      conversation_id: id,
      parent_message_id: questionId,
      turn: {
        outcome: 'begun',
        conversation_id: id,
        branch_id: turn.branch_id,
        model: 'some-model',
        system_prompt: null,
        settings: null,
        context: [{ role: 'user', content: 'question', extra: null }],
        depth: 1,
      },
    })
    const before = await state(id)
    expect(before).toMatchObject({ conversation: { rev: 2, active_leaf_id: questionId } })
    expect(await person.post('/create-branch', { turn })).toEqual(opened)
    expect(await state(id)).toEqual(before)
    await person.post('/save-response', {
      conversation_id: id,
      content: 'b',
      turn: newAnswer({ parent_id: questionId, branch_id: turn.branch_id }),
    })
    expect(await person.post('/create-branch', { turn })).toEqual(opened)
  })

  test('is opened for each of several answers made again at once', async () => {
    const { id, questionId } = await talked(person)
    const turns = Array.from({ length: 5 }, () => parentIn(id, questionId, { messages: [] }))
    const opened = await Promise.all(turns.map((turn) => person.post('/create-branch', { turn })))
    const saved = await Promise.all(
      opened.map(({ branch_id }) =>
        person.post('/save-response', {
          conversation_id: id,
          content: 'b',
          turn: newAnswer({ parent_id: questionId, branch_id }),
        }),
      ),
    )
    expect(new Set(saved.map(({ branch_id }) => branch_id)).size).toBe(5)
    const { branches, messages } = (await state(id)) as unknown as Record<
      string,
      { leaf_id: string; id: string; parent_id: string }[]
    >
    const answers = messages?.filter(({ parent_id }) => parent_id === questionId).map((row) => row.id)
    expect(answers).toHaveLength(6)
    expect(branches?.map(({ leaf_id }) => leaf_id).sort()).toEqual(answers?.sort() ?? [])
  })
})
