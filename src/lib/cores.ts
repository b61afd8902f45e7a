import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/** How many processes can compute at once here: the processors this one may use, or what its container is given of them. */
export const cores = (quota = containerQuota()): number =>
  Math.max(1, Math.min(availableParallelism(), Math.ceil(quota ?? Number.POSITIVE_INFINITY)))

/** Processors' worth of time by cgroup v2, which no function of the runtime tells; undefined: as much as there is. */
function containerQuota(): number | undefined {
  try {
    return quotaOf(readFileSync('/sys/fs/cgroup/cpu.max', 'utf8'))
  } catch {
    return undefined
  }
}

/** @param written microseconds of time in so many microseconds, such as `150000 100000`; `max` is no limit. */
export function quotaOf(written: string): number | undefined {
  const [time, period] = written.trim().split(/\s+/).map(Number)
  return time && period ? time / period : undefined
}
