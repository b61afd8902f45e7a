import { expect, test } from 'bun:test'
import { nanosOf, toUsd } from '../../src/lib/money'

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
