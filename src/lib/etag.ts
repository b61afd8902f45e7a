import { AppError } from '../errors'
import type { Written } from '../store/port'
import { ok } from './page'

/** The ETag of a conversation: the number of its state. */
export const etagOf = ({ rev }: { rev: number }): string => `"${rev}"`

/** The state that a write expects, from its `If-Match`. @throws AppError VALIDATION_ERROR for what is no ETag of ours. */
export function revOf(ifMatch: string | undefined): number | undefined {
  if (ifMatch === undefined || ifMatch === '*') return undefined
  const rev = /^(?:W\/)?"(\d{1,15})"$/.exec(ifMatch)?.[1]
  if (rev === undefined) {
    throw new AppError('VALIDATION_ERROR', 'If-Match must be an ETag of this conversation, such as "3"')
  }
  return Number(rev)
}

/** A write on top of an older state than the stored one. @param current the stored one, as its readers get it. */
export const stale = (current: unknown): AppError =>
  new AppError(
    'CONFLICT',
    'The conversation has changed since you read it. Look at `details.current`, then try again',
    {
      details: { current },
    },
  )

/** The outcome of a write that a store promised. @throws AppError CONFLICT with the state that `current` reads. */
export async function settled<T>(written: Written<T>, current: () => Promise<unknown>): Promise<Tagged<T>> {
  if (written.outcome === 'stale') throw stale(await current())
  return { rev: written.conversation.rev, data: written.value }
}

/** What a write made, and the state of the conversation after it. */
export interface Tagged<T> {
  rev: number
  data: T
}

/** Answers with what a write made; the ETag says which state it left. */
export function okTagged<T>(set: { headers: Record<string, unknown> }, { rev, data }: Tagged<T>) {
  set.headers.etag = etagOf({ rev })
  return ok(data)
}
