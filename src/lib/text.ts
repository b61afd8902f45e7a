/** Text as Postgres can store it: it knows neither NUL nor half a surrogate pair. */
export const storable = (text: string): string => text.replaceAll('\0', '\uFFFD').toWellFormed()

/** JSON as Postgres can store it: the same, for keys as well as values. What it cannot store is what JSON escapes. */
export const storableJson = (value: unknown): string =>
  JSON.stringify(value).replace(/\\(u(?:0000|d[89a-f][0-9a-f]{2})|.)/g, (escaped, what: string) =>
    what.length > 1 ? '\uFFFD' : escaped,
  )

/** The first line, shortened at a word to at most `max` characters. */
export function headline(text: string, max: number): string {
  const line = text.trim().split('\n', 1)[0]?.replace(/\s+/g, ' ').trim() ?? ''
  if (line.length <= max) return line
  // Not in the middle of a character of two halves.
  const cut = line.slice(0, max - 1).replace(/[\ud800-\udbff]$/, '')
  const word = cut.lastIndexOf(' ')
  return `${(word > max / 2 ? cut.slice(0, word) : cut).toWellFormed()}…`
}
