import { AppError } from '../../errors'
import { isTimeZone, lastDays } from '../../lib/days'
import type { Owner, Store } from '../../store/port'
import { statsJson } from './model'

const DAYS = 30

export class Stats {
  constructor(
    private readonly store: Pick<Store, 'stats'>,
    private readonly now: () => Date,
  ) {}

  /** Everything of this person, in numbers. */
  async of(owner: Owner, timeZone: string) {
    if (!isTimeZone(timeZone)) {
      const message = 'tz: must be the name of a time zone, such as Europe/Berlin'
      throw new AppError('VALIDATION_ERROR', message, { details: { in: 'query', fields: [{ path: 'tz', message }] } })
    }
    return statsJson(await this.store.stats.of(owner, { days: lastDays(DAYS, this.now(), timeZone) }), timeZone)
  }
}
