import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { randomUUID } from 'node:crypto'
import { type Client, openClient, type Person, TIME, talked, UUID } from './client'

// The documented contract, as clients know it that were written before this function.

let client: Client
let person: Person
beforeAll(async () => {
  client = await openClient()
  person = await client.person()
})
afterAll(() => client.close())

const conversation = (fields: object) => ({
  id: UUID,
  user_id: person.id,
  active_branch_id: UUID,
  created_at: TIME,
  updated_at: TIME,
  title_source: 'auto',
  system_prompt: null,
  ...fields,
})
const branch = (fields: object) => ({ id: UUID, created_at: TIME, viewed_at: TIME, parent_message_id: null, ...fields })
const message = (fields: object) => ({
  id: UUID,
  created_at: TIME,
  completed_at: TIME,
  model: null,
  tokens_count: null,
  extra: null,
  status: 'complete',
  finish_reason: null,
  usage: null,
  cost_nanos: null,
  ...fields,
})

describe('the legacy endpoints', () => {
  test('make an empty conversation with a branch "Main"', async () => {
    const made = await person.post('/init-conversation', { title: 'Trip', model: 'm' })
    expect<unknown>(made).toEqual({ conversation_id: UUID, branch_id: UUID, title: 'Trip', model: 'm' })
    const { conversation_id, branch_id } = made
    expect<unknown>(await person.get(`/conversations/${conversation_id}/full`)).toEqual({
      conversation: conversation({
        id: conversation_id,
        title: 'Trip',
        active_branch_id: branch_id,
        model: 'm',
        active_leaf_id: null,
        rev: 1,
      }),
      branches: [branch({ id: branch_id, conversation_id, name: 'Main', leaf_id: null })],
      messages: [],
    })
    expect(await person.post('/init-conversation')).toMatchObject({ title: 'New conversation', model: null })
    const first = await person.post('/add-message', { conversation_id, role: 'user', content: 'hello' })
    expect(first).toMatchObject({ branch_id, parent_id: null, is_new_conversation: false })
  })

  test('add a message: to a new conversation, below the active leaf, below a leaf, and beside what is there', async () => {
    const first = await person.post('/add-message', {
      role: 'user',
      content: 'one',
      conversation_id: null,
      parent_id: null,
      model: null,
    })
    const { conversation_id, branch_id } = first
    expect<unknown>(first).toEqual({
      message_id: UUID,
      conversation_id,
      branch_id,
      parent_id: null,
      is_new_conversation: true,
    })
    const add = (parent_id?: string) =>
      person.post('/add-message', {
        conversation_id,
        role: 'user',
        content: 'more',
        ...(parent_id ? { parent_id } : {}),
      })
    const second = await add()
    expect<unknown>(second).toEqual({
      message_id: UUID,
      conversation_id,
      branch_id,
      parent_id: first.message_id,
      is_new_conversation: false,
    })
    const third = await add(second.message_id)
    expect(third).toMatchObject({ branch_id, parent_id: second.message_id })
    const fork = await add(first.message_id)
    expect(fork.branch_id).not.toBe(branch_id)
    expect(await person.get(`/conversations/${conversation_id}`)).toMatchObject({
      title: 'New conversation',
      active_branch_id: fork.branch_id,
      active_leaf_id: fork.message_id,
    })
    expect<unknown>(await person.get(`/conversations/${conversation_id}/branches`)).toEqual([
      branch({ id: branch_id, conversation_id, name: 'Main', leaf_id: third.message_id }),
      branch({
        id: fork.branch_id,
        conversation_id,
        name: 'Branch 2',
        leaf_id: fork.message_id,
        parent_message_id: first.message_id,
      }),
    ])
  })

  test('save an answer, and call the conversation by the beginning of its first', async () => {
    const { conversation_id, branch_id, message_id } = await person.post('/add-message', { role: 'user', content: 'q' })
    const long = `${'über '.repeat(12)}end`
    const body = { conversation_id, branch_id, parent_id: message_id, content: long, model: 'm', tokens_count: 12 }
    const saved = await person.post('/save-response', body)
    expect<unknown>(saved).toEqual({ message_id: UUID, tokens_count: 12, branch_id })
    expect<unknown>(await person.get(`/messages/${saved.message_id}`)).toEqual(
      message({
        id: saved.message_id,
        conversation_id,
        branch_id,
        parent_id: message_id,
        role: 'assistant',
        content: long,
        model: 'm',
        tokens_count: 12,
        usage: { completion_tokens: 12 },
        depth: 1,
      }),
    )
    expect(await person.get(`/conversations/${conversation_id}`)).toMatchObject({
      title: long.slice(0, 50),
      title_source: 'auto',
      rev: 1,
    })
    // Without a parent it belongs to the end of what is shown.
    const { message_id: below } = await person.post('/save-response', { conversation_id, content: 'again' })
    expect(await person.get(`/messages/${below}`)).toMatchObject({ parent_id: saved.message_id, tokens_count: null })
    expect(await person.get(`/conversations/${conversation_id}`)).toMatchObject({
      title: long.slice(0, 50),
      active_leaf_id: below,
    })
  })

  test('leave alone a title that somebody chose', async () => {
    const { conversation_id, message_id } = await person.post('/add-message', { role: 'user', content: 'q' })
    await person.patch(`/conversations/${conversation_id}`, { title: 'New conversation' })
    await person.post('/save-response', { conversation_id, parent_id: message_id, content: 'answer' })
    expect(await person.get(`/conversations/${conversation_id}`)).toMatchObject({ title: 'New conversation' })
  })

  test('open a branch at a message and switch between branches', async () => {
    const { id, branchId, questionId, answerId } = await talked(person)
    const opened = await person.post('/create-branch', {
      conversation_id: id,
      from_message_id: questionId,
      name: 'Other',
    })
    const row = branch({
      id: opened.branch_id,
      conversation_id: id,
      name: 'Other',
      parent_message_id: questionId,
      leaf_id: questionId,
    })
    expect<unknown>(opened).toEqual({ branch_id: UUID, ...row })
    expect(await person.get(`/conversations/${id}`)).toMatchObject({
      active_branch_id: opened.branch_id,
      active_leaf_id: questionId,
      rev: 2,
    })
    const other = { conversation_id: id, parent_id: questionId, branch_id: opened.branch_id, content: 'other answer' }
    expect(await person.post('/save-response', other)).toMatchObject({ branch_id: opened.branch_id })

    const back = await person.post('/switch-branch', { conversation_id: id, branch_id: branchId })
    expect<unknown>(back).toEqual({ conversation_id: id, branch_id: branchId, active_leaf_id: answerId })
    expect(await person.get(`/conversations/${id}`)).toMatchObject({ active_branch_id: branchId, rev: 3 })
    await person.post('/switch-branch', { conversation_id: id, branch_id: branchId })
    expect(await person.get(`/conversations/${id}`)).toMatchObject({ rev: 3 })
    const lost = { conversation_id: id, branch_id: randomUUID() }
    expect(await person.call('POST', '/switch-branch', lost)).toMatchObject({ status: 404, error: 'Branch not found' })
  })

  test('build the context of a branch, the newest messages of it', async () => {
    const { id, branchId, questionId } = await talked(person)
    const whole = [
      { role: 'user', content: 'question' },
      { role: 'assistant', content: 'answer' },
    ]
    const context = { conversation_id: id, messages: whole, model: 'some-model' }
    expect<unknown>(await person.get(`/build-context?conversation_id=${id}`)).toEqual(context)
    expect<unknown>(await person.post('/build-context', { conversation_id: id, branch_id: null })).toEqual(context)
    const last = { ...context, messages: whole.slice(1) }
    expect<unknown>(
      await person.get(`/build-context?conversation_id=${id}&branch_id=${branchId}&max_messages=1`),
    ).toEqual(last)
    expect<unknown>(await person.post('/build-context', { conversation_id: id, max_messages: 1 })).toEqual(last)
    await person.patch(`/conversations/${id}`, { system_prompt: 'Be brief' })
    await person.post('/create-branch', { conversation_id: id, from_message_id: questionId })
    expect((await person.post('/build-context', { conversation_id: id })).messages).toEqual([
      { role: 'system', content: 'Be brief' },
      { role: 'user', content: 'question' },
    ])
  })
})

