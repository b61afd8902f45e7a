import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { AppError } from '../../src/errors'
import { MessageFrames } from '../../src/llm/anthropic-reader'
import type { ChatEvent } from '../../src/llm/port'
import { frame } from '../support/fake-anthropic'

/** Feeds the pieces one by one and reads after each, as the adapter does; gives back events, then the failure. */
function read(pieces: string[]) {
  const frames = new MessageFrames()
  const events: ChatEvent[] = []
  try {
    for (const piece of pieces) {
      frames.feed(piece)
      for (const event of frames.take()) events.push(event)
    }
  } catch (error) {
    return { events, failure: error instanceof AppError ? error.code : String(error), done: frames.done }
  }
  return { events, failure: undefined, done: frames.done }
}

const start = (usage: object | null = { input_tokens: 5, output_tokens: 1 }) =>
  frame({ type: 'message_start', message: { id: 'm', model: 'claude', usage } })
const block = (index: number, content_block: object) => frame({ type: 'content_block_start', index, content_block })
const delta = (index: number, delta: object) => frame({ type: 'content_block_delta', index, delta })
const stop = (index: number) => frame({ type: 'content_block_stop', index })
const end = (stop_reason: string, usage: object | null = { output_tokens: 9 }) =>
  frame({ type: 'message_delta', delta: { stop_reason }, usage })
const STOP = frame({ type: 'message_stop' })
const PING = frame({ type: 'ping' })

const WHOLE = [
  start({ input_tokens: 5, cache_read_input_tokens: 100, cache_creation_input_tokens: 20, output_tokens: 1 }),
  PING,
  block(0, { type: 'thinking', thinking: '', signature: '' }),
  delta(0, { type: 'thinking_delta', thinking: 'Hm, ' }),
  delta(0, { type: 'thinking_delta', thinking: 'мир' }),
  delta(0, { type: 'signature_delta', signature: 'c2ln' }),
  stop(0),
  block(1, { type: 'redacted_thinking', data: 'eHh4' }),
  stop(1),
  block(2, { type: 'text', text: '' }),
  delta(2, { type: 'text_delta', text: 'Привет\n\ndata: 🌍\r\u2028' }),
  PING,
  stop(2),
  block(3, { type: 'tool_use', id: 'toolu_1', name: 'f', input: {} }),
  delta(3, { type: 'input_json_delta', partial_json: '' }),
  delta(3, { type: 'input_json_delta', partial_json: '{"a":' }),
  delta(3, { type: 'input_json_delta', partial_json: '1}' }),
  stop(3),
  block(4, { type: 'tool_use', id: 'toolu_2', name: 'g', input: {} }),
  stop(4),
  end('tool_use'),
  STOP,
].join('')

const call = (tool: object): ChatEvent => ({ type: 'delta', index: 0, delta: { tool_calls: [tool] } })
const EVENTS: ChatEvent[] = [
  { type: 'meta', fields: { model: 'claude' } },
  { type: 'delta', index: 0, delta: { reasoning_content: 'Hm, ' } },
  { type: 'delta', index: 0, delta: { reasoning_content: 'мир' } },
  { type: 'delta', index: 0, delta: { reasoning_details: [{ type: 'thinking', signature: 'c2ln', length: 7 }] } },
  { type: 'delta', index: 0, delta: { reasoning_details: [{ type: 'redacted_thinking', data: 'eHh4' }] } },
  'Привет\n\ndata: 🌍\r\u2028',
  call({ index: 0, id: 'toolu_1', type: 'function', function: { name: 'f', arguments: '' } }),
  call({ index: 0, function: { arguments: '{"a":' } }),
  call({ index: 0, function: { arguments: '1}' } }),
  call({ index: 1, id: 'toolu_2', type: 'function', function: { name: 'g', arguments: '' } }),
  call({ index: 1, function: { arguments: '{}' } }),
  { type: 'finish', index: 0, reason: 'tool_calls' },
  {
    type: 'usage',
    usage: {
      prompt_tokens: 125,
      completion_tokens: 9,
      total_tokens: 134,
      prompt_tokens_details: { cached_tokens: 100, cache_write_tokens: 20 },
    },
    counts: expect.objectContaining({ input: 5, cachedInput: 100, cacheWrite: 20, output: 9 }),
  },
]

