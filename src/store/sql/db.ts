import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { migrate } from 'drizzle-orm/node-postgres/migrator'
import type { Pool } from 'pg'
import { AppError } from '../../errors'
import * as schema from '../schema'

export type Db = NodePgDatabase<typeof schema>

/** With the connections themselves, for the few calls that are made so often that putting statements together shows. */
export type DbOfPool = Db & { $client: Pool }

export const openDb = (pool: Pool): DbOfPool => drizzle(pool, { schema })

/** A fixed number that names this program's migrations among the advisory locks of a shared database. */
const MIGRATION_LOCK = 7_406_110

/** Brings the tables up to date. Safe when several processes start at once: one migrates, the others wait. */
export async function migrateDb(pool: Pool): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK])
    await migrate(drizzle(client), {
      migrationsFolder: new URL('../migrations', import.meta.url).pathname,
    })
  } finally {
    await client.query('select pg_advisory_unlock($1)', [MIGRATION_LOCK]).catch(() => {})
    client.release()
  }
}

/** The constraint that a failed write ran into, if that is why it failed. Drizzle keeps Postgres' error in `cause`. */
export function violated(error: unknown): string | undefined {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  if (!(cause instanceof Error) || !('code' in cause) || cause.code !== '23505') return undefined
  return 'constraint' in cause ? String(cause.constraint) : ''
}

/** Runs a write; a violation of `constraint` becomes CONFLICT with this message, everything else passes. */
export async function orConflict<T>(write: Promise<T>, constraint: string, message: string): Promise<T> {
  try {
    return await write
  } catch (error) {
    if (violated(error) === constraint) throw new AppError('CONFLICT', message, { cause: error })
    throw error
  }
}

/** The one row that a write with `returning` must have given. */
export function only<T>(rows: T[]): T {
  const row = rows[0]
  if (!row) throw new Error('The database returned no row where one was written')
  return row
}
