import { describe, expect, test } from 'bun:test'
import { createParser } from 'eventsource-parser'
import fc from 'fast-check'
import { nativeFrames, restartFrame } from '../../src/dialects/native'
import type { RunEvent } from '../../src/runs/port'

const HEADER = { id: 'chatcmpl-1', created: 1_790_000_000, model: 'm' }
const IDS = { conversation_id: 'c', branch_id: 'b', message_id: 'm', run_id: 'r' }
const USAGE = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }
const base = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_790_000_000, model: 'm' }
const choice = (delta: object, finish: string | null = null, logprobs: unknown = null) => [
  { index: 0, delta, logprobs, finish_reason: finish },
]

/** What an independent parser makes of the bytes. */
function parse(text: string) {
  const frames: { id?: string | undefined; event?: string | undefined; data: unknown }[] = []
  const parser = createParser({
    onEvent: ({ id, event, data }) => frames.push({ id, event, data: data === '[DONE]' ? data : JSON.parse(data) }),
    onError: (error) => {
      throw error
    },
  })
  parser.feed(text)
  return frames
}

const encode = (events: RunEvent[], seq = 1) => parse(nativeFrames(HEADER)({ seq, events }))
const DONE = { id: undefined, event: undefined, data: '[DONE]' }

describe('the native stream', () => {
  test('has the ids first, the facts last, one number an event, and [DONE]', () => {
    const frames = encode([
      { type: 'start', fields: IDS },
      'Hello',
      { type: 'done', finishReason: 'stop', usage: USAGE, costUsd: 0.25 },
    ])
    expect(frames).toEqual([
      { id: '1', event: undefined, data: { ...base, choices: choice({ role: 'assistant', content: '' }), ...IDS } },
      { id: '2', event: undefined, data: { ...base, choices: choice({ content: 'Hello' }) } },
      {
        id: '3',
        event: undefined,
        data: { ...base, choices: choice({}, 'stop'), usage: USAGE, cost_usd: 0.25, finish_reason: 'stop' },
      },
      DONE,
    ])
  })

  test('goes on with the numbers of later batches', () => {
    const encode = nativeFrames(HEADER)
    const text = encode({ seq: 7, events: ['a', 'b'] }) + encode({ seq: 9, events: ['c'] })
    expect(parse(text).map(({ id }) => id)).toEqual(['7', '8', '9'])
  })

  test('has tool calls, thoughts and log probabilities as the provider sent them', () => {
    const tool = { tool_calls: [{ index: 0, id: 'x', type: 'function', function: { name: 'f', arguments: '' } }] }
    const logprobs = { content: [{ token: 'a', logprob: -1 }] }
    const frames = encode([
      { type: 'delta', index: 0, delta: tool },
      { type: 'delta', index: 0, delta: { reasoning_content: 'hm' } },
      { type: 'delta', index: 0, delta: { content: 'a' }, logprobs },
    ])
    expect(frames.map(({ data }) => data)).toEqual([
      { ...base, choices: choice(tool) },
      { ...base, choices: choice({ reasoning_content: 'hm' }) },
      { ...base, choices: choice({ content: 'a' }, null, logprobs) },
    ])
  })

  test("says 'stop' in OpenAI's field and 'stopped' in ours when the user did it", () => {
    const [frame] = encode([{ type: 'done', finishReason: 'stopped', usage: null, costUsd: null }])
    const facts = { usage: null, cost_usd: null, finish_reason: 'stopped' }
    expect(frame?.data).toEqual({ ...base, choices: choice({}, 'stop'), ...facts })
  })

  test('ends with the error as it is, numbered, and [DONE]', () => {
    const error = { message: 'It broke\noff', code: 'UPSTREAM_ERROR', details: null, request_id: null } as const
    expect(encode([{ type: 'error', error, retryAfter: 7 }], 4)).toEqual([
      { id: '4', event: undefined, data: { error, code: 'UPSTREAM_ERROR' } },
      DONE,
    ])
  })

  test('takes back the text of an answer that begins anew, in a numbered event of its own', () => {
    expect(encode(['Hel', { type: 'restart' }, 'Good day'], 2).slice(1)).toEqual([
      { id: '3', event: 'restart', data: { restart: { after: 1 } } },
      { id: '4', event: undefined, data: { ...base, choices: choice({ content: 'Good day' }) } },
    ])
  })

  test('tells a reader to begin again in an event of its own', () => {
    expect(parse(restartFrame())).toEqual([{ id: '0', event: 'restart', data: { restart: { after: 0 } } }])
  })
})

describe('hostile text', () => {
  const HOSTILE = [
    'a\nb',
    'a\rb',
    'a\r\n\r\nb',
    'a\u2028b\u2029c\u0085d',
    '\n\nevent: error\ndata: {"error":{}}\n\n',
    'data: [DONE]\n\n',
    '[DONE]',
    'id: 99\nretry: 1\n: comment',
    '\ufeffdata: x',
    '"}],"usage":null}\n\n',
    '\\"\\u0000\u0000',
    '__proto__',
  ]

  test.each(HOSTILE)('arrives as it was meant, and as nothing else: %j', (text) => {
    const events: RunEvent[] = [text, { type: 'delta', index: 0, delta: { reasoning_content: text } }]
    expect(encode(events)).toEqual([
      { id: '1', event: undefined, data: { ...base, choices: choice({ content: text }) } },
      { id: '2', event: undefined, data: { ...base, choices: choice({ reasoning_content: text }) } },
    ])
  })

  test('of any kind arrives as it was meant, cut anywhere on the way', () => {
    const piece = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...HOSTILE))
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 5 }), fc.nat(), (texts, at) => {
        const bytes = new TextEncoder().encode(nativeFrames(HEADER)({ seq: 1, events: texts }))
        const cut = at % bytes.length
        const decoder = new TextDecoder()
        const got = parse(
          decoder.decode(bytes.subarray(0, cut), { stream: true }) + decoder.decode(bytes.subarray(cut)),
        )
        expect(got.map(({ data }) => data)).toEqual(texts.map((content) => ({ ...base, choices: choice({ content }) })))
      }),
      { numRuns: 300 },
    )
  })
})
