import { AppError } from '../errors'
import { beginningOfDay, dayAfterDay, dayOf, isTimeZone } from './days'
import { momentOf } from './moment'

/** Days that are looked at unless somebody says otherwise, today among them. */
const USUAL_DAYS = 30
/** Milliseconds that may be looked at at once: ten years. */
const LONGEST = 3653 * 86_400_000
/** Beyond them there was no usage, and calendars are not sure. */
const YEARS = { from: 1970, to: 2199 }

/** What a request says of the time it is about: days in the time zone, or moments. */
export interface AskedPeriod {
  from?: string | undefined
  to?: string | undefined
}

/** From then on, and before. */
export interface Period {
  from: Date
  to: Date
  /** IANA name: where days begin. */
  timeZone: string
}

/**
 * The time that is meant. A day as `to` is meant with all its hours; without `to` it ends with today, without `from` it
 * begins 29 days before its last day.
 * @throws AppError VALIDATION_ERROR for days and zones that are none, for an end before the beginning, for more than ten years.
 */
export function periodOf(asked: AskedPeriod, { timeZone, now }: { timeZone: string; now: Date }): Period {
  refuseOtherZones(timeZone)
  const to = asked.to === undefined ? endOfDay(dayOf(now, timeZone), timeZone) : momentIn('to', asked.to, timeZone)
  const from = asked.from === undefined ? usualBeginning(to, timeZone) : momentIn('from', asked.from, timeZone)
  if (from >= to) throw refused('to', 'must be after from')
  if (to.getTime() - from.getTime() > LONGEST) throw refused('from', 'must be at most ten years before to')
  return { from, to, timeZone }
}

/** @throws AppError VALIDATION_ERROR */
export function refuseOtherZones(timeZone: string): void {
  if (!isTimeZone(timeZone)) throw refused('time_zone', 'must be the name of a time zone, such as Europe/Berlin')
}

/** When today, and this month, began where this time zone holds. */
export function beginnings(now: Date, timeZone: string): { day: Date; month: Date; tomorrow: Date } {
  const today = dayOf(now, timeZone)
  return {
    day: beginningOfDay(today, timeZone),
    month: beginningOfDay(`${today.slice(0, 7)}-01`, timeZone),
    tomorrow: endOfDay(today, timeZone),
  }
}

const endOfDay = (date: string, timeZone: string) => beginningOfDay(dayAfterDay(date), timeZone)

function usualBeginning(to: Date, timeZone: string): Date {
  const last = dayOf(new Date(to.getTime() - 1), timeZone)
  return beginningOfDay(dayAfterDay(last, 1 - USUAL_DAYS), timeZone)
}

function momentIn(field: 'from' | 'to', text: string, timeZone: string): Date {
  const moment = momentOf(field, text)
  const year = moment.getUTCFullYear()
  if (year < YEARS.from || year > YEARS.to) throw refused(field, `must be between ${YEARS.from} and ${YEARS.to}`)
  if (text.length > 10) return moment
  return field === 'from' ? beginningOfDay(text, timeZone) : endOfDay(text, timeZone)
}

function refused(path: string, message: string): AppError {
  return new AppError('VALIDATION_ERROR', `${path}: ${message}`, { details: { fields: [{ path, message }] } })
}
