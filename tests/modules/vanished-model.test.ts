import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'
import { readSse } from '../support/read-sse'

let app: TestApp
beforeAll(async () => {
  app = await testApp()
})
afterAll(() => app.close())

test('refuses a model that does not exist before anything is written', async () => {
  const { token } = await app.signUp()
  const answer = await app.call('/v1/chat/completions', { token, json: { message: 'Hello', model: 'gpt-x' } })
  expect(answer.status).toBe(404)
  expect((await answer.json()).error.message).toBe('There is no model gpt-x. GET /v1/models lists what there is')
  const list = await (await app.call('/v1/conversations', { token })).json()
  expect(list.data.pagination.total).toBe(0)
})

test('fails the run, with the request id, when the model of a conversation has gone', async () => {
  const { token } = await app.signUp()
  const first = await readSse(await app.call('/v1/chat/completions', { token, json: { message: 'Hello' } }))
  const { conversation_id } = first.frames[0]?.data ?? {}
  const path = `/v1/conversations/${conversation_id}`
  await app.call(path, { method: 'PATCH', token, json: { model: 'gone' } })

  const headers = { 'x-request-id': 'find-me' }
  const json = { message: 'And now?', conversation_id }
  const second = await readSse(await app.call('/v1/chat/completions', { token, json, headers }))
  expect(second.done).toBe(true)
  const error = { code: 'NOT_FOUND', request_id: 'find-me' }
  expect(second.frames.at(-1)?.data.error).toMatchObject(error)
  const run = await (await app.call(`/v1/runs/${second.frames[0]?.data.run_id}`, { token })).json()
  expect(run.data).toMatchObject({ status: 'failed', last_seq: 2, error })
})
