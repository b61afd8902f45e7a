import { AppError, type ErrorCode, toAppError } from '../errors'
import { Accumulator } from '../lib/accumulate'
import { endWhen, mapIterator } from '../lib/iterate'
import { thoughtBlocks } from '../lib/thinking'
import type { ChatEvent } from '../llm/port'
import type { RunBatch, RunEvent } from '../runs/port'
import { type MessageHeader, MessageWriter, messageUsage, stopReason } from './anthropic-writer'

/** Anthropic's status and word for each kind of failure, https://platform.claude.com/docs/en/api/errors. */
const ERRORS: Partial<Record<ErrorCode, [status: number, type: string]>> = {
  UNAUTHORIZED: [401, 'authentication_error'],
  INSUFFICIENT_BALANCE: [402, 'billing_error'],
  FORBIDDEN: [403, 'permission_error'],
  NOT_FOUND: [404, 'not_found_error'],
  PAYLOAD_TOO_LARGE: [413, 'request_too_large'],
  VALIDATION_ERROR: [400, 'invalid_request_error'],
  RATE_LIMIT_EXCEEDED: [429, 'rate_limit_error'],
  UPSTREAM_ERROR: [500, 'api_error'],
  UPSTREAM_UNAVAILABLE: [529, 'overloaded_error'],
  UPSTREAM_TIMEOUT: [504, 'timeout_error'],
}

export const anthropicStatus = (error: AppError): number => ERRORS[error.code]?.[0] ?? error.status

const typeOf = (code: ErrorCode, status: number) =>
  ERRORS[code]?.[1] ?? (status < 500 ? 'invalid_request_error' : 'api_error')

/** `{ type: "error", error: { type, message }, request_id }`, in bodies and in streams. */
export const anthropicError = ({ code, status, message }: AppError, requestId: string | null = null) => ({
  type: 'error',
  error: { type: typeOf(code, status), message },
  request_id: requestId,
})

/** The protocol has no word for taking back what was said, and a client must not show two halves of two answers. */
const begunAnew = () =>
  new AppError('UPSTREAM_UNAVAILABLE', 'The answer broke off and was begun anew by another model. Ask again')

/** A stateless answer as Anthropic's events. Never throws: a failure is the last event, and no `message_stop` follows. */
export async function* anthropicFrames(
  events: AsyncIterable<ChatEvent>,
  { header, requestId }: { header: MessageHeader; requestId: string | null },
): AsyncGenerator<string> {
  const whole = new Accumulator()
  const writer = new MessageWriter(header)
  writer.start()
  try {
    for await (const event of events) {
      if (typeof event === 'string') writer.text(event)
      else if (event.type === 'delta') writer.delta(event)
      else if (event.type === 'restart') throw begunAnew()
      else if (event.type === 'usage') whole.usage = event.usage
      else if (event.type === 'finish') whole.add(event)
      const frames = writer.take()
      if (frames) yield frames
    }
    writer.end(whole.choices()[0]?.finishReason ?? null, whole.usage)
  } catch (error) {
    writer.error(anthropicError(toAppError(error), requestId))
  }
  yield writer.take()
}

/** A stored run as Anthropic's events. Numbered like the native ones; `message` and `usage` carry our facts, too. */
export function anthropicRunFrames(
  batches: AsyncIterableIterator<RunBatch>,
  { header, requestId }: { header: MessageHeader; requestId: string | null },
): AsyncIterableIterator<string> {
  const writer = new MessageWriter(header)
  let over = false
  const frames = mapIterator(batches, ({ seq, events }) => {
    let text = ''
    for (const [i, event] of events.entries()) {
      if (over) break
      encode(event)
      text += writer.take(seq + i)
    }
    return text
  })
  return endWhen(frames, () => over)

  function encode(event: RunEvent): void {
    if (typeof event === 'string') writer.text(event)
    else if (event.type === 'start') writer.start(event.fields)
    else if (event.type === 'delta') writer.delta(event)
    else {
      over = true
      if (event.type === 'restart') writer.error(anthropicError(begunAnew(), requestId))
      else if (event.type === 'error') {
        const { code, message, request_id } = event.error
        writer.error(anthropicError(new AppError(code, message), request_id))
      } else writer.end(event.finishReason, event.usage, { cost_usd: event.costUsd, ...event.fields })
    }
  }
}

/** The answer in one piece: a `message` object. */
export async function anthropicMessage(events: AsyncIterable<ChatEvent>, header: MessageHeader) {
  const whole = new Accumulator()
  for await (const event of events) whole.add(event)
  return messageObject(whole, header)
}

/** A stored run in one piece, with our facts beside Anthropic's. @throws AppError when the run failed. */
export async function anthropicRunMessage(batches: AsyncIterable<RunBatch>, header: MessageHeader) {
  const whole = new Accumulator()
  let facts: Record<string, unknown> = {}
  for await (const { events } of batches) {
    for (const event of events) {
      if (typeof event === 'string' || event.type === 'delta' || event.type === 'restart') whole.add(event)
      else if (event.type === 'start') facts = event.fields
      else if (event.type === 'error') {
        throw new AppError(event.error.code, event.error.message, { retryAfter: event.retryAfter })
      } else {
        whole.usage = event.usage
        whole.add({ type: 'finish', index: 0, reason: event.finishReason })
        facts = { ...facts, ...event.fields, cost_usd: event.costUsd }
      }
    }
  }
  return { ...messageObject(whole, header), ...facts }
}

function messageObject(whole: Accumulator, { id, model }: MessageHeader) {
  const [choice] = whole.choices()
  return {
    id,
    type: 'message',
    role: 'assistant',
    model: typeof whole.meta.model === 'string' ? whole.meta.model : model,
    content: contentOf(choice?.message ?? {}),
    stop_reason: stopReason(choice?.finishReason ?? null),
    stop_sequence: null,
    usage: messageUsage(whole.usage),
  }
}

function contentOf(message: Record<string, unknown>): object[] {
  const { content, tool_calls } = message
  const thought = message.reasoning_content ?? message.reasoning
  const signed = thoughtBlocks(message)
  const unsigned =
    typeof thought === 'string' && thought ? [{ type: 'thinking', thinking: thought, signature: '' }] : []
  return [
    ...(signed.length > 0 ? signed : unsigned),
    ...(typeof content === 'string' && content ? [{ type: 'text', text: content }] : []),
    ...(Array.isArray(tool_calls) ? tool_calls.map(toolUse) : []),
  ]
}

function toolUse({ id, function: fn }: { id?: string; function?: { name?: string; arguments?: string } }) {
  return {
    type: 'tool_use',
    id: id ?? `toolu_${crypto.randomUUID().replaceAll('-', '')}`,
    name: fn?.name ?? '',
    input: inputOf(fn?.arguments),
  }
}

/** Arguments that were cut off are no JSON any more: there is nothing to call a tool with. */
function inputOf(json: string | undefined): unknown {
  try {
    return json ? JSON.parse(json) : {}
  } catch {
    return {}
  }
}
