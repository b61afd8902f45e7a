import { describe, expect, test } from 'bun:test'
import { createParser } from 'eventsource-parser'
import {
  openAiCompletion,
  openAiError,
  openAiFrames,
  openAiRunFrames,
  openAiStatus,
  runCompletion,
} from '../../src/dialects/openai'
import { AppError, ERRORS, type ErrorCode } from '../../src/errors'
import type { ChatEvent } from '../../src/llm/port'
import type { RunBatch, RunEvent } from '../../src/runs/port'

const HEADER = { id: 'chatcmpl-1', created: 1_790_000_000, model: 'm' }
const base = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_790_000_000, model: 'm' }
const USAGE = {
  prompt_tokens: 1,
  completion_tokens: 2,
  total_tokens: 3,
  completion_tokens_details: { reasoning_tokens: 1 },
}
const STOP: ChatEvent = { type: 'finish', index: 0, reason: 'stop' }
const one = (delta: object, finish: string | null = null, index = 0) => ({
  choices: [{ index, delta, logprobs: null, finish_reason: finish }],
})
const ROLE = { role: 'assistant', content: '' }

/** Says these; an error among them is thrown. */
async function* says(...events: (ChatEvent | Error)[]): AsyncGenerator<ChatEvent> {
  for (const event of events) {
    if (event instanceof Error) throw event
    yield event
  }
}

function parse(text: string): { id: string | undefined; data: unknown }[] {
  const frames: { id: string | undefined; data: unknown }[] = []
  const parser = createParser({
    onEvent: ({ id, event, data }) => {
      expect(event).toBeUndefined()
      frames.push({ id, data: data === '[DONE]' ? data : JSON.parse(data) })
    },
  })
  parser.feed(text)
  return frames
}

async function frames(events: AsyncIterable<ChatEvent>, includeUsage = false): Promise<unknown[]> {
  const text = (await Array.fromAsync(openAiFrames(events, { header: HEADER, includeUsage }))).join('')
  return parse(text).map(({ data }) => data)
}

describe('a stateless stream', () => {
  test('has the role first, the same id and time throughout, and no usage unless asked', async () => {
    expect(await frames(says('He', 'llo', STOP, { type: 'usage', usage: USAGE }))).toEqual([
      { ...base, ...one(ROLE) },
      { ...base, ...one({ content: 'He' }) },
      { ...base, ...one({ content: 'llo' }) },
      { ...base, ...one({}, 'stop') },
      '[DONE]',
    ])
  })

  test('with include_usage has an empty slot in every chunk and the usage in one without choices', async () => {
    expect(await frames(says('Hi', STOP, { type: 'usage', usage: USAGE }), true)).toEqual([
      { ...base, ...one(ROLE), usage: null },
      { ...base, ...one({ content: 'Hi' }), usage: null },
      { ...base, ...one({}, 'stop'), usage: null },
      { ...base, choices: [], usage: USAGE },
      '[DONE]',
    ])
    expect((await frames(says('Hi', STOP), true)).at(-2)).toEqual({ ...base, choices: [], usage: null })
  })

  test('carries what the provider says about the answer in every chunk', async () => {
    const meta: ChatEvent = { type: 'meta', fields: { system_fingerprint: 'fp', service_tier: 'flex', model: 'm-2' } }
    for (const frame of (await frames(says(meta, 'Hi', STOP))).slice(0, -1)) {
      expect(frame).toMatchObject({ system_fingerprint: 'fp', service_tier: 'flex', model: 'm-2', id: 'chatcmpl-1' })
    }
  })

  test('has tool calls piece by piece', async () => {
    const head = { tool_calls: [{ index: 0, id: 'x', type: 'function', function: { name: 'f', arguments: '' } }] }
    const tail = { tool_calls: [{ index: 0, function: { arguments: '{"a":1}' } }] }
    const events = says(
      { type: 'delta', index: 0, delta: head },
      { type: 'delta', index: 0, delta: tail },
      { type: 'finish', index: 0, reason: 'tool_calls' },
    )
    expect(await frames(events)).toEqual([
      { ...base, ...one(ROLE) },
      { ...base, ...one(head) },
      { ...base, ...one(tail) },
      { ...base, ...one({}, 'tool_calls') },
      '[DONE]',
    ])
  })

  test('begins each of several choices with its own role, and ends each', async () => {
    const events = says('a', { type: 'delta', index: 1, delta: { content: 'b' } }, STOP, {
      type: 'finish',
      index: 1,
      reason: 'length',
    })
    expect(await frames(events)).toEqual([
      { ...base, ...one(ROLE) },
      { ...base, ...one({ content: 'a' }) },
      { ...base, ...one(ROLE, null, 1) },
      { ...base, ...one({ content: 'b' }, null, 1) },
      { ...base, ...one({}, 'stop') },
      { ...base, ...one({}, 'length', 1) },
      '[DONE]',
    ])
  })

  test('has a role even when the answer is empty', async () => {
    expect(await frames(says(STOP))).toEqual([{ ...base, ...one(ROLE) }, { ...base, ...one({}, 'stop') }, '[DONE]'])
  })

  test('ends with the error and without [DONE] when the provider breaks off', async () => {
    const error = { message: 'Broke off', type: 'server_error', param: null, code: null, request_id: null }
    expect(await frames(says('a', new AppError('UPSTREAM_ERROR', 'Broke off')))).toEqual([
      { ...base, ...one(ROLE) },
      { ...base, ...one({ content: 'a' }) },
      { error },
    ])
    expect(JSON.stringify(await frames(says(new TypeError('secret detail'))))).not.toContain('secret detail')
  })

  test.each(['a\nb\r\nc\rd', '\n\nevent: error\ndata: x\n\n', '\u2028\u2029', 'data: [DONE]\n\n', '"}]}'])(
    'carries hostile text as it was meant: %j',
    async (text) => {
      expect((await frames(says(text)))[1]).toEqual({ ...base, ...one({ content: text }) })
    },
  )
})

