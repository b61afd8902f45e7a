import { errors as jose } from 'jose'
import { DatabaseError, escapeIdentifier, type Pool } from 'pg'
import type { Claims } from '../forge'
import type { ProjectKeys } from './keys'

/** What reaches PostgREST behind the gateway. */
export interface RestCall {
  method: string
  /** Without `/rest/v1`. */
  path: string
  query: URLSearchParams
  /** The caller's token, or the API key in its place. */
  token: string
  prefer: string
  body: unknown
}

interface Statement {
  sql: string
  values: string[]
}

const ROLES = ['anon', 'authenticated', 'service_role']
/** Parameters that are no filters. */
const RESERVED = new Set(['select', 'order', 'limit', 'offset', 'on_conflict', 'columns'])

/**
 * PostgREST as far as this server uses it: one table a call, `eq` filters, `select`, `order`, `limit`. Every call runs in a
 * transaction as the role in the token, with its claims set, so that Row Level Security decides as it does there.
 */
export class Rest {
  constructor(
    private readonly pool: Pool,
    private readonly keys: ProjectKeys,
  ) {}

  async answer(call: RestCall): Promise<Response> {
    let role = 'anon'
    try {
      const claims = await this.claimsOf(call.token)
      if (typeof claims.role === 'string') role = claims.role
      if (!ROLES.includes(role)) throw new RestError(401, '22023', `role "${role}" does not exist`)
      const table = decodeURIComponent(call.path.slice(1))
      const statement = statementOf(call, table)
      return reply(call, await this.run(statement, role, claims))
    } catch (error) {
      return refusal(error, role)
    }
  }

  private async claimsOf(token: string): Promise<Claims> {
    try {
      return await this.keys.verify(token)
    } catch (error) {
      if (error instanceof jose.JWTExpired) throw new RestError(401, 'PGRST303', 'JWT expired')
      throw new RestError(401, 'PGRST301', 'No suitable key or wrong key type')
    }
  }

  private async run({ sql, values }: Statement, role: string, claims: Claims): Promise<unknown[]> {
    const client = await this.pool.connect()
    try {
      await client.query('begin')
      await client.query(
        `select set_config('role', $1, true), set_config('request.jwt.claims', $2, true), set_config('search_path', 'public', true)`,
        [role, JSON.stringify(claims)],
      )
      const { rows } = await client.query<{ json: unknown }>(sql, values)
      await client.query('commit')
      return rows.map(({ json }) => json)
    } catch (error) {
      await client.query('rollback')
      throw error
    } finally {
      client.release()
    }
  }
}

/** A refusal in PostgREST's words. */
class RestError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message)
  }
}

/** Every statement answers one column, `json`, with one row for each row it read or wrote. */
function statementOf({ method, query, prefer, body }: RestCall, table: string): Statement {
  const name = `public.${escapeIdentifier(table)}`
  const { where, values } = filters(query)
  const columns = (query.get('select') ?? '*').split(',').map(column).join(', ')
  // Whoever does not want the rows back needs no right to read them.
  const returning = /return=representation/.test(prefer) ? `returning ${columns}` : ''
  const wrap = (sql: string) =>
    returning ? `with done as (${sql} ${returning}) select to_json(done) as json from done` : sql
  if (method === 'GET') {
    const order = query.get('order')?.split(',').map(sorting).join(', ')
    const limits = [order && `order by ${order}`, number(query, 'limit'), number(query, 'offset')]
    const sql = `select ${columns} from ${name} ${where} ${limits.filter(Boolean).join(' ')}`
    return { sql: `select to_json(found) as json from (${sql}) as found`, values }
  }
  if (method === 'POST') {
    const rows: object[] = Array.isArray(body) ? body : [body]
    const names = Object.keys(rows[0] ?? {}).map(escapeIdentifier)
    const skip = /resolution=ignore-duplicates/.test(prefer) ? `on conflict ${target(query)} do nothing` : ''
    const source = `select ${names.join(', ')} from json_populate_recordset(null::${name}, $1)`
    return { sql: wrap(`insert into ${name} (${names.join(', ')}) ${source} ${skip}`), values: [JSON.stringify(rows)] }
  }
  if (method !== 'PATCH' && method !== 'DELETE')
    throw new RestError(405, 'PGRST117', `Unsupported HTTP method: ${method}`)
  // Supabase loads `safeupdate`.
  if (!where) throw new RestError(400, '21000', `${method === 'PATCH' ? 'UPDATE' : 'DELETE'} requires a WHERE clause`)
  if (method === 'DELETE') return { sql: wrap(`delete from ${name} ${where}`), values }
  const names = Object.keys(body as object)
    .map(escapeIdentifier)
    .join(', ')
  const source = `select ${names} from json_populate_record(null::${name}, $${values.length + 1})`
  return {
    sql: wrap(`update ${name} set (${names}) = (${source}) ${where}`),
    values: [...values, JSON.stringify(body)],
  }
}

function filters(query: URLSearchParams): { where: string; values: string[] } {
  const given = [...query].filter(([key]) => !RESERVED.has(key))
  const values = given.map(([, value]) => {
    if (!value.startsWith('eq.')) throw new RestError(400, 'PGRST100', 'The stand-in only knows eq filters')
    return value.slice(3)
  })
  const terms = given.map(([key], i) => `${escapeIdentifier(key)} = $${i + 1}`)
  return { where: terms.length ? `where ${terms.join(' and ')}` : '', values }
}

const column = (name: string) => (name === '*' ? '*' : escapeIdentifier(name))

function sorting(term: string): string {
  const [name = '', direction = 'asc'] = term.split('.')
  return `${escapeIdentifier(name)} ${direction === 'desc' ? 'desc' : 'asc'}`
}

const number = (query: URLSearchParams, name: 'limit' | 'offset') =>
  query.has(name) ? `${name} ${Number.parseInt(query.get(name) ?? '', 10)}` : ''

const target = (query: URLSearchParams) =>
  query.has('on_conflict') ? `(${(query.get('on_conflict') ?? '').split(',').map(escapeIdentifier).join(', ')})` : ''

function reply({ method, prefer }: RestCall, rows: unknown[]): Response {
  if (method === 'GET') return Response.json(rows)
  const wanted = /return=representation/.test(prefer)
  const skipped = /resolution=ignore-duplicates/.test(prefer) && rows.length === 0
  if (!wanted) return new Response(null, { status: method === 'POST' ? 201 : 204 })
  return Response.json(rows, { status: method === 'POST' && !skipped ? 201 : 200 })
}

const STATUSES: Record<string, number> = { '23503': 409, '23505': 409, '42P01': 404, '42883': 404, '25006': 405 }

function refusal(error: unknown, role: string): Response {
  if (error instanceof RestError) {
    const { status, code, message } = error
    const headers = { 'www-authenticate': `Bearer error="invalid_token", error_description="${message}"` }
    const body = { code, details: null, hint: null, message }
    return Response.json(body, { status, ...(code.startsWith('PGRST30') ? { headers } : {}) })
  }
  if (!(error instanceof DatabaseError)) throw error
  const { code = '', detail = null, hint = null, message } = error
  const status =
    code === '42501' ? (role === 'anon' ? 401 : 403) : (STATUSES[code] ?? (/^(2|4|P0)/.test(code) ? 400 : 500))
  return Response.json({ code, details: detail, hint, message }, { status })
}
