/** Characters counted at a time: the time for a single word grows with the square of its length. */
const PIECE = 2000
const SPACE = 32

/** A text in pieces, each of which begins with a single space where it can: there the tokenizer parts words, too. */
export function* pieces(text: string): Generator<string> {
  for (let start = 0; start < text.length; ) {
    const end = cutOf(text, start)
    yield text.slice(start, end)
    start = end
  }
}

function cutOf(text: string, start: number): number {
  const end = start + PIECE
  if (end >= text.length) return text.length
  for (let at = end; at > start + 1; at--) {
    if (text.charCodeAt(at) === SPACE && text.charCodeAt(at - 1) > SPACE && text.charCodeAt(at + 1) > SPACE) return at
  }
  // Not between the two halves of one character.
  return (text.charCodeAt(end) & 0xfc00) === 0xdc00 ? end - 1 : end
}
