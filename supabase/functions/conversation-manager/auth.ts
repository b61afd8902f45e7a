import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose'
import { isUuid } from './fields.ts'
import { Failure } from './http.ts'

export type Claims = JWTPayload & { sub: string }

/** Tokens of Supabase Auth. How they are signed is the operator's word, never the token's. */
export class Tokens {
  private readonly options: JWTVerifyOptions
  private readonly check: (token: string) => Promise<{ payload: JWTPayload }>

  constructor(env: Record<string, string | undefined>) {
    const { JWT_SECRET_KEY: secret, SUPABASE_URL } = env
    const url = SUPABASE_URL?.replace(/\/+$/, '')
    const algorithm = env.JWT_ALGORITHM || (secret ? 'HS256' : undefined)
    // Without a word about it the project publishes keys; of which of the two kinds, the published key says.
    const algorithms = algorithm ? [algorithm] : ['ES256', 'RS256']
    if (algorithms.some((name) => !['HS256', 'ES256', 'RS256'].includes(name))) {
      throw new Error('JWT_ALGORITHM must be HS256, ES256 or RS256')
    }
    const issuer = env.JWT_ISSUER || (url && `${url}/auth/v1`)
    this.options = {
      algorithms,
      audience: 'authenticated',
      requiredClaims: ['exp', 'sub'],
      clockTolerance: 5,
      ...(issuer ? { issuer } : {}),
    }
    if (algorithm === 'HS256') {
      if (!secret) throw new Error('JWT_ALGORITHM=HS256 needs JWT_SECRET_KEY')
      const key = new TextEncoder().encode(secret)
      this.check = (token) => jwtVerify(token, key, this.options)
    } else {
      if (!url) throw new Error('SUPABASE_URL is needed, where the keys are published')
      const keys = createRemoteJWKSet(new URL(`${url}/auth/v1/.well-known/jwks.json`))
      this.check = (token) => jwtVerify(token, keys, this.options)
    }
  }

  /** Who asks. @throws Failure 401 for whatever is no valid token of a person. */
  async verify(authorization: string | null): Promise<Claims> {
    const token = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
    if (!token) throw new Failure(401, 'Authorization: Bearer <token> is missing')
    let payload: JWTPayload
    try {
      payload = (await this.check(token)).payload
    } catch (cause) {
      if (isRefusal(cause)) throw new Failure(401, 'The token is not valid', { cause })
      throw cause
    }
    const { sub } = payload
    if (!isUuid(sub)) throw new Failure(401, 'The token is not valid')
    return { ...payload, sub }
  }
}

/** The token's fault, in contrast to published keys that cannot be had. */
const isRefusal = (error: unknown): boolean =>
  error instanceof errors.JWTClaimValidationFailed ||
  error instanceof errors.JWTExpired ||
  error instanceof errors.JWTInvalid ||
  error instanceof errors.JWSInvalid ||
  error instanceof errors.JWSSignatureVerificationFailed ||
  error instanceof errors.JOSEAlgNotAllowed ||
  error instanceof errors.JOSENotSupported ||
  error instanceof errors.JWKSNoMatchingKey ||
  error instanceof errors.JWKSMultipleMatchingKeys
