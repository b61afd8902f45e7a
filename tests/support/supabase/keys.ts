import { generateKeyPairSync, type KeyObject, randomBytes, randomUUID } from 'node:crypto'
import { createLocalJWKSet, decodeProtectedHeader, type JWK, type JWTPayload, jwtVerify, SignJWT } from 'jose'
import { type Claims, seconds } from '../forge'

export type Algorithm = 'HS256' | 'ES256' | 'RS256'

export interface SignOptions {
  /** Over the header that the project would write: `alg`, `kid`, `typ`. */
  header?: { alg?: string; kid?: string; typ?: string }
  /** Instead of the project's own. */
  key?: Uint8Array | CryptoKey | JWK
}

interface Pair {
  kid: string
  secret: JWK
  published: JWK
}

/** What a Supabase project signs with: a shared secret, which every project has, and perhaps keys that it publishes. */
export class ProjectKeys {
  readonly secret = randomBytes(32).toString('hex')
  private readonly pairs: Pair[] = []

  constructor(readonly algorithm: Algorithm) {
    if (algorithm !== 'HS256') this.rotate()
  }

  /** Signs with a new key from now on. Those before stay published, because their tokens are still around. */
  rotate(): void {
    const { publicKey, privateKey } = pairOf(this.algorithm)
    const names = { kid: randomUUID(), alg: this.algorithm }
    this.pairs.push({
      kid: names.kid,
      secret: { ...asJwk(privateKey), ...names },
      published: {
        ...asJwk(publicKey),
        ...names,
        use: 'sig',
        key_ops: ['verify'],
        ext: true,
      },
    })
  }

  /** The body of `/.well-known/jwks.json`. A shared secret is nothing to publish. */
  published(): { keys: JWK[] } {
    return { keys: this.pairs.map(({ published }) => published).reverse() }
  }

  /** Claims that are undefined are left out. */
  sign(claims: Claims, { header, key }: SignOptions = {}): Promise<string> {
    const pair = this.pairs.at(-1)
    return new SignJWT(claims as JWTPayload)
      .setProtectedHeader({ alg: this.algorithm, typ: 'JWT', ...(pair ? { kid: pair.kid } : {}), ...header })
      .sign(key ?? pair?.secret ?? this.shared())
  }

  /** The project's API keys of the old kind, `anon` and `service_role`: tokens themselves, without a person. */
  apiKey(role: string): Promise<string> {
    const claims = { iss: 'supabase', ref: 'standin', role, iat: seconds(0), exp: seconds(315_360_000) }
    return new SignJWT(claims).setProtectedHeader({ alg: 'HS256', typ: 'JWT' }).sign(this.shared())
  }

  /** @throws jose's errors. */
  async verify(token: string): Promise<JWTPayload> {
    const { alg } = decodeProtectedHeader(token)
    const verified =
      alg === 'HS256'
        ? await jwtVerify(token, this.shared(), { algorithms: ['HS256'] })
        : await jwtVerify(token, createLocalJWKSet(this.published()), { algorithms: [this.algorithm] })
    return verified.payload
  }

  private shared(): Uint8Array {
    return new TextEncoder().encode(this.secret)
  }
}

function pairOf(algorithm: Algorithm) {
  if (algorithm === 'ES256') return generateKeyPairSync('ec', { namedCurve: 'P-256' })
  if (algorithm === 'RS256') return generateKeyPairSync('rsa', { modulusLength: 2048 })
  throw new Error('A project that signs with its shared secret has no keys to change')
}

const asJwk = (key: KeyObject) => key.export({ format: 'jwk' }) as JWK
