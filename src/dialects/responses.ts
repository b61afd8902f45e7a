import { AppError, toAppError } from '../errors'
import type { ChatEvent, Usage } from '../llm/port'
import type { RunBatch, RunEnded, RunEvent } from '../runs/port'
import { NumberedEvents } from './responses-events'
import type { ResponseHeader } from './responses-object'
import { ResponseWriter } from './responses-writer'

export interface ResponseOptions {
  header: ResponseHeader
  /** The client said that an answer may begin anew; without it the stream ends there. */
  restarts?: boolean | undefined
  /** `sequence_number` of the last event that the client has. The batches must begin with the first event all the same. */
  after?: number | undefined
}

/** For clients that add up what they get: a text that begins anew would come out twice. */
const RESTARTED =
  'The model provider broke off and the answer begins anew, which this stream cannot tell. Send X-Stream-Restart: allow to read on'

const silent = () => new NumberedEvents(Number.POSITIVE_INFINITY)

/** A stateless answer as events. Never throws: a failure is `error` and `response.failed`. */
export async function* responseFrames(
  events: AsyncIterable<ChatEvent>,
  { header, restarts }: ResponseOptions,
): AsyncGenerator<string> {
  const numbered = new NumberedEvents()
  const writer = new ResponseWriter(header, numbered)
  const usage = new Ending()
  writer.start()
  yield numbered.take()
  try {
    for await (const event of events) {
      if (typeof event === 'object' && event.type === 'restart' && !restarts) {
        throw new AppError('UPSTREAM_ERROR', RESTARTED)
      }
      add(writer, usage, event)
      yield numbered.take()
    }
    writer.end(usage.reason, usage.usage)
  } catch (error) {
    writer.fail(toAppError(error))
  }
  yield numbered.take()
}

/** A stateless answer in one piece. @throws AppError when it failed, so that the status says so. */
export async function responseObject(events: AsyncIterable<ChatEvent>, header: ResponseHeader): Promise<object> {
  const writer = new ResponseWriter(header, silent())
  const usage = new Ending()
  writer.start()
  for await (const event of events) add(writer, usage, event)
  return writer.end(usage.reason, usage.usage)
}

/** How an answer ends, as far as it has told. */
class Ending {
  reason: string | null = null
  usage: Usage | null = null
}

function add(writer: ResponseWriter, ending: Ending, event: ChatEvent): void {
  if (typeof event === 'string') writer.text(event)
  else if (event.type === 'delta') writer.delta(event)
  else if (event.type === 'usage') ending.usage = event.usage
  else if (event.type === 'finish' && event.index === 0) ending.reason = event.reason
  else if (event.type === 'restart') {
    Object.assign(ending, new Ending())
    writer.restart()
  }
}

/** A stored run as events; `over` says that nothing follows, although the run may go on. */
export function responseRunFrames({ header, restarts, after = -1 }: ResponseOptions) {
  const numbered = new NumberedEvents(after)
  const writer = new ResponseWriter(header, numbered)
  let over = false
  return {
    over: () => over,
    encode({ seq, events }: RunBatch): string {
      // Not the run's own events any more but the stored answer at once: its pieces would be numbered otherwise.
      if (isStored(seq, events) && after >= 0) numbered.resumeWhole()
      for (const event of events) {
        if (over) break
        if (typeof event === 'object' && event.type === 'restart' && !restarts) {
          writer.fail(new AppError('UPSTREAM_ERROR', `${RESTARTED}, or read the whole answer with GET`))
          over = true
        } else addRun(writer, event)
      }
      return numbered.take()
    },
  }
}

const isStored = (seq: number, [first]: readonly RunEvent[]): boolean =>
  seq !== 1 && typeof first === 'object' && first.type === 'start'

/** A stored run in one piece. @param failing whether a failed run throws; otherwise it is a response that says so. */
export async function responseOfRun(
  batches: AsyncIterable<RunBatch>,
  header: ResponseHeader,
  failing: 'throws' | 'is told',
): Promise<object> {
  const writer = new ResponseWriter(header, silent())
  let response: object | undefined
  for await (const { events } of batches) {
    for (const event of events) {
      if (typeof event === 'object' && event.type === 'error' && failing === 'throws') throw errorOf(event)
      response = addRun(writer, event) ?? response
    }
  }
  return response ?? writer.response('in_progress')
}

/** A response of which nothing can be told yet. */
export function pendingResponse(header: ResponseHeader, facts: Record<string, unknown>): object {
  const writer = new ResponseWriter(header, silent())
  writer.start(facts)
  return writer.response('in_progress')
}

/** @returns the response when this was its end. */
function addRun(writer: ResponseWriter, event: RunEvent): object | undefined {
  if (typeof event === 'string') {
    writer.text(event)
    return undefined
  }
  switch (event.type) {
    case 'start':
      writer.start({ ...event.fields })
      return undefined
    case 'delta':
      writer.delta(event)
      return undefined
    case 'restart':
      writer.restart()
      return undefined
    case 'done':
      return writer.end(event.finishReason, event.usage, { ...event.fields, cost_usd: event.costUsd })
    case 'error':
      return writer.fail(errorOf(event), event.fields)
  }
}

const errorOf = ({ error, retryAfter }: Extract<RunEnded, { type: 'error' }>) =>
  new AppError(error.code, error.message, { retryAfter })
