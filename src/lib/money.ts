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
