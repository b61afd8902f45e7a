import { AppError } from '../errors'

/** The moment that a field of a request names. @throws AppError VALIDATION_ERROR for the 30th of February. */
export function momentOf(field: string, text: string): Date {
  const at = new Date(text)
  if (!Number.isNaN(at.getTime()) && exists(text.slice(0, 10))) return at
  throw new AppError('VALIDATION_ERROR', `${field}: must be a date that exists`)
}

/** A Date does not refuse the 30th of February, it goes on into March. */
function exists(day: string): boolean {
  const midnight = Date.parse(`${day}T00:00:00Z`)
  return !Number.isNaN(midnight) && new Date(midnight).toISOString().startsWith(day)
}
