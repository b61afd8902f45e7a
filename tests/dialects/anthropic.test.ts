import { describe, expect, test } from 'bun:test'
import {
  anthropicError,
  anthropicFrames,
  anthropicMessage,
  anthropicRunFrames,
  anthropicRunMessage,
  anthropicStatus,
} from '../../src/dialects/anthropic'
import { toChat } from '../../src/dialects/anthropic-in'
import { AppError, ERRORS, type ErrorCode } from '../../src/errors'
import { estimateRequest, estimateTokens } from '../../src/lib/token-estimate'
import type { ChatEvent } from '../../src/llm/port'
import type { RunBatch, RunEvent } from '../../src/runs/port'
import { readSse } from '../support/read-sse'

const header = { id: 'msg_1', model: 'm' }
const call = (tool: object): ChatEvent => ({ type: 'delta', index: 0, delta: { tool_calls: [tool] } })
const piece = (index: number, args: string) => call({ index, function: { arguments: args } })
const begin = (index: number, id: string, name: string) =>
  call({ index, id, type: 'function', function: { name, arguments: '' } })
const finish = (reason: string): ChatEvent => ({ type: 'finish', index: 0, reason })
const USAGE = {
  prompt_tokens: 125,
  completion_tokens: 9,
  total_tokens: 134,
  prompt_tokens_details: { cached_tokens: 100, cache_write_tokens: 20 },
}
const COUNTS = { input_tokens: 5, cache_creation_input_tokens: 20, cache_read_input_tokens: 100, output_tokens: 9 }
const NONE = { input_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 0 }

async function* from<T>(items: T[], failure?: Error): AsyncGenerator<T> {
  yield* items
  if (failure) throw failure
}

const response = (frames: string) => new Response(frames)
async function written(events: ChatEvent[], failure?: Error) {
  let text = ''
  for await (const frames of anthropicFrames(from(events, failure), { header, requestId: 'req' })) text += frames
  const { frames } = await readSse(response(text))
  for (const { event, data } of frames) expect(data.type).toBe(event as string)
  return frames.map(({ data }) => data)
}
/** What is between `ping` and `message_delta`. */
const blocks = async (events: ChatEvent[]) => (await written(events)).slice(2, -2)

const start = (index: number, content_block: object) => ({ type: 'content_block_start', index, content_block })
const delta = (index: number, delta: object) => ({ type: 'content_block_delta', index, delta })
const stop = (index: number) => ({ type: 'content_block_stop', index })

