import { dayAfter, momentOf } from '../../lib/moment'
import { paged } from '../../lib/page'
import { validationError } from '../../lib/problems'
import type { Owner, Store } from '../../store/port'
import { foundJson, type SearchQuery } from './model'

export class Search {
  constructor(private readonly store: Pick<Store, 'search'>) {}

  /** The caller's conversations in which a title or any message says this. */
  async find(owner: Owner, { page = 1, limit = 20, q, model, role, min_messages, ...dates }: SearchQuery) {
    const query = {
      q,
      model,
      role,
      minMessages: min_messages,
      from: startOf('date_from', dates.date_from),
      before: endOf('date_to', dates.date_to),
    }
    const found = await this.store.search.find(owner, query, { page, limit })
    return {
      method: found.method,
      ...paged(found.items.map(foundJson), { page, limit }, found.total),
      total_is_estimate: found.totalIsEstimate,
      facets: { models: found.models, months: found.months },
    }
  }
}

const DATE = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2}))?$/

function startOf(field: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined
  if (DATE.test(text)) return momentOf(field, text)
  const message = 'must be a date, as 2026-11-21, or a time with its zone, as 2026-11-21T10:00:00Z'
  throw validationError('query', [{ path: field, message }])
}

/** A day is meant with all its hours. */
function endOf(field: string, text: string | undefined): Date | undefined {
  const date = startOf(field, text)
  return date && text?.length === 10 ? dayAfter(date) : date
}
