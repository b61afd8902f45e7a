import { AppError, type ErrorCode, toAppError } from '../errors'
import { Accumulator } from '../lib/accumulate'
import { sseFrame } from '../lib/sse'
import type { ChatEvent } from '../llm/port'
import type { RunBatch, RunEvent } from '../runs/port'
import { type ChunkHeader, ChunkWriter, DONE, framesOf, openAiReason } from './chunks'

/** The OpenAI API's word for each kind of failure. */
const TYPES: Partial<Record<ErrorCode, string>> = {
  UNAUTHORIZED: 'authentication_error',
  FORBIDDEN: 'permission_error',
  NOT_FOUND: 'invalid_request_error',
  RATE_LIMIT_EXCEEDED: 'rate_limit_error',
  INSUFFICIENT_BALANCE: 'insufficient_quota',
}

const CODES: Partial<Record<ErrorCode, string>> = {
  UNAUTHORIZED: 'invalid_api_key',
  RATE_LIMIT_EXCEEDED: 'rate_limit_exceeded',
  INSUFFICIENT_BALANCE: 'insufficient_quota',
}

/** OpenAI clients expect 400 where our own surface says 422, and where a conversation is too long for its model. */
export const openAiStatus = (error: AppError): number =>
  error.status === 422 || reasonOf(error.details) ? 400 : error.status

/** `{ error: { message, type, param, code } }`, in bodies and in streams. */
export function openAiError(error: AppError, requestId: string | null = null) {
  const type = TYPES[error.code] ?? (openAiStatus(error) < 500 ? 'invalid_request_error' : 'server_error')
  const param = firstField(error.details)
  return {
    error: {
      message: error.message,
      type,
      param,
      code: reasonOf(error.details) ?? CODES[error.code] ?? null,
      request_id: requestId,
    },
  }
}

/** A word of OpenAI's for what is wrong, when there is one. */
const reasonOf = (details: unknown): string | undefined =>
  typeof details === 'object' && details !== null && 'reason' in details && details.reason === 'context_length_exceeded'
    ? details.reason
    : undefined

function firstField(details: unknown): string | null {
  if (typeof details !== 'object' || details === null || !('fields' in details)) return null
  const [first] = Array.isArray(details.fields) ? details.fields : []
  return typeof first?.path === 'string' ? first.path : null
}

export interface OpenAiStreamOptions {
  header: ChunkHeader
  /** `stream_options.include_usage` of the request. */
  includeUsage: boolean
  /** The client said that an answer may begin anew; without it the stream ends there. */
  restarts?: boolean | undefined
}

/** For clients that add up what they get: a text that begins anew would come out twice. */
const RESTARTED = new AppError(
  'UPSTREAM_ERROR',
  'The model provider broke off and the answer begins anew, which this stream cannot tell. Send X-Stream-Restart: allow to read on',
)

/** A stateless answer as Chat Completions frames. Never throws: a failure is the last frame, and no `[DONE]` follows. */
export async function* openAiFrames(
  events: AsyncIterable<ChatEvent>,
  { header, includeUsage, restarts }: OpenAiStreamOptions,
): AsyncGenerator<string> {
  const chunks = new ChunkWriter(header, includeUsage)
  const begun = new Set<number>()
  const begin = (index: number) => {
    if (begun.has(index)) return ''
    begun.add(index)
    return chunks.role(index)
  }
  const ending = ({ index, reason }: { index: number; reason: string }) =>
    // Programs that know OpenAI's words only shall not stumble over ours, which stands beside.
    chunks.finish(index, openAiReason(reason), reason === 'budget' ? { fields: { finish_reason: reason } } : {})
  let usage: unknown = null
  try {
    for await (const event of events) {
      if (typeof event === 'string') yield begin(0) + chunks.text(event)
      else if (event.type === 'delta') yield begin(event.index) + chunks.delta(event.index, event.delta, event)
      else if (event.type === 'finish') yield begin(event.index) + ending(event)
      else if (event.type === 'usage') usage = event.usage
      else if (event.type === 'meta') chunks.meta(event.fields)
      else if (event.type === 'restart') {
        if (!restarts) throw RESTARTED
        begun.clear()
        usage = null
        yield chunks.restart()
      }
    }
    yield (includeUsage ? chunks.usage(usage) : '') + DONE
  } catch (error) {
    yield sseFrame(JSON.stringify(openAiError(toAppError(error))))
  }
}

/**
 * A stored run as Chat Completions frames, numbered like the native ones so that it can be resumed. Where the answer
 * begins anew and the client does not know that word, an error is the last frame and nothing follows it.
 */
export function openAiRunFrames({ header, includeUsage, restarts }: OpenAiStreamOptions): (batch: RunBatch) => string {
  const chunks = new ChunkWriter(header, includeUsage)
  let over = false
  return framesOf(encode)

  function encode(event: RunEvent, seq: number): string {
    if (over) return ''
    if (typeof event === 'string') return chunks.text(event, seq)
    switch (event.type) {
      case 'start':
        return chunks.role(0, { seq, fields: event.fields })
      case 'delta':
        return chunks.delta(event.index, event.delta, {
          logprobs: event.logprobs,
          seq,
        })
      case 'restart':
        if (restarts) return chunks.restart(seq)
        over = true
        return sseFrame(JSON.stringify(openAiError(RESTARTED)), seq)
      case 'done':
        return (
          chunks.finish(0, openAiReason(event.finishReason), event.fields ? { seq, fields: event.fields } : { seq }) +
          (includeUsage ? chunks.usage(event.usage) : '') +
          DONE
        )
      case 'error': {
        const { message, code, details, request_id } = event.error
        return sseFrame(JSON.stringify(openAiError(new AppError(code, message, { details }), request_id)), seq)
      }
    }
  }
}

/** The answer in one piece: a `chat.completion` object. */
export async function openAiCompletion(events: AsyncIterable<ChatEvent>, header: ChunkHeader) {
  const whole = new Accumulator()
  for await (const event of events) whole.add(event)
  return completionObject(whole, header)
}

/**
 * A stored run in one piece, with our facts beside OpenAI's. @throws AppError when the run failed, so that the status
 * says so.
 */
export async function runCompletion(events: AsyncIterable<RunBatch>, header: ChunkHeader) {
  const whole = new Accumulator()
  let facts: Record<string, unknown> = {}
  for await (const batch of events) {
    for (const event of batch.events) {
      if (typeof event === 'string' || event.type === 'delta' || event.type === 'restart') whole.add(event)
      else if (event.type === 'start') facts = event.fields
      else if (event.type === 'error') {
        const { error, retryAfter } = event
        throw new AppError(error.code, error.message, { details: error.details ?? undefined, retryAfter })
      } else {
        whole.usage = event.usage
        whole.add({
          type: 'finish',
          index: 0,
          reason: openAiReason(event.finishReason),
        })
        facts = {
          ...facts,
          ...event.fields,
          cost_usd: event.costUsd,
          ...(event.cost ? { cost: event.cost } : {}),
          finish_reason: event.finishReason,
        }
      }
    }
  }
  return { ...completionObject(whole, header), ...facts }
}

function completionObject(whole: Accumulator, { id, created, model }: ChunkHeader) {
  const choices = whole.choices().map(({ index, message, finishReason, logprobs }) => ({
    index,
    message: { refusal: null, ...message },
    logprobs,
    finish_reason: openAiReason(finishReason ?? 'stop'),
  }))
  return {
    id,
    object: 'chat.completion',
    created,
    model,
    ...whole.meta,
    choices,
    usage: whole.usage,
  }
}
