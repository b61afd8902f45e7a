import { expect, test } from 'bun:test'
import { availableParallelism } from 'node:os'
import { cores, quotaOf } from '../../src/lib/cores'

test('reads how much of the processors a container gets', () => {
  expect(quotaOf('150000 100000\n')).toBe(1.5)
  expect(quotaOf('max 100000\n')).toBeUndefined()
  expect(quotaOf('')).toBeUndefined()
})

test('counts no more processors than there are, and one at least', () => {
  expect(cores(0.2)).toBe(1)
  expect(cores(10_000)).toBe(availableParallelism())
})
