import type { AllowanceDeps } from './allowance'

/** Milliseconds before money is given back in which its answer must be settled. */
const LAST = 60_000

/** How long the money of one answer is kept back. What is given back before the answer is settled is charged to nobody. */
export class Keep {
  /** When it was last said how long that is, and until when. */
  private since = performance.now()
  private until: number

  constructor(
    private readonly id: string,
    private readonly deps: AllowanceDeps,
  ) {
    this.until = deps.now().getTime() + deps.lifetimeMs
  }

  /** An answer with many steps must not outlive it. */
  prolong(): void {
    if (performance.now() - this.since >= this.deps.lifetimeMs / 4) void this.extend()
  }

  /** Whether the answer must end now: a reader who does not read on could wait for its money. Clocks that jump end nothing. */
  async ends(): Promise<boolean> {
    if (this.until - this.deps.now().getTime() > LAST) return false
    if (performance.now() - this.since >= this.deps.lifetimeMs / 2) return true
    await this.extend()
    return false
  }

  private async extend(): Promise<void> {
    const { ledger, lifetimeMs, now } = this.deps
    this.since = performance.now()
    const at = now()
    this.until = at.getTime() + lifetimeMs
    await ledger.extend(this.id, 1n, { at, expiresAt: new Date(this.until) }).catch(() => {})
  }
}
