import type { Job, LoadResult } from '../lib/job'
import { median } from '../lib/samples'
import type { Scenario } from '../plan'
import { aimAt, type Target } from '../targets'
import type { Context } from './context'

/** One target under one scenario: medians over the rounds. Times in ms, lateness in µs. */
export interface LatencyRow {
  readonly scenario: string
  readonly target: string
  readonly firstP50: number
  readonly firstP99: number
  /** Over direct, round by round; zero for direct itself. */
  readonly addedP50: number
  readonly addedP99: number
  /** The smallest and largest of the rounds' added p50: how noisy the machine was. */
  readonly addedP50Range: readonly [number, number]
  readonly lateP50: number
  readonly lateP99: number
  readonly addedLateP50: number
  readonly addedLateP99: number
  readonly requests: number
  readonly complete: number
}

/** Rounds of A, B, C, A, B, C …, so that a slow moment of the machine hits all targets alike. */
export async function latencyPhase(
  context: Context,
  targets: readonly Target[],
  scenario: Scenario,
): Promise<LatencyRow[]> {
  context.say(`latency: ${scenario.name}`)
  const rounds = new Map<Target, LoadResult[]>(targets.map((target) => [target, []]))
  for (let round = 0; round < scenario.rounds; round++) {
    for (const [target, results] of rounds) {
      const what = `${scenario.name}, ${target.label}`
      const result = await context.attempt(what, 4, () => context.load.run(jobOf(scenario, target)))
      if (result === undefined) continue
      context.check(what, result)
      results.push(result)
    }
  }
  const base = [...rounds].find(([target]) => target.direct)?.[1] ?? []
  return [...rounds]
    .filter(([, results]) => results.length > 0)
    .map(([target, own]) => row(scenario, target, own, base))
}

function jobOf(scenario: Scenario, target: Target): Job & { readonly mode: 'closed' | 'open' } {
  const { concurrency, perSecond, requests, tokens, tokensPerSecond } = scenario
  const aim = aimAt(target, tokens, tokensPerSecond)
  const spreadMs = concurrency > 1 ? (tokens / tokensPerSecond) * 1000 : 0
  if (scenario.kind === 'closed') {
    return {
      mode: 'closed',
      aim,
      concurrency,
      requests,
      seconds: 8,
      warmup: concurrency === 1 ? 5 : 1,
      spreadMs,
    }
  }
  return {
    mode: 'open',
    aim,
    perSecond,
    requests,
    warmup: Math.ceil((perSecond * tokens * 1.5) / tokensPerSecond),
  }
}

function row(scenario: Scenario, target: Target, own: readonly LoadResult[], base: readonly LoadResult[]): LatencyRow {
  const mid = (pick: (result: LoadResult) => number) => median(own.map(pick))
  const differences = (pick: (result: LoadResult) => number) =>
    own.flatMap((result, i) => {
      const direct = base[i]
      return direct === undefined ? [] : [pick(result) - pick(direct)]
    })
  const addedFirst = differences((r) => r.firstToken.p50)
  return {
    scenario: scenario.name,
    target: target.label,
    firstP50: mid((r) => r.firstToken.p50),
    firstP99: mid((r) => r.firstToken.p99),
    addedP50: median(addedFirst),
    addedP99: median(differences((r) => r.firstToken.p99)),
    addedP50Range: [Math.min(...addedFirst), Math.max(...addedFirst)],
    lateP50: mid((r) => r.lateness.p50),
    lateP99: mid((r) => r.lateness.p99),
    addedLateP50: median(differences((r) => r.lateness.p50)),
    addedLateP99: median(differences((r) => r.lateness.p99)),
    requests: own.reduce((sum, r) => sum + r.requests, 0),
    complete: own.reduce((sum, r) => sum + r.complete, 0),
  }
}
