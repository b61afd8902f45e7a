import { randomBytes, randomUUID } from 'node:crypto'
import type { Pool } from 'pg'
import { type Claims, seconds } from '../forge'
import type { ProjectKeys } from './keys'

/** What reaches Supabase Auth behind the gateway. */
export interface AuthCall {
  method: string
  /** Without `/auth/v1`. */
  path: string
  query: URLSearchParams
  bearer: string | undefined
  body: Record<string, unknown>
}

interface UserRow {
  id: string
  email: string
  encrypted_password: string
  raw_user_meta_data: Record<string, unknown> | null
  created_at: Date
}

interface Session {
  id: string
  userId: string
  /** The refresh token that is good now, and the one it was traded for. */
  active: string
  parent?: string
}

/** Milliseconds in which a spent refresh token still gives the one that is good now. */
const REUSE_INTERVAL = 10_000
const LIFETIME = 3600
const MIN_PASSWORD = 6
/** bcrypt reads no further. */
const MAX_PASSWORD = 72

/** Supabase Auth (GoTrue) as far as this server uses it: people in `auth.users`, sessions in memory. */
export class Auth {
  private readonly sessions = new Map<string, Session>()
  private readonly refreshTokens = new Map<string, { sessionId: string; spentAt?: number }>()
  private readonly unconfirmed = new Set<string>()

  constructor(
    private readonly pool: Pool,
    private readonly keys: ProjectKeys,
    private readonly issuer: () => string,
  ) {}

  async answer(call: AuthCall): Promise<Response> {
    const { method, path, query, body } = call
    switch (`${method} ${path}`) {
      case 'GET /.well-known/jwks.json':
        return Response.json(this.keys.published(), { headers: { 'cache-control': 'public, max-age=600' } })
      case 'POST /admin/users':
        return this.asAdmin(call, async () => Response.json(userJson(await this.create(body), this.unconfirmed)))
      case 'POST /signup':
        return Response.json(await this.signIn(await this.create({ ...body, email_confirm: true })))
      case 'POST /token':
        return Response.json(await this.token(query.get('grant_type'), body))
      case 'GET /user':
        return Response.json(userJson(await this.byId((await this.sessionOf(call)).userId), this.unconfirmed))
      case 'POST /logout':
        this.sessions.delete((await this.sessionOf(call)).id)
        return new Response(null, { status: 204 })
    }
    return new Response('404 page not found\n', { status: 404 })
  }

  async create({ email, password, email_confirm, user_metadata, data }: Record<string, unknown>): Promise<UserRow> {
    const address = String(email ?? '').toLowerCase()
    const secret = String(password ?? '')
    if (!/^[^@\s]+@[^@\s]+$/.test(address)) {
      throw new AuthError(400, 'validation_failed', 'Unable to validate email address: invalid format')
    }
    if (secret.length < MIN_PASSWORD) {
      const msg = `Password should be at least ${MIN_PASSWORD} characters.`
      throw new AuthError(422, 'weak_password', msg, { weak_password: { reasons: ['length'] } })
    }
    if (Buffer.byteLength(secret) > MAX_PASSWORD) {
      throw new AuthError(400, 'validation_failed', `Password cannot be longer than ${MAX_PASSWORD} characters`)
    }
    const hash = await Bun.password.hash(secret, { algorithm: 'bcrypt', cost: 4 })
    const { rows } = await this.pool.query<UserRow>(
      `insert into auth.users (id, email, encrypted_password, raw_user_meta_data, created_at)
       values ($1, $2, $3, $4, now()) on conflict (email) do nothing returning *`,
      [randomUUID(), address, hash, JSON.stringify(user_metadata ?? data ?? {})],
    )
    const [user] = rows
    if (!user) {
      throw new AuthError(422, 'email_exists', 'A user with this email address has already been registered')
    }
    if (email_confirm !== true) this.unconfirmed.add(user.id)
    return user
  }

  /** A new session's tokens, as every grant answers them. */
  async signIn(user: UserRow): Promise<Record<string, unknown>> {
    const session: Session = { id: randomUUID(), userId: user.id, active: '' }
    this.sessions.set(session.id, session)
    this.issueRefreshToken(session)
    return this.tokens(user, session)
  }

  /** The claims of an access token for somebody, from now on. */
  claims(
    { id, email, raw_user_meta_data }: Pick<UserRow, 'id' | 'email' | 'raw_user_meta_data'>,
    session: string,
  ): Claims {
    return {
      iss: this.issuer(),
      sub: id,
      aud: 'authenticated',
      exp: seconds(LIFETIME),
      iat: seconds(0),
      email,
      phone: '',
      app_metadata: { provider: 'email', providers: ['email'] },
      user_metadata: raw_user_meta_data ?? {},
      role: 'authenticated',
      aal: 'aal1',
      amr: [{ method: 'password', timestamp: seconds(0) }],
      session_id: session,
      is_anonymous: false,
    }
  }

