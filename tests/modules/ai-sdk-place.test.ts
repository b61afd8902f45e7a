/** Where a page's history lies on a stored path. */
import { describe, expect, test } from 'bun:test'
import { type UiMessage, uiTurns } from '../../src/dialects/ai-sdk-messages'
import { place } from '../../src/modules/ai-sdk/place'
import type { Message } from '../../src/store/port'

type Node = Pick<Message, 'id' | 'role' | 'content' | 'extra'>
const node = (id: string, role: Message['role'], content = '', extra: Message['extra'] = null): Node => ({
  id,
  role,
  content,
  extra,
})
const call = (id: string) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } })
const user = (text: string, id = `c-${text}`): UiMessage => ({ id, role: 'user', parts: [{ type: 'text', text }] })
const answer = (id: string, ...texts: string[]): UiMessage => ({
  id,
  role: 'assistant',
  parts: texts.flatMap((text) => [{ type: 'step-start' }, { type: 'text', text }]),
})
const tool = (toolCallId: string, output: unknown) => [
  { type: 'step-start' },
  { type: 'tool-f', toolCallId, state: 'output-available', input: {}, output },
]
const lay = (messages: UiMessage[], path: Node[]) => {
  const { parentId, sent } = place(uiTurns(messages), path as Message[])
  return [parentId, ...sent.map(({ role, content }) => `${role} ${content}`)]
}

const PATH = [node('u1', 'user', 'one'), node('a1', 'assistant', 'eins'), node('u2', 'user', 'two')]
const WITH_TOOL = [
  node('u1', 'user', 'go'),
  node('a1', 'assistant', '', { tool_calls: [call('x')] }),
  node('t1', 'tool', 'sun', { tool_call_id: 'x' }),
  node('a2', 'assistant', 'It is sunny'),
]

describe('a history', () => {
  test.each([
    ['that is new', [user('one')], [], [null, 'user one']],
    [
      'that goes on',
      [user('one'), answer('a1', 'eins'), user('two'), answer('?', 'x'), user('y')],
      PATH,
      ['u2', 'assistant x', 'user y'],
    ],
    ['that is all stored', [user('one'), answer('a1', 'eins'), user('two')], PATH, ['u2']],
    ['that was edited', [user('one'), answer('a1', 'eins'), user('zwei')], PATH, ['a1', 'user zwei']],
    ['that was edited at its beginning', [user('uno')], PATH, [null, 'user uno']],
    [
      'that was edited where the page has our id',
      [user('one'), answer('a1', 'eins'), user('zwei', 'u2')],
      PATH,
      ['a1', 'user zwei'],
    ],
    ['whose answers only read alike', [user('one'), answer('?', 'eins'), user('three')], PATH, ['a1', 'user three']],
    ['with another answer', [user('one'), answer('?', 'uno'), user('two')], PATH, ['u1', 'assistant uno', 'user two']],
    ['with our answer, cut short', [user('one'), answer('a1', 'ei'), user('three')], PATH, ['a1', 'user three']],
    ['with our answer, without a word', [user('one'), answer('a1'), user('three')], PATH, ['a1', 'user three']],
    ['of which the page shows only the end', [answer('a1', 'eins'), user('three')], PATH, ['a1', 'user three']],
    [
      'with the same question twice',
      [user('two'), answer('?', 'x'), user('two')],
      [PATH[2] as Node],
      ['u2', 'assistant x', 'user two'],
    ],
  ] as [string, UiMessage[], Node[], (string | null)[]][])('%s', (_, messages, path, expected) => {
    expect(lay(messages, path)).toEqual(expected)
  })

  test('without an answer that failed before its first word, goes on below it', () => {
    expect(lay([user('one'), user('two')], [node('u1', 'user', 'one'), node('a1', 'assistant')])).toEqual([
      'a1',
      'user two',
    ])
    expect(lay([user('one')], [node('u1', 'user', 'one'), node('a1', 'assistant')])).toEqual(['u1'])
  })

  test('with results of tools, goes on where they are missing', () => {
    const asked = { id: 'a1', role: 'assistant' as const, parts: tool('x', 'sun') }
    expect(lay([user('go'), asked], WITH_TOOL.slice(0, 2))).toEqual(['a1', 'tool sun'])
    expect(lay([user('go'), asked], WITH_TOOL)).toEqual(['t1'])
    expect(lay([user('go'), asked, user('thanks')], WITH_TOOL)).toEqual(['a2', 'user thanks'])
    const whole = { ...asked, parts: [...asked.parts, ...answer('', 'It is').parts] }
    expect(lay([user('go'), whole, user('thanks')], WITH_TOOL)).toEqual(['a2', 'user thanks'])
    const foreign = { ...asked, id: '?', parts: tool('other', 'sun') }
    expect(lay([user('go'), foreign], WITH_TOOL)).toEqual(['u1', 'assistant null', 'tool sun'])
  })
})

describe('what a page sends', () => {
  test('of an answer that began anew is only what counts', () => {
    const parts = [...answer('', 'Hel').parts, { type: 'data-restart', data: {} }, ...answer('', 'Hello').parts]
    expect(uiTurns([{ id: 'a', role: 'assistant', parts }])[0]?.messages).toEqual([
      { role: 'assistant', content: 'Hello' },
    ])
  })

  test('of thoughts, sources and its own data is nothing', () => {
    const parts = ['reasoning', 'source-url', 'data-mine', 'step-start', 'custom'].map((type) => ({ type, text: 'x' }))
    expect(
      uiTurns([
        { role: 'assistant', parts },
        { role: 'user', parts: [] },
      ]).map(({ messages }) => messages),
    ).toEqual([[], []])
  })

  test('of tools is a call and a result, whatever became of it', () => {
    const states = [
      { state: 'output-available', output: 'text' },
      { state: 'output-available', output: { a: 1 } },
      { state: 'output-error', errorText: 'broke' },
      { state: 'output-denied' },
      { state: 'input-streaming' },
    ]
    const parts = states.map((state, i) => ({
      type: 'dynamic-tool',
      toolName: 'f',
      toolCallId: `${i}`,
      input: { i },
      ...state,
    }))
    const [turn] = uiTurns([{ role: 'assistant', parts }, user('x')])
    expect(turn?.messages[0]).toMatchObject({
      content: null,
      tool_calls: [{ id: '0', function: { name: 'f', arguments: '{"i":0}' } }, {}, {}, {}, {}],
    })
    expect(turn?.messages.slice(1).map(({ content }) => content)).toEqual([
      'text',
      '{"a":1}',
      'Error: broke',
      'The user did not allow this call.',
      'There is no result: the user went on without it.',
    ])
    expect(() => uiTurns([{ role: 'assistant', parts }])).toThrow('no result yet')
  })
})