const IDS = { conversation_id: 'c', run_id: 'r' }
const RUN: RunEvent[] = [
  { type: 'start', fields: IDS },
  'Hi',
  { type: 'done', finishReason: 'stopped', usage: USAGE, costUsd: 0.5 },
]
const FAILED: RunEvent = {
  type: 'error',
  error: { message: 'Busy', code: 'RATE_LIMIT_EXCEEDED', details: null, request_id: null },
  retryAfter: 7,
}

describe('a stored stream', () => {
  test('is numbered, names our ids, and knows only the reasons OpenAI knows', () => {
    const encode = openAiRunFrames({ header: HEADER, includeUsage: true })
    expect(parse(encode({ seq: 1, events: RUN }))).toEqual([
      { id: '1', data: { ...base, ...one(ROLE), ...IDS } },
      { id: '2', data: { ...base, ...one({ content: 'Hi' }), usage: null } },
      { id: '3', data: { ...base, ...one({}, 'stop'), usage: null } },
      { id: undefined, data: { ...base, choices: [], usage: USAGE } },
      { id: undefined, data: '[DONE]' },
    ])
    const plain = parse(openAiRunFrames({ header: HEADER, includeUsage: false })({ seq: 1, events: RUN }))
    expect(plain.some(({ data }) => typeof data === 'object' && data !== null && 'usage' in data)).toBe(false)
  })

  test("ends with an error in OpenAI's shape", () => {
    const encode = openAiRunFrames({ header: HEADER, includeUsage: true })
    expect(parse(encode({ seq: 3, events: [FAILED] }))).toEqual([
      {
        id: '3',
        data: {
          error: {
            message: 'Busy',
            type: 'rate_limit_error',
            param: null,
            code: 'rate_limit_exceeded',
            request_id: null,
          },
        },
      },
    ])
  })
})

