import { AppError } from '../../errors'
import { validationError } from '../../lib/problems'
import { storable } from '../../lib/text'
import { hashToken } from '../../lib/tokens'
import { isForeign } from './access-tokens'
import type { LoginLimiter } from './login-limiter'
import type { Login, Register } from './model'
import { type SignedIn, type SignIn, SPENT_TOKEN, WRONG_PASSWORD } from './sign-in'
import { isObject, understood } from './supabase-answers'

export interface SupabaseOptions {
  /** The project's, without a path. */
  url: string
  anonKey: string
  /** Needed to register people, for nothing else. */
  serviceKey: string | undefined
  limiter: LoginLimiter
  /** Told when a credential must not be believed any more. */
  forget: (credentialHash: string) => void
  fetch?: typeof fetch
  /** Milliseconds a call may take, the reading of its answer included. */
  timeoutMs?: number
}

interface Call {
  key: string
  /** `Authorization: Bearer`. */
  token?: string | undefined
  body?: object
  /** What the person is told whom Supabase Auth does not let in; without it nobody stands at the door but we. */
  denied?: string
}

/** bcrypt, which Supabase Auth uses, reads no further. */
const MAX_PASSWORD_BYTES = 72

/** Signs people up and in through Supabase Auth: the passwords, sessions and tokens are all its own. */
export class SupabaseSignIn implements SignIn {
  constructor(private readonly options: SupabaseOptions) {}

  async register({ email: given, password, name }: Register, address: string): Promise<SignedIn> {
    const { serviceKey, limiter } = this.options
    if (!serviceKey) {
      const message = 'Registration goes through Supabase Auth with its service key: set SUPABASE_SERVICE_KEY'
      throw new AppError('NOT_SUPPORTED', message)
    }
    await limiter.beforeRegister(address)
    if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) {
      throw validationError('body', [{ path: 'password', message: `must have at most ${MAX_PASSWORD_BYTES} bytes` }])
    }
    const email = given.toLowerCase()
    const body = { email, password, email_confirm: true, user_metadata: name ? { name } : {} }
    // Keys of the new kind are no tokens: Supabase refuses them as such.
    const token = serviceKey.startsWith('sb_') ? undefined : serviceKey
    await this.ask('admin/users', { key: serviceKey, token, body })
    return this.byPassword(email, password)
  }

  async login({ email: given, password }: Login, address: string): Promise<SignedIn> {
    const { limiter } = this.options
    const email = given.toLowerCase()
    await limiter.beforeLogin(email, address)
    const signedIn = await this.byPassword(email, password)
    limiter.succeeded(email)
    return signedIn
  }

  async refresh(refreshToken: string): Promise<SignedIn> {
    const body = { refresh_token: refreshToken }
    return signedIn(await this.asAnon('token?grant_type=refresh_token', { body, denied: SPENT_TOKEN }))
  }

  async logout(credential: string, refreshToken: string | undefined): Promise<void> {
    // First, so that it is forgotten even when Supabase cannot be reached.
    this.options.forget(hashToken(credential))
    // API keys and tokens of our own are nothing to show to another service.
    if (isForeign(credential)) await this.end(credential)
    if (!refreshToken) return
    const other = await unlessDenied(this.refresh(refreshToken))
    if (other) await this.end(other.tokens.access_token)
  }

  private async byPassword(email: string, password: string): Promise<SignedIn> {
    const body = { email, password }
    return signedIn(await this.asAnon('token?grant_type=password', { body, denied: WRONG_PASSWORD }))
  }

  /** A session that has ended already is as good as one that ends now. */
  private end(token: string): Promise<unknown> {
    return unlessDenied(this.asAnon('logout?scope=local', { token, denied: SPENT_TOKEN }))
  }

  private asAnon(path: string, call: Omit<Call, 'key'>): Promise<unknown> {
    return this.ask(path, { key: this.options.anonKey, ...call })
  }

  private async ask(path: string, { key, token, body, denied }: Call): Promise<unknown> {
    const { url, fetch: send = fetch, timeoutMs = 10_000 } = this.options
    try {
      const response = await send(`${url}/auth/v1/${path}`, {
        method: 'POST',
        headers: {
          apikey: key,
          ...(token ? { authorization: `Bearer ${token}` } : {}),
          accept: 'application/json',
          'content-type': 'application/json',
          // Supabase refuses secret keys from what looks like a browser.
          'user-agent': 'ai-chat-orchestrator',
        },
        body: JSON.stringify(body ?? {}),
        // A redirect could carry the key and the password to another host.
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
      })
      return understood(response, await response.text(), denied)
    } catch (error) {
      if (error instanceof AppError) throw error
      if (error instanceof DOMException && error.name === 'TimeoutError') {
        throw new AppError('UPSTREAM_TIMEOUT', 'Supabase Auth did not answer in time', { cause: error })
      }
      throw new AppError('UPSTREAM_UNAVAILABLE', 'Supabase Auth cannot be reached', { retryAfter: 1, cause: error })
    }
  }
}

/** @throws AppError UPSTREAM_ERROR for anything but an answer with tokens and their owner. */
function signedIn(answer: unknown): SignedIn {
  const { access_token, refresh_token, expires_in, user } = isObject(answer) ? answer : {}
  const { id, email, created_at, user_metadata } = isObject(user) ? user : {}
  const texts = [access_token, refresh_token, id, created_at]
  if (!texts.every((text) => typeof text === 'string' && text) || Number.isNaN(Date.parse(String(created_at)))) {
    throw new AppError('UPSTREAM_ERROR', 'Supabase Auth gave an answer that cannot be understood')
  }
  const address = typeof email === 'string' && email ? email.toLowerCase() : null
  const { name, full_name } = isObject(user_metadata) ? user_metadata : {}
  const called = [name, full_name, address?.split('@', 1)[0]].find((text) => typeof text === 'string' && text)
  return {
    user: {
      id: String(id).toLowerCase(),
      email: address,
      name: storable(String(called ?? 'User').slice(0, 100)),
      created_at: new Date(String(created_at)).toISOString(),
    },
    tokens: {
      access_token: String(access_token),
      refresh_token: String(refresh_token),
      token_type: 'bearer',
      expires_in: Number(expires_in) || 3600,
    },
  }
}

/** @returns undefined where the person is refused. */
async function unlessDenied<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (error instanceof AppError && error.code === 'UNAUTHORIZED') return undefined
    throw error
  }
}
