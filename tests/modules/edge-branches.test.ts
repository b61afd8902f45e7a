import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type EdgeApp, edgeApp } from '../support/supabase/app'

/** Branches and single messages, as far as functions of both kinds have them. */
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

  const call = (path: string, init: { method?: string; json?: unknown; headers?: Record<string, string> } = {}) =>
    edge.app.call(path, { token: me.token, ...init })
  const dataOf = async (path: string, init?: Parameters<typeof call>[1]) => (await (await call(path, init)).json()).data
  const say = async (json: object) =>
    (await call('/v1/chat/completions', { json: { stream: false, ...json } })).json() as Promise<{
      conversation_id: string
      branch_id: string
      message_id: string
    }>
  /** Two questions with their answers. */
  const talk = async () => {
    const first = await say({ message: 'one' })
    const second = await say({ message: 'two', conversation_id: first.conversation_id })
    return { id: first.conversation_id, first, second, path: `/v1/conversations/${first.conversation_id}` }
  }
  const shown = async (path: string) =>
    (await dataOf(`${path}/messages`)).items.map(({ content }: { content: string }) => content)

  test('opens a branch at an earlier message, shows it, and goes back', async () => {
    const { first, second, path } = await talk()
    const json = { parent_message_id: first.message_id, name: 'Detour' }
    const answer = await call(`${path}/branches`, { json })
    expect(answer.status).toBeLessThan(300)
    const { data: detour } = await answer.json()
    expect(detour).toMatchObject({
      name: 'Detour',
      parent_message_id: first.message_id,
      leaf_id: first.message_id,
      message_count: 2,
      preview: 'one',
      active: true,
    })
    expect(await shown(path)).toEqual(['one', 'one'])
    expect((await dataOf(`${path}/branches`)).items).toMatchObject([
      { id: second.branch_id, name: 'Main', leaf_id: second.message_id, message_count: 4, active: false },
      { id: detour.id, active: true },
    ])
    const back = await call(`${path}/branches/${second.branch_id}/activate`, { method: 'POST' })
    expect((await back.json()).data).toMatchObject({ id: second.branch_id, active: true, message_count: 4 })
    expect(await shown(path)).toEqual(['one', 'one', 'two', 'two'])
    const compared = await dataOf(`${path}/branches/compare?a=${second.branch_id}&b=${detour.id}`)
    expect(compared).toMatchObject({
      common_length: 2,
      last_common_message_id: first.message_id,
      a: { items: [{ content: 'two' }, { id: second.message_id }], total: 2 },
      b: { items: [], total: 0 },
    })
  })

  test('refuses a write to an older state', async () => {
    const { first, second, path } = await talk()
    const etag = (await call(path)).headers.get('etag') ?? ''
    await call(path, { method: 'PATCH', json: { title: 'Changed' } })
    const json = { parent_message_id: first.message_id }
    const headers = { 'if-match': etag }
    expect((await call(`${path}/branches`, { json, headers })).status).toBe(409)
    const activate = `${path}/branches/${second.branch_id}/activate`
    expect((await call(activate, { method: 'POST', headers })).status).toBe(409)
    expect((await dataOf(`${path}/branches`)).pagination.total).toBe(1)
  })

  test('shows a message with its versions, and edits a question', async () => {
    const { second, path } = await talk()
    const question = (await dataOf(`${path}/messages`)).items[2]
    expect(await dataOf(`/v1/messages/${question.id}`)).toEqual(question)
    const answer = await call(`/v1/messages/${question.id}`, { method: 'PATCH', json: { content: 'three' } })
    expect(answer.status).toBe(200)
    const { data: edited } = await answer.json()
    expect(edited).toMatchObject({ content: 'three', parent_id: question.parent_id, siblings: { index: 2, count: 2 } })
    expect((await dataOf(`/v1/messages/${question.id}/history`)).items).toMatchObject([
      { id: question.id, content: 'two' },
      { id: edited.id, content: 'three' },
    ])
    if (!older) expect(await shown(path)).toEqual(['one', 'one', 'three'])
    expect((await call(`/v1/messages/${second.message_id}`, { method: 'PATCH', json: { content: 'x' } })).status).toBe(
      409,
    )
  })

  test('says what renames, deletes and merges', async () => {
    const { first, second, path } = await talk()
    const branch = `${path}/branches/${second.branch_id}`
    for (const [where, init] of [
      [branch, { method: 'PATCH', json: { name: 'Other' } }],
      [branch, { method: 'DELETE' }],
      [`${branch}/merge`, { json: { onto_branch_id: second.branch_id } }],
      [`/v1/messages/${first.message_id}`, { method: 'DELETE' }],
    ] as const) {
      const answer = await call(where, init)
      expect([where, answer.status]).toEqual([where, 501])
      expect((await answer.json()).error.message).toContain('set DATABASE_URL and STORE=postgres')
    }
    expect(await shown(path)).toEqual(['one', 'one', 'two', 'two'])
  })

  test('shows nothing to somebody else', async () => {
    const { first, second, path } = await talk()
    const { token } = await edge.person()
    const json = { parent_message_id: first.message_id }
    for (const [where, init] of [
      [`${path}/branches`, {}],
      [`${path}/branches`, { json }],
      [`${path}/full`, {}],
      [`${path}/stats`, {}],
      [`${path}/branches/${second.branch_id}/activate`, { method: 'POST' }],
      [`/v1/messages/${first.message_id}`, {}],
      [`/v1/messages/${first.message_id}/history`, {}],
      [`/v1/messages/${first.message_id}`, { method: 'PATCH', json: { content: 'x' } }],
    ] as const) {
      expect([where, (await edge.app.call(where, { token, ...init })).status]).toEqual([where, 404])
    }
    expect((await dataOf(`${path}/branches`)).pagination.total).toBe(1)
  })
})
