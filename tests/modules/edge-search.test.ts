import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type EdgeApp, edgeApp } from '../support/supabase/app'

let edge: EdgeApp
let me: { id: string; token: string }
beforeAll(async () => {
  edge = await edgeApp({})
  me = await edge.person()
})
afterAll(() => edge.close())

test.each(['/v1/conversations/search?q=tea', '/v1/user/conversations/stats', '/v1/sync'])(
  '%s says which setting it needs',
  async (path) => {
    expect((await edge.app.call(path)).status).toBe(401)
    const answer = await edge.app.call(path, { token: me.token })
    const { error } = await answer.json()
    expect([answer.status, error.code]).toEqual([501, 'NOT_SUPPORTED'])
    expect(error.message).toContain('set DATABASE_URL and STORE=postgres')
  },
)
