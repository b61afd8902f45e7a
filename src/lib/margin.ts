/** Hundredths of a percent in a whole. */
const WHOLE = 10_000n

/** What is charged for what it cost: with the margin on top (in hundredths of a percent), rounded half up. */
export const withMargin = (nanos: bigint, marginBp: number): bigint =>
  (nanos * (WHOLE + BigInt(marginBp)) + WHOLE / 2n) / WHOLE

/**
 * The parts of a sum as parts of another one, in proportion: what rounding takes from one the next one gets, in the order of their
 * names, so that a database that keeps them in another order changes nothing.
 */
export function scaledParts<K extends string>(
  parts: Partial<Record<K, bigint>>,
  { from, to }: { from: bigint; to: bigint },
): Partial<Record<K, bigint>> {
  if (from === to || from <= 0n) return parts
  const scaled: Partial<Record<K, bigint>> = {}
  let sum = 0n
  let given = 0n
  for (const kind of (Object.keys(parts) as K[]).sort()) {
    const nanos: bigint | undefined = parts[kind]
    sum += nanos ?? 0n
    const part = (sum * to) / from - given
    given += part
    if (part > 0n) scaled[kind] = part
  }
  return scaled
}
