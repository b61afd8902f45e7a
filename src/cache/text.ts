/** No string of JSON begins with it by chance: one that does gets another in front. */
const ESCAPE = '\u0000'

/** JSON in which bigints stay bigints, whatever else somebody may have written into it. @throws TypeError for what is no JSON. */
export function toText(value: unknown): string {
  const text = JSON.stringify(value, (_, v) => {
    if (typeof v === 'bigint') return `${ESCAPE}n${v}`
    return typeof v === 'string' && v.startsWith(ESCAPE) ? `${ESCAPE}s${v}` : v
  })
  if (text === undefined) throw new TypeError('Only JSON can be kept')
  return text
}

/** @throws SyntaxError for what `toText` did not write. */
export function fromText(text: string): unknown {
  // Most texts hold none, and then need no look at every value.
  if (!text.includes('\\u0000')) return JSON.parse(text)
  return JSON.parse(text, (_, v) => {
    if (typeof v !== 'string' || !v.startsWith(ESCAPE)) return v
    return v[1] === 'n' ? BigInt(v.slice(2)) : v.slice(2)
  })
}
