import { AppError } from '../../errors'
import type { ChatEvent, ChatModel, ChatRequest } from '../../llm/port'
import type { RunEvent, RunWriter } from '../../runs/port'
import type { Piece, Run } from '../../store/port'
import type { Outcome } from './outcome'

/** Characters an answer may have: what bounds the memory of one run. */
const MAX_ANSWER = 4_000_000

export interface StartRun extends Pick<Run, 'id' | 'conversationId' | 'branchId' | 'messageId'> {
  answerer: ChatModel
  request: ChatRequest
  /** What its first event says beside its ids. */
  fields?: Record<string, unknown> | undefined
  /** The request that began it, as errors quote it. */
  requestId: string | null
  /** How often another process went on with it; absent for one that begins. */
  continued?: number | undefined
}

export interface LiveRun extends StartRun {
  writer: RunWriter
  abort: AbortController
  outcome: Outcome
  /** The last event that it began with, before anything was said. */
  opened: number
  /** The last event that is in a checkpoint. */
  kept: number
  characters: number
  /** `performance.now()` at the beginning. */
  begun: number
  ended: Promise<void>
}

/** Adds an event of the model to a run. @throws AppError when the answer grows beyond all measure. */
export function take(run: LiveRun, event: ChatEvent): void {
  const { outcome, writer } = run
  if (typeof event === 'string' || event.type === 'delta') {
    run.characters += typeof event === 'string' ? event.length : JSON.stringify(event.delta).length
    if (run.characters > MAX_ANSWER) {
      throw new AppError('UPSTREAM_ERROR', `The answer grew beyond ${MAX_ANSWER} characters and was cut off`)
    }
    outcome.firstTokenMs ??= Math.round(performance.now() - run.begun)
    writer.append(event)
    return
  }
  switch (event.type) {
    case 'finish':
      outcome.finishReason = event.reason
      break
    case 'usage':
      outcome.bill = event
      break
    case 'served':
      outcome.servedBy = event
      break
    case 'restart':
      // `characters` goes on: the log keeps what is void, and that is what they bound.
      Object.assign(outcome, { finishReason: null, bill: null })
      writer.append(event)
  }
}

/** Whether this is what the answer took. */
export const isBill = (event: ChatEvent): boolean => typeof event === 'object' && event.type === 'usage'

/** Whether it was made again for nothing: it failed, or this process ends, before the first word. */
export const isVain = ({ continued = 0, characters, outcome }: LiveRun): boolean =>
  continued > 0 && characters === 0 && (outcome.error !== undefined || outcome.stopped === 'server')

/** What a run has said since its last checkpoint; only what follows a restart counts. */
export function pieceOf({ id, writer, kept }: LiveRun): Piece {
  const events = writer.events(kept)
  const restart = events.findLastIndex((event) => typeof event === 'object' && event.type === 'restart')
  const piece = { runId: id, seq: writer.seq, text: textOf(events.slice(restart + 1)) }
  return restart < 0 ? piece : { ...piece, anew: true }
}

function textOf(events: readonly RunEvent[]): string {
  let text = ''
  for (const event of events) {
    if (typeof event === 'string') text += event
    else if (event.type === 'delta' && event.index === 0 && typeof event.delta.content === 'string') {
      text += event.delta.content
    }
  }
  return text
}
