/** Text as Postgres can store it: it knows neither NUL nor half a surrogate pair. */
export const storable = (text: string): string => text.replaceAll('\0', '\uFFFD').toWellFormed()

/** The first line, shortened at a word to at most `max` characters. */
export function headline(text: string, max: number): string {
  const line = text.trim().split('\n', 1)[0]?.replace(/\s+/g, ' ') ?? ''
  if (line.length <= max) return line
  const cut = line.slice(0, max - 1)
  const word = cut.lastIndexOf(' ')
  return `${(word > max / 2 ? cut.slice(0, word) : cut).toWellFormed()}…`
}
