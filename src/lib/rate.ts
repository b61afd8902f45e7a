/** How often something may happen. */
export interface Rate {
  perMinute: number
  /** How much may come at once. */
  burst: number
}

const MOST = 1_000_000_000

/** `600`: so many a minute, and as many at once; `600:100`: at most 100 of them at once. @returns undefined for anything else. */
export function parseRate(text: string): Rate | undefined {
  const [, minute = '', burst = minute] = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(text.trim()) ?? []
  const rate = { perMinute: Number(minute), burst: Number(burst) }
  const sound = [rate.perMinute, rate.burst].every((number) => number >= 1 && number <= MOST)
  return sound ? rate : undefined
}