describe('the REST endpoints', () => {
  test('list conversations, the one changed last first, a page at a time', async () => {
    const other = await client.person()
    expect<unknown>(await other.get('/conversations')).toEqual({ conversations: [], total: 0, page: 1, limit: 20 })
    const ids: string[] = []
    for (const title of ['a', 'b', 'c']) ids.push((await other.post('/init-conversation', { title })).conversation_id)
    await other.patch(`/conversations/${ids[0]}`, { title: 'changed', at: '2100-01-01T00:00:00Z' })
    const page = await other.get('/conversations?page=1&limit=2')
    expect(page).toMatchObject({ total: 3, page: 1, limit: 2 })
    expect(page.conversations).toEqual([
      expect.objectContaining({ id: ids[0], title: 'changed', updated_at: '2100-01-01T00:00:00+00:00' }),
      expect.objectContaining({ id: ids[2], title: 'c', model: null, created_at: TIME }),
    ])
    expect((await other.get('/conversations?page=2&limit=2')).conversations).toEqual([
      expect.objectContaining({ id: ids[1] }),
    ])
    expect(await other.get('/conversations?limit=5000')).toMatchObject({ limit: 100 })
  })

  test('change title and model of a conversation', async () => {
    const { id } = await talked(person)
    const changed = await person.patch(`/conversations/${id}`, { title: 'Mine', model: 'other' })
    expect<unknown>(changed).toEqual(
      conversation({ id, title: 'Mine', title_source: 'user', model: 'other', active_leaf_id: UUID, rev: 2 }),
    )
    expect(await person.patch(`/conversations/${id}`, { model: null })).toMatchObject({
      title: 'Mine',
      model: null,
      rev: 3,
    })
    expect(await person.get(`/conversations/${id}`)).toMatchObject({ title: 'Mine', model: null })
  })

  test('open a branch and activate another', async () => {
    const { id, branchId, questionId, answerId } = await talked(person)
    const opened = await person.post(`/conversations/${id}/branches`, { parent_message_id: questionId })
    expect(opened).toMatchObject({ branch_id: opened.id, name: 'Branch 2', parent_message_id: questionId })
    const done = await person.post(`/conversations/${id}/branches/${branchId}/activate`)
    expect<unknown>(done).toEqual({ conversation_id: id, branch_id: branchId, active_leaf_id: answerId })
    // Where a branch ends already there is none to open.
    const same = await person.post(`/conversations/${id}/branches`, { parent_message_id: answerId, name: 'Ignored' })
    expect(same).toMatchObject({ branch_id: branchId, name: 'Main' })
  })

  test('edit a question into another beside it, and keep the old one', async () => {
    const { id, branchId, questionId } = await talked(person)
    const edited = await person.patch(`/messages/${questionId}`, { content: 'edited' })
    expect<unknown>(edited).toEqual(
      message({
        id: edited.id,
        conversation_id: id,
        branch_id: UUID,
        parent_id: null,
        role: 'user',
        content: 'edited',
        depth: 0,
      }),
    )
    expect(edited.branch_id).not.toBe(branchId)
    expect(await person.get(`/conversations/${id}`)).toMatchObject({
      active_branch_id: edited.branch_id,
      active_leaf_id: edited.id,
    })
    expect(await person.get(`/messages/${questionId}`)).toMatchObject({ content: 'question' })
  })

  test('open a branch to make an answer again, and only an answer', async () => {
    const { id, questionId, answerId } = await talked(person)
    const again = await person.post(`/messages/${answerId}/regenerate`, { branch_name: 'Again' })
    const row = branch({
      id: again.id,
      conversation_id: id,
      name: 'Again',
      parent_message_id: questionId,
      leaf_id: questionId,
    })
    expect<unknown>(again).toEqual({ branch_id: again.id, ...row })
    expect(await person.call('POST', `/messages/${questionId}/regenerate`)).toMatchObject({
      status: 400,
      success: false,
    })
    expect(await person.call('PATCH', `/messages/${answerId}`, { content: 'x' })).toMatchObject({
      status: 400,
      success: false,
    })
  })
})
