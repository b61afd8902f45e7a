/** How different two names may be to be taken for the same one mistyped: one letter in four. */
const TOLERANCE = 4

/** Names that somebody may have meant by `wanted`, the likeliest first. */
export function nearNames(wanted: string, names: string[], most = 3): string[] {
  const asked = fold(wanted)
  if (asked.length < 2 || asked.length > 200) return []
  return names
    .map((name) => ({ name, distance: distanceOf(asked, fold(name)) }))
    .filter(({ distance }) => distance <= asked.length / TOLERANCE)
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, most)
    .map(({ name }) => name)
}

/** Without the provider in front, dates and spelling that people leave out. */
const fold = (name: string): string =>
  name
    .toLowerCase()
    .replace(/^.*\//, '')
    .replaceAll(/[\s_.:-]+/g, '-')

function distanceOf(a: string, b: string): number {
  // The beginning of a name, or all of it and a date, is as good as the name.
  if (a === b) return 0
  if (b.startsWith(a)) return 0.5
  if (a.startsWith(b) && b.length > a.length / 2) return 1.5
  return Math.abs(a.length - b.length) > a.length / TOLERANCE ? Number.POSITIVE_INFINITY : edits(a, b)
}

/** Levenshtein's distance, row by row. */
function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const kept = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(kept, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
