import { describe, expect, test } from 'bun:test'
import { responseFrames, responseObject, responseOfRun, responseRunFrames } from '../../src/dialects/responses'
import { fromResponses } from '../../src/dialects/responses-in'
import { itemPage, itemsOf, referredIn, withReferred } from '../../src/dialects/responses-items'
import { echoOf, type ResponseHeader } from '../../src/dialects/responses-object'
import { AppError } from '../../src/errors'
import type { ChatEvent } from '../../src/llm/port'
import type { RunBatch, RunEvent } from '../../src/runs/port'

const KEY = '0199c0de-0000-7000-8000-000000000003'
const header: ResponseHeader = { id: 'resp_1', created: 1_700_000_000, model: 'm', echo: echoOf({}), key: 'k' }
const USAGE = {
  prompt_tokens: 3,
  completion_tokens: 2,
  total_tokens: 5,
  prompt_tokens_details: { cached_tokens: 1 },
  completion_tokens_details: { reasoning_tokens: 1 },
}
const START: RunEvent = { type: 'start', fields: { conversation_id: 'c', message_id: KEY, run_id: 'r' } }
const done = (finishReason: string): RunEvent => ({ type: 'done', finishReason, usage: USAGE, costUsd: 0.5 })
const FAILED: RunEvent = {
  type: 'error',
  error: { code: 'RATE_LIMIT_EXCEEDED', message: 'Too much', details: null, request_id: null },
}
const delta = (fields: Record<string, unknown>): RunEvent & ChatEvent => ({ type: 'delta', index: 0, delta: fields })
const call = (index: number, text: string, id?: string) =>
  delta({ tool_calls: [{ index, id, function: { ...(id ? { name: 'look' } : {}), arguments: text } }] })

interface Said {
  type: string
  sequence_number: number
  // A test looks into these with `?.`; what is not there makes its expectation fail.
  [key: string]: unknown
}

/** The events of frames; each must be named as its data is. */
function eventsIn(frames: string): Said[] {
  return frames
    .split('\n\n')
    .filter((frame) => frame && !frame.startsWith(':'))
    .map((frame) => {
      const [name = '', data = ''] = frame.split('\n')
      const said = JSON.parse(data.replace('data: ', '')) as Said
      expect(name).toBe(`event: ${said.type}`)
      return said
    })
}

const batch = (events: RunEvent[], seq = 1): RunBatch => ({ seq, events })
const run = (events: RunEvent[], options: { restarts?: boolean; after?: number; seq?: number } = {}) => {
  const { seq = 1, ...rest } = options
  const { encode, over } = responseRunFrames({ header, ...rest })
  return { said: eventsIn(encode(batch(events, seq))), over: over() }
}
const typesOf = (said: Said[]) => said.map(({ type }) => type.replace('response.', ''))
const numbersOf = (said: Said[]) => said.map(({ sequence_number }) => sequence_number)
async function* stream<T>(...events: (T | Error)[]): AsyncGenerator<T> {
  for (const event of events) {
    if (event instanceof Error) throw event
    yield event
  }
}

const TEXT = [
  'created',
  'in_progress',
  'output_item.added',
  'content_part.added',
  'output_text.delta',
  'output_text.delta',
  'output_text.done',
  'content_part.done',
  'output_item.done',
  'completed',
]

