import { expect, test } from 'bun:test'
import { ok, paged } from '../../src/lib/page'

test.each([
  [0, 20, 0],
  [1, 20, 1],
  [20, 20, 1],
  [21, 20, 2],
  [100, 1, 100],
])('counts the pages of %d items, %d on each: %d', (total, limit, pages) => {
  expect(paged(['item'], { page: 2, limit }, total)).toEqual({
    items: ['item'],
    pagination: { page: 2, limit, total, pages },
  })
})

test('tells a page nothing of what else its maker knew', () => {
  const asked = { page: 1, limit: 5, leaf: 'secret' }
  expect(Object.keys(paged([], asked, 0).pagination)).toEqual(['page', 'limit', 'total', 'pages'])
})

test('wraps a success', () => {
  expect(ok(null)).toEqual({ success: true, data: null })
})
