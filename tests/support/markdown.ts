/** A fenced block of a Markdown file. */
export interface Block {
  /** What stands behind the opening fence, e.g. `bash run`. */
  info: string
  text: string
}

/** The fenced blocks of a Markdown text, in order. */
export const blocksOf = (markdown: string): Block[] =>
  [...markdown.matchAll(/^```([^\n]*)\n(.*?)^```$/gms)].map(([, info = '', text = '']) => ({ info, text }))

/** What is not in fenced blocks. */
export const proseOf = (markdown: string): string => markdown.replace(/^```[^\n]*\n.*?^```$/gms, '')

/** The anchors that GitHub gives to headings. */
export const anchorsOf = (markdown: string): Set<string> =>
  new Set(
    [...proseOf(markdown).matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replace(/[^\p{L}\p{N} -]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )

/** Destinations of Markdown links. */
export const linksOf = (markdown: string): string[] =>
  [...proseOf(markdown).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)

/** The rows of all tables: cells without their backticks. */
export const rowsOf = (markdown: string): string[][] =>
  proseOf(markdown)
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\|[ |:-]+\|$/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim().replaceAll('`', '')),
    )

/** Where a text does not have the shape of a printed one: each line must occur, in order; `…` stands for anything. */
export function missingIn(output: string, printed: string): string | undefined {
  let at = 0
  for (const line of printed.split('\n').filter(Boolean)) {
    const pattern = new RegExp(line.split('…').map(RegExp.escape).join('[^\\n]*?'))
    const found = pattern.exec(output.slice(at))
    if (!found) return line
    at += found.index + found[0].length
  }
  return undefined
}
