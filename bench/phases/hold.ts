import type { HoldResult } from '../lib/job'
import { aimAt, type Target } from '../targets'
import type { Context } from './context'

export interface HoldRow extends HoldResult {
  readonly target: string
  readonly streams: number
  readonly tokensPerSecond: number
  /** The upstream itself is not measured here: its CPU and memory are not those of a product. */
  readonly direct: boolean
  /** The latest the upstream itself was with a token: above a few ms it, not the target, was short of CPU. */
  readonly upstreamLagMs: number
}

/** Many streams at a steady pace on one core, each target in a new process. */
export async function holdPhase(context: Context, targets: readonly Target[]): Promise<HoldRow[]> {
  const { streams, seconds, rampSeconds, tokensPerSecond } = context.plan.hold
  const rows: HoldRow[] = []
  for (const target of targets) {
    const what = `${streams} streams at ${tokensPerSecond}/s, ${target.label}`
    context.say(what)
    const result = await context.alone(what, rampSeconds + seconds * 1.5 + 5, target, async () => {
      const aim = aimAt(target, Math.round(seconds * tokensPerSecond), tokensPerSecond)
      await context.upstream.takeWorstLagMs()
      const held = await context.load.run({
        mode: 'hold',
        aim,
        streams,
        rampSeconds,
        seconds,
      })
      return {
        ...held,
        upstreamLagMs: await context.upstream.takeWorstLagMs(),
      }
    })
    if (result === undefined) continue
    context.check(what, result)
    rows.push({
      target: target.label,
      streams,
      tokensPerSecond,
      direct: target.direct,
      ...result,
    })
  }
  return rows
}
