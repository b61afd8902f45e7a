import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { headline, storable, storableJson } from '../../src/lib/text'

/** Any sequence of UTF-16 units: NUL, control characters and half surrogate pairs included. */
const hostile = fc
  .string({ unit: 'binary' })
  .chain((text) =>
    fc
      .array(fc.constantFrom('\0', '\ud83d', '\ude00', '\u2028', '\\', '"', '\\u0000', 'a'), { maxLength: 6 })
      .map((bits) => bits.join(text.slice(0, 4))),
  )

test('replaces what Postgres cannot store and nothing else', () => {
  expect(storable('a\0b\ud83dc\ude00')).toBe('a\ufffdb\ufffdc\ufffd')
  fc.assert(
    fc.property(hostile, (text) => {
      const stored = storable(text)
      expect(stored.isWellFormed()).toBe(true)
      expect(stored).not.toContain('\0')
      expect(stored).toHaveLength(text.length)
      if (text.isWellFormed() && !text.includes('\0')) expect(stored).toBe(text)
    }),
  )
})

test('writes any value as JSON that means the same, with storable keys and texts', () => {
  const clean = (value: unknown): unknown => {
    if (typeof value === 'string') return storable(value)
    if (Array.isArray(value)) return value.map(clean)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [storable(key), clean(inner)]))
  }
  const value = fc.jsonValue().chain((json) => hostile.map((text) => ({ [`k${text}`]: text, json, list: [text] })))
  fc.assert(
    fc.property(value, (any) => {
      expect(JSON.parse(storableJson(any))).toEqual(clean(JSON.parse(JSON.stringify(any))))
    }),
  )
})

test('leaves a backslash before what looks like an escape alone', () => {
  expect(JSON.parse(storableJson({ path: 'C:\\u0000', tail: '\\', both: '\\\0' }))).toEqual({
    path: 'C:\\u0000',
    tail: '\\',
    both: '\\\ufffd',
  })
})

test.each([
  ['Hello', 'Hello'],
  ['  Hello \t world \n second line', 'Hello world'],
  ['Hello\r\nworld', 'Hello'],
  ['\n\n  third line counts\n', 'third line counts'],
  ['', ''],
  [' \n ', ''],
  ['one two three four five', 'one two three four…'],
  ['a'.repeat(30), `${'a'.repeat(19)}…`],
  [`${'a'.repeat(18)}😀😀`, `${'a'.repeat(18)}…`],
  ['twenty characters!!!', 'twenty characters!!!'],
])('shortens %j to %j', (text, title) => {
  expect(headline(text, 20)).toBe(title)
})

test('makes headlines of one line, never too long, never with a broken character', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), fc.integer({ min: 5, max: 60 }), (text, max) => {
      const title = headline(text, max)
      expect(title.length).toBeLessThanOrEqual(max)
      expect(title).not.toMatch(/[\n\r]/)
      expect(title.trim()).toBe(title)
      expect(title.isWellFormed()).toBe(true)
      if (!text.includes('\ufffd')) expect(title).not.toContain('\ufffd')
      const words = text.trim().replace(/\s+/g, ' ')
      expect(words.startsWith(title.replace(/…$/, '')) || text.includes('…')).toBe(true)
    }),
  )
})