describe('a run as events', () => {
  test('says a text from its item to its end', () => {
    const { said } = run([START, 'Hel', 'lo', done('stop')])
    expect(typesOf(said)).toEqual(TEXT)
    expect(numbersOf(said)).toEqual(said.map((_, i) => i))
    const at = { item_id: `msg_${KEY}`, output_index: 0, content_index: 0 }
    expect(said[4]).toEqual({
      type: 'response.output_text.delta',
      ...at,
      delta: 'Hel',
      logprobs: [],
      sequence_number: 4,
    })
    expect(said[6]).toMatchObject({ ...at, text: 'Hello' })
    const part = { type: 'output_text', annotations: [], logprobs: [], text: 'Hello' }
    const item = { id: `msg_${KEY}`, type: 'message', status: 'completed', role: 'assistant', content: [part] }
    expect(said[2]?.item).toEqual({ ...item, status: 'in_progress', content: [] })
    expect(said[8]?.item).toEqual(item)
    expect(said[0]?.response).toMatchObject({ id: 'resp_1', status: 'in_progress', output: [], usage: null })
    expect(said[9]?.response).toMatchObject({
      object: 'response',
      created_at: 1_700_000_000,
      status: 'completed',
      error: null,
      incomplete_details: null,
      output: [item],
      usage: {
        input_tokens: 3,
        input_tokens_details: { cached_tokens: 1 },
        output_tokens: 2,
        output_tokens_details: { reasoning_tokens: 1 },
        total_tokens: 5,
      },
      conversation: { id: 'c' },
      run_id: 'r',
      cost_usd: 0.5,
    })
  })

  test('says thoughts, then a text, then calls whose pieces come mixed', () => {
    const { said } = run([
      START,
      delta({ reasoning_content: 'Hm' }),
      'Well',
      call(0, '', 'call_a'),
      call(1, '{', 'call_b'),
      call(0, '{}'),
      call(1, '}'),
      done('tool_calls'),
    ])
    expect(typesOf(said)).toEqual([
      ...['created', 'in_progress', 'output_item.added', 'reasoning_summary_part.added'],
      ...['reasoning_summary_text.delta', 'reasoning_summary_text.done', 'reasoning_summary_part.done'],
      ...['output_item.done', 'output_item.added', 'content_part.added', 'output_text.delta', 'output_text.done'],
      ...['content_part.done', 'output_item.done', 'output_item.added', 'output_item.added'],
      ...['function_call_arguments.delta', 'function_call_arguments.delta', 'function_call_arguments.delta'],
      ...['function_call_arguments.done', 'output_item.done', 'function_call_arguments.done', 'output_item.done'],
      'completed',
    ])
    expect(said.at(-1)?.response).toMatchObject({
      output: [
        { id: `rs_${KEY}`, type: 'reasoning', summary: [{ type: 'summary_text', text: 'Hm' }] },
        { id: `msg_${KEY}`, status: 'completed' },
        { id: `fc_${KEY}_0`, type: 'function_call', call_id: 'call_a', name: 'look', arguments: '{}' },
        { id: `fc_${KEY}_1`, call_id: 'call_b', arguments: '{}', status: 'completed' },
      ],
    })
    const places = said.filter(({ type }) => type.endsWith('arguments.delta')).map(({ output_index }) => output_index)
    expect(places).toEqual([3, 2, 3])
  })

  test('names a text after a call otherwise than the one before', () => {
    const { said } = run([START, 'a', call(0, '{}', 'call_a'), 'b', done('stop')])
    const output = [{ id: `msg_${KEY}` }, { id: `fc_${KEY}_0` }, { id: `msg_${KEY}_1` }]
    expect(said.at(-1)?.response).toMatchObject({ output })
  })

  test('shows what a tool of the server gave, so that nobody calls it again', () => {
    const result = { tool_call_id: 'call_a', name: 'look', content: 'rain', is_error: false }
    const { said } = run([START, call(0, '{}', 'call_a'), delta({ tool_results: [result] }), 'Rain', done('stop')])
    expect(said.at(-1)?.response).toMatchObject({
      output: [
        { type: 'function_call', status: 'completed' },
        { type: 'function_call_output', call_id: 'call_a', output: 'rain' },
        { type: 'message' },
      ],
    })
  })

  test('says a refusal as a part of its own', () => {
    const { said } = run([START, delta({ refusal: 'No' }), done('stop')])
    expect(typesOf(said).slice(3, 7)).toEqual([
      'content_part.added',
      'refusal.delta',
      'refusal.done',
      'content_part.done',
    ])
    expect(said.at(-1)?.response).toMatchObject({ output: [{ content: [{ type: 'refusal', refusal: 'No' }] }] })
  })

  test.each([
    ['length', 'incomplete', { reason: 'max_output_tokens' }],
    ['content_filter', 'incomplete', { reason: 'content_filter' }],
    ['stopped', 'cancelled', null],
  ])('that ends by %s is %s', (reason, status, incomplete_details) => {
    const { said } = run([START, 'Hel', done(reason)])
    expect(typesOf(said).slice(-4)).toEqual(['output_text.done', 'content_part.done', 'output_item.done', 'incomplete'])
    expect(said.at(-1)?.response).toMatchObject({ status, incomplete_details, output: [{ status: 'incomplete' }] })
  })

  test('that fails says so twice, with what was said', () => {
    const { said } = run([START, 'Hel', FAILED])
    expect(typesOf(said).slice(-3)).toEqual(['output_text.delta', 'error', 'failed'])
    expect(said.at(-2)).toMatchObject({
      code: 'rate_limit_exceeded',
      message: 'Too much',
      param: null,
      error: { type: 'rate_limit_error', code: 'rate_limit_exceeded', message: 'Too much', param: null },
    })
    expect(said.at(-1)?.response).toMatchObject({
      status: 'failed',
      error: { code: 'rate_limit_exceeded', message: 'Too much' },
      output: [{ status: 'incomplete', content: [{ text: 'Hel' }] }],
    })
  })

  test('that begins anew ends there for clients that add up', () => {
    const { said, over } = run([START, 'Hel', { type: 'restart' }, 'Hi', done('stop')])
    expect(typesOf(said).slice(-3)).toEqual(['output_text.delta', 'error', 'failed'])
    expect(said.at(-2)?.message).toContain('X-Stream-Restart: allow')
    expect(over).toBe(true)
  })

  test('that begins anew closes its item and begins another for those who allow it', () => {
    const { said, over } = run([START, 'Hel', { type: 'restart' }, 'Hi', done('stop')], { restarts: true })
    const items = said.filter(({ type }) => type === 'response.output_item.done')
    expect(items.map(({ output_index, item }) => [output_index, item])).toMatchObject([
      [0, { id: `msg_${KEY}`, status: 'incomplete' }],
      [1, { id: `msg_${KEY}_r1`, status: 'completed' }],
    ])
    expect(said.at(-1)?.response).toMatchObject({ status: 'completed', output: [{ content: [{ text: 'Hi' }] }] })
    expect(over).toBe(false)
  })

  test('has the same numbers for whoever comes back, however the batches fall', () => {
    const events = [START, delta({ reasoning_content: 'Hm' }), 'Hel', 'lo', call(0, '{}', 'call_a'), done('tool_calls')]
    const { said } = run(events)
    for (let after = 0; after < said.length; after++) {
      const { encode } = responseRunFrames({ header, after })
      const again = events.map((event, i) => encode(batch([event], i + 1))).join('')
      expect(eventsIn(again)).toEqual(said.slice(after + 1))
    }
  })

  test('gives whole texts to whoever comes back after the pieces are gone', () => {
    const events = [START, delta({ content: 'Hello' }), done('stop')]
    const { said } = run(events, { after: 5, seq: 4 })
    expect(typesOf(said)).toEqual(['output_text.done', 'content_part.done', 'output_item.done', 'completed'])
    expect(numbersOf(said)).toEqual([6, 7, 8, 9])
    expect(typesOf(run(events, { seq: 4 }).said)).toEqual(TEXT.toSpliced(5, 1))
  })

  test('gives a frame for every batch, so that the body goes on', () => {
    expect(responseRunFrames({ header, after: 100 }).encode(batch([START, 'x']))).toBe(': -\n\n')
  })
})

