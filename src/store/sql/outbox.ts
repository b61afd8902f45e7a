import { inArray, sql } from 'drizzle-orm'
import { storable } from '../../lib/text'
import type { ClaimedEvent, OutboxStore } from '../port-money'
import { outbox } from '../schema'
import { type Db, only } from './db'

const MAX_ERROR = 1000

export class SqlOutbox implements OutboxStore {
  constructor(private readonly db: Db) {}

  async claim(now: Date, { leaseSeconds, limit }: { leaseSeconds: number; limit: number }): Promise<ClaimedEvent[]> {
    const at = now.toISOString()
    // Several relays do not wait for each other, and whoever dies with an event leaves it to the next after the lease.
    const due = sql`(
      select id from outbox where next_at <= ${at}::timestamptz order by next_at, id limit ${limit} for update skip locked)`
    const rows = await this.db
      .update(outbox)
      .set({
        nextAt: sql`${at}::timestamptz + make_interval(secs => ${leaseSeconds})`,
        attempts: sql`${outbox.attempts} + 1`,
      })
      .where(sql`${outbox.id} in ${due}`)
      .returning()
    return rows
      .map(({ nextAt, error, attempts, type, ...event }) => ({
        ...event,
        type: type as ClaimedEvent['type'],
        attempts: attempts - 1,
      }))
      .sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime() || (a.id < b.id ? -1 : 1))
  }

  async done(ids: string[]): Promise<void> {
    if (ids.length > 0) await this.db.delete(outbox).where(inArray(outbox.id, ids))
  }

  async failed(id: string, next: Date, error: string): Promise<void> {
    const kept = storable(error.slice(0, MAX_ERROR))
    await this.db.update(outbox).set({ nextAt: next, error: kept }).where(sql`${outbox.id} = ${id}`)
  }

  async waiting(): Promise<{ count: number; oldest: Date | null }> {
    const { rows } = await this.db.execute<{ count: number; oldest: Date | null }>(
      sql`select count(*)::int as count, min(created_at) as oldest from outbox`,
    )
    const { count, oldest } = only(rows)
    return { count, oldest: oldest && new Date(oldest) }
  }
}