describe('a stream', () => {
  test('gives the same events at every single cut, whatever its line ends', () => {
    for (const text of [WHOLE, WHOLE.replaceAll('\n', '\r\n'), WHOLE.replaceAll('\n', '\r')]) {
      for (let at = 0; at <= text.length; at++) {
        expect(read([text.slice(0, at), text.slice(at)])).toEqual({ events: EVENTS, failure: undefined, done: true })
      }
    }
  })

  test('gives the same events at any number of random cuts', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: WHOLE.length }), { maxLength: 60 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), WHOLE.length]
        const pieces = at.slice(1).map((to, i) => WHOLE.slice(at[i], to))
        expect(read(pieces)).toEqual({ events: EVENTS, failure: undefined, done: true })
      }),
      { numRuns: 300 },
    )
  })

  test('is not complete before message_stop, wherever it is cut', () => {
    for (let at = 0; at < WHOLE.length - 1; at++) expect(read([WHOLE.slice(0, at)]).done).toBe(false)
  })

  test('is finished once it has said why it stopped', () => {
    const frames = new MessageFrames()
    frames.feed(start() + block(0, { type: 'text', text: 'a' }) + stop(0))
    expect(frames.finished).toBe(false)
    frames.feed(end('end_turn') + end('end_turn'))
    expect([frames.finished, frames.done]).toEqual([true, false])
    expect([...frames.take()].filter((event) => typeof event === 'object' && event.type === 'finish')).toHaveLength(1)
  })

  test('gives what was said before an error, then the error, at every cut', () => {
    const error = frame({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } })
    const text =
      start() + block(0, { type: 'text', text: 'a' }) + delta(0, { type: 'text_delta', text: 'b' }) + error + STOP
    for (let at = 0; at <= text.length; at++) {
      const { events, failure } = read([text.slice(0, at), text.slice(at)])
      expect(events.filter((event) => typeof event === 'string')).toEqual(['a', 'b'])
      expect(failure).toBe('UPSTREAM_UNAVAILABLE')
    }
  })

  test('may begin twice, and says nothing more after its end', () => {
    const { events, done } = read([start() + start(null), delta(0, { type: 'text_delta', text: 'x' }), STOP, WHOLE])
    expect(done).toBe(true)
    expect(events).toEqual([
      { type: 'meta', fields: { model: 'claude' } },
      'x',
      { type: 'finish', index: 0, reason: 'stop' },
      {
        type: 'usage',
        usage: expect.objectContaining({ prompt_tokens: 5, completion_tokens: 1 }),
        counts: expect.objectContaining({ input: 5, output: 1 }),
      },
    ])
  })

  test('may have kinds of events, blocks and deltas that nobody knows', () => {
    const { events, failure } = read([
      start(),
      frame({ type: 'news' }),
      block(0, { type: 'server_tool_use', id: 's', name: 'web_search', input: {} }),
      delta(0, { type: 'input_json_delta', partial_json: '{}' }),
      stop(0),
      delta(1, { type: 'citations_delta', citation: {} }),
      delta(1, { type: 'text_delta', text: 'x' }),
    ])
    expect(failure).toBeUndefined()
    expect(events.slice(1)).toEqual(['x'])
  })
})

test.each([
  ['end_turn', 'stop'],
  ['stop_sequence', 'stop'],
  ['pause_turn', 'stop'],
  ['max_tokens', 'length'],
  ['model_context_window_exceeded', 'length'],
  ['tool_use', 'tool_calls'],
  ['refusal', 'content_filter'],
  ['a_reason_of_tomorrow', 'stop'],
])('stop_reason %s is %s', (reason, finish) => {
  expect(read([start(), end(reason)]).events[1]).toEqual({ type: 'finish', index: 0, reason: finish })
})

test.each([
  ['invalid_request_error', 'BAD_REQUEST'],
  ['request_too_large', 'BAD_REQUEST'],
  ['not_found_error', 'NOT_FOUND'],
  ['rate_limit_error', 'RATE_LIMIT_EXCEEDED'],
  ['overloaded_error', 'UPSTREAM_UNAVAILABLE'],
  ['timeout_error', 'UPSTREAM_TIMEOUT'],
  ['authentication_error', 'UPSTREAM_ERROR'],
  ['api_error', 'UPSTREAM_ERROR'],
  [undefined, 'UPSTREAM_ERROR'],
])('an error of type %s is %s, first or in the middle', (type, code) => {
  const error = frame({ type: 'error', error: { type, message: 'No' } })
  expect(read([error]).failure).toBe(code)
  expect(read([start() + error]).failure).toBe(code)
})

test.each(['{"type":', 'null', 'nonsense'])('refuses %s as an event', (data) => {
  expect(read([`data: ${data}\n\n`]).failure).toBe('UPSTREAM_ERROR')
})

test('counts that come late or not at all are those that were known', () => {
  const usage = (...frames: string[]) =>
    read([...frames, STOP]).events.find((e) => typeof e === 'object' && e.type === 'usage')
  expect(usage(start(null), end('end_turn', null))).toBeUndefined()
  const late = {
    input_tokens: 7,
    cache_read_input_tokens: null,
    output_tokens: 3,
    output_tokens_details: { thinking_tokens: 2 },
  }
  expect(usage(start(), end('end_turn', late))).toMatchObject({
    usage: { prompt_tokens: 7, completion_tokens: 3, completion_tokens_details: { reasoning_tokens: 2 } },
  })
})

test('reads a frame in less than 30 microseconds', () => {
  const frames = new MessageFrames()
  const one = delta(0, { type: 'text_delta', text: 'Hello there' })
  const began = performance.now()
  for (let i = 0; i < 20_000; i++) {
    frames.feed(one)
    for (const _ of frames.take());
  }
  expect(((performance.now() - began) * 1000) / 20_000).toBeLessThan(30)
})
