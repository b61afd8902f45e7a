/** Adds up what the load saw: times, tokens, and why answers were not complete. */
import type { Answered } from './answered'
import type { Client } from './client'
import { nowUs } from './clock'
import type { Aim, LoadResult, ProcessUse } from './job'
import { type ProcSample, procSample } from './proc-stat'
import { Samples } from './samples'

export class Tally {
  readonly firstToken = new Samples()
  readonly total = new Samples()
  readonly lateness = new Samples()
  readonly problems: Record<string, number> = {}
  requests = 0
  complete = 0
  tokens = 0
  readonly #began = nowUs()
  readonly #use: ProcSample | null

  constructor(readonly aim: Aim) {
    this.#use = aim.pid === undefined ? null : procSample(aim.pid)
  }

  /** One measured request on `client`, timed from `fromUs`; `seen` gets each token's lateness and number. */
  async ask(client: Client, fromUs: number, seen?: (lateUs: number, index: number) => void): Promise<Answered> {
    this.requests++
    let index = 0
    const answered = await client.ask((stampUs) => {
      const now = nowUs()
      if (index === 0) this.firstToken.add((now - fromUs) / 1000)
      this.lateness.add(now - stampUs)
      seen?.(now - stampUs, index)
      index++
    })
    this.tokens += answered.tokens
    const problem = problemOf(answered, this.aim.tokens)
    if (problem === undefined) {
      this.complete++
      this.total.add((nowUs() - fromUs) / 1000)
    } else this.problem(problem)
    return answered
  }

  problem(why: string): void {
    this.problems[why] = (this.problems[why] ?? 0) + 1
  }

  result(): LoadResult {
    const seconds = (nowUs() - this.#began) / 1e6
    return {
      requests: this.requests,
      complete: this.complete,
      problems: this.problems,
      seconds,
      requestsPerSecond: this.complete / seconds,
      framesPerSecond: this.tokens / seconds,
      firstToken: this.firstToken.summary(),
      total: this.total.summary(),
      lateness: this.lateness.summary(),
      process: this.#processUse(seconds),
    }
  }

  #processUse(seconds: number): ProcessUse | null {
    const now = this.aim.pid === undefined ? null : procSample(this.aim.pid)
    if (now === null || this.#use === null) return null
    const cpuSeconds = now.cpuSeconds - this.#use.cpuSeconds
    return {
      rssMb: now.rssMb,
      peakMb: now.peakMb,
      cpuSeconds,
      cores: cpuSeconds / seconds,
    }
  }
}

const UUID = /[0-9a-f]{8}-[0-9a-f-]{27}/g

/** Why an answer is not complete; undefined when it is. */
export function problemOf(answered: Answered, tokens: number): string | undefined {
  // Without the ids of requests: ten thousand failures of one kind are one problem.
  if (answered.error !== undefined) return `${answered.status}: ${answered.error.replace(UUID, '…')}`
  if (answered.status !== 200) return `status ${answered.status}`
  if (answered.tokens !== tokens) return `tokens: ${answered.tokens < tokens ? 'missing' : 'too many'}`
  if (!answered.finished) return 'no finish_reason'
  return answered.done === 1 ? undefined : `[DONE] came ${answered.done} times`
}
