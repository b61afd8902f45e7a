/** A day somewhere: its name, as `2026-11-21`, and when it begins there. */
export interface Day {
  date: string
  from: Date
}

const DAY = 86_400_000
/** No place on earth is further ahead of UTC, or behind it. */
const AHEAD = 15 * 3_600_000

/** The last `count` days before and with that of `at`, where this IANA time zone holds; oldest first. @throws RangeError for no zone. */
export function lastDays(count: number, at: Date, timeZone: string): Day[] {
  const format = new Intl.DateTimeFormat('en-CA', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' })
  const today = Date.parse(format.format(at))
  return Array.from({ length: count }, (_, i) => {
    const date = new Date(today - (count - 1 - i) * DAY).toISOString().slice(0, 10)
    return { date, from: beginningOf(date, format) }
  })
}

/** By trying: where the clock is set at midnight a day begins at one, or twice. */
function beginningOf(date: string, format: Intl.DateTimeFormat): Date {
  let before = Date.parse(date) - AHEAD
  let after = Date.parse(date) + AHEAD
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2)
    if (format.format(middle) < date) before = middle
    else after = middle
  }
  return new Date(after)
}
