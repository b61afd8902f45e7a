/** US dollars as another system writes them, in nano-dollars; undefined for what is no amount. */
export function nanosOf(usd: unknown): bigint | undefined {
  const decimal = typeof usd === 'number' ? usd.toFixed(9) : String(usd)
  const [, sign, whole, fraction = ''] = /^([+-]?)(\d{1,15})(?:\.(\d*))?$/.exec(decimal) ?? []
  if (whole === undefined) return undefined
  const nanos = BigInt(whole + fraction.slice(0, 9).padEnd(9, '0'))
  return sign === '-' ? -nanos : nanos
}

/** Nano-dollars as US dollars, for JSON only. */
export const toUsd = (nanos: bigint): number => Number(nanos) / 1e9

/** A sum of tokens times nano-dollars per million tokens, in nano-dollars, rounded half up. Never negative. */
export const millionths = (sum: bigint): bigint => (sum + 500_000n) / 1_000_000n

/**
 * Nano-dollars that a client names, exactly: a text such as `12.5`, or a number that says the same; undefined for what is
 * none, or has more than nine decimals. No float takes part: a number is taken only if its nine decimals are all of it.
 */
export function exactNanos(usd: unknown): bigint | undefined {
  if (typeof usd === 'string') return /^-?\d{1,9}(?:\.\d{1,9})?$/.test(usd) ? nanosOf(usd) : undefined
  if (typeof usd !== 'number' || !Number.isFinite(usd) || Math.abs(usd) >= 1e9) return undefined
  return Number(usd.toFixed(9)) === usd ? nanosOf(usd) : undefined
}

/** A part of a sum, in nano-dollars, rounded half up; null when there is nothing to share it among. */
export const eachOf = (sum: bigint, count: number): bigint | null =>
  count > 0 ? (2n * sum + BigInt(count)) / (2n * BigInt(count)) : null

/** The same as text, with all its decimals: for files that others reckon with. */
export function usdText(nanos: bigint): string {
  const digits = String(nanos < 0n ? -nanos : nanos).padStart(10, '0')
  return `${nanos < 0n ? '-' : ''}${digits.slice(0, -9)}.${digits.slice(-9)}`
}