  private async token(grant: string | null, body: Record<string, unknown>) {
    if (grant === 'refresh_token') return this.refresh(String(body.refresh_token ?? ''))
    if (grant !== 'password') throw new AuthError(400, 'validation_failed', 'unsupported_grant_type')
    const email = String(body.email ?? '').toLowerCase()
    const { rows } = await this.pool.query<UserRow>('select * from auth.users where email = $1', [email])
    const [user] = rows
    const password = String(body.password ?? '')
    const right = user && password !== '' && (await Bun.password.verify(password, user.encrypted_password))
    if (!right) throw new AuthError(400, 'invalid_credentials', 'Invalid login credentials')
    if (this.unconfirmed.has(user.id)) throw new AuthError(400, 'email_not_confirmed', 'Email not confirmed')
    return this.signIn(user)
  }

  private async refresh(token: string) {
    const known = this.refreshTokens.get(token)
    const session = known && this.sessions.get(known.sessionId)
    if (!session) {
      throw new AuthError(400, 'refresh_token_not_found', 'Invalid Refresh Token: Refresh Token Not Found')
    }
    if (known.spentAt === undefined) {
      known.spentAt = Date.now()
      this.issueRefreshToken(session)
      session.parent = token
    } else if (session.parent !== token && Date.now() > known.spentAt + REUSE_INTERVAL) {
      this.sessions.delete(session.id)
      throw new AuthError(400, 'refresh_token_already_used', 'Invalid Refresh Token: Already Used')
    }
    return this.tokens(await this.byId(session.userId), session)
  }

  private issueRefreshToken(session: Session): void {
    session.active = randomBytes(9).toString('base64url')
    this.refreshTokens.set(session.active, { sessionId: session.id })
  }

  private async tokens(user: UserRow, { id, active }: Session) {
    const claims = this.claims(user, id)
    return {
      access_token: await this.keys.sign(claims),
      token_type: 'bearer',
      expires_in: LIFETIME,
      expires_at: claims.exp,
      refresh_token: active,
      user: userJson(user, this.unconfirmed),
    }
  }

  private async byId(id: string): Promise<UserRow> {
    const { rows } = await this.pool.query<UserRow>('select * from auth.users where id = $1', [id])
    const [user] = rows
    if (!user) throw new AuthError(403, 'user_not_found', 'User from sub claim in JWT does not exist')
    return user
  }

  private async asAdmin(call: AuthCall, work: () => Promise<Response>): Promise<Response> {
    if ((await this.claimsOf(call)).role !== 'service_role') throw new AuthError(403, 'not_admin', 'User not allowed')
    return work()
  }

  private async sessionOf(call: AuthCall): Promise<Session> {
    const { session_id } = await this.claimsOf(call)
    const session = this.sessions.get(String(session_id))
    if (!session) throw new AuthError(403, 'session_not_found', 'Session from session_id claim in JWT does not exist')
    return session
  }

  private async claimsOf({ bearer }: AuthCall): Promise<Claims> {
    if (!bearer) throw new AuthError(401, 'no_authorization', 'This endpoint requires a valid Bearer token')
    try {
      return await this.keys.verify(bearer)
    } catch {
      throw new AuthError(403, 'bad_jwt', 'invalid JWT: unable to parse or verify signature')
    }
  }
}

/** A refusal in Supabase Auth's words. */
export class AuthError extends Error {
  constructor(
    private readonly status: number,
    private readonly errorCode: string,
    private readonly msg: string,
    private readonly more: object = {},
  ) {
    super(msg)
  }

  response(): Response {
    const { status, errorCode, msg, more } = this
    return Response.json({ code: status, error_code: errorCode, msg, ...more }, { status })
  }
}

function userJson({ id, email, raw_user_meta_data, created_at }: UserRow, unconfirmed: Set<string>) {
  const at = created_at.toISOString()
  const confirmed = unconfirmed.has(id) ? {} : { email_confirmed_at: at, confirmed_at: at }
  return {
    id,
    aud: 'authenticated',
    role: 'authenticated',
    email,
    ...confirmed,
    phone: '',
    last_sign_in_at: new Date().toISOString(),
    app_metadata: { provider: 'email', providers: ['email'] },
    user_metadata: raw_user_meta_data ?? {},
    identities: [],
    created_at: at,
    updated_at: at,
    is_anonymous: false,
  }
}
