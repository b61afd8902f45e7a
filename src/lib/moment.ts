import { AppError } from '../errors'

/** The last moment that Postgres and we write alike. */
const END = Date.parse('9999-12-31T23:59:59.999Z')
const START = Date.parse('0001-01-01T00:00:00Z')
const DAY = 86_400_000

/** The moment that a field of a request names. @throws AppError VALIDATION_ERROR for the 30th of February, or the year 0. */
export function momentOf(field: string, text: string): Date {
  const at = new Date(text)
  if (at.getTime() >= START && at.getTime() <= END && exists(text.slice(0, 10))) return at
  const message = 'must be a date that exists'
  throw new AppError('VALIDATION_ERROR', `${field}: ${message}`, { details: { fields: [{ path: field, message }] } })
}

/** The moment after a day that is meant with all its hours. */
export const dayAfter = (day: Date): Date => new Date(Math.min(day.getTime() + DAY, END))

/** A Date does not refuse the 30th of February, it goes on into March. */
function exists(day: string): boolean {
  const midnight = Date.parse(`${day}T00:00:00Z`)
  return !Number.isNaN(midnight) && new Date(midnight).toISOString().startsWith(day)
}
