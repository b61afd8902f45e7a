import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type TestApp, testApp } from '../support/app'
import { readSse } from '../support/read-sse'

let app: TestApp
let token: string
beforeAll(async () => {
  app = await testApp()
  token = (await app.signUp()).token
  for (let i = 0; i < 20; i++) {
    const json = { message: `${i} ${'long '.repeat(20)}`, stream: false }
    expect((await app.call('/v1/chat/completions', { token, json })).status).toBe(200)
  }
})
afterAll(() => app.close())

const list = (encoding?: string, query = '') => {
  const headers: Record<string, string> = encoding === undefined ? {} : { 'accept-encoding': encoding }
  return app.call(`/v1/conversations${query}`, { token, headers })
}

test.each(['gzip', 'deflate, gzip;q=1.0, *;q=0.5', 'br, gzip'])('compresses a large list for %s', async (encoding) => {
  const plain = await list()
  const answer = await list(encoding)
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-encoding')).toBe('gzip')
  expect(answer.headers.get('vary')).toBe('accept-encoding')
  expect(answer.headers.get('content-type')).toStartWith('application/json')
  expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
  const bytes = new Uint8Array(await answer.arrayBuffer())
  const text = await plain.text()
  expect(bytes.length).toBeLessThan(text.length / 2)
  expect(new TextDecoder().decode(Bun.gunzipSync(bytes))).toBe(text)
})

test.each([undefined, 'identity', 'br', 'gzip;q=0', 'deflate, gzip; q=0.0', 'xgzipx'])(
  'leaves a large list as it is for %s',
  async (encoding) => {
    const answer = await list(encoding)
    expect(answer.headers.get('content-encoding')).toBeNull()
    expect((await answer.json()).data.items).toHaveLength(20)
  },
)

test('leaves a small list as it is', async () => {
  const answer = await list('gzip', '?limit=1')
  expect(answer.headers.get('content-encoding')).toBeNull()
  expect((await answer.json()).data.items).toHaveLength(1)
})

test('keeps status and headers of an answer that was not worth compressing', async () => {
  const headers = { 'accept-encoding': 'gzip', 'x-request-id': 'mine' }
  const answer = await app.call('/v1/keys', { token, json: { name: 'key' }, headers })
  expect(answer.status).toBe(201)
  expect(answer.headers.get('x-request-id')).toBe('mine')
  expect((await answer.json()).success).toBe(true)
})

test('never compresses a stream: that would hold its words back', async () => {
  const headers = { 'accept-encoding': 'gzip' }
  const answer = await app.call('/v1/chat/completions', { token, headers, json: { message: 'word '.repeat(2000) } })
  expect(answer.headers.get('content-type')).toStartWith('text/event-stream')
  expect(answer.headers.get('content-encoding')).toBeNull()
  const { done, text } = await readSse(answer)
  expect(done).toBe(true)
  expect(text).not.toBe('')
})
