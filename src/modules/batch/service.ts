import { AppError } from '../../errors'
import { toSelection } from '../../lib/selection'
import type { BulkChange, Owner, Selection, Store } from '../../store/port'
import type { Runs } from '../runs/service'
import { Confirmations } from './confirmation'
import type { BatchDelete, BatchUpdate } from './model'

/** Titles that a dry run shows of what would go. */
const SHOWN_TITLES = 20

export interface BatchDeps {
  store: Pick<Store, 'bulk'>
  runs: Pick<Runs, 'stopIn'>
  /** Signs confirmations. */
  key: Uint8Array
  now: () => Date
}

/** Many conversations at once. */
export class Batch {
  private readonly confirmations: Confirmations

  constructor(private readonly deps: BatchDeps) {
    this.confirmations = new Confirmations(deps.key)
  }

  /** @throws AppError NOT_FOUND, with the result of each item, when it was all or nothing and one is not there. */
  async update(owner: Owner, { operations, all_or_nothing: allOrNothing = false }: BatchUpdate) {
    const changes = operations.map(toChange)
    if (new Set(changes.map(({ id }) => id)).size < changes.length) {
      throw new AppError('VALIDATION_ERROR', 'operations: name each conversation once')
    }
    const there = await this.deps.store.bulk.update(owner, changes, { allOrNothing, at: this.deps.now() })
    const missing = changes.length - there.size
    if (allOrNothing && missing > 0) {
      const results = changes.map(({ id }) => (there.has(id) ? failed(id, NOT_DONE) : failed(id, MISSING)))
      throw new AppError('NOT_FOUND', 'Nothing was changed: not all of these conversations are there', {
        details: { results },
      })
    }
    const results = changes.map(({ id }) => (there.has(id) ? { id, ok: true } : failed(id, MISSING)))
    return { updated: there.size, failed: missing, results }
  }

  /** What would go, or, confirmed, what has gone. */
  async remove(owner: Owner, request: BatchDelete) {
    const selection = selectionOf(request)
    const rows = await this.deps.store.bulk.select(owner, selection)
    const ids = rows.map(({ id }) => id)
    if (request.dry_run) {
      const { token, expiresAt } = this.confirmations.give(owner.userId, ids, this.deps.now())
      const there = new Set(ids)
      return {
        dry_run: true,
        count: rows.length,
        titles: rows.slice(0, SHOWN_TITLES).map(({ title }) => title),
        missing: selection.ids?.filter((id) => !there.has(id)) ?? [],
        confirmation_token: token,
        expires_at: expiresAt.toISOString(),
      }
    }
    if (!request.confirmation_token) {
      throw new AppError(
        'VALIDATION_ERROR',
        'confirmation_token: ask with dry_run first, and send the token it answers with',
      )
    }
    this.confirmations.check(request.confirmation_token, owner.userId, ids, this.deps.now())
    return { dry_run: false, deleted: await this.removeAll(owner, ids) }
  }

  private async removeAll(owner: Owner, ids: string[]): Promise<number> {
    const { runs, store, now } = this.deps
    // Answers still being written would otherwise be paid for and have nowhere to go; and again those begun in between.
    await runs.stopIn(ids)
    const gone = await store.bulk.remove(owner, ids, now())
    await runs.stopIn(ids)
    return gone.length
  }
}

const MISSING = { code: 'NOT_FOUND', message: 'There is no such conversation' }
const NOT_DONE = { code: 'CONFLICT', message: 'Not changed, because another one is not there' }
const failed = (id: string, error: { code: string; message: string }) => ({ id, ok: false, error })

const toChange = ({ id, title, tags, ...rest }: BatchUpdate['operations'][number]): BulkChange => ({
  ...rest,
  id: id.toLowerCase(),
  title: title?.trim(),
  tags: tags && [...new Set(tags.map((tag) => tag.trim()))],
})

function selectionOf({ ids, filter }: BatchDelete): Selection {
  if ((ids === undefined) === (filter === undefined)) {
    throw new AppError('VALIDATION_ERROR', 'Say which conversations: either ids or filter')
  }
  return toSelection({ ids, filter })
}
