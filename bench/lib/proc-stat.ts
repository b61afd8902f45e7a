/** Memory and CPU of a process and its children, from Linux's /proc. */
import { readFileSync } from 'node:fs'

/** Kernel clock ticks per second; 100 on every Linux that Bun runs on. */
const TICKS = 100

export interface ProcSample {
  /** Resident memory now, MB. */
  readonly rssMb: number
  /** The most it has been, MB. */
  readonly peakMb: number
  /** CPU used since start, seconds, all threads. */
  readonly cpuSeconds: number
}

/** Null where there is no /proc, or no such process. */
export function procSample(pid: number): ProcSample | null {
  try {
    return family(pid).map(one).reduce(sum)
  } catch {
    return null
  }
}

/** Those that a process and its children ended up as: itself when it has none. */
export function leaves(pid: number): number[] {
  const children = childrenOf(pid)
  return children.length === 0 ? [pid] : children.flatMap(leaves)
}

function family(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(family)]
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}

function one(pid: number): ProcSample {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kb = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0)
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name in parentheses may hold spaces; utime and stime are the 12th and 13th fields after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const cpuSeconds = (Number(fields[11]) + Number(fields[12])) / TICKS
  return { rssMb: kb('VmRSS') / 1024, peakMb: kb('VmHWM') / 1024, cpuSeconds }
}

function sum(a: ProcSample, b: ProcSample): ProcSample {
  return {
    rssMb: a.rssMb + b.rssMb,
    peakMb: a.peakMb + b.peakMb,
    cpuSeconds: a.cpuSeconds + b.cpuSeconds,
  }
}
