/** A piece of a text with what is to be seen in it: places as JavaScript counts them, in UTF-16 units, `end` not included. */
export interface Snippet {
  text: string
  highlights: { start: number; end: number }[]
}

/** Marks in a text in which something was found: they must have been taken out of the text before. */
export const OPEN = '\u0001'
export const CLOSE = '\u0002'
/** In the place of `<`, which some searchers take for the beginning of a tag. */
export const LESS = '\u0003'

/** From a text with marks. */
export function fromMarks(marked: string): Snippet {
  const highlights: Snippet['highlights'] = []
  let text = ''
  let start = 0
  for (const character of marked) {
    if (character === OPEN) start = text.length
    else if (character === CLOSE) highlights.push({ start, end: text.length })
    else text += character === LESS ? '<' : character
  }
  return { text, highlights }
}

/** Every place where a text says this, in letters of any size. */
export function occurrences(text: string, what: string): Snippet {
  const pattern = new RegExp(what.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'), 'giu')
  const highlights = [...text.matchAll(pattern)].map(({ 0: hit, index }) => ({ start: index, end: index + hit.length }))
  return { text, highlights }
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const escaped = (text: string) => text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '')

/** As HTML: what is to be seen in `<mark>`, everything else as text. */
export function snippetHtml({ text, highlights }: Snippet): string {
  let html = ''
  let from = 0
  for (const { start, end } of highlights) {
    html += `${escaped(text.slice(from, start))}<mark>${escaped(text.slice(start, end))}</mark>`
    from = end
  }
  return html + escaped(text.slice(from))
}
