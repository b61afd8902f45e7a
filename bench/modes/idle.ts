import type { Answered } from '../lib/answered'
import type { IdleJob, IdleResult } from '../lib/job'
import { procSample } from '../lib/proc-stat'
import { problemOf, Tally } from '../lib/tally'
import { Crew } from './crew'

/**
 * Streams that stay open and silent after their first token: what one waiting reader costs in memory. Some are opened
 * and closed first, so that the code and the pools they need are not counted.
 */
export async function idle(job: IdleJob): Promise<IdleResult> {
  const warm = new Crew(job.aim, 20)
  await openStreams(warm, job.warmup, 300)
  warm.dismiss()
  await Bun.sleep(job.settleSeconds * 1000)
  const before = memory(job)

  const crew = new Crew(job.aim, 60)
  const tally = new Tally(job.aim)
  const ended = await openStreams(crew, job.streams, job.rampSeconds * 1000)
  await Bun.sleep(job.settleSeconds * 1000)
  const after = memory(job)
  for (const answered of ended) tally.problem(problemOf(answered, -1) ?? 'ended')
  const open = job.streams - ended.length
  crew.dismiss()
  const kbPerStream = before === null || after === null ? null : ((after - before) * 1024) / job.streams
  return {
    streams: job.streams,
    open,
    problems: tally.problems,
    rssBeforeMb: before,
    rssAfterMb: after,
    kbPerStream,
  }
}

/** Opens streams over a time and returns, once all have said their first token, the list of those that ended. */
async function openStreams(crew: Crew, count: number, overMs: number): Promise<Answered[]> {
  const ended: Answered[] = []
  const begun = crew.hire(count).map(async (client, i) => {
    await Bun.sleep((i / count) * overMs)
    await new Promise<void>((resolve) => {
      void client
        .ask(() => resolve())
        .then((answered) => {
          ended.push(answered)
          resolve()
        })
    })
  })
  await Promise.all(begun)
  return ended
}

function memory(job: IdleJob): number | null {
  return job.aim.pid === undefined ? null : (procSample(job.aim.pid)?.rssMb ?? null)
}
