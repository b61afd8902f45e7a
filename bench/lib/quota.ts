/** A share of a core for a process, by the kernel's control groups: what bounds it is then neither the load nor its neighbours. */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { atEnd } from './process'

const PERIOD_US = 10_000

/**
 * The group lasts as long as the run.
 * @param share of one core.
 * @returns false where this is not allowed, or not there.
 */
export function limitCpu(pid: number, share: number): boolean {
  const [v1, v2] = ['/sys/fs/cgroup/cpu', '/sys/fs/cgroup']
  const old = existsSync(join(v1, 'cpu.cfs_quota_us'))
  const group = join(old ? v1 : v2, `chat-bench-${pid}`)
  const quota = Math.round(PERIOD_US * share)
  try {
    mkdirSync(group)
    atEnd(() => remove(group))
    if (old) writeFileSync(join(group, 'cpu.cfs_period_us'), String(PERIOD_US))
    if (old) writeFileSync(join(group, 'cpu.cfs_quota_us'), String(quota))
    else writeFileSync(join(group, 'cpu.max'), `${quota} ${PERIOD_US}`)
    writeFileSync(join(group, 'cgroup.procs'), String(pid))
    return true
  } catch {
    return false
  }
}

/** Empty once its process has ended, which may take a moment. */
function remove(group: string): void {
  for (let left = 20; left > 0 && existsSync(group); left--) {
    try {
      rmdirSync(group)
    } catch {
      Bun.sleepSync(50)
    }
  }
}
