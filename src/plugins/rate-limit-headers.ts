import type { Level } from '../limits/port'

/** Whose clients look for headers of their own. */
export type Words = 'openai' | 'anthropic'

/**
 * How much is left, as draft-ietf-httpapi-ratelimit-headers writes it: every limit that applies, and where the one stands that
 * is nearest to its end. `w` is the time in which an empty bucket fills, `t` the seconds until it is full again.
 */
export function headersOf(levels: readonly Level[], words: Words | undefined): Record<string, string> {
  const tightest = tightestOf(levels)
  if (!tightest) return {}
  return {
    'ratelimit-policy': levels
      .map((level) => `"${level.name}";q=${wholeOf(level)};w=${seconds(level.emptyMs)}`)
      .join(', '),
    ratelimit: `"${tightest.name}";r=${leftOf(tightest)};t=${seconds(tightest.fullMs)}`,
    ...(words ? THEIRS[words](tightest) : {}),
  }
}

const THEIRS: Record<Words, (level: Level) => Record<string, string>> = {
  openai: (level) => ({
    'x-ratelimit-limit-requests': String(wholeOf(level)),
    'x-ratelimit-remaining-requests': String(leftOf(level)),
    'x-ratelimit-reset-requests': `${seconds(level.fullMs)}s`,
  }),
  anthropic: (level) => ({
    'anthropic-ratelimit-requests-limit': String(wholeOf(level)),
    'anthropic-ratelimit-requests-remaining': String(leftOf(level)),
    'anthropic-ratelimit-requests-reset': new Date(Date.now() + level.fullMs).toISOString(),
  }),
}

/** The one that refused, else the one of which the smallest part is left. */
const tightestOf = (levels: readonly Level[]): Level | undefined =>
  [...levels].sort((a, b) => b.waitMs - a.waitMs || a.left / a.capacity - b.left / b.capacity)[0]

/** A server that counts alone has a share of each limit, which may be no whole number; whoever parses the header expects one. */
const wholeOf = ({ capacity }: Level) => Math.max(1, Math.floor(capacity))
const leftOf = ({ left }: Level) => Math.max(0, Math.floor(left))
const seconds = (ms: number) => Math.ceil(ms / 1000)
