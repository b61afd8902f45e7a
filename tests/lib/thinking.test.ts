import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { type ThoughtBlock, thoughtBlocks, thoughtFields } from '../../src/lib/thinking'

const signed = fc.record({
  type: fc.constant('thinking' as const),
  thinking: fc.string(),
  signature: fc.string({ minLength: 1 }),
})
const redacted = fc.record({ type: fc.constant('redacted_thinking' as const), data: fc.string() })

test('signed thoughts are the same after they travelled as fields of a message', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(signed, redacted)), (blocks: ThoughtBlock[]) => {
      expect(thoughtBlocks(thoughtFields(blocks))).toEqual(blocks)
    }),
  )
})

test('a thought without a signature keeps its text and cannot be sent back', () => {
  const fields = thoughtFields([{ type: 'thinking', thinking: 'Hm', signature: '' }])
  expect(fields).toEqual({ reasoning_content: 'Hm' })
  expect(thoughtBlocks(fields)).toEqual([])
})

test('one signature is for the whole text, several must say what is theirs', () => {
  const one = { type: 'thinking', signature: 's' }
  expect(thoughtBlocks({ reasoning_content: 'Hm', reasoning_details: [one] })).toEqual([
    { type: 'thinking', thinking: 'Hm', signature: 's' },
  ])
  expect(thoughtBlocks({ reasoning_content: 'Hm', reasoning_details: [one, one] })).toEqual([])
})

test('what is no detail is left out', () => {
  const reasoning_details = [null, 7, {}, { type: 'thinking' }, { type: 'redacted_thinking', data: 7 }, { type: 'x' }]
  expect(thoughtBlocks({ reasoning_details })).toEqual([])
  expect(thoughtBlocks({ reasoning_details: 'none', reasoning_content: 7 })).toEqual([])
})
