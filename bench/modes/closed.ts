import { nowUs } from '../lib/clock'
import type { ClosedJob, LoadResult } from '../lib/job'
import { Tally } from '../lib/tally'
import { Crew } from './crew'

/** `concurrency` workers that ask again as soon as they were answered, until the count or the time is used up. */
export async function closed(job: ClosedJob): Promise<LoadResult> {
  const crew = new Crew(job.aim, job.seconds + 15)
  const workers = crew.hire(job.concurrency)
  await crew.warm(workers, job.warmup)
  const tally = new Tally(job.aim)
  const until = nowUs() + job.seconds * 1e6
  let left = job.requests
  await Promise.all(
    workers.map(async (worker, i) => {
      await Bun.sleep((i / job.concurrency) * job.spreadMs)
      while (left-- > 0 && nowUs() < until && !crew.over) {
        if (job.pauseMs) await Bun.sleep(Math.random() * job.pauseMs)
        await tally.ask(worker, nowUs())
      }
    }),
  )
  const result = tally.result()
  crew.dismiss()
  return result
}
