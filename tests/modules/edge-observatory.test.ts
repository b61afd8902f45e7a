import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { CallInit } from '../support/app'
import { type EdgeApp, edgeApp } from '../support/supabase/app'

/** What the Observatory's surface, feedback and the facts of runs are worth on a Supabase project. */
describe.each([
  ['our function', false],
  ['an older function', true],
])('in front of %s', (_, older) => {
  let edge: EdgeApp
  let token: string
  let id: string
  beforeAll(async () => {
    edge = await edgeApp({}, { older })
    token = (await edge.person()).token
    const json = { message: 'one', stream: false }
    id = (await (await edge.app.call('/v1/chat/completions', { token, json })).json()).conversation_id
  })
  afterAll(() => edge.close())

  const at = (path: string, init: CallInit = {}) => edge.app.call(`/api/v1/conversations${path}`, { token, ...init })

  test('conversations are read and gone on with', async () => {
    const answer = await at(`/${id}/messages`, { json: { message: 'two three' } })
    expect([answer.status, await answer.json()]).toEqual([
      200,
      expect.objectContaining({
        conversation_id: id,
        usage: { prompt_tokens: expect.any(Number), completion_tokens: 2, total_tokens: expect.any(Number) },
        message: expect.objectContaining({ id: expect.any(String), content: 'two three', provider: null }),
      }),
    ])
    const text = await (await at(`/${id}/stream?message=four`)).text()
    expect(text).toMatch(/"done":true,"message_id":"[0-9a-f-]{36}"/)
    const { messages, total } = await (await at(`/${id}/messages?limit=2&offset=1`)).json()
    expect(messages.map(({ content }: { content: string }) => content)).toEqual(['one', 'two three'])
    expect(total).toBe(6)
    expect(await (await at(`/${id}`)).json()).toMatchObject({ id, total_messages: 6 })
    expect(await (await at('')).json()).toMatchObject([{ id }])
    expect(await (await at('?user_id=nobody')).json()).toEqual([])
  })

  test('what needs a database of this server says so', async () => {
    const { messages } = await (await at(`/${id}/messages`)).json()
    const json = { rating: 5 }
    for (const init of [{ method: 'PUT', json }, {}, { method: 'DELETE' }]) {
      const answer = await edge.app.call(`/v1/messages/${messages[1].id}/feedback`, { token, ...init })
      expect([answer.status, (await answer.json()).error.message]).toEqual([
        501,
        expect.stringContaining('DATABASE_URL'),
      ])
    }
    for (const [path, body] of [
      ['', { title: 'Empty', metadata: { kept: 'nowhere' } }],
      [`/${id}/feedback`, { feedback_type: 'flag' }],
    ] as const) {
      const answer = await at(path, { json: body })
      expect([answer.status, (await answer.json()).detail]).toEqual([501, expect.stringContaining('DATABASE_URL')])
    }
  })
})
