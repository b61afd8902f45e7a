import { randomBytes, randomUUID } from 'node:crypto'
import { Pool } from 'pg'
import type { Claims } from '../forge'
import { Auth, AuthError } from './auth'
import { type Algorithm, ProjectKeys, type SignOptions } from './keys'
import { Rest } from './rest'

export type { Algorithm, SignOptions }

/**
 * `error`: HTTP 500 in Supabase Auth's words. `html`: a gateway's page. `hang`: no answer until cleared. `refuse`: nothing
 * listens. A function: whatever it answers.
 */
export type Failure = 'error' | 'html' | 'hang' | 'refuse' | (() => Response)

export interface SupabasePerson {
  id: string
  email: string
  password: string
  token: string
  refreshToken: string
}

export interface SupabaseApi {
  /** What `SUPABASE_URL` is. */
  url: string
  /** The project's keys of the old kind (tokens), and of the new kind (`sb_publishable_…`, `sb_secret_…`). */
  anonKey: string
  serviceKey: string
  publishableKey: string
  secretKey: string
  /** What `JWT_SECRET_KEY` is for a project with HS256; every project has one. */
  jwtSecret: string
  issuer: string
  /** A person with an account, signed in. */
  user: (fields?: { email?: string; password?: string }) => Promise<SupabasePerson>
  /** A token of somebody unknown to the database, with these claims over the usual ones; undefined leaves one out. */
  sign: (claims?: Claims, options?: SignOptions) => Promise<string>
  /** The public keys, as they are published. */
  publicKeys: ProjectKeys['published']
  /** Signs with a new key from now on. */
  rotateKey: () => void
  /** Fails for paths that begin so, until called without a failure. */
  fail: (failure?: Failure, path?: string) => void
  /** What was asked so far, over HTTP. */
  requests: { method: string; path: string; headers: Record<string, string> }[]
  stop: () => Promise<void>
}

/**
 * A stand-in for a Supabase project's gateway, Auth and PostgREST, on a real Postgres: what this server asks of them is
 * answered with the same statuses, bodies and refusals. What it does not ask is not there.
 */
