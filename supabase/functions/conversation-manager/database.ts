import pg from 'pg'
import type { Claims } from './auth.ts'
import { Failure } from './http.ts'

export interface Database {
  /** One call in the caller's name; see `conversation_manager` in the migrations. @returns JSON. @throws Failure */
  call(claims: Claims, name: string, args: unknown): Promise<string>
}

/** Connections are few: an instance of the function serves few requests, and there may be many instances. */
const CONNECTIONS = 4
const CONNECT_LIMIT_MS = 5000
const QUERY_LIMIT_MS = 25_000
const IDLE_MS = 10_000

export function openDatabase({ SUPABASE_DB_URL }: Record<string, string | undefined>): Database {
  if (!SUPABASE_DB_URL) throw new Error('SUPABASE_DB_URL is needed')
  const pool = new pg.Pool({
    connectionString: SUPABASE_DB_URL,
    max: CONNECTIONS,
    connectionTimeoutMillis: CONNECT_LIMIT_MS,
    query_timeout: QUERY_LIMIT_MS,
    idleTimeoutMillis: IDLE_MS,
  })
  // An idle connection that breaks is replaced by the pool; unheard, it would end the instance.
  pool.on('error', () => {})
  return {
    async call(claims, name, args) {
      const values = [storableJson(claims), name, storableJson(args)]
      try {
        const { rows } = await pool.query('select conversation_manager($1, $2, $3)::text as data', values)
        return rows[0].data
      } catch (error) {
        throw toFailure(error)
      }
    },
  }
}

/** Postgres' own words may quote what is stored, so a caller gets only ours. */
function toFailure(cause: unknown): Failure {
  const { code = '', message = '', detail } = cause as { code?: string; message?: string; detail?: string }
  const status = /^PT(\d{3})$/.exec(code)?.[1]
  if (status) return new Failure(Number(status), message, detail ? { data: detail } : {})
  if (code === '23505') return new Failure(409, 'An id of this request is taken', { cause })
  // Values that do not fit: of the wrong form, too large, missing, or pointing nowhere; JSON nested too deep.
  if (/^(22|54|2350[23])/.test(code)) return new Failure(400, 'The request is not valid', { cause })
  return new Failure(500, 'Internal error', { cause })
}

/** JSON as Postgres can store it: it knows neither NUL nor half a surrogate pair. What it cannot store is what JSON escapes. */
const storableJson = (value: unknown): string =>
  JSON.stringify(value).replace(/\\(u(?:0000|d[89a-f][0-9a-f]{2})|.)/g, (escaped, what: string) =>
    what.length > 1 ? '\uFFFD' : escaped,
  )
