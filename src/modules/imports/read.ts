/** Reading what somebody else wrote: whatever is not as expected is absent. */
export type Fields = Record<string, unknown>

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const fields = (value: unknown): Fields => (isFields(value) ? value : {})
export const fieldsOrNull = (value: unknown): Fields | null => (isFields(value) ? value : null)
export const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
/** A list that has something in it. */
export const listOrNull = (value: unknown): unknown[] | null => (list(value).length > 0 ? list(value) : null)
export const textOrNull = (value: unknown): string | null => (typeof value === 'string' ? value : null)
export const texts = (value: unknown): string[] => list(value).filter((item) => typeof item === 'string')

/** An id is a text that says something; some sources count instead. */
export function idOrNull(value: unknown): string | null {
  if (typeof value === 'number' && Number.isFinite(value)) return String(value)
  return typeof value === 'string' && value !== '' ? value : null
}

/** Numbers below it are seconds: as milliseconds they would be the first months of 1970. */
const SECONDS_BELOW = 1e11
/** What both a Date and a database can hold. */
const LAST_TIME = Date.UTC(9999, 0)

/** A moment as text, seconds or milliseconds. */
export function moment(value: unknown): Date | null {
  const ms =
    typeof value === 'number'
      ? value < SECONDS_BELOW
        ? value * 1000
        : value
      : typeof value === 'string'
        ? Date.parse(value)
        : NaN
  return ms >= 0 && ms < LAST_TIME ? new Date(Math.round(ms)) : null
}

/** One of our messages' `extra`, or null when there is nothing in it. */
export function extraOf(entries: Fields): Fields | null {
  const kept = Object.entries(entries).filter(([, value]) => value !== undefined && value !== null && value !== '')
  return kept.length > 0 ? Object.fromEntries(kept) : null
}
