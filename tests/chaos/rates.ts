/** How exactly several servers keep to one limit: 10,000 requests against a bucket of 100 that fills by 10 a second. */
import type Redis from 'ioredis'

export const CAPACITY = 100
export const PER_SECOND = 10

export interface Exactness {
  requests: number
  admitted: number
  /** Seconds by Redis' own clock, which is the one that counts. */
  seconds: number
  /** The furthest that what was admitted ever was from what the curve allows, as a part of that. */
  deviation: number
}

interface Measured {
  redis: Redis
  /** One request to one of the servers. @returns whether it was admitted. */
  ask: (server: number) => Promise<boolean>
  servers: number
  requests: number
}

/** Requests between two looks at the curve, and how many of them are under way at once. */
const ROUND = 500
const AT_ONCE = 60
/** Milliseconds between two rounds: some units flow back. */
const PAUSE = 200

/** Looks at the curve after every round: there is always more asked than there is, so that nothing may be left. */
export async function measureExactness({ redis, ask, servers, requests }: Measured): Promise<Exactness> {
  const report: Exactness = { requests: 0, admitted: 0, seconds: 0, deviation: 0 }
  const one = async () => {
    if (await ask(report.requests++ % servers)) report.admitted++
  }
  /** One request by itself. @returns what the clock said before and after. */
  const timed = async () => {
    const before = await clock(redis)
    await one()
    return { before, after: await clock(redis) }
  }
  const first = await timed()
  while (report.requests < requests) {
    let left = Math.min(ROUND, requests - report.requests) - 1
    const worker = async () => {
      while (left-- > 0) await one()
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    const last = await timed()
    const most = curve(last.after - first.before)
    // What is in the bucket is less than the whole unit that a request takes.
    const least = Math.floor(curve(last.before - first.after))
    report.deviation = Math.max(report.deviation, (report.admitted - most) / most, (least - report.admitted) / least)
    report.seconds = last.after - first.before
    if (report.requests < requests) await Bun.sleep(PAUSE)
  }
  return report
}

const curve = (seconds: number) => CAPACITY + PER_SECOND * seconds

async function clock(redis: Redis): Promise<number> {
  const [seconds, micros] = await redis.time()
  return Number(seconds) + Number(micros) / 1e6
}
