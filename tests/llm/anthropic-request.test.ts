import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type MessagesRequest, toChat } from '../../src/dialects/anthropic-in'
import { AppError } from '../../src/errors'
import { toAnthropic } from '../../src/llm/anthropic-request'
import type { ChatMessage } from '../../src/llm/port'

const PNG = 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=='
const OLD = 'claude-sonnet-4-5-20250929'

interface Sent {
  messages: { role: string; content: { type: string; [key: string]: unknown }[] }[]
  [key: string]: unknown
}
const send = (messages: ChatMessage[], params: object = {}, model = OLD) =>
  toAnthropic({ model, messages, params: { ...params } }, 4096) as Sent
const ask = (params: object = {}, model = OLD) => send([{ role: 'user', content: 'Hi' }], params, model)
const user = (content: unknown): ChatMessage => ({ role: 'user', content })
const said = (content: unknown, more: object = {}): ChatMessage => ({ role: 'assistant', content, ...more })
const called = (id: string, args = '{}', name = 'f') => ({ id, type: 'function', function: { name, arguments: args } })
const text = (value: string) => ({ type: 'text', text: value })

function refusal(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    return error instanceof AppError ? error.code : String(error)
  }
  return 'nothing'
}

describe('messages', () => {
  test('alternate and begin with the user, and instructions stand apart', () => {
    const sent = send([
      { role: 'system', content: 'Be brief' },
      said('Welcome'),
      user('a'),
      user([text('b'), text('  ')]),
      { role: 'developer', content: 'In French' },
      user(''),
      said('c'),
      said('d'),
      user('e'),
    ])
    expect(sent.system).toEqual([text('Be brief'), text('In French')])
    expect(sent.messages).toEqual([
      { role: 'user', content: [text('…')] },
      { role: 'assistant', content: [text('Welcome')] },
      { role: 'user', content: [text('a'), text('b')] },
      { role: 'assistant', content: [text('c'), text('d')] },
      { role: 'user', content: [text('e')] },
    ])
  })

  test('keep calls and results together, whatever ids and arguments another provider gave', () => {
    const sent = send([
      user('go'),
      said(null, { tool_calls: [called('functions.f:0', '{"a":1}'), called('c2', 'no json'), called('c3', '[1]')] }),
      { role: 'tool', tool_call_id: 'functions.f:0', content: 'one' },
      { role: 'tool', tool_call_id: 'c2', content: [text('two')] },
      { role: 'tool', tool_call_id: 'c3', content: '', is_error: true },
      user('and now'),
    ])
    expect(sent.messages.slice(1)).toEqual([
      {
        role: 'assistant',
        content: [
          { type: 'tool_use', id: 'functions_f_0', name: 'f', input: { a: 1 } },
          { type: 'tool_use', id: 'c2', name: 'f', input: {} },
          { type: 'tool_use', id: 'c3', name: 'f', input: {} },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'functions_f_0', content: 'one' },
          { type: 'tool_result', tool_use_id: 'c2', content: [text('two')] },
          { type: 'tool_result', tool_use_id: 'c3', content: '', is_error: true },
          text('and now'),
        ],
      },
    ])
  })

  test('lose a result whose call is gone, but not its text', () => {
    const sent = send([{ role: 'tool', tool_call_id: 'gone', content: 'rain' }, user('so?')])
    expect(sent.messages).toEqual([{ role: 'user', content: [text('rain'), text('so?')] }])
  })

  test('carry images, files and cache marks', () => {
    const cache_control = { type: 'ephemeral' }
    const sent = send([
      user([
        { type: 'text', text: 'a', cache_control },
        { type: 'image_url', image_url: { url: PNG.replace('png', 'jpeg'), detail: 'low' } },
        { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
        { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBERi0=' } },
      ]),
    ])
    expect(sent.messages[0]?.content).toEqual([
      { type: 'text', text: 'a', cache_control },
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PNG.split(',')[1] } },
      { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } },
      { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0=' } },
    ])
  })

  test.each([
    ['data:image/png;base64,AAAA'],
    ['data:text/html;base64,PGh0bWw+'],
    ['http://example.com/a.png'],
    ['file:///etc/passwd'],
    [7],
  ])('refuse the image %s', (url) => {
    expect(refusal(() => send([user([{ type: 'image_url', image_url: { url } }])]))).toBe('BAD_REQUEST')
  })

  test('refuse what the API has no word for', () => {
    expect(refusal(() => send([user([{ type: 'input_audio', input_audio: {} }])]))).toBe('BAD_REQUEST')
    expect(refusal(() => send([{ role: 'system', content: 'x' }, user(' ')]))).toBe('BAD_REQUEST')
    expect(refusal(() => ask({ n: 2 }))).toBe('BAD_REQUEST')
    expect(refusal(() => ask({ response_format: { type: 'json_object' } }))).toBe('BAD_REQUEST')
    expect(refusal(() => ask({ tools: [{ type: 'custom', custom: {} }] }))).toBe('BAD_REQUEST')
  })

  test('may end with the beginning of the answer', () => {
    expect(send([user('a'), said('The sun \n')]).messages.at(-1)).toEqual({
      role: 'assistant',
      content: [text('The sun')],
    })
  })

  test('bring signed thoughts back where they were, and no others', () => {
    const reasoning_details = [
      { type: 'thinking', signature: 's1', length: 3 },
      { type: 'redacted_thinking', data: 'xx' },
      { type: 'thinking', signature: 's2', length: 2 },
    ]
    const thought = said('A', { reasoning_content: 'oneto', reasoning_details })
    expect(send([user('a'), thought, user('b')]).messages[1]?.content).toEqual([
      { type: 'thinking', thinking: 'one', signature: 's1' },
      { type: 'redacted_thinking', data: 'xx' },
      { type: 'thinking', thinking: 'to', signature: 's2' },
      text('A'),
    ])
    expect(send([user('a'), said('A', { reasoning_content: 'x' }), user('b')]).messages[1]?.content).toEqual([
      text('A'),
    ])
  })
})

