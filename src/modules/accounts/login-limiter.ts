import { AppError } from '../../errors'
import { hashToken } from '../../lib/tokens'
import type { Bucket, Limiter } from '../../limits/port'

/** Tries at once, and seconds in which as many come back. An address may be an office; an account is one person. */
const LIMITS = {
  account: { capacity: 10, seconds: 900 },
  address: { capacity: 100, seconds: 900 },
  register: { capacity: 20, seconds: 3600 },
}

/** Slows down whoever guesses passwords, before any hashing. */
export class LoginLimiter {
  constructor(private readonly limiter: Pick<Limiter, 'take' | 'correct'>) {}

  /** @throws AppError RATE_LIMIT_EXCEEDED */
  beforeLogin(email: string, address: string): Promise<void> {
    return this.take([bucket('address', address), bucket('account', hashToken(email))])
  }

  /** @throws AppError RATE_LIMIT_EXCEEDED */
  beforeRegister(address: string): Promise<void> {
    return this.take([bucket('register', address)])
  }

  /** A success clears the account's count: its owner is here, and does not wait for that. */
  succeeded(email: string): void {
    void this.limiter.correct([bucket('account', hashToken(email), -LIMITS.account.capacity)])
  }

  private async take(buckets: Bucket[]): Promise<void> {
    const { granted, levels } = await this.limiter.take({ buckets })
    if (granted) return
    throw new AppError('RATE_LIMIT_EXCEEDED', 'Too many attempts. Wait a while before the next one', {
      retryAfter: Math.ceil(Math.max(...levels.map(({ waitMs }) => waitMs)) / 1000),
    })
  }
}

function bucket(name: keyof typeof LIMITS, whose: string, cost = 1): Bucket {
  const { capacity, seconds } = LIMITS[name]
  return { name: `login-${name}`, key: `login-${name}:${whose}`, capacity, perSecond: capacity / seconds, cost }
}
