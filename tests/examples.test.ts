import { afterAll, beforeAll, expect, test } from 'bun:test'
import { ask } from '../docs/examples/fetch'
import { hello } from '../docs/examples/openai'
import { type TestApp, testApp } from './support/app'

let app: TestApp
let url: string
beforeAll(async () => {
  app = await testApp()
  url = app.listen()
})
afterAll(() => app.close())

/** A network that breaks the first connections after so many bytes each, then holds. */
function badNetwork(cuts: number[]) {
  const asked: string[] = []
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url)
      asked.push(`${request.method} ${pathname}`)
      const response = await fetch(url + pathname, {
        method: request.method,
        headers: request.headers,
        body: request.body && (await request.text()),
      })
      const cut = cuts.shift()
      return cut === undefined ? response : new Response(firstBytes(response, cut), { headers: response.headers })
    },
  })
  return { url: server.url.origin, asked, stop: () => server.stop(true) }
}

function firstBytes({ body }: Response, count: number): ReadableStream<Uint8Array> {
  const reader = body?.getReader()
  let left = count
  return new ReadableStream({
    async pull(controller) {
      const { value } = (await reader?.read()) ?? {}
      if (value) controller.enqueue(value.slice(0, left))
      left -= value?.length ?? left
      if (left > 0) return
      await reader?.cancel()
      controller.close()
    },
  })
}

test('reads one whole answer over a connection that keeps breaking', async () => {
  const { token } = await app.signUp()
  const whole = await ask(url, token, 'Hello', () => {})
  const network = badNetwork([5, 700, 1500])
  const seen: string[] = []
  const text = await ask(network.url, token, 'Hello', (soFar) => seen.push(soFar))
  network.stop()

  expect(text).toBe(whole)
  expect(seen.at(-1)).toBe(whole)
  expect(network.asked.map((line) => line.replace(/[\da-f-]{36}/, '{id}'))).toEqual([
    'POST /v1/chat/completions',
    'POST /v1/chat/completions',
    'GET /v1/runs/{id}/stream',
    'GET /v1/runs/{id}/stream',
  ])
  const list = await (await app.call('/v1/conversations', { token })).json()
  expect(list.data.pagination.total).toBe(2)
})

test('says why a request was refused', async () => {
  await expect(ask(url, 'nobody', 'Hello', () => {})).rejects.toThrow('Sign in')
})

test('answers the OpenAI client with an API key', async () => {
  const { token } = await app.signUp()
  const made = await app.call('/v1/keys', { token, json: { name: 'sdk' } })
  const { data } = await made.json()
  expect(await hello(url, data.key)).toStartWith('Hello! I am demo/eliza')
})
