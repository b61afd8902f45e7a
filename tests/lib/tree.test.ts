import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { commonPrefix, fromChatMessage, textOf, toChatMessage, withText } from '../../src/lib/tree'
import type { ChatMessage } from '../../src/llm/port'

const parts = fc.array(
  fc.oneof(
    fc.record({ type: fc.constant('text'), text: fc.string() }),
    fc.record({ type: fc.constant('image_url'), image_url: fc.record({ url: fc.webUrl() }) }),
  ),
)
const calls = fc.array(
  fc.record({
    id: fc.string(),
    type: fc.constant('function'),
    function: fc.record({ name: fc.string(), arguments: fc.json() }),
  }),
  { minLength: 1, maxLength: 3 },
)
const chatMessage: fc.Arbitrary<ChatMessage> = fc.oneof(
  fc.record({ role: fc.constant('user'), content: fc.oneof(fc.string(), parts) }),
  fc.record({ role: fc.constant('assistant'), content: fc.string(), tool_calls: calls }),
  fc.record({ role: fc.constant('assistant'), content: fc.string() }),
  fc.record({ role: fc.constant('tool'), content: fc.string(), tool_call_id: fc.string() }),
)

test('sends a stored message to a model as its author sent it', () => {
  fc.assert(fc.property(chatMessage, (message) => expect(toChatMessage(fromChatMessage(message))).toEqual(message)))
})

test('puts an edited text where the old one stood, and leaves the rest beside it', () => {
  const [text, image] = [
    { type: 'text', text: 'old' },
    { type: 'image_url', image_url: { url: 'x' } },
  ]
  const edited = { type: 'text', text: 'new' }
  expect(withText(null, 'new')).toBeNull()
  expect(withText({ name: 'x' }, 'new')).toEqual({ name: 'x' })
  expect(withText({ content: [image, text, image, text], name: 'x' }, 'new')).toEqual({
    content: [image, edited, image],
    name: 'x',
  })
  expect(withText({ content: [image] }, 'new')).toEqual({ content: [edited, image] })
})

test('keeps the text of a message where search finds it, and the rest beside it', () => {
  expect(fromChatMessage({ role: 'user', content: 'hello' })).toEqual({ role: 'user', content: 'hello', extra: null })
  const content = [
    { type: 'text', text: 'see' },
    { type: 'image_url', image_url: { url: 'x' } },
    { type: 'text', text: 'this' },
  ]
  expect(fromChatMessage({ role: 'user', content })).toEqual({ role: 'user', content: 'see\nthis', extra: { content } })
  const tool_calls = [{ id: '1' }]
  expect(fromChatMessage({ role: 'assistant', content: null, tool_calls })).toEqual({
    role: 'assistant',
    content: '',
    extra: { tool_calls },
  })
})

test('sends no reasoning, annotation or refusal back', () => {
  const extra = { reasoning_content: 'hm', annotations: [1], refusal: 'no', audio: { id: 'a' }, name: 'ada' }
  expect(toChatMessage({ role: 'assistant', content: 'yes', extra })).toEqual({
    role: 'assistant',
    content: 'yes',
    name: 'ada',
  })
})

test.each([
  ['text', 'text'],
  [null, ''],
  [undefined, ''],
  [7, ''],
  [{ text: 'no list' }, ''],
  [[null, 7, { text: 7 }, { text: 'a' }, { type: 'x' }, { text: 'b' }], 'a\nb'],
])('takes from the content %j the text %j', (content, text) => {
  expect(textOf(content)).toBe(text)
})

describe('the common prefix', () => {
  const history = fc.array(chatMessage, { maxLength: 8 })

  test('is everything that both have, however long the rest of either is', () => {
    fc.assert(
      fc.property(history, history, history, (shared, more, other) => {
        const path = [...shared, ...other].map(fromChatMessage)
        const known = commonPrefix([...shared, ...more], path)
        expect(known).toBeGreaterThanOrEqual(shared.length)
        expect(commonPrefix([...shared, { role: 'user', content: 'never said before' }], path)).toBe(shared.length)
        expect(commonPrefix(shared, path)).toBe(shared.length)
      }),
    )
  })

  test('ends where a message was edited, even in the middle', () => {
    const edit = fc.tuple(fc.array(chatMessage, { minLength: 1, maxLength: 8 }), fc.nat())
    fc.assert(
      fc.property(edit, ([messages, n]) => {
        const at = n % messages.length
        const edited = messages.with(at, { role: 'user', content: 'edited to what was never said' })
        expect(commonPrefix(edited, messages.map(fromChatMessage))).toBe(at)
      }),
    )
  })

  test('does not mind that clients write no content as null, as nothing or as an empty text', () => {
    const tool_calls = [{ id: '1', type: 'function', function: { name: 'f', arguments: '{}' } }]
    const path = [fromChatMessage({ role: 'assistant', content: null, tool_calls })]
    for (const content of [null, undefined, '']) {
      expect(commonPrefix([{ role: 'assistant', content, tool_calls }], path)).toBe(1)
    }
    expect(commonPrefix([{ role: 'assistant', content: null }], path)).toBe(0)
    expect(commonPrefix([{ role: 'assistant', content: null, tool_calls: [{ id: '2' }] }], path)).toBe(0)
    expect(commonPrefix([{ role: 'user', content: null, tool_calls }], path)).toBe(0)
  })
})

test('signed reasoning goes back to the model that signed it, other reasoning does not', () => {
  const reasoning_details = [{ type: 'thinking', signature: 's' }]
  const extra = { reasoning_content: 'Hm', reasoning_details }
  expect(toChatMessage({ role: 'assistant', content: 'yes', extra })).toEqual({
    role: 'assistant',
    content: 'yes',
    ...extra,
  })
  const unsigned = { reasoning_content: 'Hm' }
  expect(toChatMessage({ role: 'assistant', content: 'yes', extra: unsigned })).toEqual({
    role: 'assistant',
    content: 'yes',
  })
})
