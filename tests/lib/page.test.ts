import { expect, test } from 'bun:test'
import { ok, type Page, paged, sliced } from '../../src/lib/page'

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

test('cuts any window out of a list that is read in pages, by at most two of them', async () => {
  for (const total of [0, 1, 5, 12]) {
    const all = Array.from({ length: total }, (_, i) => i)
    for (const limit of [1, 3, 5, 20]) {
      for (let offset = 0; offset < 15; offset++) {
        let reads = 0
        const cut = await sliced({ limit, offset }, async ({ page, limit: size }: Page) => {
          reads++
          return { items: all.slice((page - 1) * size, page * size), total }
        })
        expect([limit, offset, cut]).toEqual([limit, offset, { items: all.slice(offset, offset + limit), total }])
        expect(reads).toBeLessThanOrEqual(2)
      }
    }
  }
})
