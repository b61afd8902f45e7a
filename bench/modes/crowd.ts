import type { Client } from '../lib/client'
import type { CrowdJob, CrowdResult } from '../lib/job'
import { procSample } from '../lib/proc-stat'
import { SocketClient } from '../lib/socket-client'
import { Crew } from './crew'
import { pace } from './hold'

/** Thousands of connections: what they cost open and silent (WebSockets only), and with a slow answer on each. */
export async function crowd(job: CrowdJob): Promise<CrowdResult> {
  await warmUp(job)
  const rssBeforeMb = memory(job)
  const crew = new Crew(job.aim, job.openSeconds + job.rampSeconds * 2 + job.seconds * 1.5 + 10)
  const clients = crew.hire(job.open)
  const open = await openAll(clients, job.openSeconds)
  await Bun.sleep(1000)
  const rssOpenMb = memory(job)
  const result = await pace(job, clients.slice(0, job.streams), job.waiting)
  crew.dismiss()
  return { ...result, sockets: open !== undefined, open: open ?? result.peakOpen, rssBeforeMb, rssOpenMb }
}

async function warmUp(job: CrowdJob): Promise<void> {
  const crew = new Crew({ ...job.aim, model: 'bench:4x0', tokens: 4 }, 20)
  await crew.warm(crew.hire(job.warmup), 2)
  crew.dismiss()
  await Bun.sleep(1000)
}

/** @returns how many are open, undefined when these are no sockets. One that cannot be opened says so when it is asked. */
async function openAll(clients: readonly Client[], overSeconds: number): Promise<number | undefined> {
  const sockets = clients.filter((client) => client instanceof SocketClient)
  const opened = await Promise.allSettled(
    sockets.map(async (client, i) => {
      await Bun.sleep((i / sockets.length) * overSeconds * 1000)
      await client.open()
    }),
  )
  return sockets.length === 0 ? undefined : opened.filter(({ status }) => status === 'fulfilled').length
}

const memory = ({ aim }: CrowdJob): number | null =>
  aim.pid === undefined ? null : (procSample(aim.pid)?.rssMb ?? null)
