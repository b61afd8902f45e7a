import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { AppError } from '../../src/errors'
import { Chunks } from '../../src/llm/chunk-reader'
import type { ChatEvent } from '../../src/llm/port'

const chunk = (fields: object) =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, ...fields })}\n\n`
const delta = (delta: object, index = 0) => chunk({ choices: [{ index, delta, finish_reason: null }] })
const finish = (reason = 'stop', index = 0) => chunk({ choices: [{ index, delta: {}, finish_reason: reason }] })
const USAGE = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }
const DONE = 'data: [DONE]\n\n'

/** Feeds the pieces one by one and reads after each, as the adapter does; gives back events, then the failure. */
function read(pieces: string[]): { events: ChatEvent[]; failure: string | undefined; done: boolean } {
  const chunks = new Chunks()
  const events: ChatEvent[] = []
  try {
    for (const piece of pieces) {
      chunks.feed(piece)
      for (const event of chunks.take()) events.push(event)
    }
  } catch (error) {
    return { events, failure: error instanceof AppError ? error.code : String(error), done: chunks.done }
  }
  return { events, failure: undefined, done: chunks.done }
}

const WHOLE = [
  ': a comment\n\n',
  chunk({
    model: 'm',
    system_fingerprint: 'fp',
    service_tier: null,
    choices: [{ index: 0, delta: { role: 'assistant', content: '' } }],
  }),
  delta({ content: 'Привет\n\ndata: 🌍\r\u2028' }),
  delta({ reasoning_content: 'hm' }),
  delta({ content: 'b' }, 1),
  delta({ tool_calls: [{ index: 0, id: 'x', function: { name: 'f', arguments: '{"a":' } }] }),
  chunk({ choices: [{ index: 0, delta: { content: 'l' }, logprobs: { content: [{ token: 'l' }] } }] }),
  finish('stop'),
  finish('length', 1),
  chunk({ choices: [], usage: USAGE }),
  DONE,
].join('')

const EVENTS: ChatEvent[] = [
  { type: 'meta', fields: { model: 'm', system_fingerprint: 'fp' } },
  'Привет\n\ndata: 🌍\r\u2028',
  { type: 'delta', index: 0, delta: { reasoning_content: 'hm' } },
  { type: 'delta', index: 1, delta: { content: 'b' } },
  {
    type: 'delta',
    index: 0,
    delta: { tool_calls: [{ index: 0, id: 'x', function: { name: 'f', arguments: '{"a":' } }] },
  },
  { type: 'delta', index: 0, delta: { content: 'l' }, logprobs: { content: [{ token: 'l' }] } },
  { type: 'finish', index: 0, reason: 'stop' },
  { type: 'finish', index: 1, reason: 'length' },
  { type: 'usage', usage: USAGE, counts: expect.any(Object) },
]

describe('a stream', () => {
  test.each([
    { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 },
    { prompt_tokens: null, completion_tokens: null },
    { prompt_tokens: 3, completion_tokens: -1 },
    { total_tokens: 5 },
  ])('that says %j of its usage has said nothing: it is counted here', (usage) => {
    const { events } = read([chunk({ choices: [{ index: 0, delta: { content: 'a' } }], usage }), finish('stop'), DONE])
    expect(events.map((event) => (typeof event === 'string' ? event : event.type))).toEqual(['meta', 'a', 'finish'])
  })

  test('gives the same events at every single cut, whatever its line ends', () => {
    for (const text of [WHOLE, WHOLE.replaceAll('\n', '\r\n'), WHOLE.replaceAll('\n', '\r')]) {
      for (let at = 0; at <= text.length; at++) {
        expect(read([text.slice(0, at), text.slice(at)])).toEqual({ events: EVENTS, failure: undefined, done: true })
      }
    }
  })

  test('gives the same events at any number of random cuts', () => {
    const text = WHOLE.replaceAll('\n', '\r\n')
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: text.length }), { maxLength: 60 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), text.length]
        const pieces = at.slice(1).map((end, i) => text.slice(at[i], end))
        expect(read(pieces)).toEqual({ events: EVENTS, failure: undefined, done: true })
      }),
      { numRuns: 300 },
    )
  })

  test('gives what was said before an error, then the error, at every cut', () => {
    const text =
      delta({ content: 'a' }) + delta({ content: 'b' }) + chunk({ error: { message: 'Too long', code: 500 } }) + DONE
    for (let at = 0; at <= text.length; at++) {
      const { events, failure } = read([text.slice(0, at), text.slice(at)])
      expect(events.filter((event) => typeof event === 'string')).toEqual(['a', 'b'])
      expect(failure).toBe('UPSTREAM_ERROR')
    }
  })

  test('says nothing more after [DONE]', () => {
    const { events, done } = read([DONE + delta({ content: 'late' })])
    expect(events).toEqual([])
    expect(done).toBe(true)
  })

  test('knows a finished answer from one that is not', () => {
    const chunks = new Chunks()
    chunks.feed(delta({ content: 'a' }))
    expect([chunks.finished, chunks.done]).toEqual([false, false])
    chunks.feed(finish())
    expect([chunks.finished, chunks.done]).toEqual([true, false])
    chunks.feed(delta({ content: 'b' }))
    expect(chunks.finished).toBe(false)
  })

  test('is finished when each of its choices is', () => {
    const chunks = new Chunks()
    for (const piece of [delta({ content: 'a' }), delta({ content: 'b' }, 1), finish()]) chunks.feed(piece)
    expect(chunks.finished).toBe(false)
    chunks.feed(finish('length', 1))
    expect(chunks.finished).toBe(true)
  })

  test('says once what it is told twice: why it ended', () => {
    const { events } = read([delta({ content: 'a' }), finish(), finish(), DONE])
    expect(events.slice(1)).toEqual(['a', { type: 'finish', index: 0, reason: 'stop' }])
  })
})

test.each(['{"choices":', 'null', 'nonsense', '{"choices":5}'])('refuses %s as a chunk', (data) => {
  expect(read([`data: ${data}\n\n`]).failure).toBe('UPSTREAM_ERROR')
})

test('passes on keys it does not know, and drops those that say nothing', () => {
  const { events } = read([
    delta({ content: null, refusal: null, audio: { id: 'a' }, provider_specific: [1] }),
    delta({ content: '' }),
  ])
  expect(events.slice(1)).toEqual([{ type: 'delta', index: 0, delta: { audio: { id: 'a' }, provider_specific: [1] } }])
})

test('refuses a line without end before it has grown for ever', () => {
  const chunks = new Chunks()
  const megabyte = 'x'.repeat(1024 * 1024)
  let fed = 0
  const feed = () => {
    chunks.feed('data: {"choices":"')
    for (; fed < 64; fed++) chunks.feed(megabyte)
  }
  expect(feed).toThrow('too long')
  expect(fed).toBeLessThan(6)
})

test('says the message of an error in the stream without the secrets it quotes', () => {
  const chunks = new Chunks()
  expect(() => chunks.feed(chunk({ error: { message: 'sk-live-abcdef123456 is out of quota' } }))).toThrow(
    '[hidden] is out of quota',
  )
})
