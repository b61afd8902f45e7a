/** A bucket of tokens: `burst` at once, `perSecond` in the long run. */
export class Allowance {
  private tokens: number
  private at = performance.now()

  constructor(private readonly terms: { perSecond: number; burst: number }) {
    this.tokens = terms.burst
  }

  /** @returns whether there was one. */
  take(): boolean {
    const { perSecond, burst } = this.terms
    const now = performance.now()
    this.tokens = Math.min(burst, this.tokens + ((now - this.at) / 1000) * perSecond)
    this.at = now
    if (this.tokens < 1) return false
    this.tokens--
    return true
  }
}
