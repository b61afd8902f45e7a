import { expect, test } from 'bun:test'
import type { Level } from '../../src/limits/port'
import { headersOf } from '../../src/plugins/rate-limit-headers'

const level = (fields: Partial<Level>): Level => ({
  name: 'user',
  capacity: 60,
  emptyMs: 60_000,
  left: 12.9,
  fullMs: 47_100,
  waitMs: 0,
  ...fields,
})
const tenant = level({ name: 'tenant', capacity: 600, left: 550, fullMs: 5000 })

test('names every limit, and says how the tightest stands', () => {
  expect(headersOf([tenant, level({})], undefined)).toEqual({
    'ratelimit-policy': '"tenant";q=600;w=60, "user";q=60;w=60',
    ratelimit: '"user";r=12;t=48',
  })
})

test('says of a refusal how the limit stands that refused', () => {
  const slow = level({ name: 'route', left: 59, waitMs: 10 })
  expect(headersOf([tenant, slow, level({ left: 0 })], undefined).ratelimit).toBe('"route";r=59;t=48')
})

test("speaks OpenAI's and Anthropic's words, too", () => {
  expect(headersOf([level({ left: -3 })], 'openai')).toMatchObject({
    'x-ratelimit-limit-requests': '60',
    'x-ratelimit-remaining-requests': '0',
    'x-ratelimit-reset-requests': '48s',
  })
  const theirs = headersOf([level({})], 'anthropic')
  expect(theirs).toMatchObject({
    'anthropic-ratelimit-requests-limit': '60',
    'anthropic-ratelimit-requests-remaining': '12',
  })
  const reset = Date.parse(theirs['anthropic-ratelimit-requests-reset'] ?? '')
  expect(reset - Date.now()).toBeWithin(1, 47_101)
})

test("writes whole numbers, as the draft asks, also of a server's share of a limit", () => {
  const share = level({ capacity: 100 / 3, left: 10.5, emptyMs: 60_000 })
  expect(headersOf([share, level({ capacity: 0.4, left: 0 })], 'openai')).toMatchObject({
    'ratelimit-policy': '"user";q=33;w=60, "user";q=1;w=60',
  })
  expect(headersOf([share], 'openai')['x-ratelimit-limit-requests']).toBe('33')
  expect(headersOf([share], 'anthropic')['anthropic-ratelimit-requests-limit']).toBe('33')
})

test('says nothing where nothing is limited', () => {
  expect(headersOf([], 'openai')).toEqual({})
})
