import type Redis from 'ioredis'
import {
  type IRateLimiterOptions,
  type RateLimiterAbstract,
  RateLimiterMemory,
  RateLimiterRedis,
  RateLimiterRes,
} from 'rate-limiter-flexible'
import { AppError } from '../../errors'
import { hashToken } from '../../lib/tokens'

/** Tries per window. An address may be an office; an account is one person. */
const LIMITS = {
  account: { keyPrefix: 'login:account', points: 10, duration: 900 },
  address: { keyPrefix: 'login:address', points: 100, duration: 900 },
  register: { keyPrefix: 'register:address', points: 20, duration: 3600 },
} as const satisfies Record<string, IRateLimiterOptions>

/** Slows down whoever guesses passwords, before any hashing. Shared by all servers when Redis is there. */
export class LoginLimiter {
  private readonly limiters: Record<keyof typeof LIMITS, RateLimiterAbstract>

  constructor(redis: Redis | undefined) {
    const make = (options: IRateLimiterOptions): RateLimiterAbstract => {
      const memory = new RateLimiterMemory(options)
      // While Redis is away each server counts for itself: less strict, but nobody is locked out or let through freely.
      return redis
        ? new RateLimiterRedis({
            ...options,
            storeClient: redis,
            insuranceLimiter: memory,
          })
        : memory
    }
    this.limiters = {
      account: make(LIMITS.account),
      address: make(LIMITS.address),
      register: make(LIMITS.register),
    }
  }

  /** @throws AppError RATE_LIMIT_EXCEEDED */
  async beforeLogin(email: string, address: string): Promise<void> {
    await this.consume('address', address)
    await this.consume('account', hashToken(email))
  }

  /** @throws AppError RATE_LIMIT_EXCEEDED */
  beforeRegister(address: string): Promise<void> {
    return this.consume('register', address)
  }

  /** A success clears the account's count: its owner is here. */
  async succeeded(email: string): Promise<void> {
    await this.limiters.account.delete(hashToken(email))
  }

  private async consume(which: keyof typeof LIMITS, key: string): Promise<void> {
    try {
      await this.limiters[which].consume(key)
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal
      throw new AppError('RATE_LIMIT_EXCEEDED', 'Too many attempts. Wait a while before the next one', {
        retryAfter: Math.ceil(refusal.msBeforeNext / 1000),
      })
    }
  }
}
