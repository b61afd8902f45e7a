import { Pool } from 'pg'
import { openPglite } from '../../src/store/pglite'
import type { Store, User } from '../../src/store/port'
import { openPostgres } from '../../src/store/postgres'
import { sqlStore } from '../../src/store/sql'
import { until } from './servers'

export interface TestStore {
  store: Store
  /** For looking behind the store's back. */
  pool: Pool
  /** A URL, for processes that open it themselves; only of a real Postgres. */
  url?: string
  /** Makes a person, where that is not the store's own work. */
  user?: () => Promise<User>
  close: () => Promise<void>
}

/** An empty embedded database in memory. */
export async function openTestPglite(): Promise<TestStore> {
  const opened = await openPglite({})
  const store = await sqlStore('pglite', opened)
  return { store, pool: opened.pool, close: store.close }
}

/** An empty database of its own on the Postgres that `bun run test` started, dropped when closed. */
export async function openTestPostgres(): Promise<TestStore> {
  const { url, drop } = await createDatabase()
  const opened = openPostgres({ url, poolSize: 20, onError: () => {} })
  const store = await sqlStore('postgres', opened)
  return {
    store,
    pool: opened.pool,
    url,
    async close() {
      await store.close()
      await drop()
    },
  }
}

/** A new database on the test server. */
export async function createDatabase(): Promise<{
  url: string
  drop: () => Promise<void>
}> {
  const admin = process.env.TEST_DATABASE_URL
  if (!admin) throw new Error('These tests need Postgres: run them with `bun run test`')
  const name = `t_${crypto.randomUUID().replaceAll('-', '')}`
  const run = async (work: (pool: Pool) => Promise<unknown>) => {
    const pool = new Pool({ connectionString: admin, max: 1 })
    await work(pool).finally(() => pool.end())
  }
  // A pool has ended before its connections have: one that is thrown out then would say so to nobody, and that is a crash.
  const unused = async (pool: Pool) =>
    (await pool.query('select from pg_stat_activity where datname = $1', [name])).rowCount === 0
  await run((pool) => pool.query(`create database ${name}`))
  const url = new URL(admin)
  url.pathname = `/${name}`
  return {
    url: url.href,
    drop: () =>
      run(async (pool) => {
        await until(() => unused(pool), 2000).catch(() => {})
        await pool.query(`drop database if exists ${name} with (force)`)
      }),
  }
}
