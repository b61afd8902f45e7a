import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { CLOSE, fromMarks, LESS, OPEN, occurrences, type Snippet, snippetHtml } from '../../src/lib/snippet'

/** What a reader sees highlighted. */
const seen = ({ text, highlights }: Snippet) => highlights.map(({ start, end }) => text.slice(start, end))

test('turns marks into places, counted in UTF-16 units', () => {
  const snippet = fromMarks(`a 😀 ${OPEN}cup${CLOSE} of ${LESS}b>${OPEN}tea${CLOSE}`)
  expect(snippet).toEqual({
    text: 'a 😀 cup of <b>tea',
    highlights: [
      { start: 5, end: 8 },
      { start: 15, end: 18 },
    ],
  })
  expect(seen(snippet)).toEqual(['cup', 'tea'])
  expect(fromMarks('nothing')).toEqual({ text: 'nothing', highlights: [] })
})

test('makes HTML in which nothing but the marks is HTML', () => {
  expect(snippetHtml(fromMarks(`${LESS}img onerror="x('1')"> & ${OPEN}${LESS}b>${CLOSE}`))).toBe(
    '&lt;img onerror=&quot;x(&#39;1&#39;)&quot;&gt; &amp; <mark>&lt;b&gt;</mark>',
  )
})

test('finds a part of a text in letters of any size, and takes nothing in it for syntax', () => {
  expect(seen(occurrences('Tea, TEAPOT, Ателье', 'tea'))).toEqual(['Tea', 'TEA'])
  expect(seen(occurrences('Ателье', 'ТЕЛ'))).toEqual(['тел'])
  expect(seen(occurrences('100% of a_b, a+b and [x]', '% o'))).toEqual(['% o'])
  for (const syntax of ['.*', '(', '[a-z]', '\\', '$', '^', 'a|b', '{2}', '/', '-'])
    expect([syntax, seen(occurrences(`x${syntax}y`, syntax))]).toEqual([syntax, [syntax]])
})

test('never marks what is not there, nor makes HTML of it', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', ' ', '😀', 'ё', '<', '&', '日'), maxLength: 600 })
  const asked = fc.string({ unit: fc.constantFrom('a', 'b', 'ё', '日', '<'), minLength: 1, maxLength: 3 })
  fc.assert(
    fc.property(text, asked, (all, part) => {
      const snippet = occurrences(all, part)
      expect(snippet.text).toBe(all)
      for (const hit of seen(snippet)) expect(hit).toBe(part)
      expect(snippetHtml(snippet).replaceAll(/<\/?mark>/g, '')).not.toMatch(/[<>]/)
    }),
  )
})
