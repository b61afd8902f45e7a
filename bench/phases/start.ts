import type { Host } from '../hosts'
import { procSample } from '../lib/proc-stat'
import { median } from '../lib/samples'
import type { Context } from './context'

export interface StartRow {
  readonly host: string
  /** Milliseconds to ready on an empty data directory or database. */
  readonly firstMs: number
  /** Median milliseconds to ready with the database there. */
  readonly againMs: number
  /** MB once settled, before any request but `/ready`. */
  readonly rssMb: number | undefined
}

/** Starts every process, and leaves it running and ready for load. */
export async function startPhase(context: Context, hosts: readonly Host[]): Promise<StartRow[]> {
  const rows: StartRow[] = []
  for (const host of hosts) {
    context.say(`start: ${host.name}`)
    const row = await context.attempt(`start of ${host.name}`, 5, () => measure(context, host))
    if (row !== undefined) rows.push(row)
    else await context.attempt(`end of ${host.name}`, 0, () => host.stop())
  }
  return rows
}

async function measure({ plan }: Context, host: Host): Promise<StartRow> {
  const firstMs = await host.start()
  const again: number[] = []
  for (let i = 0; i < plan.restarts; i++) {
    await host.stop()
    again.push(await host.start())
  }
  await Bun.sleep(plan.settleSeconds * 1000)
  const rssMb = procSample(host.pid)?.rssMb
  await host.prepare()
  return { host: host.name, firstMs, againMs: median(again), rssMb }
}
