import { AppError } from '../errors'
import type { Level, Taken } from './port'

const WHOSE: Record<string, string> = {
  user: 'your requests',
  tenant: "your organisation's requests",
  key: 'requests with this API key',
  route: 'your requests of this kind',
  address: 'requests from your address',
  'user-tokens': 'your tokens',
  'tenant-tokens': "your organisation's tokens",
  'user-streams': 'your answers',
  'tenant-streams': "your organisation's answers",
}

/** Seconds after which it is worth asking whether an answer has ended. */
const BUSY_RETRY = 2

/** Why something is refused: the limit that holds it up for longest. */
export function refusal({ levels, busy }: Taken): { limit: string; error: AppError } {
  const slowest = longest(levels)
  if (!slowest) return { limit: busy ?? 'unknown', error: tooManyAtOnce(busy ?? '') }
  const { name, waitMs } = slowest
  const retryAfter = Math.max(1, Math.ceil(waitMs / 1000))
  const error = new AppError(
    'RATE_LIMIT_EXCEEDED',
    `The limit of ${WHOSE[name]} is reached. Try again in ${retryAfter} s`,
    {
      retryAfter,
      details: { limit: name },
    },
  )
  return { limit: name, error }
}

const tooManyAtOnce = (name: string) =>
  new AppError(
    'RATE_LIMIT_EXCEEDED',
    `The limit of ${WHOSE[name]} at once is reached. Wait for one to end, or stop it`,
    {
      retryAfter: BUSY_RETRY,
      details: { limit: name },
    },
  )

const longest = (levels: Level[]): Level | undefined =>
  levels.filter(({ waitMs }) => waitMs > 0).sort((a, b) => b.waitMs - a.waitMs)[0]