describe('parameters', () => {
  test('are said in the words of the API, and what it does not know is left out', () => {
    const tools = [
      { type: 'function', function: { name: 'f', description: 'd', parameters: { type: 'object' }, strict: true } },
    ]
    const unknown = { seed: 1, logprobs: true, frequency_penalty: 1, presence_penalty: 1, logit_bias: {}, store: true }
    const sent = ask({ ...unknown, tools, tool_choice: 'required', parallel_tool_calls: false, temperature: 1.7 })
    expect(sent).toEqual({
      model: OLD,
      max_tokens: 4096,
      messages: [{ role: 'user', content: [text('Hi')] }],
      tools: [{ name: 'f', description: 'd', input_schema: { type: 'object' }, strict: true }],
      tool_choice: { type: 'any', disable_parallel_tool_use: true },
      temperature: 1,
      stream: true,
    })
    const more = {
      max_tokens: 7,
      max_completion_tokens: 9,
      stop: ['END', ' '],
      top_p: 0.5,
      top_k: 3,
      user: 'u',
      service_tier: 'default',
    }
    expect(ask(more)).toMatchObject({
      max_tokens: 9,
      stop_sequences: ['END'],
      top_p: 0.5,
      top_k: 3,
      metadata: { user_id: 'u' },
      service_tier: 'standard_only',
    })
  })

  test.each([
    ['auto', undefined, { type: 'auto' }],
    ['none', false, { type: 'none' }],
    [undefined, false, { type: 'auto', disable_parallel_tool_use: true }],
    [{ type: 'function', function: { name: 'f' } }, undefined, { type: 'tool', name: 'f' }],
    [undefined, undefined, undefined],
  ])('tool_choice %j with parallel_tool_calls %j', (tool_choice, parallel_tool_calls, expected) => {
    const tools = [{ type: 'function', function: { name: 'f' } }]
    const sent = ask({ tools, tool_choice, parallel_tool_calls })
    expect(sent.tool_choice).toEqual(expected)
    expect(sent.tools).toEqual([{ name: 'f', input_schema: { type: 'object', properties: {} } }])
  })

  test('a schema for the answer is structured output', () => {
    const schema = { type: 'object', properties: {} }
    const response_format = { type: 'json_schema', json_schema: { name: 'x', schema, strict: true } }
    expect(ask({ response_format }).output_config).toEqual({ format: { type: 'json_schema', schema } })
    expect(ask({ response_format: { type: 'text' } }).output_config).toBeUndefined()
  })
})

