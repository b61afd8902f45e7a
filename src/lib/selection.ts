import { AppError } from '../errors'
import type { Selection } from '../store/port'
import { momentOf } from './moment'

/** Words of a request that say which conversations are meant. */
export interface Selecting {
  ids?: string[] | undefined
  filter?:
    | {
        archived?: boolean | undefined
        model?: string | undefined
        created_before?: string | undefined
        tag?: string | undefined
      }
    | undefined
}

const KNOWN = new Set(['archived', 'model', 'created_before', 'tag'])

/** @throws AppError VALIDATION_ERROR for a word that is not known: left out, it would select more than was meant. */
export function toSelection({ ids, filter = {} }: Selecting): Selection {
  const unknown = Object.keys(filter).find((name) => !KNOWN.has(name))
  if (unknown !== undefined) {
    throw new AppError('VALIDATION_ERROR', `filter: knows only ${[...KNOWN].join(', ')}`)
  }
  const { archived, model, created_before: before, tag } = filter
  const createdBefore = before === undefined ? undefined : momentOf('filter.created_before', before)
  return { ids: ids && [...new Set(ids.map((id) => id.toLowerCase()))], archived, model, createdBefore, tag }
}
