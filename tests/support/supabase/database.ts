import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Pool } from 'pg'
import { createDatabase } from '../db'

export interface SupabaseDatabase {
  /** Signs in as the owner of the project's tables, who is no superuser, like `postgres` at Supabase. */
  url: string
  /** The same; Row Level Security does not bind it. */
  pool: Pool
  drop: () => Promise<void>
}

const MIGRATIONS = join(import.meta.dir, '../../../supabase/migrations')

/** The migrations of `supabase/` in the order in which they are applied. */
export const migrationFiles = (): string[] => readdirSync(MIGRATIONS).sort()

/** A new database as `supabase db push` leaves one. `files`: the migrations to apply, all of them by default. */
export async function createSupabaseDatabase({ files = migrationFiles() } = {}): Promise<SupabaseDatabase> {
  const { url: adminUrl, drop } = await createDatabase()
  const url = new URL(adminUrl)
  url.username = 'project_owner'
  const pool = new Pool({ connectionString: url.href, max: 10 })
  pool.on('error', () => {})
  const close = async () => {
    await pool.end()
    await drop()
  }
  try {
    const admin = new Pool({ connectionString: adminUrl, max: 1 })
    await admin.query(readFileSync(join(import.meta.dir, 'prelude.sql'), 'utf8')).finally(() => admin.end())
    for (const file of files) await applyMigration(pool, file)
  } catch (error) {
    await close()
    throw error
  }
  return { url: url.href, pool, drop: close }
}

/** A file is applied as a whole or not at all. */
export async function applyMigration(pool: Pool, file: string): Promise<void> {
  await pool.query(readFileSync(join(MIGRATIONS, file), 'utf8')).catch((cause) => {
    throw new Error(`${file} cannot be applied: ${cause}`, { cause })
  })
}
