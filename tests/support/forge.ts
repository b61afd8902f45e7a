import { createHmac } from 'node:crypto'

export type Claims = Record<string, unknown>

const encode = (part: Claims | string) =>
  Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')

/** A token as an attacker would write it by hand: any header, any claims, HMAC with any key, or no signature. */
export function forge(header: Claims | string, claims: Claims | string, key?: string | Uint8Array, hash = 'sha256') {
  const signed = `${encode(header)}.${encode(claims)}`
  const signature = key === undefined ? '' : createHmac(hash, key).update(signed).digest('base64url')
  return `${signed}.${signature}`
}

/** What is written in a token. */
export function open(token: string): { header: Claims; claims: Claims } {
  const [header, claims] = token.split('.').map((part) => Buffer.from(part, 'base64url').toString())
  return { header: JSON.parse(header ?? ''), claims: JSON.parse(claims ?? '') }
}

/** Seconds since 1970, so many from now. */
export const seconds = (fromNow: number) => Math.floor(Date.now() / 1000) + fromNow