describe('a stateless answer', () => {
  const collect = async (events: AsyncIterable<ChatEvent>, restarts = false) =>
    eventsIn((await Array.fromAsync(responseFrames(events, { header, restarts }))).join(''))
  const stop: ChatEvent = { type: 'finish', index: 0, reason: 'stop' }

  test('is the same events', async () => {
    const said = await collect(stream<ChatEvent>('Hel', 'lo', stop, { type: 'usage', usage: USAGE }))
    expect(typesOf(said)).toEqual(TEXT)
    expect(said.at(-1)?.response).toMatchObject({ conversation: null, usage: { total_tokens: 5 } })
    expect(said[2]?.item).toMatchObject({ id: 'msg_k' })
  })

  test('ends with the error that broke it', async () => {
    const said = await collect(stream<ChatEvent>('Hel', new AppError('UPSTREAM_ERROR', 'Broke')))
    expect(typesOf(said).slice(-2)).toEqual(['error', 'failed'])
    expect(said.at(-1)?.response).toMatchObject({ error: { code: 'server_error', message: 'Broke' } })
  })

  test('begins anew only for those who allow it', async () => {
    const events = () => stream<ChatEvent>('Hel', { type: 'restart' }, 'Hi', stop)
    expect(typesOf(await collect(events())).at(-1)).toBe('failed')
    expect((await collect(events(), true)).at(-1)?.response).toMatchObject({ output: [{ content: [{ text: 'Hi' }] }] })
  })

  test('in one piece is the last response, or throws', async () => {
    const whole = await responseObject(stream<ChatEvent>('Hi', stop), header)
    expect(whole).toMatchObject({ status: 'completed', output: [{ content: [{ text: 'Hi' }] }], usage: null })
    const broken = responseObject(stream<ChatEvent>('Hi', new AppError('UPSTREAM_ERROR', 'Broke')), header)
    expect(broken).rejects.toThrow('Broke')
  })
})

