import { expect, test } from 'bun:test'
import { AppError } from '../../src/errors'
import { checkedSettings, withSettings } from '../../src/lib/parameters'

test('fills in what a turn does not say', () => {
  const settings = { temperature: 0.5, top_p: 0.1, stop: ['x'] }
  const filled: object = withSettings(settings, { top_p: null, stream: true })
  expect(filled).toEqual({
    temperature: 0.5,
    top_p: null,
    stop: ['x'],
    stream: true,
  })
  expect(withSettings(null, { top_p: 1 })).toEqual({ top_p: 1 })
})

test('never sends two names of the same thing', () => {
  expect(withSettings({ max_tokens: 5 }, { max_completion_tokens: 6 })).toEqual({ max_completion_tokens: 6 })
  expect(withSettings({ max_completion_tokens: 5 }, { max_tokens: 6 })).toEqual({ max_tokens: 6 } as never)
})

test('sends nothing that nobody may send, however it came into the database', () => {
  const settings = JSON.parse(
    '{"api_base":"http://evil","model":"x","messages":[],"n":2,"__proto__":{"a":1},"top_k":3}',
  )
  expect(withSettings(settings, {})).toEqual({ top_k: 3 } as never)
})

test.each([
  [{ api_key: 'x' }, /^Not allowed in a request: api_key/],
  [{ stream: false }, /^settings\.stream: is no setting$/],
  [{ temperature: '1' }, /^settings\.temperature: must be a number from 0 to 2$/],
  [{ max_tokens: 0 }, /^settings\.max_tokens: /],
])('refuses %j', (settings, sentence) => {
  const refused = () => checkedSettings(settings)
  expect(refused).toThrow(AppError)
  expect(refused).toThrow(sentence)
})

test('takes any other parameter, and null', () => {
  checkedSettings({ temperature: 2, max_tokens: null, top_p: 0, tools: [], anything: { at: 'all' } })
})
