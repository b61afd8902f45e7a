import { Elysia } from 'elysia'
import { AppError } from '../errors'
import type { User } from '../store/port'

export interface Identity extends User {
  /** How this request signed in. */
  via: 'session' | 'api-key' | 'external'
}

/** Whoever can tell who a credential belongs to. */
export interface Authenticator {
  /** @returns undefined for anything that is not a live credential; the reason is nobody's business. */
  identify(credential: string): Promise<Identity | undefined>
}

/** Credentials are at most this long; more is an attack on the hashing. */
const MAX_CREDENTIAL = 8192

/**
 * Who is asking. A scoped `derive`, because that runs before the body is validated: strangers learn nothing about it.
 * An access token or an API key, as `Authorization: Bearer …` or `x-api-key: …`, with the same rights either way.
 */
export const auth = (accounts: Authenticator) =>
  new Elysia({ name: 'auth' }).derive({ as: 'scoped' }, async function identity({ headers, set }) {
    const credential = credentialOf(headers)
    const user = credential && credential.length <= MAX_CREDENTIAL ? await accounts.identify(credential) : undefined
    if (!user || !credential)
      throw new AppError('UNAUTHORIZED', 'Sign in, then send your access token or API key as a bearer token')
    return { user: inName(user, credential, String(set.headers['x-request-id'])) }
  })

export type Auth = ReturnType<typeof auth>

/** Some stores ask other services in a person's name. The token is not kept with the identity, which outlives a request. */
export const inName = (user: Identity, token: string, requestId: string): Identity =>
  user.via === 'external' ? { ...user, caller: { token, requestId } } : user

/** @throws AppError BAD_REQUEST when two different ones are sent: which of them counts must not be a guess. */
export function credentialOf(headers: Record<string, string | undefined>): string | undefined {
  const bearer = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1]
  const key = headers['x-api-key']
  if (bearer && key && bearer !== key) {
    throw new AppError('BAD_REQUEST', 'Two different credentials were sent. Use Authorization or x-api-key, not both')
  }
  return bearer ?? key
}
