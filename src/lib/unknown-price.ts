/** What is to be done about an answer whose price nobody knows. `at`: nano-dollars per million tokens of any kind. */
export type UnknownPrice = 'refuse' | 'free' | { at: bigint }

/** Reads `refuse`, `free` or `at:<US dollars per million tokens>`; undefined for anything else. */
export function unknownPriceOf(word: string): UnknownPrice | undefined {
  if (word === 'refuse' || word === 'free') return word
  const [, whole, fraction = ''] = /^at:(\d{1,6})(?:\.(\d{1,9}))?$/.exec(word) ?? []
  return whole === undefined ? undefined : { at: BigInt(whole + fraction.padEnd(9, '0')) }
}
