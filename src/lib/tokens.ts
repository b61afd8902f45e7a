import { createHash, createHmac, randomBytes } from 'node:crypto'

/** Tells an API key from an access token, and a secret scanner whose it is. */
export const API_KEY_PREFIX = 'sk-orc-'

/** A random token of 256 bits, URL-safe, behind a prefix that tells a reader (and a secret scanner) what it is. */
export const randomToken = (prefix: string): string => prefix + randomBytes(32).toString('base64url')

/** What is stored in place of a token. Tokens are random, so a plain hash is enough: there is nothing to guess. */
export const hashToken = (token: string): string => createHash('sha256').update(token).digest('hex')

/** A token that follows from another one: the same parent always has the same child. */
export const deriveToken = (prefix: string, key: Uint8Array, parent: string): string =>
  prefix + createHmac('sha256', key).update(parent).digest('base64url')