describe('thinking', () => {
  test('is a budget for older models, within what the answer may have', () => {
    expect(ask({ reasoning_effort: 'high', temperature: 0.2, top_k: 1 })).toMatchObject({
      max_tokens: 4096 + 16_384,
      thinking: { type: 'enabled', budget_tokens: 16_384 },
    })
    expect(ask({ reasoning_effort: 'high', temperature: 0.2 })).not.toHaveProperty('temperature')
    expect(ask({ reasoning_effort: 'high', max_tokens: 6000 }).thinking).toEqual({
      type: 'enabled',
      budget_tokens: 3000,
    })
    expect(ask({ reasoning_effort: 'low', max_tokens: 500 })).not.toHaveProperty('thinking')
    expect(ask({ reasoning_effort: 'none' }).thinking).toEqual({ type: 'disabled' })
    expect(ask({ thinking: { type: 'enabled', budget_tokens: 5000 }, max_tokens: 6000 }).thinking).toEqual({
      type: 'enabled',
      budget_tokens: 5000,
    })
  })

  test('is an effort for newer ones, which refuse sampling', () => {
    const sent = ask({ reasoning_effort: 'minimal', temperature: 0.2 }, 'claude-opus-4-7')
    expect(sent).toMatchObject({ thinking: { type: 'adaptive' }, output_config: { effort: 'low' }, max_tokens: 4096 })
    expect(ask({ temperature: 0.2 }, 'claude-opus-4-7')).not.toHaveProperty('temperature')
    expect(ask({ temperature: 0.2 }, 'claude-opus-4-6')).toHaveProperty('temperature')
  })

  test('is left out where the API would refuse it', () => {
    const tools = [{ type: 'function', function: { name: 'f' } }]
    const effort = { reasoning_effort: 'high', tools }
    expect(ask({ ...effort, tool_choice: 'required' })).not.toHaveProperty('thinking')
    expect(send([user('a'), said('The sun')], effort)).not.toHaveProperty('thinking')
    const result = { role: 'tool', tool_call_id: 'c', content: '1' }
    const call = { tool_calls: [called('c')] }
    expect(send([user('a'), said(null, call), result], effort)).not.toHaveProperty('thinking')
    const thought = { reasoning_content: 'x', reasoning_details: [{ type: 'thinking', signature: 's' }] }
    expect(send([user('a'), said(null, { ...thought, ...call }), result], effort)).toHaveProperty('thinking')
  })
})

/** Conversations as clients of OpenAI send them. */
const word = fc.string({ minLength: 1, unit: 'grapheme' }).map((s) => `w${s}w`)
const json = fc.dictionary(fc.string(), fc.jsonValue()).map((value) => JSON.stringify(value))
const calls = fc.array(fc.tuple(json, word), { maxLength: 3 })
const turn = fc.tuple(
  fc.oneof(
    word,
    word.map((w) => [text(w), { type: 'image_url', image_url: { url: PNG } }]),
  ),
  word,
  calls,
)
const conversation = fc.tuple(fc.option(word), fc.array(turn, { maxLength: 4 }), word).map(([system, turns, last]) => {
  const messages: ChatMessage[] = system ? [{ role: 'system', content: system }] : []
  for (const [i, [asked, answer, made]] of turns.entries()) {
    const tool_calls = made.map(([args], j) => called(`c${i}_${j}`, JSON.stringify(JSON.parse(args))))
    messages.push(user(asked), said(answer, tool_calls.length > 0 ? { tool_calls } : {}))
    for (const [j, [, result]] of made.entries()) {
      messages.push({ role: 'tool', tool_call_id: `c${i}_${j}`, content: result })
    }
  }
  return [...messages, user(last)]
})

test('a conversation means the same after the way to Anthropic and back', () => {
  fc.assert(
    fc.property(conversation, (messages) => {
      expect(toChat(send(messages) as unknown as MessagesRequest).messages).toEqual(messages)
    }),
    { numRuns: 300 },
  )
})
