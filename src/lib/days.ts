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
  const format = datesIn(timeZone)
  const today = Date.parse(format.format(at))
  return Array.from({ length: count }, (_, i) => {
    const date = new Date(today - (count - 1 - i) * DAY).toISOString().slice(0, 10)
    return { date, from: beginningOf(date, format) }
  })
}

/** The day that it is at this moment where this time zone holds, as `2026-11-21`. @throws RangeError for no zone. */
export const dayOf = (at: Date, timeZone: string): string => datesIn(timeZone).format(at)

/** The moment at which a day, `2026-11-21`, begins where this time zone holds. @throws RangeError for no zone. */
export const beginningOfDay = (date: string, timeZone: string): Date => beginningOf(date, datesIn(timeZone))

/** The day so many days after another one. */
export const dayAfterDay = (date: string, days = 1): string =>
  new Date(Date.parse(date) + days * DAY).toISOString().slice(0, 10)

/** By name only: of an offset nobody knows which sign is meant. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z][\w+/-]*$/.test(name)) return false
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

const datesIn = (timeZone: string) =>
  new Intl.DateTimeFormat('en-CA', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' })

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
