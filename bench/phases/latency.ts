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
  /** Edge mode only: the first token over the two calls by themselves. */
  readonly beyondCalls?: BeyondCalls
}

/** In ms, of the rounds in which every answer was complete. */
export interface BeyondCalls {
  /** First token of the proxy that makes the two calls and nothing else, p50: median of the rounds. */
  readonly callsP50: number
  readonly p50: Spread
  readonly p99: Spread
}

/** Differences round by round. */
export interface Spread {
  readonly median: number
  readonly range: readonly [number, number]
  readonly rounds: readonly number[]
}

/** What one target did in each round; undefined where it could not be measured. */
type Rounds = readonly (LoadResult | undefined)[]

/** Rounds of A, B, C, A, B, C …, so that a slow moment of the machine hits all targets alike. */
export async function latencyPhase(
  context: Context,
  targets: readonly Target[],
  scenario: Scenario,
): Promise<LatencyRow[]> {
  context.say(`latency: ${scenario.name}`)
  const rounds = new Map<Target, (LoadResult | undefined)[]>(targets.map((target) => [target, []]))
  for (let round = 0; round < scenario.rounds; round++) {
    for (const [target, results] of rounds) {
      const what = `${scenario.name}, ${target.label}`
      const result = await context.attempt(what, 4, () => measure(context, what, scenario, target))
      results.push(result)
    }
  }
  const of = (wanted: (target: Target) => boolean) => [...rounds].find(([target]) => wanted(target))?.[1] ?? []
  const base = of(({ direct }) => direct)
  const calls = of(({ name }) => name === 'two-calls')
  return [...rounds]
    .filter(([, own]) => own.some((result) => result !== undefined))
    .map(([target, own]) => ({
      ...row(scenario, target, own, base),
      ...(target.name === 'edge' ? beyond(own, calls) : {}),
    }))
}

async function measure(context: Context, what: string, scenario: Scenario, target: Target): Promise<LoadResult> {
  await target.supabase?.takeCalls()
  const result = await context.load.run(jobOf(scenario, target))
  context.check(what, result)
  const calls = await target.supabase?.takeCalls()
  // A turn that saves itself a call, e.g. in a new conversation, would make the comparison too good.
  for (const call of calls ? ['add-message', 'build-context'] : []) {
    const made = calls?.[call] ?? 0
    if (made < result.requests) context.problem(`${what}: ${call} was called ${made} times in ${result.requests} turns`)
  }
  return result
}

/** A round with a failed answer is left out: a refusal is quick, and would make the others look so. */
function beyond(own: Rounds, calls: Rounds): { beyondCalls?: BeyondCalls } {
  const whole = (rounds: Rounds) => rounds.map((r) => (r !== undefined && r.complete === r.requests ? r : undefined))
  const [edge, base] = [whole(own), whole(calls)]
  const p50 = differences(edge, base, (r) => r.firstToken.p50)
  const p99 = differences(edge, base, (r) => r.firstToken.p99)
  const callsP50 = median(base.flatMap((result) => result?.firstToken.p50 ?? []))
  return p50.length === 0 ? {} : { beyondCalls: { callsP50, p50: spread(p50), p99: spread(p99) } }
}

function spread(rounds: readonly number[]): Spread {
  return { median: median(rounds), range: [Math.min(...rounds), Math.max(...rounds)], rounds }
}

/** Of the rounds in which both were measured. */
function differences(own: Rounds, base: Rounds, pick: (result: LoadResult) => number): number[] {
  return own.flatMap((result, i) => {
    const other = base[i]
    return result === undefined || other === undefined ? [] : [pick(result) - pick(other)]
  })
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

function row(scenario: Scenario, target: Target, rounds: Rounds, base: Rounds): LatencyRow {
  const own = rounds.filter((result) => result !== undefined)
  const mid = (pick: (result: LoadResult) => number) => median(own.map(pick))
  const over = (pick: (result: LoadResult) => number) => differences(rounds, base, pick)
  const addedFirst = over((r) => r.firstToken.p50)
  return {
    scenario: scenario.name,
    target: target.label,
    firstP50: mid((r) => r.firstToken.p50),
    firstP99: mid((r) => r.firstToken.p99),
    addedP50: median(addedFirst),
    addedP99: median(over((r) => r.firstToken.p99)),
    addedP50Range: [Math.min(...addedFirst), Math.max(...addedFirst)],
    lateP50: mid((r) => r.lateness.p50),
    lateP99: mid((r) => r.lateness.p99),
    addedLateP50: median(over((r) => r.lateness.p50)),
    addedLateP99: median(over((r) => r.lateness.p99)),
    requests: own.reduce((sum, r) => sum + r.requests, 0),
    complete: own.reduce((sum, r) => sum + r.complete, 0),
  }
}
