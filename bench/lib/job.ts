/** What a run asks of the load process (one JSON line in) and what it answers (one JSON line out). */
import type { Summary } from './samples'

/** Where and how to ask for an answer. */
export interface Aim {
  readonly port: number
  readonly key: string
  /** Of several people, who take turns: instead of the one key. */
  readonly keys?: readonly string[]
  /**
   * `stateless` sends `messages`; `stored` sends `message` and continues a conversation, for a number of turns;
   * `continued` does so for as long as the job lasts. `socket` is `stored` over a WebSocket.
   */
  readonly shape: 'stateless' | 'stored' | 'continued' | 'socket'
  readonly model: string
  /** Tokens a complete answer has. */
  readonly tokens: number
  /** The process whose memory and CPU are watched. */
  readonly pid?: number
}

/** `concurrency` workers, each asking again as soon as it was answered. */
export interface ClosedJob {
  readonly mode: 'closed'
  readonly aim: Aim
  readonly concurrency: number
  readonly requests: number
  /** No new request after this. */
  readonly seconds: number
  /** Unmeasured requests each worker makes first (the connection, the conversation). */
  readonly warmup: number
  /** The workers' first measured requests are spread over so many milliseconds, or all streams would beat as one. */
  readonly spreadMs: number
  /**
   * Each worker waits up to so many milliseconds, by chance, before it asks: streams that have once ended in the same moment would
   * otherwise begin in the same moment for ever, and a first token would wait for all the others.
   */
  readonly pauseMs?: number
}

/** A fixed arrival rate; times count from the intended moment, so a slow server cannot slow the arrivals down. */
export interface OpenJob {
  readonly mode: 'open'
  readonly aim: Aim
  readonly perSecond: number
  readonly requests: number
  /** Connections (and conversations) opened before the clock starts; more are opened when needed. */
  readonly warmup: number
}

/** Many paced streams at once. */
export interface HoldJob {
  readonly mode: 'hold'
  readonly aim: Aim
  readonly streams: number
  readonly rampSeconds: number
  /** How long one stream lasts when nothing is late. */
  readonly seconds: number
}

/** Many streams that say nothing after their first token. */
export interface IdleJob {
  readonly mode: 'idle'
  readonly aim: Aim
  readonly streams: number
  readonly warmup: number
  readonly rampSeconds: number
  readonly settleSeconds: number
}

/** Like `hold`, with more streams than a ramp can bring: sockets are opened before the first question. */
export interface CrowdJob extends Omit<HoldJob, 'mode'> {
  readonly mode: 'crowd'
  /** Connections; those beyond `streams` stay silent. */
  readonly open: number
  readonly openSeconds: number
  /** Who may wait for a first token at once: a server that falls behind gets new questions later. */
  readonly waiting: number
  /** Short answers first, so that the code and the pools they need are not counted. */
  readonly warmup: number
}

/** Answers that are read twice: from the server that makes them, and by their run's id from another one. */
export interface RemoteJob {
  readonly mode: 'remote'
  readonly aim: Aim
  readonly readerPort: number
  readonly readerPid: number
  readonly streams: number
  readonly rampSeconds: number
  /** How long one stream lasts when nothing is late. */
  readonly seconds: number
}

export type Job = ClosedJob | OpenJob | HoldJob | IdleJob | CrowdJob | RemoteJob

/** Memory in MB, CPU in cores (1 = one core busy all the time). Null where /proc does not exist. */
export interface ProcessUse {
  readonly rssMb: number
  readonly peakMb: number
  readonly cores: number
  readonly cpuSeconds: number
}

export interface LoadResult {
  readonly requests: number
  /** Complete answers: every token, a clean end, no error. */
  readonly complete: number
  /** Why the others were not, with counts. */
  readonly problems: Readonly<Record<string, number>>
  readonly seconds: number
  readonly requestsPerSecond: number
  readonly framesPerSecond: number
  /** Milliseconds to the first token, from the (intended) start. */
  readonly firstToken: Summary
  /** Milliseconds to the end of the response. */
  readonly total: Summary
  /** Microseconds from the upstream writing a token to it being read here. */
  readonly lateness: Summary
  readonly process: ProcessUse | null
}

export interface HoldResult extends LoadResult {
  readonly expectedFrames: number
  readonly receivedFrames: number
  /** Lateness of the first, middle and last third of the streams' tokens: a server falling behind shows a rise. */
  readonly thirds: readonly Summary[]
  /** How much longer than planned the streams took from their first token (1 = on pace). */
  readonly stretch: Summary
  /** The most streams that were between their first and last token at one time. */
  readonly peakOpen: number
}

export interface IdleResult {
  readonly streams: number
  readonly open: number
  readonly problems: Readonly<Record<string, number>>
  readonly rssBeforeMb: number | null
  readonly rssAfterMb: number | null
  readonly kbPerStream: number | null
}

export interface CrowdResult extends HoldResult {
  /** Whether connections were open before the first question. */
  readonly sockets: boolean
  readonly open: number
  /** MB of the watched process before any of it, and with every socket open and silent. */
  readonly rssBeforeMb: number | null
  readonly rssOpenMb: number | null
}

export interface RemoteResult {
  readonly local: LoadResult
  /** Lateness counts for tokens that the upstream wrote after the reader had asked. */
  readonly remote: LoadResult
}

/** What each kind of job answers. */
interface ResultsByMode {
  closed: LoadResult
  open: LoadResult
  hold: HoldResult
  idle: IdleResult
  crowd: CrowdResult
  remote: RemoteResult
}

export type ResultOf<J extends Job> = ResultsByMode[J['mode']]
