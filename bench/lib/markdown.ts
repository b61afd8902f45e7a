/** Words of a page of results. */

export function table(title: string, columns: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return ''
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const rule = line(columns.map((_, i) => (i === 0 ? '---' : '---:')))
  return [`## ${title}`, '', line(columns), rule, ...rows.map(line)].join('\n')
}

export function fixed(value: number | undefined, digits: number): string {
  return value === undefined || Number.isNaN(value) ? '–' : value.toFixed(digits)
}

export function plus(value: number, digits: number): string {
  if (Number.isNaN(value)) return '–'
  return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(digits)}`
}