describe('a stream', () => {
  test('has the events of the API, in their order', async () => {
    expect(await written(['Hel', 'lo', finish('stop'), { type: 'usage', usage: USAGE }])).toEqual([
      {
        type: 'message_start',
        message: {
          ...header,
          type: 'message',
          role: 'assistant',
          content: [],
          stop_reason: null,
          stop_sequence: null,
          usage: NONE,
        },
      },
      { type: 'ping' },
      start(0, { type: 'text', text: '' }),
      delta(0, { type: 'text_delta', text: 'Hel' }),
      delta(0, { type: 'text_delta', text: 'lo' }),
      stop(0),
      { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: COUNTS },
      { type: 'message_stop' },
    ])
  })

  test.each([
    ['length', 'max_tokens'],
    ['tool_calls', 'tool_use'],
    ['content_filter', 'refusal'],
    ['stopped', 'end_turn'],
  ])('that ends by %s says %s', async (reason, stop_reason) => {
    expect((await written(['x', finish(reason)])).at(-2)).toMatchObject({ delta: { stop_reason }, usage: NONE })
  })

  test('has thoughts, signed and redacted, then text, then calls, each a block of its own', async () => {
    const thought = (delta: object): ChatEvent => ({ type: 'delta', index: 0, delta: { ...delta } })
    expect(
      await blocks([
        thought({ reasoning_content: 'Hm' }),
        thought({ reasoning_details: [{ type: 'thinking', signature: 's', length: 2 }] }),
        thought({ reasoning_details: [{ type: 'redacted_thinking', data: 'd' }] }),
        'So',
        begin(0, 'c1', 'f'),
        piece(0, '{"a":'),
        piece(0, '1}'),
        begin(1, 'c2', 'g'),
        finish('tool_calls'),
      ]),
    ).toEqual([
      start(0, { type: 'thinking', thinking: '', signature: '' }),
      delta(0, { type: 'thinking_delta', thinking: 'Hm' }),
      delta(0, { type: 'signature_delta', signature: 's' }),
      stop(0),
      start(1, { type: 'redacted_thinking', data: 'd' }),
      stop(1),
      start(2, { type: 'text', text: '' }),
      delta(2, { type: 'text_delta', text: 'So' }),
      stop(2),
      start(3, { type: 'tool_use', id: 'c1', name: 'f', input: {} }),
      delta(3, { type: 'input_json_delta', partial_json: '{"a":' }),
      delta(3, { type: 'input_json_delta', partial_json: '1}' }),
      stop(3),
      start(4, { type: 'tool_use', id: 'c2', name: 'g', input: {} }),
      stop(4),
    ])
  })

  test('keeps calls apart whose pieces come mixed, whole or without a number', async () => {
    const jsonOf = (events: { type?: unknown; index?: number; delta?: { partial_json?: string } }[]) => {
      const whole: Record<number, string> = {}
      for (const { index = 0, delta } of events) whole[index] = (whole[index] ?? '') + (delta?.partial_json ?? '')
      return Object.values(whole)
    }
    const mixed = [
      begin(0, 'c1', 'f'),
      piece(0, '{"a'),
      begin(1, 'c2', 'g'),
      piece(1, '{"b"'),
      piece(0, '":1}'),
      piece(1, ':2}'),
    ]
    expect(jsonOf((await blocks(mixed)) as never)).toEqual(['{"a":1}', '{"b":2}'])
    const unnumbered = ['f', 'g'].map((name) => call({ id: name, function: { name, arguments: `{"${name}":1}` } }))
    expect(jsonOf((await blocks(unnumbered)) as never)).toEqual(['{"f":1}', '{"g":1}'])
  })

  test('ends with an error where the answer failed, and with nothing after it', async () => {
    const failed = await written(['Hel'], new AppError('UPSTREAM_ERROR', 'Broke off'))
    expect(failed.at(-1)).toEqual({
      type: 'error',
      error: { type: 'api_error', message: 'Broke off' } as never,
      request_id: 'req',
    })
    expect(failed.filter(({ type }) => type === 'message_stop')).toEqual([])
    expect(JSON.stringify((await written([], new Error('secret'))).at(-1))).not.toContain('secret')
  })

  test('ends with an error where the answer was begun anew', async () => {
    const frames = await written(['Hel', { type: 'restart' }, 'Other', finish('stop')])
    expect(frames.at(-1)).toMatchObject({ type: 'error', error: { type: 'overloaded_error' } })
    expect(JSON.stringify(frames)).not.toContain('Other')
  })

  test('of a run is numbered, each number after all that belongs to it, and carries our facts', async () => {
    const run: RunEvent[] = [
      { type: 'start', fields: { run_id: 'r' } },
      'a',
      'b',
      { type: 'done', finishReason: 'stop', usage: USAGE, costUsd: 0.5 },
    ]
    const batches: RunBatch[] = [
      { seq: 1, events: run.slice(0, 2) },
      { seq: 3, events: run.slice(2) },
    ]
    let text = ''
    for await (const frames of anthropicRunFrames(from(batches), { header, requestId: null })) text += frames
    const { frames } = await readSse(response(text))
    expect(frames.map(({ id, data }) => [id, data.type])).toEqual([
      [undefined, 'message_start'],
      [1, 'ping'],
      [undefined, 'content_block_start'],
      [2, 'content_block_delta'],
      [3, 'content_block_delta'],
      [undefined, 'content_block_stop'],
      [undefined, 'message_delta'],
      [4, 'message_stop'],
    ])
    expect(frames[0]?.data).toMatchObject({ message: { run_id: 'r' } })
    expect(frames.at(-2)?.data).toMatchObject({ usage: { ...COUNTS, cost_usd: 0.5 } })
  })

  test('of a run that was begun anew ends there, and lets the run go', async () => {
    let left = false
    async function* endless(): AsyncGenerator<RunBatch> {
      try {
        yield { seq: 1, events: [{ type: 'start', fields: {} }, 'a', { type: 'restart' }, 'b'] }
        await new Promise(() => {})
      } finally {
        left = true
      }
    }
    let text = ''
    for await (const frames of anthropicRunFrames(endless(), { header, requestId: null })) text += frames
    expect(text).toContain('overloaded_error')
    expect(text).not.toContain('"text":"b"')
    expect(left).toBe(true)
  })
})

