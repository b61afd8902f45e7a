import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { randomUUID } from 'node:crypto'
import { type Client, call, openClient, type Person, talked } from './client'

let client: Client
let person: Person
beforeAll(async () => {
  client = await openClient()
  person = await client.person()
})
afterAll(() => client.close())

describe('every answer', () => {
  test('says who answers, to anyone', async () => {
    for (const base of [client.edge.url, new URL(client.edge.url).origin]) {
      const response = await fetch(`${base}/`)
      expect(await response.json()).toEqual({ success: true, data: { name: 'conversation-manager', version: 2 } })
      expect(response.headers.get('x-conversation-manager')).toBe('2')
    }
  })

  test('may be read by a page of any origin', async () => {
    const preflight = await fetch(`${client.edge.url}/add-message`, { method: 'OPTIONS' })
    expect(preflight.status).toBe(204)
    expect(preflight.headers.get('access-control-allow-headers')).toBe(
      'authorization, x-client-info, apikey, content-type',
    )
    const refused = await fetch(`${client.edge.url}/conversations`)
    expect(refused.headers.get('access-control-allow-origin')).toBe('*')
    expect(refused.headers.get('x-conversation-manager')).toBe('2')
  })

  test.each([
    ['POST', '/nowhere', undefined, 404],
    ['GET', '/conversations/not-an-id', undefined, 404],
    ['GET', `/conversations/${randomUUID()}`, undefined, 404],
    ['GET', `/conversations/${randomUUID()}/full`, undefined, 404],
    ['GET', `/conversations/${randomUUID()}/branches`, undefined, 404],
    ['PATCH', `/conversations/${randomUUID()}`, { title: 'x' }, 404],
    ['GET', `/messages/${randomUUID()}`, undefined, 404],
    ['PATCH', `/messages/${randomUUID()}`, { content: 'x' }, 404],
    ['POST', `/messages/${randomUUID()}/regenerate`, undefined, 404],
    ['GET', `/build-context?conversation_id=${randomUUID()}`, undefined, 404],
    ['POST', '/add-message', { conversation_id: randomUUID(), role: 'user', content: 'x' }, 404],
    ['POST', '/save-response', { conversation_id: randomUUID(), content: 'x' }, 404],
    ['POST', '/create-branch', { conversation_id: randomUUID(), from_message_id: randomUUID() }, 404],
    ['DELETE', '/conversations', undefined, 405],
    ['GET', '/add-message', undefined, 405],
    ['POST', '/add-message', '{"half', 400],
    ['POST', '/add-message', '[]', 400],
    ['POST', '/add-message', {}, 400],
    ['POST', '/add-message', { content: 7 }, 400],
    ['POST', '/add-message', { content: 'x', role: 'system' }, 400],
    ['POST', '/add-message', { content: 'x', conversation_id: 'not-an-id' }, 400],
    ['POST', '/add-message', { content: 'x', turn: [] }, 400],
    ['POST', '/add-message', `{"content": "${'x'.repeat(11_000_000)}"}`, 400],
    ['POST', '/save-response', { conversation_id: randomUUID(), content: 'x', tokens_count: -1 }, 400],
    ['GET', '/conversations?page=0', undefined, 400],
    ['GET', '/conversations?limit=many', undefined, 400],
    ['GET', '/build-context', undefined, 400],
  ])('to %s %s that is wrong has a status and a sentence', async (method, path, body, status) => {
    const said = await person.call(method, path, body)
    expect(said).toMatchObject({ status, success: false, error: expect.stringMatching(/^[A-Z/a-z][\w .,:()-]+$/) })
    expect(said.headers.get('allow')).toBe(status === 405 ? (path === '/conversations' ? 'GET' : 'POST') : null)
    expect(said).not.toContainKey('data')
  })

  test('keeps text that Postgres cannot store, as far as it can', async () => {
    const content = 'NUL \0, half \ud800, whole 😀, "\\u0000"'
    const { message_id } = await person.post('/add-message', { role: 'user', content })
    expect(await person.get(`/messages/${message_id}`)).toMatchObject({
      content: 'NUL \ufffd, half \ufffd, whole 😀, "\\u0000"',
    })
  })

  test('is for its owner only: to others their rows do not exist', async () => {
    const { id, branchId, questionId, answerId } = await talked(person)
    const before = await person.get(`/conversations/${id}/full`)
    const stranger = await client.person()
    const below = await talked(stranger)
    const tries: [string, string, unknown?][] = [
      ['GET', `/conversations/${id}`],
      ['GET', `/conversations/${id}/full`],
      ['GET', `/conversations/${id}/branches`],
      ['PATCH', `/conversations/${id}`, { title: 'stolen' }],
      ['POST', `/conversations/${id}/branches`, { parent_message_id: questionId }],
      ['POST', `/conversations/${id}/branches/${branchId}/activate`],
      ['POST', `/conversations/${below.id}/branches/${branchId}/activate`],
      ['GET', `/messages/${answerId}`],
      ['PATCH', `/messages/${questionId}`, { content: 'stolen' }],
      ['POST', `/messages/${answerId}/regenerate`],
      ['POST', '/add-message', { conversation_id: id, content: 'stolen' }],
      ['POST', '/add-message', { conversation_id: below.id, parent_id: answerId, content: 'stolen' }],
      ['POST', '/save-response', { conversation_id: id, parent_id: questionId, content: 'stolen' }],
      ['POST', '/save-response', { conversation_id: below.id, parent_id: questionId, content: 'stolen' }],
      ['POST', '/create-branch', { conversation_id: below.id, from_message_id: questionId }],
      ['POST', '/switch-branch', { conversation_id: id, branch_id: branchId }],
      ['GET', `/build-context?conversation_id=${id}`],
      ['GET', `/build-context?conversation_id=${below.id}&branch_id=${branchId}`],
    ]
    for (const [method, path, body] of tries) {
      expect({ path, body, ...(await stranger.call(method, path, body)) }).toMatchObject({
        path,
        status: 404,
        success: false,
      })
    }
    expect(await person.get(`/conversations/${id}/full`)).toEqual(before)
    expect((await call(client.edge, '', 'GET', `/conversations/${id}`)).status).toBe(401)
  })
})
