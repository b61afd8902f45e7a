/** What a request adds, what is there at the start, and what is saved at most; a retry takes 1. */
const EARNED = 0.2
const START = 10
const MOST = 50

/**
 * Keeps retries from making an outage worse: in the long run one request in five may be repeated. Moving on to another
 * deployment costs nothing here, since breakers and the length of a route bound that.
 */
export class RetryBudget {
  private saved = START

  /** A request came in. */
  earn(): void {
    this.saved = Math.min(MOST, this.saved + EARNED)
  }

  /** @returns whether there was enough for a retry. */
  take(): boolean {
    if (this.saved < 1) return false
    this.saved--
    return true
  }
}