test('a failed run in one piece throws, or is a response that says so', async () => {
  const batches = () => stream(batch([START, 'Hel', FAILED]))
  expect(responseOfRun(batches(), header, 'throws')).rejects.toThrow('Too much')
  expect(await responseOfRun(batches(), header, 'is told')).toMatchObject({ status: 'failed' })
})

describe('a request', () => {
  test('becomes one of Chat Completions', () => {
    const { messages, instructions, system, params, echo } = fromResponses({
      model: 'm',
      input: 'Hi',
      instructions: 'Be brief',
      tools: [{ type: 'function', name: 'look', description: 'Looks', parameters: { type: 'object' }, strict: true }],
      tool_choice: { type: 'function', name: 'look' },
      text: { format: { type: 'json_schema', name: 'n', schema: { type: 'object' }, strict: true } },
      reasoning: { effort: 'low' },
      max_output_tokens: 9,
      temperature: null,
      top_p: 0.5,
      seed: 7,
      store: true,
      metadata: { a: 'b' },
      previous_response_id: 'resp_0',
    })
    expect(messages).toEqual([{ role: 'user', content: 'Hi' }])
    expect(instructions).toEqual([{ role: 'system', content: 'Be brief' }])
    expect(system).toEqual([])
    const look = { name: 'look', description: 'Looks', parameters: { type: 'object' }, strict: true }
    expect(params).toEqual({
      model: 'm',
      tools: [{ type: 'function', function: look }],
      tool_choice: { type: 'function', function: { name: 'look' } },
      response_format: { type: 'json_schema', json_schema: { name: 'n', schema: { type: 'object' }, strict: true } },
      reasoning_effort: 'low',
      max_tokens: 9,
      top_p: 0.5,
      seed: 7,
    })
    expect(echo).toMatchObject({ metadata: { a: 'b' }, previous_response_id: 'resp_0', instructions: 'Be brief' })
  })

  test('keeps what an answer is made of in one message', () => {
    const { messages, system } = fromResponses({
      input: [
        { role: 'developer', content: 'Be kind' },
        { role: 'user', content: [{ type: 'input_text', text: 'Look' }] },
        { type: 'reasoning', id: 'rs', summary: [{ type: 'summary_text', text: 'Hm' }] },
        { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Well' }] },
        { type: 'function_call', call_id: 'a', name: 'look', arguments: '{}' },
        { type: 'function_call', call_id: 'b', name: 'look', arguments: '{"x":1}' },
        { type: 'function_call_output', call_id: 'a', output: 'rain' },
        { type: 'function_call_output', call_id: 'b', output: [{ type: 'input_text', text: 'sun' }] },
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'And this?' },
            { type: 'input_image', image_url: 'https://example.com/a.png', detail: 'low' },
            { type: 'input_file', filename: 'a.pdf', file_data: 'data:application/pdf;base64,AA==' },
          ],
        },
      ],
    })
    const called = (id: string, args: string) => ({ id, type: 'function', function: { name: 'look', arguments: args } })
    expect(system).toEqual([{ role: 'system', content: 'Be kind' }])
    expect(messages).toEqual([
      { role: 'user', content: 'Look' },
      {
        role: 'assistant',
        content: 'Well',
        reasoning_content: 'Hm',
        tool_calls: [called('a', '{}'), called('b', '{"x":1}')],
      },
      { role: 'tool', tool_call_id: 'a', content: 'rain' },
      { role: 'tool', tool_call_id: 'b', content: 'sun' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'And this?' },
          { type: 'image_url', image_url: { url: 'https://example.com/a.png', detail: 'low' } },
          { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,AA==' } },
        ],
      },
    ])
  })

  test.each([
    [{ tools: [{ type: 'web_search' }] }, 'web_search'],
    [{ tools: [{ type: 'mcp', server_url: 'https://example.com' }] }, 'mcp'],
    [{ tool_choice: { type: 'file_search' } }, 'file_search'],
    [{ prompt: { id: 'pmpt_1' } }, 'prompts'],
    [{ input: [{ type: 'computer_call' }] }, 'computer_call'],
    [{ input: [{ role: 'critic', content: 'x' }] }, 'role'],
    [{ input: [{ role: 'user', content: [{ type: 'input_image', file_id: 'f' }] }] }, 'input_image'],
  ])('is refused with %j', (more, word) => {
    expect(() => fromResponses({ input: 'Hi', ...more })).toThrow(word)
  })
})

