import type { LoadResult } from '../lib/job'
import { median } from '../lib/samples'
import { aimAt, type Target } from '../targets'
import type { Context } from './context'

export interface ThroughputRow {
  readonly target: string
  readonly requestsPerSecond: number
  readonly framesPerSecond: number
  /** CPU the process used per answer (ms) and per frame (µs): steadier than a rate on a busy machine. */
  readonly cpuMsPerRequest: number | undefined
  readonly cpuUsPerFrame: number | undefined
  readonly cores: number | undefined
}

/** Answers as fast as possible, in interleaved rounds; medians of the rounds. */
export async function throughputPhase(context: Context, targets: readonly Target[]): Promise<ThroughputRow[]> {
  const { rounds, seconds, concurrency, tokens } = context.plan.throughput
  context.say('throughput')
  const results = new Map<Target, LoadResult[]>(targets.map((target) => [target, []]))
  for (let round = 0; round < rounds; round++) {
    for (const [target, own] of results) {
      const aim = aimAt(target, tokens, 0)
      const job = {
        mode: 'closed',
        aim,
        concurrency,
        requests: 1_000_000,
        seconds,
        warmup: 2,
        spreadMs: 0,
      } as const
      const what = `throughput, ${target.label}`
      const result = await context.attempt(what, seconds + 4, () => context.load.run(job))
      if (result === undefined) continue
      context.check(what, result)
      own.push(result)
    }
  }
  return [...results].filter(([, own]) => own.length > 0).map(([target, own]) => row(target, own))
}

function row(target: Target, own: readonly LoadResult[]): ThroughputRow {
  const mid = (pick: (result: LoadResult) => number) => median(own.map(pick))
  const rates = {
    requestsPerSecond: mid((r) => r.requestsPerSecond),
    framesPerSecond: mid((r) => r.framesPerSecond),
  }
  // The upstream shares its core with the load, and its own CPU is not what is compared.
  const known = !target.direct && own.every((r) => r.process !== null && r.complete > 0)
  const cpu = (per: (r: LoadResult) => number) =>
    known ? mid((r) => (r.process?.cpuSeconds ?? 0) / per(r)) : undefined
  return {
    target: target.label,
    ...rates,
    cpuMsPerRequest: times(
      1e3,
      cpu((r) => r.complete),
    ),
    cpuUsPerFrame: times(
      1e6,
      cpu((r) => r.framesPerSecond * r.seconds),
    ),
    cores: cpu((r) => r.seconds),
  }
}

function times(factor: number, value: number | undefined): number | undefined {
  return value === undefined ? undefined : value * factor
}
