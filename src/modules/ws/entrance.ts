import { AppError } from '../../errors'
import { PROTOCOL } from './model'

type Headers = Record<string, string | undefined>

/** Where somebody might put a token by mistake: addresses end up in logs and histories. */
const NEVER_IN_URL = ['token', 'access_token', 'api_key', 'apikey', 'key', 'authorization', 'auth', 'bearer', 'jwt']

/** @throws AppError BAD_REQUEST */
export function refuseTokenInUrl(query: Record<string, unknown>): void {
  const name = Object.keys(query).find((key) => NEVER_IN_URL.includes(key.toLowerCase()))
  if (name === undefined) return
  const ways = `the Authorization header, the subprotocol bearer.<token> beside ${PROTOCOL}, or a first message of type auth`
  throw new AppError('BAD_REQUEST', `A token must not be in the address, where logs keep it. Use ${ways}`)
}

/**
 * Browsers let any page open a WebSocket anywhere and only say who it is. Programs send no Origin.
 * @throws AppError FORBIDDEN for a page that is neither our own nor one of `allowed`.
 */
export function checkOrigin({ origin, host }: Headers, allowed: readonly string[]): void {
  if (origin === undefined || allowed.includes('*') || allowed.includes(origin)) return
  const own = URL.canParse(origin) && new URL(origin).host === host?.toLowerCase()
  if (own && origin !== 'null') return
  throw new AppError(
    'FORBIDDEN',
    'Pages of this origin may not connect. The operator lists those that may in CORS_ORIGINS',
  )
}

export interface Offer {
  /** A token among the subprotocols: the only header that browsers let a page choose. */
  token: string | undefined
  /** What is answered; never the token. */
  protocol: typeof PROTOCOL | undefined
}

/** @throws AppError BAD_REQUEST when none of the subprotocols is ours, or several tokens are among them. */
export function offerOf(headers: Headers): Offer {
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').flatMap((word) => word.trim() || [])
  if (offered.length === 0) return { token: undefined, protocol: undefined }
  if (!offered.includes(PROTOCOL)) throw new AppError('BAD_REQUEST', `Offer the subprotocol ${PROTOCOL}`)
  const tokens = new Set(offered.flatMap((word) => /^bearer\.(.+)$/.exec(word)?.[1] ?? []))
  if (tokens.size > 1) throw new AppError('BAD_REQUEST', 'Several tokens were sent. Send one')
  return { token: [...tokens][0], protocol: PROTOCOL }
}

/** @throws AppError BAD_REQUEST when two different ones came: which of them counts must not be a guess. */
export function oneOf(header: string | undefined, protocol: string | undefined): string | undefined {
  if (header && protocol && header !== protocol) {
    throw new AppError('BAD_REQUEST', 'Two different credentials were sent. Use a header or the subprotocol, not both')
  }
  return header ?? protocol
}
