import { ChatServer } from '../hosts'
import { procSample } from '../lib/proc-stat'
import { aimAt, type Target } from '../targets'
import type { Context } from './context'

export interface SoakRow {
  readonly target: string
  readonly startMb: number
  readonly firstStreams: number
  readonly afterFirstMb: number
  readonly allStreams: number
  readonly afterAllMb: number
  readonly peakMb: number
}

/** Memory after the first streams and after ten thousand, each target in a new process: flat means no leak. */
export async function soakPhase(context: Context, targets: readonly Target[]): Promise<SoakRow[]> {
  const rows: SoakRow[] = []
  const servers = targets.filter(({ host }) => host instanceof ChatServer)
  for (const [i, target] of servers.entries()) {
    context.say(`${context.plan.soak.all} streams, ${target.label}`)
    const until = context.elapsedSeconds + context.remainingSeconds / (servers.length - i)
    const row = await context.alone(`soak, ${target.label}`, 4 + 3 * context.plan.settleSeconds, target, () =>
      measure(context, target, until),
    )
    if (row !== undefined) rows.push(row)
  }
  return rows
}

/** Ends at `until` seconds of the run, so that a slow target leaves time for the next. */
async function measure(context: Context, target: Target, until: number): Promise<SoakRow> {
  const { first, all } = context.plan.soak
  const startMb = await settled(context, target)
  const firstStreams = await streams(context, target, first, until)
  const afterFirstMb = await settled(context, target)
  const rest = await streams(context, target, all - first, until)
  const afterAllMb = await settled(context, target)
  const peakMb = procSample(target.host.pid)?.peakMb ?? 0
  return {
    target: target.label,
    startMb,
    firstStreams,
    afterFirstMb,
    allStreams: firstStreams + rest,
    afterAllMb,
    peakMb,
  }
}

async function streams(context: Context, target: Target, requests: number, until: number): Promise<number> {
  const { tokens, concurrency } = context.plan.soak
  const seconds = Math.max(2, until - context.elapsedSeconds - context.plan.settleSeconds - 3)
  const aim = aimAt(target, tokens, 0)
  const result = await context.load.run({
    mode: 'closed',
    aim,
    concurrency,
    requests,
    seconds,
    warmup: 0,
    spreadMs: 0,
  })
  context.check(`soak, ${target.label}`, result)
  return result.complete
}

async function settled({ plan }: Context, target: Target): Promise<number> {
  await Bun.sleep(plan.settleSeconds * 1000)
  return procSample(target.host.pid)?.rssMb ?? 0
}
