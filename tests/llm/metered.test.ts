import { expect, test } from 'bun:test'
import { AppError } from '../../src/errors'
import { metered } from '../../src/llm/metered'
import type { ChatEvent, Provider } from '../../src/llm/port'

const REQUEST = { model: 'm', messages: [], params: {} }

/** A provider that says these things; an error among them is thrown. */
const saying = (...events: (ChatEvent | Error)[]): Provider => ({
  name: 'p',
  listsAll: false,
  personalKeys: true,
  cost: () => 7n,
  models: async () => [],
  async *stream() {
    for (const event of events) {
      if (event instanceof Error) throw event
      yield event
    }
  },
})

/** A provider under watch, and what the watcher noted. */
function watched(provider: Provider) {
  const notes: string[] = []
  const observer = {
    streamBegan: () => notes.push('began'),
    streamSpoke: (name: string, ms: number) => notes.push(`${name} spoke ${ms >= 0}`),
    streamEnded: (name: string, outcome: string) => notes.push(`${name} ${outcome}`),
  }
  return { provider: metered(provider, observer), notes }
}

const all = (provider: Provider, signal = new AbortController().signal) =>
  Array.fromAsync(provider.stream(REQUEST, signal))
const META: ChatEvent = { type: 'meta', fields: {} }

test('passes everything on and notes one beginning, one first word and one end', async () => {
  const { provider, notes } = watched(saying(META, 'a', 'b', { type: 'finish', index: 0, reason: 'stop' }))
  expect(await all(provider)).toEqual([META, 'a', 'b', { type: 'finish', index: 0, reason: 'stop' }])
  expect(notes).toEqual(['began', 'p spoke true', 'p completed'])
})

test('counts the first tool call or thought as the first word, too', async () => {
  const { provider, notes } = watched(saying(META, { type: 'delta', index: 0, delta: { reasoning_content: 'hm' } }))
  await all(provider)
  expect(notes).toEqual(['began', 'p spoke true', 'p completed'])
})

test('notes the error code of a failure and throws it on', async () => {
  const busy = new AppError('RATE_LIMIT_EXCEEDED', 'busy')
  const { provider, notes } = watched(saying('a', busy))
  expect(all(provider)).rejects.toBe(busy)
  await all(provider).catch(() => {})
  expect(notes).toContain('p RATE_LIMIT_EXCEEDED')
  const bug = watched(saying(new TypeError('oops')))
  await all(bug.provider).catch(() => {})
  expect(bug.notes).toEqual(['began', 'p INTERNAL_ERROR'])
})

test('notes an abort as an abort, whatever is thrown, and a consumer that leaves as well', async () => {
  const abort = new AbortController()
  abort.abort()
  const aborted = watched(saying(new AppError('UPSTREAM_ERROR', 'cut')))
  await all(aborted.provider, abort.signal).catch(() => {})
  expect(aborted.notes).toEqual(['began', 'p aborted'])

  const left = watched(saying('a', 'b'))
  for await (const event of left.provider.stream(REQUEST, new AbortController().signal)) if (event === 'a') break
  expect(left.notes).toEqual(['began', 'p spoke true', 'p aborted'])
})

test('notes nothing before anyone listens, and keeps what else the provider is', () => {
  const { provider, notes } = watched(saying('a'))
  provider.stream(REQUEST, new AbortController().signal)
  expect(notes).toEqual([])
  expect(provider).toMatchObject({ name: 'p', personalKeys: true })
  expect(provider.cost({ prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 })).toBe(7n)
})
