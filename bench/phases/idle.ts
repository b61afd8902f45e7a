import type { IdleResult } from '../lib/job'
import { aimAt, type Target } from '../targets'
import type { Context } from './context'

export interface IdleRow extends IdleResult {
  readonly target: string
}

/** Memory per stream that is open and silent, each target in a new process. */
export async function idlePhase(context: Context, targets: readonly Target[]): Promise<IdleRow[]> {
  const rows: IdleRow[] = []
  for (const target of targets.filter(({ direct }) => !direct)) {
    const what = `idle streams, ${target.label}`
    context.say(what)
    const result = await context.alone(what, 5 + 2 * context.plan.idle.settleSeconds, target, async () => {
      const aim = aimAt(target, 1, 'idle')
      const measured = await context.load.run({
        mode: 'idle',
        aim,
        ...context.plan.idle,
      })
      await context.upstream.release()
      return measured
    })
    if (result === undefined) continue
    context.check(what, result)
    rows.push({ target: target.label, ...result })
  }
  return rows
}