describe('stored messages', () => {
  const stored = (
    role: 'user' | 'assistant' | 'tool',
    content: string,
    extra: Record<string, unknown> | null = null,
  ) => ({
    id: KEY,
    role,
    content,
    extra,
  })
  const CALLS = [{ id: 'call_a', function: { name: 'look', arguments: '{}' } }]

  test('are items with the ids that the stream gave them', () => {
    const answer = stored('assistant', 'Hi', { reasoning_content: 'Hm', tool_calls: CALLS })
    expect(itemsOf(answer)).toMatchObject([
      { id: `rs_${KEY}`, summary: [{ text: 'Hm' }] },
      { id: `msg_${KEY}`, role: 'assistant', content: [{ type: 'output_text', text: 'Hi' }] },
      { id: `fc_${KEY}_0`, call_id: 'call_a', name: 'look', arguments: '{}' },
    ])
    expect(itemsOf(stored('tool', 'rain', { tool_call_id: 'call_a' }))).toMatchObject([
      { type: 'function_call_output', call_id: 'call_a', output: 'rain' },
    ])
    const content = [
      { type: 'text', text: 'See' },
      { type: 'image_url', image_url: { url: 'data:x' } },
    ]
    expect(itemsOf(stored('user', 'See', { content }))).toMatchObject([
      {
        content: [
          { type: 'input_text', text: 'See' },
          { type: 'input_image', image_url: 'data:x', detail: 'auto' },
        ],
      },
    ])
  })

  test('stand in for references to them', () => {
    const input = [
      { type: 'item_reference', id: `msg_${KEY}` },
      { type: 'item_reference', id: `fc_${KEY}_0_r1` },
      { role: 'user', content: 'Go on' },
    ]
    expect(referredIn(input)).toEqual([KEY])
    const body = withReferred({ input }, [stored('assistant', 'Hi', { tool_calls: CALLS })])
    expect(body.input).toMatchObject([{ role: 'assistant' }, { type: 'function_call', call_id: 'call_a' }, input[2]])
    expect(() => withReferred({ input }, [])).toThrow('no item')
  })

  test('come a page at a time', () => {
    const items = ['a', 'b', 'c'].map((id) => ({ id }))
    expect(itemPage(items, { limit: 2 })).toEqual({
      object: 'list',
      data: [{ id: 'c' }, { id: 'b' }],
      first_id: 'c',
      last_id: 'b',
      has_more: true,
    })
    expect(itemPage(items, { after: 'b' }).data).toEqual([{ id: 'a' }])
    expect(itemPage(items, { order: 'asc', after: 'c' })).toMatchObject({ data: [], has_more: false })
  })
})
