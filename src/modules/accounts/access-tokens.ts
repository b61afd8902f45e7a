import {
  createLocalJWKSet,
  createRemoteJWKSet,
  decodeJwt,
  errors,
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  jwtVerify,
  SignJWT,
} from 'jose'
import { storable } from '../../lib/text'

const ISSUER = 'ai-chat-orchestrator'
/** Says that a token of ours is an access token, and not some other token that a later version may sign (RFC 9068). */
const TYPE = 'at+jwt'
/** Seconds that two clocks may differ. */
const SKEW = 5

export interface AccessClaims {
  userId: string
  sessionId: string
}

/** Our own access tokens: HS256, short-lived, each bound to the session that a sign-in opened. */
export class AccessTokens {
  constructor(
    private readonly key: Uint8Array,
    /** Seconds a token lives. */
    readonly lifetime: number,
  ) {}

  issue({ userId, sessionId }: AccessClaims, at: Date): Promise<string> {
    const seconds = Math.floor(at.getTime() / 1000)
    return new SignJWT({ sid: sessionId })
      .setProtectedHeader({ alg: 'HS256', typ: TYPE })
      .setIssuer(ISSUER)
      .setSubject(userId)
      .setIssuedAt(seconds)
      .setExpirationTime(seconds + this.lifetime)
      .sign(this.key)
  }

  /** @returns undefined for anything but a live token of ours. */
  async verify(token: string): Promise<AccessClaims | undefined> {
    const options = {
      algorithms: ['HS256'],
      issuer: ISSUER,
      typ: TYPE,
      requiredClaims: ['sub', 'exp', 'sid'],
    }
    const claims = await verified(token, () => jwtVerify(token, this.key, options))
    return claims?.sub && typeof claims.sid === 'string' ? { userId: claims.sub, sessionId: claims.sid } : undefined
  }
}

export type ExternalOptions = {
  issuer?: string | undefined
  audience?: string | undefined
  /** The claim that names a person's tenant. Absent: no claim does. */
  tenantClaim?: string | undefined
} & (
  | { algorithm: 'HS256'; secret: string }
  /** `timeoutMs`: how long the keys may take to come. */
  | { algorithm: 'ES256' | 'RS256'; jwksUrl: string; timeoutMs?: number }
)

export interface ExternalClaims {
  issuer: string
  subject: string
  email: string | null
  name: string | null
  /** The tenant it names, by id or slug; null: none. */
  tenant: string | null
}

/**
 * Tokens of one outside issuer. Which algorithm and which key is decided by configuration, never by the token
 * (RFC 8725, 3.1).
 */
export class ExternalTokens {
  private readonly options: JWTVerifyOptions
  private readonly check: (token: string) => Promise<{ payload: JWTPayload }>

  private readonly tenantClaim: string | undefined

  constructor(options: ExternalOptions) {
    this.tenantClaim = options.tenantClaim
    this.options = {
      algorithms: [options.algorithm],
      requiredClaims: ['sub', 'exp'],
      clockTolerance: SKEW,
      ...(options.issuer ? { issuer: options.issuer } : {}),
      ...(options.audience ? { audience: options.audience } : {}),
    }
    if (options.algorithm === 'HS256') {
      const key = new TextEncoder().encode(options.secret)
      this.check = (token) => jwtVerify(token, key, this.options)
    } else {
      const keys = remoteKeys(options.jwksUrl, options.timeoutMs)
      this.check = (token) => jwtVerify(token, keys, this.options)
    }
  }

  /** @returns undefined for anything but a live token of that issuer. */
  async verify(token: string): Promise<ExternalClaims | undefined> {
    const claims = await verified(token, () => this.check(token))
    const { sub: subject, iss: issuer = 'external' } = claims ?? {}
    if (!claims || !isName(subject) || !isName(issuer)) return undefined
    const tenant = tenantOf(claims, this.tenantClaim)
    if (tenant === undefined) return undefined
    const text = (value: unknown) => (typeof value === 'string' && value ? storable(value.slice(0, 254)) : null)
    const metadata = claims.user_metadata as Record<string, unknown> | undefined
    return {
      issuer,
      subject,
      email: text(claims.email)?.toLowerCase() ?? null,
      name: text(claims.name) ?? text(metadata?.name) ?? text(metadata?.full_name),
      tenant,
    }
  }
}

/**
 * The tenant that a token names: in a claim of its own or, as Supabase puts it, in `app_metadata`. Never in `user_metadata`,
 * which people write themselves. @returns null for none, undefined for what can name none.
 */
function tenantOf(claims: JWTPayload, name: string | undefined): string | null | undefined {
  if (!name) return null
  const places = [claims, claims.app_metadata as JWTPayload | null | undefined]
  const tenant = places.map((place) => (place && Object.hasOwn(place, name) ? place[name] : undefined)).find(isSaid)
  if (tenant === undefined) return null
  return isName(tenant) ? tenant : undefined
}

/** Milliseconds after a failed fetch in which there is no other: with keys of before at hand, and without any. */
const PAUSE = { known: 30_000, unknown: 1000 }

/** Keys are kept for ten minutes and fetched again when a token names an unknown one, at most every 30 s. */
function remoteKeys(url: string, timeoutDuration = 5000): JWTVerifyGetKey {
  const remote = createRemoteJWKSet(new URL(url), { cacheMaxAge: 600_000, timeoutDuration })
  let failure: { at: number; error: unknown } | undefined
  // While the issuer is away, the keys it last had are good: its outage must not lock everybody out. Nor may it make
  // everybody wait for it, or be asked anew for every token.
  return async (header, token) => {
    const paused = failure && Date.now() < failure.at + (remote.jwks() ? PAUSE.known : PAUSE.unknown)
    if (!paused) {
      try {
        return await remote(header, token)
      } catch (error) {
        if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) throw error
        failure = { at: Date.now(), error }
      }
    }
    const last = remote.jwks()
    if (!last) throw failure?.error
    return createLocalJWKSet(last)(header, token)
  }
}

/**
 * Whether a credential is a token that another issuer made, as far as it says so itself: for deciding whom it may be
 * shown to, never for believing it.
 */
export function isForeign(credential: string): boolean {
  try {
    return decodeJwt(credential).iss !== ISSUER
  } catch {
    return false
  }
}

const isSaid = (value: unknown) => value !== undefined && value !== null

/** Types are what jose hopes for, not what it checks; and two names must not become one in the database. */
const isName = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= 200 && storable(value) === value

/** As an encoder writes it. Decoders take more: padding, stray characters, bits that mean nothing. */
const isCanonical = (part: string) => Buffer.from(part, 'base64url').toString('base64url') === part

/** Claims, or undefined whatever was wrong: a stranger learns nothing from the difference. */
async function verified(token: string, check: () => Promise<{ payload: JWTPayload }>): Promise<JWTPayload | undefined> {
  if (!token.split('.').every(isCanonical)) return undefined
  try {
    return (await check()).payload
  } catch {
    return undefined
  }
}
