import { createRemoteJWKSet, type JWTPayload, type JWTVerifyOptions, jwtVerify, SignJWT } from 'jose'

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
    const claims = await verified(() => jwtVerify(token, this.key, options))
    return claims?.sub && typeof claims.sid === 'string' ? { userId: claims.sub, sessionId: claims.sid } : undefined
  }
}

export type ExternalOptions = {
  issuer?: string | undefined
  audience?: string | undefined
} & ({ algorithm: 'HS256'; secret: string } | { algorithm: 'ES256' | 'RS256'; jwksUrl: string })

export interface ExternalClaims {
  issuer: string
  subject: string
  email: string | null
  name: string | null
}

/**
 * Tokens of one outside issuer. Which algorithm and which key is decided by configuration, never by the token
 * (RFC 8725, 3.1).
 */
export class ExternalTokens {
  private readonly options: JWTVerifyOptions
  private readonly check: (token: string) => Promise<{ payload: JWTPayload }>

  constructor(options: ExternalOptions) {
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
      // Keys are kept for ten minutes and fetched again when a token names an unknown one, at most every 30 s.
      const keys = createRemoteJWKSet(new URL(options.jwksUrl), {
        cacheMaxAge: 600_000,
        timeoutDuration: 5000,
      })
      this.check = (token) => jwtVerify(token, keys, this.options)
    }
  }

  /** @returns undefined for anything but a live token of that issuer. */
  async verify(token: string): Promise<ExternalClaims | undefined> {
    const claims = await verified(() => this.check(token))
    if (!claims?.sub || claims.sub.length > 200) return undefined
    const text = (value: unknown) => (typeof value === 'string' && value ? value.slice(0, 254) : null)
    const metadata = claims.user_metadata as Record<string, unknown> | undefined
    return {
      issuer: claims.iss ?? 'external',
      subject: claims.sub,
      email: text(claims.email)?.toLowerCase() ?? null,
      name: text(claims.name) ?? text(metadata?.name) ?? text(metadata?.full_name),
    }
  }
}

/** Claims, or undefined whatever was wrong: a stranger learns nothing from the difference. */
async function verified(check: () => Promise<{ payload: JWTPayload }>): Promise<JWTPayload | undefined> {
  try {
    return (await check()).payload
  } catch {
    return undefined
  }
}
