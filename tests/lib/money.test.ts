import { expect, test } from 'bun:test'
import { eachOf, exactNanos, nanosOf, toUsd, usdText } from '../../src/lib/money'

test.each<[unknown, bigint]>([
  [0, 0n],
  [10, 10_000_000_000n],
  [0.1, 100_000_000n],
  [-3.5, -3_500_000_000n],
  [1e-9, 1n],
  ['9.995', 9_995_000_000n],
  ['+7', 7_000_000_000n],
  ['0.0000000019', 1n],
  ['12.', 12_000_000_000n],
])('reads %p as nano-dollars', (usd, nanos) => {
  expect(nanosOf(usd)).toBe(nanos)
})

const NO_AMOUNTS = [Number.NaN, Number.POSITIVE_INFINITY, 1e21, '', ' 1', '1,5', '1e9', '٣', '0x10', '.5', '--1']

test.each([...NO_AMOUNTS, {}, null, undefined, true].map((usd) => [usd]))('takes %p for no amount', (usd) => {
  expect(nanosOf(usd)).toBeUndefined()
})

test('writes dollars', () => {
  expect([toUsd(0n), toUsd(1n), toUsd(9_995_000_000n)]).toEqual([0, 1e-9, 9.995])
})

test.each<[unknown, bigint]>([
  ['12.50', 12_500_000_000n],
  ['-0.000000001', -1n],
  ['999999999.999999999', 999_999_999_999_999_999n],
  [0.1, 100_000_000n],
  [1e-9, 1n],
  [999_999.123456789, 999_999_123_456_789n],
])('takes %p exactly as it is', (usd, nanos) => {
  expect(exactNanos(usd)).toBe(nanos)
})

const INEXACT = ['+7', '12.', '1e3', '0.0000000001', '1.0000000000', 1e-10, 0.1 + 0.2, 1e9, ...NO_AMOUNTS.slice(0, -1)]
test.each(INEXACT.map((usd) => [usd]))('takes nothing that is only about %p', (usd) => {
  expect(exactNanos(usd)).toBeUndefined()
})

test('writes amounts with all their decimals', () => {
  const amounts = [0n, 1n, -1n, 12_500_000_000n, -123_456_789_012_345_678_901n]
  const texts = ['0.000000000', '0.000000001', '-0.000000001', '12.500000000', '-123456789012.345678901']
  expect(amounts.map(usdText)).toEqual(texts)
})

test('shares a sum, rounded half up', () => {
  expect([eachOf(10n, 4), eachOf(9n, 4), eachOf(0n, 3), eachOf(5n, 0)]).toEqual([3n, 2n, 0n, null])
})