describe('an answer in one piece', () => {
  test('is a message with its blocks', async () => {
    const events: ChatEvent[] = [
      { type: 'meta', fields: { model: 'real' } },
      { type: 'delta', index: 0, delta: { reasoning_content: 'Hm' } },
      'So',
      begin(0, 'c1', 'f'),
      piece(0, '{"a":1}'),
      begin(1, 'c2', 'g'),
      piece(1, '{"cut'),
      finish('tool_calls'),
      { type: 'usage', usage: USAGE },
    ]
    expect(await anthropicMessage(from(events), header)).toEqual({
      id: 'msg_1',
      type: 'message',
      role: 'assistant',
      model: 'real',
      content: [
        { type: 'thinking', thinking: 'Hm', signature: '' },
        { type: 'text', text: 'So' },
        { type: 'tool_use', id: 'c1', name: 'f', input: { a: 1 } },
        { type: 'tool_use', id: 'c2', name: 'g', input: {} },
      ],
      stop_reason: 'tool_use',
      stop_sequence: null,
      usage: COUNTS,
    })
  })

  test('is the last attempt only, when there were several', async () => {
    const events: ChatEvent[] = ['Hel', { type: 'restart' }, 'Bye', finish('stop')]
    expect((await anthropicMessage(from(events), header)).content).toEqual([{ type: 'text', text: 'Bye' }])
    const run: RunEvent[] = [{ type: 'start', fields: { run_id: 'r' } }, 'x', { type: 'restart' }, 'y']
    const done: RunEvent = { type: 'done', finishReason: 'length', usage: null, costUsd: null }
    expect(await anthropicRunMessage(from([{ seq: 1, events: [...run, done] }]), header)).toMatchObject({
      content: [{ type: 'text', text: 'y' }],
      stop_reason: 'max_tokens',
      run_id: 'r',
      cost_usd: null,
    })
  })
})

describe('errors', () => {
  test('have a status and a type that the API has', () => {
    const told = Object.keys(ERRORS).map((code) => {
      const error = new AppError(code as ErrorCode, 'No')
      return [code, anthropicStatus(error), anthropicError(error).error.type]
    })
    expect(told).toEqual([
      ['BAD_REQUEST', 400, 'invalid_request_error'],
      ['UNAUTHORIZED', 401, 'authentication_error'],
      ['INSUFFICIENT_BALANCE', 402, 'billing_error'],
      ['FORBIDDEN', 403, 'permission_error'],
      ['NOT_FOUND', 404, 'not_found_error'],
      ['CONFLICT', 409, 'invalid_request_error'],
      ['PAYLOAD_TOO_LARGE', 413, 'request_too_large'],
      ['UNSUPPORTED_MEDIA_TYPE', 415, 'invalid_request_error'],
      ['VALIDATION_ERROR', 400, 'invalid_request_error'],
      ['RATE_LIMIT_EXCEEDED', 429, 'rate_limit_error'],
      ['INTERNAL_ERROR', 500, 'api_error'],
      ['NOT_SUPPORTED', 501, 'api_error'],
      ['UPSTREAM_ERROR', 500, 'api_error'],
      ['UPSTREAM_UNAVAILABLE', 529, 'overloaded_error'],
      ['UPSTREAM_TIMEOUT', 504, 'timeout_error'],
    ])
  })
})

