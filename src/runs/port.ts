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

/** The events of a run, numbered from 1 without gaps but the one behind the first event when another process went on with it. A bare string is a piece of choice 0's text. */
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
  /** @param runId a run, or the log of one that somebody went on with: see `lib/run-parts.ts`. So it is wherever a log is named. */
  create(runId: string): RunWriter
  /**
   * Events after `after`, those there are and those to come, up to the terminal one.
   * @returns undefined when this log does not hold the run (any more): the stored message has the answer.
   */
  read(runId: string, after: number): AsyncIterableIterator<RunBatch> | undefined
  /** What the other processes of the installation make; absent where none can be seen. */
  readonly shared?: SharedEvents | undefined
  /** Gives what was written to the others, if that is a matter of moments. */
  close(): Promise<void>
}

/**
 * The events of any process's runs, as far as they have come. What is there is true; what is missing may come or may be lost, and
 * only the database knows how a run ended whose last event never comes.
 */
export interface SharedEvents {
  /** Some of the events that follow `after`, without a gap; undefined when they are not there (yet). @throws when nobody can say */
  next(runId: string, after: number): Promise<RunBatch | undefined>
  /** The number of the terminal event when that is there. @throws when nobody can say */
  end(runId: string): Promise<number | undefined>
  /** Calls back whenever there may be more. @returns ends it */
  onMore(runId: string, listener: () => void): () => void
}