export async function startSupabaseApi({
  databaseUrl,
  algorithm = 'HS256',
}: {
  databaseUrl: string
  algorithm?: Algorithm
}): Promise<SupabaseApi> {
  const pool = new Pool({ connectionString: databaseUrl, max: 5 })
  // A connection that breaks while nobody uses it is of no interest.
  pool.on('error', () => {})
  const keys = new ProjectKeys(algorithm)
  const random = () => randomBytes(16).toString('base64url')
  const [anonKey, serviceKey] = await Promise.all([keys.apiKey('anon'), keys.apiKey('service_role')])
  const publishableKey = `sb_publishable_${random()}`
  const secretKey = `sb_secret_${random()}`
  // The gateway trades keys of the new kind for tokens.
  const apiKeys = new Map([
    [anonKey, undefined],
    [serviceKey, undefined],
    [publishableKey, anonKey],
    [secretKey, serviceKey],
  ])
  const outage = new Outage()
  const requests: SupabaseApi['requests'] = []
  const auth = new Auth(pool, keys, () => issuer)
  const rest = new Rest(pool, keys)

  async function answer(request: Request): Promise<Response> {
    const { pathname, searchParams: query } = new URL(request.url)
    const { method, headers } = request
    const text = await request.text()
    const apiKey = headers.get('apikey') ?? ''
    const open = pathname === '/auth/v1/.well-known/jwks.json'
    if (!open && !apiKeys.has(apiKey)) return noKey(apiKey)
    // Supabase refuses secret keys from browsers.
    if (apiKey === secretKey && /Mozilla/.test(headers.get('user-agent') ?? '')) return noKey(apiKey)
    const bearer = /^Bearer (\S+)$/i.exec(headers.get('authorization') ?? '')?.[1] ?? apiKeys.get(apiKey)
    let body: unknown
    try {
      body = text ? JSON.parse(text) : {}
    } catch {
      return new AuthError(400, 'bad_json', 'Could not parse request body as JSON').response()
    }
    if (pathname.startsWith('/auth/v1/')) {
      const path = pathname.slice('/auth/v1'.length)
      return auth.answer({ method, path, query, bearer, body: body as Record<string, unknown> })
    }
    if (pathname.startsWith('/rest/v1/')) {
      const prefer = headers.get('prefer') ?? ''
      return rest.answer({
        method,
        path: pathname.slice('/rest/v1'.length),
        query,
        token: bearer ?? apiKey,
        prefer,
        body,
      })
    }
    return Response.json({ message: 'no Route matched with those values' }, { status: 404 })
  }

  const listen = (port: number) =>
    Bun.serve({
      hostname: '127.0.0.1',
      port,
      idleTimeout: 0,
      async fetch(request) {
        const { pathname, search } = new URL(request.url)
        requests.push({ method: request.method, path: pathname + search, headers: request.headers.toJSON() })
        return (await outage.answer(pathname)) ?? (await answer(request).catch(asResponse))
      },
    })

  let server: ReturnType<typeof listen> | undefined = listen(0)
  const port = Number(server.port)
  const url = `http://127.0.0.1:${port}`
  const issuer = `${url}/auth/v1`
  return {
    url,
    anonKey,
    serviceKey,
    publishableKey,
    secretKey,
    jwtSecret: keys.secret,
    issuer,
    async user({ email = `${randomUUID()}@example.com`, password = 'password123' } = {}) {
      const row = await auth.create({ email, password, email_confirm: true })
      const { access_token, refresh_token } = await auth.signIn(row)
      return {
        id: row.id,
        email: row.email,
        password,
        token: String(access_token),
        refreshToken: String(refresh_token),
      }
    },
    sign(claims, options) {
      const id = randomUUID()
      const usual = auth.claims({ id, email: `${id}@example.com`, raw_user_meta_data: {} }, randomUUID())
      return keys.sign({ ...usual, ...claims }, options)
    },
    publicKeys: () => keys.published(),
    rotateKey: () => keys.rotate(),
    fail(failure, path = '/') {
      outage.set(failure, path)
      if (failure === 'refuse') {
        void server?.stop(true)
        server = undefined
      } else server ??= listen(port)
    },
    requests,
    async stop() {
      outage.set(undefined, '/')
      await server?.stop(true)
      await pool.end()
    },
  }
}

/** What goes wrong at the moment. */
class Outage {
  private failure: Failure | undefined
  private path = '/'
  private cleared = Promise.withResolvers<void>()

  set(failure: Failure | undefined, path: string): void {
    this.failure = failure
    this.path = path
    this.cleared.resolve()
    this.cleared = Promise.withResolvers<void>()
  }

  /** @returns undefined when all is well. */
  async answer(path: string): Promise<Response | undefined> {
    if (!this.failure || !path.startsWith(this.path)) return undefined
    if (typeof this.failure === 'function') return this.failure()
    if (this.failure === 'html') {
      const page = '<!DOCTYPE html><title>Web server is down</title>'
      return new Response(page, { status: 521, headers: { 'content-type': 'text/html' } })
    }
    if (this.failure === 'hang') {
      await this.cleared.promise
      return undefined
    }
    return unexpected()
  }
}

const unexpected = () =>
  new AuthError(
    500,
    'unexpected_failure',
    'Unexpected failure, please check server logs for more information',
  ).response()

const asResponse = (error: unknown) => (error instanceof AuthError ? error.response() : unexpected())

function noKey(given: string): Response {
  const body = given
    ? { message: 'Invalid API key', hint: 'Double check your Supabase `anon` or `service_role` API key.' }
    : { message: 'No API key found in request', hint: 'No `apikey` request header or url param was found.' }
  return Response.json(body, { status: 401 })
}
