/** What a spreadsheet would take for a formula, also behind blanks and in full width. */
const FORMULA = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/

/** A cell of text: never a formula (an apostrophe makes it text), quoted where RFC 4180 wants it. */
export function csvText(text: string | null): string {
  if (text === null) return ''
  const harmless = FORMULA.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
}

/** One record of a file after RFC 4180. @param cells as `csvText` writes them, or numbers. */
export const csvLine = (cells: readonly (string | number)[]): string => `${cells.join(',')}\r\n`
