import type { Client } from '../lib/client'
import { nowUs } from '../lib/clock'
import { Gate } from '../lib/gate'
import type { HoldJob, HoldResult } from '../lib/job'
import { procSample } from '../lib/proc-stat'
import { Samples } from '../lib/samples'
import { Tally } from '../lib/tally'
import { Crew } from './crew'

/**
 * Many paced streams at once. A server keeps up when every frame arrives, lateness does not grow from the first third
 * of the streams to the last, and the streams last as long as planned, counted from their first token.
 */
export async function hold(job: HoldJob): Promise<HoldResult> {
  const crew = new Crew(job.aim, job.rampSeconds + job.seconds * 1.5 + 5)
  const result = await pace(job, crew.hire(job.streams))
  crew.dismiss()
  return result
}

/** One paced stream of each client. @param waiting how many may wait for their first token at once. */
export async function pace(
  job: Omit<HoldJob, 'mode'>,
  clients: readonly Client[],
  waiting = Number.POSITIVE_INFINITY,
): Promise<HoldResult> {
  const gate = new Gate(waiting)
  const tally = new Tally(job.aim)
  const thirds = [new Samples(), new Samples(), new Samples()]
  const stretch = new Samples()
  const use = watch(job)
  let open = 0
  let peakOpen = 0
  const planned = (job.seconds * 1000 * (job.aim.tokens - 1)) / job.aim.tokens
  await Promise.all(
    clients.map(async (client, i) => {
      await Bun.sleep((i / job.streams) * job.rampSeconds * 1000)
      const begun = await gate.enter()
      let first = 0
      const answered = await tally.ask(client, nowUs(), (late, index) => {
        if (index === 0) {
          begun()
          first = nowUs()
          peakOpen = Math.max(peakOpen, ++open)
        }
        thirds[Math.min(2, Math.floor((index * 3) / job.aim.tokens))]?.add(late)
      })
      begun()
      if (first > 0) open--
      if (answered.done > 0) stretch.add((nowUs() - first) / 1000 / planned)
    }),
  )
  const result = tally.result()
  return {
    ...result,
    process: result.process === null ? null : { ...result.process, ...use() },
    expectedFrames: job.streams * job.aim.tokens,
    receivedFrames: tally.tokens,
    thirds: thirds.map((third) => third.summary()),
    stretch: stretch.summary(),
    peakOpen,
  }
}

/** CPU of the watched process while all streams are open, and the most memory seen. */
function watch(job: Omit<HoldJob, 'mode'>): () => { cores?: number; rssMb?: number } {
  const { pid } = job.aim
  if (pid === undefined) return () => ({})
  let rssMb = 0
  const samples: { readonly at: number; readonly cpu: number }[] = []
  const began = nowUs()
  const timer = setInterval(() => {
    const sample = procSample(pid)
    const at = (nowUs() - began) / 1e6
    if (sample === null) return
    rssMb = Math.max(rssMb, sample.rssMb)
    if (at > job.rampSeconds && at < job.seconds) samples.push({ at, cpu: sample.cpuSeconds })
  }, 200)
  return () => {
    clearInterval(timer)
    const [first, last] = [samples[0], samples.at(-1)]
    if (first === undefined || last === undefined || last.at === first.at) return { rssMb }
    return { rssMb, cores: (last.cpu - first.cpu) / (last.at - first.at) }
  }
}
