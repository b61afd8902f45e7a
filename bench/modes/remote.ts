import { ChatClient, RunReader } from '../lib/chat-client'
import { nowUs } from '../lib/clock'
import type { RemoteJob, RemoteResult } from '../lib/job'
import { Samples } from '../lib/samples'
import { Tally } from '../lib/tally'
import { Crew } from './crew'

/** Each answer is read where it is made; from its first token on also elsewhere, as by somebody's second device. */
export async function remote(job: RemoteJob): Promise<RemoteResult> {
  const crew = new Crew(job.aim, job.rampSeconds + job.seconds * 1.5 + 10)
  const other = { ...job.aim, port: job.readerPort, pid: job.readerPid }
  const [local, elsewhere] = [new Tally(job.aim), new Tally(other)]
  const lateness = new Samples()
  const read = async (runId: string) => {
    const since = nowUs()
    await elsewhere.ask(crew.enlist(new RunReader(other, runId)), since, (late) => {
      // What was said before the reader came does not count.
      if (nowUs() - late > since) lateness.add(late)
    })
  }
  const both = async (client: ChatClient) => {
    let reading: Promise<void> | undefined
    await local.ask(client, nowUs(), () => {
      if (client.runId !== undefined) reading ??= read(client.runId)
    })
    await reading
  }
  await Promise.all(
    Array.from({ length: job.streams }, async (_, i) => {
      await Bun.sleep((i / job.streams) * job.rampSeconds * 1000)
      await both(crew.enlist(new ChatClient(job.aim)))
    }),
  )
  const result = { local: local.result(), remote: { ...elsewhere.result(), lateness: lateness.summary() } }
  crew.dismiss()
  return result
}
