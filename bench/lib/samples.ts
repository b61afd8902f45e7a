/** Figures of one set of measurements; the unit is the caller's. All zero when there were none. */
export interface Summary {
  readonly n: number
  readonly p50: number
  readonly p99: number
  readonly max: number
  readonly mean: number
}

/** A growing list of numbers that stays cheap with hundreds of thousands of them. */
export class Samples {
  #values = new Float64Array(1024)
  #length = 0

  add(value: number): void {
    if (this.#length === this.#values.length) {
      const larger = new Float64Array(this.#length * 2)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.#length++] = value
  }

  /** The value below which this share of all lies; 0 when there are none. */
  quantile(q: number): number {
    const sorted = this.#values.slice(0, this.#length).sort()
    return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? 0
  }

  summary(): Summary {
    const sorted = this.#values.slice(0, this.#length).sort()
    const at = (q: number) => sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? 0
    let sum = 0
    for (const value of sorted) sum += value
    return {
      n: sorted.length,
      p50: at(0.5),
      p99: at(0.99),
      max: at(1),
      mean: sorted.length > 0 ? sum / sorted.length : 0,
    }
  }
}

/** The middle value; the mean of the two middle ones when even. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2
}
