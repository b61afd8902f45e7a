import type { LibrarySize } from './lib/library'
import type { UsageSize } from './lib/usage'

/** How much is measured: the full run takes at most ten minutes, the quick one is a smoke test of one minute. */

/** A load under which time to first token and lateness per frame are compared, in interleaved rounds. */
export interface Scenario {
  readonly name: string
  readonly kind: 'closed' | 'open'
  /** Workers at once (closed). */
  readonly concurrency: number
  /** Arrivals per second (open). */
  readonly perSecond: number
  /** Tokens of an answer and their pace. */
  readonly tokens: number
  readonly tokensPerSecond: number
  readonly requests: number
  readonly rounds: number
  /** Edge mode is measured here, too. */
  readonly edge?: true
}

export interface Plan {
  /** Whatever has not begun by then is left out, and the report says so. */
  readonly budgetSeconds: number
  readonly restarts: number
  readonly settleSeconds: number
  readonly scenarios: readonly Scenario[]
  readonly throughput: {
    readonly rounds: number
    readonly seconds: number
    readonly concurrency: number
    readonly tokens: number
  }
  readonly hold: {
    readonly streams: number
    readonly seconds: number
    readonly rampSeconds: number
    readonly tokensPerSecond: number
  }
  readonly idle: {
    readonly streams: number
    readonly warmup: number
    readonly rampSeconds: number
    readonly settleSeconds: number
  }
  /** Seconds of each round at full speed, answers of each round at a pace. */
  readonly governed: { readonly rounds: number; readonly seconds: number; readonly requests: number }
  /** Timed requests of each kind, in a database of this size. */
  readonly library: { readonly requests: number; readonly size: LibrarySize }
  /** Likewise. */
  readonly usage: { readonly requests: number; readonly size: UsageSize }
  /** Requests of each kind, and answers translated. */
  readonly providers: { readonly failovers: number; readonly requests: number; readonly rounds: number }
  /** Connections on one process, an answer of a token per second on each. */
  readonly crowd: {
    readonly connections: number
    readonly openSeconds: number
    readonly rampSeconds: number
    readonly seconds: number
    /** At once, for a first token. */
    readonly waiting: number
    readonly warmup: number
    readonly people: number
  }
  readonly workers: {
    readonly rounds: number
    readonly seconds: number
    readonly connections: number
    /** Of a core, for each worker. */
    readonly share: number
  }
  /** Requests of each kind in each round. */
  readonly limiter: { readonly requests: number; readonly rounds: number }
  readonly remote: {
    readonly streams: number
    readonly seconds: number
    readonly rampSeconds: number
    readonly tokensPerSecond: number
  }
  readonly soak: {
    readonly first: number
    readonly all: number
    readonly tokens: number
    readonly concurrency: number
  }
}

const sequential = {
  name: 'sequential',
  kind: 'closed',
  concurrency: 1,
  perSecond: 0,
  tokens: 4,
  tokensPerSecond: 500,
  edge: true,
} as const
const ten = {
  name: '10 at once',
  kind: 'closed',
  concurrency: 10,
  perSecond: 0,
  tokens: 20,
  tokensPerSecond: 100,
  edge: true,
} as const
const many = {
  name: '64 at once',
  kind: 'closed',
  concurrency: 64,
  perSecond: 0,
  tokens: 20,
  tokensPerSecond: 50,
} as const
const arrivals = {
  name: '100 arrivals/s',
  kind: 'open',
  concurrency: 0,
  perSecond: 100,
  tokens: 20,
  tokensPerSecond: 100,
} as const

export const full: Plan = {
  budgetSeconds: 580,
  restarts: 3,
  settleSeconds: 2,
  scenarios: [
    { ...sequential, requests: 60, rounds: 5 },
    { ...ten, requests: 60, rounds: 3 },
    { ...many, requests: 192, rounds: 3 },
    { ...arrivals, requests: 120, rounds: 3 },
  ],
  throughput: { rounds: 2, seconds: 1, concurrency: 32, tokens: 100 },
  hold: { streams: 1000, seconds: 10, rampSeconds: 3, tokensPerSecond: 20 },
  idle: { streams: 1000, warmup: 200, rampSeconds: 2, settleSeconds: 2 },
  governed: { rounds: 5, seconds: 3, requests: 400 },
  library: { requests: 200, size: { people: 1000, messagesEach: 100, listed: 5000, long: 10_000, exportMb: 100 } },
  usage: { requests: 100, size: { people: 1000, theirs: 800_000, mine: 200_000 } },
  providers: { failovers: 40, requests: 2000, rounds: 30 },
  crowd: { connections: 10_000, openSeconds: 5, rampSeconds: 45, seconds: 57, waiting: 100, warmup: 200, people: 15 },
  workers: { rounds: 3, seconds: 3, connections: 96, share: 0.25 },
  limiter: { requests: 5000, rounds: 5 },
  remote: { streams: 50, seconds: 10, rampSeconds: 2, tokensPerSecond: 20 },
  soak: { first: 2_000, all: 10_000, tokens: 10, concurrency: 32 },
}

export const quick: Plan = {
  budgetSeconds: 55,
  restarts: 1,
  settleSeconds: 0.3,
  scenarios: [
    { ...sequential, requests: 20, rounds: 1 },
    { ...ten, tokens: 10, requests: 20, rounds: 1 },
    { ...arrivals, tokens: 10, requests: 30, rounds: 1 },
  ],
  throughput: { rounds: 1, seconds: 0.3, concurrency: 16, tokens: 100 },
  hold: { streams: 100, seconds: 1, rampSeconds: 0.3, tokensPerSecond: 20 },
  idle: { streams: 100, warmup: 50, rampSeconds: 0.3, settleSeconds: 0.3 },
  governed: { rounds: 1, seconds: 0.5, requests: 50 },
  library: { requests: 20, size: { people: 20, messagesEach: 20, listed: 100, long: 1000, exportMb: 2 } },
  usage: { requests: 20, size: { people: 20, theirs: 8000, mine: 2000 } },
  providers: { failovers: 5, requests: 200, rounds: 5 },
  crowd: { connections: 100, openSeconds: 0.3, rampSeconds: 1, seconds: 3, waiting: 100, warmup: 10, people: 3 },
  workers: { rounds: 1, seconds: 0.5, connections: 32, share: 0.25 },
  limiter: { requests: 300, rounds: 1 },
  remote: { streams: 5, seconds: 2, rampSeconds: 0.2, tokensPerSecond: 20 },
  soak: { first: 50, all: 250, tokens: 10, concurrency: 16 },
}
