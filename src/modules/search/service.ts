import { AppError } from '../../errors'
import { paged } from '../../lib/page'
import type { Owner, Store } from '../../store/port'
import { foundJson, type SearchQuery } from './model'

const DAY = 86_400_000

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

/** The pattern lets the 31st of February through. */
function startOf(field: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined
  const date = new Date(text)
  const real =
    !Number.isNaN(date.getTime()) && new Date(`${text.slice(0, 10)}T00:00Z`).getUTCDate() === Number(text.slice(8, 10))
  if (!real || date.getUTCFullYear() < 1) {
    const message = `${field}: must be a date, or a time with its zone`
    throw new AppError('VALIDATION_ERROR', message, { details: { in: 'query', fields: [{ path: field, message }] } })
  }
  return date
}

/** A day is meant with all its hours. */
function endOf(field: string, text: string | undefined): Date | undefined {
  const date = startOf(field, text)
  return date && text?.length === 10 ? new Date(date.getTime() + DAY) : date
}
