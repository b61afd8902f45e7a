import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'

/** Says how a text was sealed, so that another way may come beside it. */
const FORM = 'v1.'
/** Bytes. A random nonce of 96 bits is good for four billion texts with one key. */
const NONCE = 12
const TAG = 16

/**
 * Keeps what is secret and needed again in plain, with a key of this server: AES-256-GCM. `place` is what it belongs to, in
 * words: it opens only with the same ones, so that sealed things cannot be exchanged.
 */
export class Seal {
  private readonly key: Uint8Array

  /** @param secret high-entropy; the key is derived from it for this purpose only. */
  constructor(secret: string | Uint8Array) {
    this.key = new Uint8Array(hkdfSync('sha256', secret, '', 'ai-chat-orchestrator/seal/v1', 32))
  }

  sealBytes(bytes: Uint8Array, ...place: string[]): Uint8Array {
    const nonce = randomBytes(NONCE)
    const cipher = createCipheriv('aes-256-gcm', this.key, nonce).setAAD(bound(place))
    return Buffer.concat([nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()])
  }

  /** @returns undefined for what was sealed with another key or for another place, or was changed since. */
  openBytes(sealed: Uint8Array, ...place: string[]): Uint8Array | undefined {
    if (sealed.length < NONCE + TAG) return undefined
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.key, sealed.subarray(0, NONCE), { authTagLength: TAG })
      decipher.setAAD(bound(place)).setAuthTag(sealed.subarray(-TAG))
      return Buffer.concat([decipher.update(sealed.subarray(NONCE, -TAG)), decipher.final()])
    } catch {
      return undefined
    }
  }

  seal(text: string, ...place: string[]): string {
    return FORM + Buffer.from(this.sealBytes(Buffer.from(text), ...place)).toString('base64url')
  }

  /** @returns undefined for what was sealed with another key or for another place, or was changed since. */
  open(sealed: string, ...place: string[]): string | undefined {
    if (!sealed.startsWith(FORM)) return undefined
    const bytes = this.openBytes(Buffer.from(sealed.slice(FORM.length), 'base64url'), ...place)
    return bytes && Buffer.from(bytes).toString('utf8')
  }
}

/** Each word with its length, so that no two lists of words read alike. */
const bound = (place: string[]) => Buffer.from(place.map((word) => `${Buffer.byteLength(word)}:${word}`).join(''))
