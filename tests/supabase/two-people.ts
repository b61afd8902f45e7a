/** Two people, A and B, who talk to the database themselves, as anybody with a token can through PostgREST. */
import { escapeIdentifier, type PoolClient } from 'pg'
import { createSupabaseDatabase, type SupabaseDatabase } from '../support/supabase/database'
import { fill, type Rows } from './rows'

type Role = 'anon' | 'authenticated' | 'service_role'
/** What a statement did, or the SQLSTATE of its failure. */
export type Outcome = { rows: Record<string, unknown>[]; count: number } | string
export type Run = (sql: string, values?: unknown[]) => Promise<Outcome>
/** `owner` is the same transaction without the role, for looking at what happened. */
type Work<T> = (run: Run, owner: PoolClient) => Promise<T>

export class TwoPeople {
  private constructor(
    readonly database: SupabaseDatabase,
    readonly a: Rows,
    readonly b: Rows,
    /** All there are in `public`. */
    readonly tables: string[],
  ) {}

  static async open(): Promise<TwoPeople> {
    const database = await createSupabaseDatabase()
    const [a, b] = [await fill(database.pool), await fill(database.pool)]
    const { rows } = await database.pool.query(`select tablename from pg_tables where schemaname = 'public' order by 1`)
    return new TwoPeople(
      database,
      a,
      b,
      rows.map(({ tablename }) => tablename),
    )
  }

  /** One transaction as PostgREST runs one, undone afterwards. */
  async as<T>(role: Role, sub: string | undefined, work: Work<T>): Promise<T> {
    const connection = await this.database.pool.connect()
    const claims = JSON.stringify({ sub, role, email: 'someone@example.com' })
    const become = `select set_config('request.jwt.claims', $1, true), set_config('role', $2, true)`
    try {
      await connection.query('begin')
      return await work(async (sql, values = []) => {
        await connection.query('savepoint statement')
        try {
          await connection.query(become, [claims, role])
          const { rows, rowCount } = await connection.query(sql, values)
          // What is checked at the end of a transaction counts, too.
          await connection.query('set constraints all immediate')
          await connection.query('reset role')
          return { rows, count: rowCount ?? 0 }
        } catch (error) {
          await connection.query('rollback to savepoint statement')
          return String((error as { code?: string }).code)
        }
      }, connection)
    } finally {
      await connection.query('rollback')
      connection.release()
    }
  }

  asB<T>(work: Work<T>): Promise<T> {
    return this.as('authenticated', this.b.user, work)
  }

  /** One statement of B's. */
  try(sql: string, values?: unknown[]): Promise<Outcome> {
    return this.asB((run) => run(sql, values))
  }

  /** Every row of every table that names A or something of A's; to be compared before and after. */
  async rowsOfA(owner: PoolClient): Promise<string> {
    const all = this.tables.map(
      (table) => `select '${table}' as name, (select json_agg(t order by t::text) from ${escapeIdentifier(table)} t
        where t::text like any ($1)) as rows`,
    )
    const patterns = Object.values(this.a).map((id) => `%${id}%`)
    return JSON.stringify((await owner.query(all.join(' union all '), [patterns])).rows)
  }

  /** The columns that can be written. */
  async columnsOf(table: string): Promise<string[]> {
    const { rows } = await this.database.pool.query(
      `select column_name from information_schema.columns
       where table_schema = 'public' and table_name = $1 and is_generated = 'NEVER'`,
      [table],
    )
    return rows.map(({ column_name }) => column_name)
  }
}
