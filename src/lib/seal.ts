import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

const NONCE = 12
const TAG = 16

/** Encrypts (AES-256-GCM). @param about what it belongs to: with anything else it does not open. */
export function seal(key: Uint8Array, bytes: Uint8Array, about: string): Uint8Array {
  const nonce = randomBytes(NONCE)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(about))
  return Buffer.concat([nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()])
}

/** @returns undefined for what was sealed with another key or about something else, and for what was changed. */
export function unseal(key: Uint8Array, sealed: Uint8Array, about: string): Uint8Array | undefined {
  if (sealed.length < NONCE + TAG) return undefined
  try {
    const cipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE)).setAAD(Buffer.from(about))
    cipher.setAuthTag(sealed.subarray(-TAG))
    return Buffer.concat([cipher.update(sealed.subarray(NONCE, -TAG)), cipher.final()])
  } catch {
    return undefined
  }
}
