import type { AppError } from '../errors'
import type { User } from '../store/port'
import { FREE, HeldPass, type Pass } from './pass'
import { type Bucket, HOLD_MS, type Level, type Limiter, type Taken } from './port'
import { refusal } from './refusal'
import { addressBucket, type RateSettings, requestBuckets, slotsOf, tokenBuckets } from './rules'

export interface RatesDeps {
  limiter: Limiter
  settings: RateSettings
  newId: () => string
  /** Milliseconds of a clock that never goes back. */
  now?: () => number
  /** Told which limit refused something. */
  onRefused: (limit: string) => void
}

/** How the buckets of a request stand, and why it is refused if it is. */
export interface Verdict {
  levels: Level[]
  refused: AppError | undefined
}

/** What an answer is expected to take. */
export interface Expected {
  user: User
  /** Tokens, as far as they are known before; asked only where tokens are limited. */
  tokens: () => number
  /** Whether it takes a place among answers that are made at once. */
  streams: boolean
}

/** Milliseconds between two renewals of what is held, and until an answer that nobody reads is given up. */
const RENEW_EVERY = HOLD_MS / 3
const UNREAD_MS = HOLD_MS

/** How often everybody may ask: who is limited by what, and who has to wait. */
export class Rates {
  private readonly passes = new Map<HeldPass, number>()
  private readonly timer: ReturnType<typeof setInterval>

  constructor(private readonly deps: RatesDeps) {
    this.timer = setInterval(() => void this.renew(), RENEW_EVERY)
    this.timer.unref()
  }

  /** Whether requests are limited before it is known who sends them. */
  get limitsAddresses(): boolean {
    return this.deps.settings.address !== undefined
  }

  /** A request from this address. Undefined when nothing limits it. */
  address(address: string): Promise<Verdict> | undefined {
    const { address: rate } = this.deps.settings
    return rate && this.verdict([addressBucket(address, rate)])
  }

  /**
   * A request of this person.
   * @param operation method and route template: `POST /v1/embeddings`.
   * @returns undefined, and nobody is asked, when nothing limits it.
   */
  request(user: User, operation: string): Promise<Verdict> | undefined {
    const buckets = requestBuckets(user, operation, this.deps.settings)
    return buckets.length > 0 ? this.verdict(buckets) : undefined
  }

  /**
   * Before an answer is made, and before anything is written for it.
   * @throws AppError RATE_LIMIT_EXCEEDED
   */
  async enter({ user, tokens, streams }: Expected): Promise<Pass> {
    const { limiter, settings, newId } = this.deps
    const rated = tokenBuckets(user, settings)
    const slots = streams ? slotsOf(user, settings) : []
    if (rated.length === 0 && slots.length === 0) return FREE
    const expected = rated.length > 0 ? tokens() : 0
    // What is more than a bucket holds waits until it is full, and leaves it in debt.
    const buckets = rated.map((bucket) => ({ ...bucket, cost: Math.min(expected, bucket.capacity) }))
    const holder = newId()
    this.allow(await limiter.take({ buckets, slots, holder }))
    const holds = slots.map(({ key }) => ({ key, holder }))
    const pass: HeldPass = new HeldPass({ limiter, buckets, holds, onOver: () => this.passes.delete(pass) })
    if (holds.length > 0) this.passes.set(pass, this.now())
    return pass
  }

  async close(): Promise<void> {
    clearInterval(this.timer)
    for (const pass of this.passes.keys()) pass.ended(undefined)
    await this.deps.limiter.close()
  }

  /** Answers that are made hold their places; those that nobody ever began to read do not. */
  async renew(): Promise<void> {
    const old = this.now() - UNREAD_MS
    for (const [pass, at] of this.passes) if (!pass.begun && at < old) pass.ended(undefined)
    await this.deps.limiter.renew([...this.passes.keys()].flatMap(({ holds }) => holds))
  }

  private now(): number {
    return (this.deps.now ?? (() => performance.now()))()
  }

  private async verdict(buckets: Bucket[]): Promise<Verdict> {
    const taken = await this.deps.limiter.take({ buckets })
    return { levels: taken.levels, refused: this.refused(taken) }
  }

  private allow(taken: Taken): void {
    const refused = this.refused(taken)
    if (refused) throw refused
  }

  private refused(taken: Taken): AppError | undefined {
    if (taken.granted) return undefined
    const { limit, error } = refusal(taken)
    this.deps.onRefused(limit)
    return error
  }
}
