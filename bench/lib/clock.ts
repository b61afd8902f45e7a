/**
 * One clock for every process of a run: microseconds since 1970, read from the monotonic clock. On one machine two
 * processes agree to about a microsecond, so a time written by the upstream can be compared with one read by the load.
 */
export function nowUs(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000)
}

/** How many digits a time has in a token: 16 until the year 2286. */
export const STAMP_DIGITS = 16

const HALF = 100_000_000

/** Writes `us` as 16 decimal digits at `at`, so that a prebuilt frame can be sent again with a new time. */
export function writeStamp(bytes: Uint8Array, at: number, us: number): void {
  let high = Math.floor(us / HALF)
  let low = us - high * HALF
  for (let place = 7; place >= 0; place--) {
    bytes[at + place] = 48 + (high % 10)
    bytes[at + 8 + place] = 48 + (low % 10)
    high = Math.floor(high / 10)
    low = Math.floor(low / 10)
  }
}
