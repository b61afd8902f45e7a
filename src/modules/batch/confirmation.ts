import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { AppError } from '../../errors'

/** Milliseconds that a person has to say yes. */
const VALID_MS = 600_000

const hashOf = (ids: string[]) => createHash('sha256').update(ids.toSorted().join('\n')).digest('base64url')

/** Yes to exactly these rows of this person, for ten minutes. Nothing is stored: the token says it all, and is signed. */
export class Confirmations {
  constructor(private readonly key: Uint8Array) {}

  give(userId: string, ids: string[], now: Date): { token: string; expiresAt: Date } {
    const expiresAt = new Date(now.getTime() + VALID_MS)
    const said = `${expiresAt.getTime()}.${hashOf(ids)}`
    return { token: `${said}.${this.sign(userId, said)}`, expiresAt }
  }

  /** @throws AppError VALIDATION_ERROR for what is no token of this person, CONFLICT when it is too late or about others. */
  check(token: string, userId: string, ids: string[], now: Date): void {
    const [, said = '', expires = '', hash, signature = ''] = /^((\d{1,15})\.([\w-]+))\.([\w-]+)$/.exec(token) ?? []
    const [given, wanted] = [Buffer.from(signature), Buffer.from(this.sign(userId, said))]
    if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) {
      throw new AppError('VALIDATION_ERROR', 'confirmation_token must be one that a dry run of yours has answered with')
    }
    if (Number(expires) < now.getTime()) {
      throw new AppError('CONFLICT', 'The confirmation came too late. Ask for another one with dry_run')
    }
    if (hash !== hashOf(ids)) {
      throw new AppError('CONFLICT', 'These are not the conversations that were shown. Look again with dry_run')
    }
  }

  private sign(userId: string, said: string): string {
    return createHmac('sha256', this.key).update(`${userId}.${said}`).digest('base64url')
  }
}
