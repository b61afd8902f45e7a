import { expect, test } from 'bun:test'
import { derivedId, isUuid } from '../../src/lib/ids'

test('the same words have the same id, a UUID of version 8', () => {
  const id = derivedId('tenant', 'user', 'chat')
  expect(id).toBe(derivedId('tenant', 'user', 'chat'))
  expect(isUuid(id)).toBe(true)
  expect(id).toMatch(/^.{14}8.{4}[89ab]/)
})

test('other words have another, also when they read alike one after the other', () => {
  const lists = [['a', 'bc'], ['ab', 'c'], ['abc'], ['a', 'b', 'c'], ['1:a', 'bc'], ['a', '2:bc'], [''], []]
  expect(new Set(lists.map((words) => derivedId(...words))).size).toBe(lists.length)
})
