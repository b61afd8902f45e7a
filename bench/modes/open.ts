import { nowUs } from '../lib/clock'
import type { LoadResult, OpenJob } from '../lib/job'
import { Tally } from '../lib/tally'
import { Crew } from './crew'

/**
 * Requests at a fixed rate, whatever the server does. Every time counts from the moment the request was due, so a stall
 * is felt by all requests that fell into it and not by one (no coordinated omission).
 */
export async function open(job: OpenJob): Promise<LoadResult> {
  const crew = new Crew(job.aim, job.requests / job.perSecond + 15)
  const free = crew.hire(job.warmup)
  await crew.warm(free, 1)
  const tally = new Tally(job.aim)
  const began = nowUs()
  const running: Promise<void>[] = []
  for (let i = 0; i < job.requests && !crew.over; i++) {
    const due = began + (i / job.perSecond) * 1e6
    while (nowUs() < due) await Bun.sleep(Math.min(20, (due - nowUs()) / 1000))
    const client = free.pop() ?? crew.hire()[0]
    if (client === undefined) break
    running.push(tally.ask(client, due).then(() => void free.push(client)))
  }
  await Promise.all(running)
  const result = tally.result()
  crew.dismiss()
  return result
}
