import type { Claimed, IdempotencyStore, KeptAnswer, KeyClaim, Owner } from '../port'

interface Entry {
  claim: KeyClaim
  answer?: KeptAnswer
}

export interface MemoryLimits {
  /** Keys. */
  entries: number
  /** Of all kept answers together. */
  bytes: number
}

const LIMITS: MemoryLimits = { entries: 20_000, bytes: 64 * 1024 * 1024 }

/**
 * Where the database is somebody else's: keys of this process, until it ends. When there are too many, those answered
 * longest ago are forgotten; what is being worked on stays.
 */
export class MemoryIdempotency implements IdempotencyStore {
  /** In the order of their claims. */
  private readonly keys = new Map<string, Entry>()
  private bytes = 0

  constructor(private readonly limits: MemoryLimits = LIMITS) {}

  async claim(owner: Owner, claim: KeyClaim): Promise<Claimed> {
    const name = nameOf(owner, claim)
    const known = this.keys.get(name)
    if (known && known.claim.expiresAt > claim.at) return toClaimed(known, claim)
    this.forget(name)
    this.keys.set(name, { claim })
    this.shrink()
    return { outcome: 'claimed' }
  }

  async complete(owner: Owner, claim: KeyClaim, answer: KeptAnswer) {
    const entry = this.running(owner, claim)
    if (!entry) return
    entry.answer = answer
    this.bytes += answer.body.length
    this.shrink()
  }

  async release(owner: Owner, claim: KeyClaim) {
    if (this.running(owner, claim)) this.forget(nameOf(owner, claim))
  }

  async prune(now: Date, limit: number): Promise<number> {
    const over = [...this.keys].filter(([, { claim }]) => claim.expiresAt <= now).slice(0, limit)
    for (const [name] of over) this.forget(name)
    return over.length
  }

  private running(owner: Owner, claim: KeyClaim): Entry | undefined {
    const entry = this.keys.get(nameOf(owner, claim))
    const same = entry?.claim.instanceId === claim.instanceId && entry.claim.at.getTime() === claim.at.getTime()
    return same && !entry.answer ? entry : undefined
  }

  private forget(name: string): void {
    this.bytes -= this.keys.get(name)?.answer?.body.length ?? 0
    this.keys.delete(name)
  }

  private shrink(): void {
    for (const [name, { answer }] of this.keys) {
      if (this.keys.size <= this.limits.entries && this.bytes <= this.limits.bytes) return
      if (answer) this.forget(name)
    }
  }
}

/** A blank is in no id and in no key. */
const nameOf = ({ tenantId, userId }: Owner, { key }: KeyClaim) => `${tenantId} ${userId} ${key}`

function toClaimed({ claim: { fingerprint }, answer }: Entry, asked: KeyClaim): Claimed {
  if (fingerprint !== asked.fingerprint) return { outcome: 'other' }
  return answer ? { outcome: 'done', answer } : { outcome: 'running' }
}
