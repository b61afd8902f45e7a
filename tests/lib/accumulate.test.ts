import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Accumulator } from '../../src/lib/accumulate'
import type { ChatEvent } from '../../src/llm/port'

function collect(events: ChatEvent[]) {
  const answer = new Accumulator()
  for (const event of events) answer.add(event)
  return answer
}
const message = (events: ChatEvent[]) => collect(events).choices()[0]?.message
const delta = (delta: Record<string, unknown>, index = 0): ChatEvent => ({ type: 'delta', index, delta })

/** A text cut into pieces at any places. */
const pieces = (text: string, cuts: number[]) => {
  const places = [0, ...cuts.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b), text.length]
  return places.slice(1).map((place, i) => text.slice(places[i], place))
}
const cuts = fc.array(fc.nat(1000), { maxLength: 6 })

test('has a choice with no content when nothing was said', () => {
  expect(collect([]).choices()).toEqual([
    { index: 0, message: { role: 'assistant', content: null }, finishReason: null, logprobs: null },
  ])
})

test('forgets what was before a restart, and does not know who answers', () => {
  const served: ChatEvent = { type: 'served', provider: 'p', model: 'm' }
  const meta: ChatEvent = { type: 'meta', fields: { system_fingerprint: 'old' } }
  const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
  const before = [served, meta, 'Hel', delta({ tool_calls: [{ index: 0, id: 'x' }] }), delta({ content: 'b' }, 1)]
  const answer = collect([...before, { type: 'usage', usage }, { type: 'restart' }, served, 'Good', ' day'])
  expect(answer.choices()).toEqual([
    { index: 0, message: { role: 'assistant', content: 'Good day' }, finishReason: null, logprobs: null },
  ])
  expect([answer.usage, answer.meta]).toEqual([null, {}])
})

test('puts a text together however it was cut, and whichever way its pieces came', () => {
  fc.assert(
    fc.property(fc.string(), cuts, fc.infiniteStream(fc.boolean()), (text, places, bare) => {
      const events = pieces(text, places).map(
        (piece): ChatEvent => (bare.next().value ? piece : delta({ content: piece })),
      )
      expect(message(events)).toEqual({ role: 'assistant', content: text })
    }),
  )
})

test('puts tool calls together however their arguments were cut and mixed', () => {
  const call = fc.record({ name: fc.string(), id: fc.string({ minLength: 1 }), args: fc.json(), places: cuts })
  fc.assert(
    fc.property(fc.array(call, { minLength: 1, maxLength: 3 }), (calls) => {
      const opening = calls.map(({ name, id }, index) =>
        delta({ tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' } }] }),
      )
      const rest = calls.flatMap(({ args, places }, index) =>
        pieces(args, places).map((piece) => delta({ tool_calls: [{ index, function: { arguments: piece } }] })),
      )
      expect(message([...opening, ...rest])?.tool_calls).toEqual(
        calls.map(({ name, id, args }) => ({ id, type: 'function', function: { name, arguments: args } })),
      )
    }),
  )
})

test('does not lengthen what names a thing when a provider repeats it', () => {
  const again = delta({
    role: 'assistant',
    tool_calls: [{ index: 0, id: 'c', type: 'function', function: { name: 'f' } }],
  })
  expect(message([again, again, again])).toEqual({
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'c', type: 'function', function: { name: 'f' } }],
  })
})

test('keeps fields it has never heard of, and lets null take nothing away', () => {
  expect(
    message([
      delta({ reasoning_content: 'I ', provider: { a: { b: 'x' } } }),
      delta({ reasoning_content: 'think', provider: { a: { b: 'y', c: 1 } } }),
      delta({ reasoning_content: null, content: null, refusal: undefined }),
    ]),
  ).toEqual({ role: 'assistant', content: null, reasoning_content: 'I think', provider: { a: { b: 'xy', c: 1 } } })
})

test('keeps choices apart and in order', () => {
  const answer = collect([
    delta({ content: 'second' }, 1),
    'first',
    { type: 'finish', index: 1, reason: 'length' },
    delta({ content: ' half' }, 1),
    { type: 'finish', index: 0, reason: 'stop' },
  ])
  expect(answer.choices()).toMatchObject([
    { index: 0, message: { content: 'first' }, finishReason: 'stop' },
    { index: 1, message: { content: 'second half' }, finishReason: 'length' },
  ])
})

test('strings log probabilities together', () => {
  const token = (token: string): ChatEvent => ({
    type: 'delta',
    index: 0,
    delta: {},
    logprobs: { content: [{ token }] },
  })
  expect(collect([token('a'), token('b')]).choices()[0]?.logprobs).toEqual({
    content: [{ token: 'a' }, { token: 'b' }],
  })
})

test('keeps the last usage and every fact beside the answer', () => {
  const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }
  const answer = collect([
    { type: 'usage', usage: { ...usage, total_tokens: 0 } },
    { type: 'usage', usage },
  ])
  expect(answer.usage).toEqual(usage)
})

test('leaves the pieces it was given as they were', () => {
  const first = delta({ provider: { list: [{ a: 'x' }] } })
  const before = structuredClone(first)
  const answer = collect([first, delta({ provider: { more: 1, list: [{ index: 0, a: 'y' }] } })])
  expect(answer.choices()[0]?.message.provider).toEqual({ list: [{ a: 'xy' }], more: 1 })
  expect(first).toEqual(before)
})

describe('a hostile provider', () => {
  test('changes nothing that other objects share', () => {
    const keys = fc.constantFrom(
      '__proto__',
      'constructor',
      'prototype',
      'toString',
      'polluted',
      'content',
      'tool_calls',
    )
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        fc.string(),
        fc.constant(null),
        fc.array(tie('tree')),
        fc.dictionary(keys, tie('tree')),
      ),
    }))
    const hostile = fc.array(
      fc.dictionary(keys, tree).map((value) => JSON.parse(JSON.stringify(value))),
      { maxLength: 4 },
    )
    fc.assert(
      fc.property(hostile, (deltas) => {
        message(deltas.map((value) => delta(value)))
        message([delta(JSON.parse('{"x":{"__proto__":{"polluted":1}}}')), ...deltas.map((x) => delta({ x }))])
        expect(({} as Record<string, unknown>).polluted).toBeUndefined()
        expect({}.toString()).toBe('[object Object]')
      }),
    )
  })

  test.each([-1, 5, 1e9, 0.5, Number.NaN, '0', null])('numbers a tool call %j and loses none', (index) => {
    const calls = message([delta({ tool_calls: [{ index: 0, id: 'a' }] }), delta({ tool_calls: [{ index, id: 'b' }] })])
    expect(JSON.parse(JSON.stringify(calls?.tool_calls))).toEqual([{ id: 'a' }, { id: 'b' }])
  })
})
