import { expect, test } from 'bun:test'
import { nearNames } from '../../src/lib/near'

const NAMES = ['gpt-4o', 'gpt-4o-mini', 'openai/gpt-4.1', 'anthropic/claude-sonnet-4-5', 'demo/eliza', 'n']

test.each([
  ['gpt-4o-mni', ['gpt-4o-mini', 'gpt-4o']],
  ['GPT_4.1', ['openai/gpt-4.1']],
  ['claude-sonnet', ['anthropic/claude-sonnet-4-5']],
  ['claude-sonnet-4-5-20260101', ['anthropic/claude-sonnet-4-5']],
  ['eliza', ['demo/eliza']],
  ['no-such-model', []],
  ['x', []],
  ['', []],
  ['x'.repeat(5000), []],
])('%s may have meant %j', (wanted, near) => {
  expect(nearNames(wanted, NAMES)).toEqual(near)
})

test('names no more than it is asked for', () => {
  const many = Array.from({ length: 50 }, (_, i) => `model-${i}`)
  expect(nearNames('model', many)).toHaveLength(3)
})
