import type { ErrorBody } from '../errors'
import type { ChoiceDelta, Usage } from '../llm/port'

/** The first event of a run: what the client needs to know to find the answer again. */
export interface RunStarted {
  type: 'start'
  fields: Record<string, unknown>
}

/** All text of the answer so far is void: it begins anew. The numbers go on, and the first event stays true. */
export interface RunRestarted {
  type: 'restart'
}

/** How a cost came about, as clients are told. */
export interface RunCost {
  /** US dollars by what was paid for: `input`, `cached_input`, `output`, … They add up to the cost. */
  parts: Record<string, number>
  /** Who counted: the provider; this server; the provider, after the reader had left. */
  basis: 'provider' | 'estimated' | 'drained'
  /** The name of the prices. */
  price_version: string | null
}

/** What became known only by saving the answer. */
type SavedFields = Record<string, unknown>

/** The last event of a run. Exactly one, always. */
export type RunEnded =
  | {
      type: 'done'
      /**
       * Why the model stopped: `stop`, `length`, `tool_calls`, `content_filter`; `stopped` when the user did, `budget` when
       * the money was used up.
       */
      finishReason: string
      usage: Usage | null
      /** US dollars; null when the price is not known. */
      costUsd: number | null
      cost?: RunCost | undefined
      fields?: SavedFields | undefined
    }
  | {
      type: 'error'
      error: ErrorBody
      /** Seconds after which a retry makes sense, when the provider said. */
      retryAfter?: number | undefined
      fields?: SavedFields | undefined
    }

/** The events of a run, numbered from 1 without gaps. A bare string is a piece of choice 0's text. */
export type RunEvent = string | RunStarted | ChoiceDelta | RunRestarted | RunEnded

/** Events `seq`, `seq + 1`, … as they became available together. Never empty. */
export interface RunBatch {
  seq: number
  events: readonly RunEvent[]
}

/** The pen of the one process that makes the answer. */
export interface RunWriter {
  /** @returns the event's number. Appending the terminal event closes the log. */
  append(event: RunEvent): number
  /** The number of the last event. */
  readonly seq: number
  /** The highest number that some reader has taken; with a reader still listening, everything counts as delivered. */
  readonly delivered: number
  /** Forgets the events after `seq`. Only legal down to `delivered`. */
  truncate(seq: number): void
  /** The events after `after`. */
  events(after: number): readonly RunEvent[]
}

/** Where the events of running answers are kept, and of finished ones for a while. */
export interface RunLog {
  create(runId: string): RunWriter
  /**
   * Events after `after`, those there are and those to come, up to the terminal one.
   * @returns undefined when this log does not hold the run (any more): the stored message has the answer.
   */
  read(runId: string, after: number): AsyncIterableIterator<RunBatch> | undefined
}
