import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { millionths } from '../../src/lib/money'
import type { Usage } from '../../src/llm/port'
import { costOf, type Prices } from '../../src/llm/prices'

const DOLLAR = 1_000_000_000n
const prices: Prices = { input: 2n * DOLLAR, output: 10n * DOLLAR, cachedInput: DOLLAR / 2n, cacheWrite: 3n * DOLLAR }
const usage = (prompt: number, completion: number, more: object = {}): Usage => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
  ...more,
})

describe('the cost of an answer', () => {
  test.each([
    ['input and output', usage(1000, 100), 2_000_000n + 1_000_000n],
    ['nothing', usage(0, 0), 0n],
    ['cached input', usage(1000, 0, { prompt_tokens_details: { cached_tokens: 400 } }), 600n * 2000n + 400n * 500n],
    [
      "DeepSeek's word for it",
      usage(1000, 0, { prompt_cache_hit_tokens: 400, prompt_cache_miss_tokens: 600 }),
      600n * 2000n + 400n * 500n,
    ],
    [
      'input written to the cache',
      usage(1000, 0, { prompt_tokens_details: { cached_tokens: 100, cache_write_tokens: 500 } }),
      400n * 2000n + 100n * 500n + 500n * 3000n,
    ],
    [
      "LiteLLM's word for it",
      usage(1000, 0, { prompt_tokens_details: { cache_creation_tokens: 500 } }),
      500n * 2000n + 500n * 3000n,
    ],
    ['thoughts, as output', usage(0, 100, { completion_tokens_details: { reasoning_tokens: 60 } }), 1_000_000n],
    [
      'thoughts that are not among the output',
      { ...usage(10, 100, { completion_tokens_details: { reasoning_tokens: 60 } }), total_tokens: 170 },
      10n * 2000n + 160n * 10_000n,
    ],
    ['details that are null', usage(1, 1, { prompt_tokens_details: null, completion_tokens_details: null }), 12_000n],
  ])('counts %s', (_, said, cost) => {
    expect(costOf(said, prices)).toBe(cost)
  })

  test('of thoughts with a price of their own', () => {
    const said = usage(0, 100, { completion_tokens_details: { reasoning_tokens: 60 } })
    expect(costOf(said, { ...prices, reasoning: 20n * DOLLAR })).toBe(40n * 10_000n + 60n * 20_000n)
  })

  test('takes the rates of long requests for all of one', () => {
    const long = { ...prices, above: [{ tokens: 1000, rates: { input: 4n * DOLLAR, output: 20n * DOLLAR } }] }
    expect(costOf(usage(1000, 1), long)).toBe(1000n * 2000n + 10_000n)
    expect(costOf(usage(1001, 1), long)).toBe(1001n * 4000n + 20_000n)
  })

  test('is not known without a price that it needs, and never nothing instead', () => {
    expect(costOf(usage(1, 1), { input: DOLLAR })).toBeNull()
    expect(costOf(usage(1, 1), {})).toBeNull()
    expect(costOf(usage(5, 0), { input: DOLLAR })).toBe(5000n)
    expect(costOf(usage(5, 5), { input: 0n, output: 0n })).toBe(0n)
  })

  test.each([
    [{ prompt_tokens: -1 }],
    [{ prompt_tokens: 1.5 }],
    [{ prompt_tokens: '7' }],
    [{ completion_tokens: Number.NaN }],
    [{ prompt_tokens_details: { cached_tokens: 11 } }],
    [{ completion_tokens_details: { reasoning_tokens: 11 } }],
  ])('is not known when the counts are none: %j', (more) => {
    expect(costOf({ ...usage(10, 10), ...more } as Usage, prices)).toBeNull()
  })

  test('is rounded half up, once', () => {
    expect([499_999n, 500_000n, 1_499_999n, 1_500_000n].map(millionths)).toEqual([0n, 1n, 1n, 2n])
    const tokens = fc.integer({ min: 0, max: 10_000_000 })
    const rate = fc.bigInt({ min: 0n, max: 1000n * DOLLAR })
    fc.assert(
      fc.property(tokens, tokens, rate, rate, (input, output, a, b) => {
        const exact = BigInt(input) * a + BigInt(output) * b
        const cost = costOf(usage(input, output), { input: a, output: b }) ?? -1n
        const error = cost * 1_000_000n - exact
        expect(error > -500_000n && error <= 500_000n).toBe(true)
      }),
    )
  })
})
