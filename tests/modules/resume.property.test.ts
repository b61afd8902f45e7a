/** A client that loses its connection anywhere, any number of times, ends up with the stored answer: no gap, no repeat. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createParser } from 'eventsource-parser'
import fc from 'fast-check'
import { type TestApp, testApp } from '../support/app'
import { type FakeProvider, startFakeProvider } from '../support/fake-provider'
import type { FrameData } from '../support/read-sse'

interface Seen {
  id: number
  data: FrameData
}

let provider: FakeProvider
let app: TestApp
let base: string
let token: string

beforeAll(async () => {
  provider = startFakeProvider()
  app = await testApp({ OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: 'sk-test' })
  base = app.listen()
  token = (await app.signUp()).token
})
afterAll(async () => {
  await app.close()
  await provider.stop()
})

/** Connects, takes so many bytes, hangs up; gives back what came whole. An event cut in two never happened. */
async function take(path: string, init: RequestInit, bytes: number): Promise<Seen[]> {
  const abort = new AbortController()
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...init.headers }
  const response = await fetch(base + path, { ...init, headers, signal: abort.signal })
  expect(response.status).toBe(200)
  const seen: Seen[] = []
  const parser = createParser({
    onEvent: ({ id, event, data }) => {
      expect(event).toBeUndefined()
      if (data !== '[DONE]') seen.push({ id: Number(id), data: JSON.parse(data) })
    },
  })
  const decoder = new TextDecoder()
  let left = bytes
  for await (const chunk of response.body ?? []) {
    parser.feed(decoder.decode(chunk.subarray(0, left), { stream: true }))
    left -= chunk.length
    if (left <= 0) break
  }
  abort.abort()
  return seen
}

const isTerminal = ({ data }: Seen) => Boolean(data.error ?? data.choices?.some((choice) => choice.finish_reason))

/** Goes on after the last whole event until the terminal one came; cut off after each of `cuts` bytes on the way. */
async function resume(runId: string, seen: Seen[], cuts: number[]): Promise<Seen[]> {
  const rest = [...cuts, Number.POSITIVE_INFINITY]
  for (const bytes of rest) {
    if (seen.some(isTerminal)) break
    const after = String(seen.at(-1)?.id ?? 0)
    seen.push(...(await take(`/v1/runs/${runId}/stream`, { headers: { 'last-event-id': after } }, bytes)))
  }
  return seen
}

let begun = 0

async function begin(model: string, message: string, firstCut: number) {
  // One that fails is another model each time: the same would be left alone after five failures.
  const asked = model.startsWith('error') ? `${model}:${++begun}` : model
  const seen = await take(
    '/v1/chat/completions',
    { method: 'POST', body: JSON.stringify({ model: asked, message }) },
    firstCut,
  )
  // Whoever was cut off before the first event asks which answer is being written.
  const runs = await (await app.call('/v1/runs?limit=1', { token })).json()
  return { seen, runId: String(runs.data.items[0].id), conversationId: String(runs.data.items[0].conversation_id) }
}

async function storedAnswer(conversationId: string): Promise<string> {
  const page = await (await app.call(`/v1/conversations/${conversationId}/messages`, { token })).json()
  return page.data.items.at(-1).content
}

function expectWhole(seen: Seen[], text: string): void {
  expect(seen.map(({ id }) => id)).toEqual(seen.map((_, i) => i + 1))
  expect(seen.filter(isTerminal)).toHaveLength(1)
  expect(seen.findIndex(isTerminal)).toBe(seen.length - 1)
  expect(seen.map(({ data }) => data.choices?.[0]?.delta.content ?? '').join('')).toBe(text)
}

const answers = fc.constantFrom(
  { model: 'slow:1:25', message: 'go', text: /^t1 .* t25$/ },
  { model: 'tokens:400', message: 'go', text: /^t1 .* t400$/ },
  { model: 'split-utf8', message: 'go', text: /^Привет, мир 🌍👩‍👩‍👧 ё𝕏$/u },
  {
    model: 'echo',
    message: 'data: x\n\nevent: error\r\nid: 99\u2028 🎈 end',
    text: /^data: x\n\nevent: error\r\nid: 99\u2028 🎈 end$/u,
  },
  { model: 'error-after:12', message: 'go', text: /^t1 .* t12$/ },
)
const cut = fc.oneof(fc.integer({ min: 1, max: 900 }), fc.integer({ min: 1, max: 6000 }))
const cuts = fc.array(cut, { maxLength: 6 })

test('a client cut off at random bytes has exactly the stored answer in the end', async () => {
  await fc.assert(
    fc.asyncProperty(answers, cut, cuts, async ({ model, message, text }, firstCut, furtherCuts) => {
      const { seen, runId, conversationId } = await begin(model, message, firstCut)
      await resume(runId, seen, furtherCuts)
      const stored = await storedAnswer(conversationId)
      expect(stored).toMatch(text)
      expectWhole(seen, stored)
    }),
    { numRuns: 50 },
  )
}, 120_000)

test('two clients cut off at different bytes each have exactly the stored answer in the end', async () => {
  await fc.assert(
    fc.asyncProperty(answers, cut, cuts, cuts, async ({ model, message, text }, firstCut, mine, theirs) => {
      const { seen, runId, conversationId } = await begin(model, message, firstCut)
      const [first, second] = await Promise.all([resume(runId, seen, mine), resume(runId, [], theirs)])
      const stored = await storedAnswer(conversationId)
      expect(stored).toMatch(text)
      expectWhole(first, stored)
      expectWhole(second, stored)
    }),
    { numRuns: 50 },
  )
}, 120_000)
