import { expect, test } from 'bun:test'
import { csvLine, csvText } from '../../src/lib/csv'

test.each([
  [null, ''],
  ['', ''],
  ['plain text', 'plain text'],
  ['a,b', '"a,b"'],
  ['say "yes"', '"say ""yes"""'],
  ['two\r\nlines', '"two\r\nlines"'],
  ['=1+1', "'=1+1"],
  ['=HYPERLINK("x","y")', '"\'=HYPERLINK(""x"",""y"")"'],
  ['  -1', "'  -1"],
  ['\t1', "'\t1"],
  ['＝1', "'＝1"],
  ['a=1', 'a=1'],
])('writes %j as %j', (text, cell) => {
  expect(csvText(text)).toBe(cell)
})

test('ends a line as the standard says', () => {
  expect(csvLine([csvText('a'), 1, csvText(null)])).toBe('a,1,\r\n')
})