describe('an answer that begins anew', () => {
  const RESTART = { type: 'restart' } as const
  const [START, , ENDED] = RUN as [RunEvent, RunEvent, RunEvent]
  const WHOLE: RunEvent[] = [START, 'Hel', RESTART, 'Good day', ENDED]
  const PLAIN = { header: HEADER, includeUsage: false }
  const chunk = { ...base, choices: [], restart: true }

  test('ends a stateless stream with an error, unless its client can take it', async () => {
    const told = await frames(says('Hel', RESTART, 'Good day', STOP))
    expect(told.slice(0, 2)).toEqual([
      { ...base, ...one(ROLE) },
      { ...base, ...one({ content: 'Hel' }) },
    ])
    expect(told.slice(2)).toMatchObject([{ error: { type: 'server_error', param: null } }])
    const allowed = openAiFrames(says('Hel', RESTART, 'Good day', STOP), { ...PLAIN, restarts: true })
    const text = (await Array.fromAsync(allowed)).join('')
    expect(parse(text).map(({ data }) => data)).toEqual([
      { ...base, ...one(ROLE) },
      { ...base, ...one({ content: 'Hel' }) },
      chunk,
      { ...base, ...one(ROLE) },
      { ...base, ...one({ content: 'Good day' }) },
      { ...base, ...one({}, 'stop') },
      '[DONE]',
    ])
  })

  test('ends a stored stream with a numbered error and nothing after it, unless its client can take it', () => {
    const encode = openAiRunFrames(PLAIN)
    const told = parse(encode({ seq: 1, events: WHOLE }) + encode({ seq: 6, events: ['more'] }))
    expect(told.map(({ id }) => id)).toEqual(['1', '2', '3'])
    expect(told[2]?.data).toMatchObject({ error: { type: 'server_error' } })
    const allowed = parse(openAiRunFrames({ ...PLAIN, restarts: true })({ seq: 1, events: WHOLE }))
    expect(allowed[2]).toEqual({ id: '3', data: chunk })
    expect(allowed.at(-1)?.data).toBe('[DONE]')
  })

  test('is, in one piece, only what came last', async () => {
    const whole = await openAiCompletion(says('Hel', RESTART, 'Good day', STOP), HEADER)
    expect(whole.choices).toMatchObject([{ message: { content: 'Good day' } }])
    const batch = async function* (): AsyncGenerator<RunBatch> {
      yield { seq: 1, events: WHOLE }
    }
    expect(await runCompletion(batch(), HEADER)).toMatchObject({
      choices: [{ message: { content: 'Good day' } }],
      ...IDS,
    })
  })
})

describe('an answer in one piece', () => {
  const message = { role: 'assistant', content: 'Hello', refusal: null }

  test('is a chat.completion', async () => {
    const meta: ChatEvent = { type: 'meta', fields: { system_fingerprint: 'fp' } }
    expect<unknown>(
      await openAiCompletion(says(meta, 'Hel', 'lo', STOP, { type: 'usage', usage: USAGE }), HEADER),
    ).toEqual({
      ...base,
      object: 'chat.completion',
      system_fingerprint: 'fp',
      choices: [{ index: 0, message, logprobs: null, finish_reason: 'stop' }],
      usage: USAGE,
    })
  })

  test('of a run has our facts beside', async () => {
    const batches = async function* (events: RunEvent[]): AsyncGenerator<RunBatch> {
      for (const [i, event] of events.entries()) yield { seq: i + 1, events: [event] }
    }
    expect<unknown>(await runCompletion(batches(RUN), HEADER)).toEqual({
      ...base,
      object: 'chat.completion',
      choices: [{ index: 0, message: { ...message, content: 'Hi' }, logprobs: null, finish_reason: 'stop' }],
      usage: USAGE,
      ...IDS,
      cost_usd: 0.5,
      finish_reason: 'stopped',
    })
    expect(runCompletion(batches([FAILED]), HEADER)).rejects.toMatchObject({
      code: 'RATE_LIMIT_EXCEEDED',
      message: 'Busy',
      retryAfter: 7,
    })
  })
})

describe('an error', () => {
  test.each(Object.keys(ERRORS) as ErrorCode[])('%s has a type of OpenAI and a status its clients expect', (code) => {
    const error = new AppError(code, 'What to change')
    const status = openAiStatus(error)
    expect(status).toBe(code === 'VALIDATION_ERROR' ? 400 : error.status)
    const body = openAiError(error, 'req-1')
    expect(Object.keys(body.error).sort()).toEqual(['code', 'message', 'param', 'request_id', 'type'])
    expect(body.error).toMatchObject({ message: 'What to change', param: null, request_id: 'req-1' })
    if (status >= 500) expect(body.error.type).toBe('server_error')
    else expect(body.error.type).not.toBe('server_error')
  })

  test('of validation names the first field', () => {
    const details = {
      in: 'body',
      fields: [
        { path: 'messages.0.role', message: 'x' },
        { path: 'model', message: 'y' },
      ],
    }
    expect(openAiError(new AppError('VALIDATION_ERROR', 'x', { details })).error.param).toBe('messages.0.role')
  })
})