describe('a request', () => {
  const text = (value: string, more: object = {}) => ({ type: 'text', text: value, ...more })
  const cache_control = { type: 'ephemeral' }

  test('is said in the words of Chat Completions', () => {
    const input_schema = { type: 'object', properties: {} }
    expect(
      toChat({
        model: 'm',
        max_tokens: 9,
        system: [text('Be brief'), text('Be kind', { cache_control })],
        messages: [{ role: 'user', content: [text('Hi')] }],
        stop_sequences: ['END'],
        temperature: 0.5,
        top_k: 3,
        tools: [{ name: 'f', description: 'd', input_schema, cache_control }],
        tool_choice: { type: 'any', disable_parallel_tool_use: true },
        thinking: { type: 'adaptive' },
        output_config: { effort: 'low', format: { type: 'json_schema', schema: input_schema } },
        metadata: { user_id: 'u' },
        service_tier: 'standard_only',
        betas: ['x'],
      }),
    ).toEqual({
      model: 'm',
      max_tokens: 9,
      messages: [
        { role: 'system', content: [text('Be brief'), text('Be kind', { cache_control })] },
        { role: 'user', content: 'Hi' },
      ],
      stop: ['END'],
      temperature: 0.5,
      top_k: 3,
      tools: [{ type: 'function', function: { name: 'f', description: 'd', parameters: input_schema }, cache_control }],
      tool_choice: 'required',
      parallel_tool_calls: false,
      thinking: { type: 'adaptive' },
      output_config: { effort: 'low' },
      response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: input_schema, strict: true } },
      user: 'u',
      service_tier: 'default',
    })
  })

  test('keeps calls, results, images, files and thoughts', () => {
    const { messages } = toChat({
      messages: [
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'Hm', signature: 's' },
            text('So '),
            text('then'),
            { type: 'tool_use', id: 'c1', name: 'f', input: { a: 1 } },
          ],
        },
        {
          role: 'user',
          content: [
            text('Look'),
            { type: 'tool_result', tool_use_id: 'c1', content: [text('rain')], is_error: true },
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBO' } },
            { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } },
            { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'JVBE' } },
            { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'plain' } },
          ],
        },
      ],
    })
    expect(messages).toEqual([
      {
        role: 'assistant',
        content: 'So then',
        reasoning_content: 'Hm',
        reasoning_details: [{ type: 'thinking', signature: 's', length: 2 }],
        tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }],
      },
      { role: 'tool', tool_call_id: 'c1', content: 'rain', is_error: true },
      {
        role: 'user',
        content: [
          text('Look'),
          { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBO' } },
          { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
          { type: 'file', file: { filename: 'document.pdf', file_data: 'data:application/pdf;base64,JVBE' } },
          text('plain'),
        ],
      },
    ])
  })

  test.each([
    [{ messages: [{ role: 'user' as const, content: [{ type: 'image', source: { type: 'file', file_id: 'f' } }] }] }],
    [{ messages: [{ role: 'user' as const, content: [{ type: 'search_result' }] }] }],
    [{ messages: [], tools: [{ type: 'web_search_20250305', name: 'web_search' }] }],
  ])('is refused where it has no such words: %j', (body) => {
    expect(() => toChat(body)).toThrow(/not supported/)
  })
})

test('an estimate of tokens follows the script and the size', () => {
  expect(estimateTokens('')).toBe(0)
  expect(estimateTokens('The quick brown fox jumps over the lazy dog.')).toBe(11)
  expect(estimateTokens('Привет')).toBe(3)
  expect(estimateTokens('你好')).toBe(2)
  const image = { type: 'image_url', image_url: { url: 'x'.repeat(1_000_000) } }
  expect(estimateRequest({ messages: [{ role: 'user', content: [image] }] })).toBeLessThan(2000)
})

test('a piece is written in less than 30 microseconds', async () => {
  const pieces = Array.from({ length: 20_000 }, () => 'Hello there')
  const began = performance.now()
  for await (const _ of anthropicFrames(from(pieces), { header, requestId: null }));
  expect(((performance.now() - began) * 1000) / pieces.length).toBeLessThan(30)
})
