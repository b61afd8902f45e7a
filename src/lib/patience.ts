interface Waiting {
  until: number
  reject: (error: Error) => void
}

/**
 * Waits for answers of something that is usually fast, for none of them long. What is under way is never called off: it is left to
 * itself. One timer serves all who wait: one for each would cost as much as asking Redis does.
 */
export class Patience {
  /** The oldest first: all wait equally long. */
  private readonly waiting = new Set<Waiting>()
  private timer: ReturnType<typeof setTimeout> | undefined

  /** @param name of what is asked, for the error. */
  constructor(
    private readonly name: string,
    private readonly ms: number,
  ) {}

  /** @throws Error when the answer is late, or whatever it fails with. */
  for<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const entry = { until: performance.now() + this.ms, reject }
      this.waiting.add(entry)
      this.timer ??= setTimeout(this.due, this.ms)
      answer.then(
        (value) => {
          this.waiting.delete(entry)
          resolve(value)
        },
        (error) => {
          this.waiting.delete(entry)
          reject(error)
        },
      )
    })
  }

  // A busy process finds its timers due before it has read what came meanwhile: that is read first.
  private readonly due = () => {
    const now = performance.now()
    setImmediate(() => setTimeout(() => this.giveUp(now), 0))
  }

  /** Of those that are still waiting, all whose time was over at `then`. */
  private giveUp(then: number): void {
    this.timer = undefined
    for (const entry of this.waiting) {
      if (entry.until > then) {
        this.timer = setTimeout(this.due, entry.until - performance.now())
        return
      }
      this.waiting.delete(entry)
      entry.reject(new Error(`${this.name} did not answer within ${this.ms} ms`))
    }
  }
}
