import { AppError } from '../errors'
import { Deadlines, type Timeouts } from './deadlines'
import type { FrameReader } from './frame-reader'
import type { ChatEvent } from './port'
import { refused, unreachable } from './upstream-error'

export interface UpstreamCall {
  url: string
  headers: Record<string, string>
  /** Sent as JSON. */
  body: unknown
  /** Reads the frames of this one answer. */
  reader: FrameReader
  timeouts: Timeouts
}

/**
 * Asks a provider that answers by an event stream. Ends normally only when the reader has seen a complete answer.
 * @param outer aborting it closes the connection at once. @throws AppError as `ChatModel.stream` does.
 */
export async function* streamFrom(call: UpstreamCall, outer: AbortSignal): AsyncGenerator<ChatEvent> {
  const deadlines = new Deadlines(call.timeouts, outer)
  let body: ReadableStreamDefaultReader<Uint8Array> | undefined
  try {
    const response = await post(call, deadlines.signal)
    deadlines.connected()
    if (!response.ok) throw await refused(response)
    body = readerOf(response)
    call.reader.onHeaders(response.headers)
    yield* read(body, call.reader, deadlines)
  } catch (error) {
    // Whatever goes wrong behind the last word: the answer is whole, and must not be asked for again.
    if (call.reader.finished && !outer.aborted) return
    throw deadlines.signal.aborted ? deadlines.signal.reason : unreachable(error)
  } finally {
    deadlines.done()
    // Also when the consumer leaves early: an unread body would hold one of the process's connections.
    await body?.cancel().catch(() => {})
  }
}

function post({ url, headers, body }: UpstreamCall, signal: AbortSignal): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { accept: 'text/event-stream, application/json', 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
    signal,
    // A redirect could carry the key and the conversation to another host.
    redirect: 'error',
    // Bun's own five-minute silence limit would end a slow reasoner; `Deadlines` decides.
    timeout: false,
  } as RequestInit)
}

function readerOf(response: Response): ReadableStreamDefaultReader<Uint8Array> {
  const type = response.headers.get('content-type') ?? 'text/event-stream'
  if (!response.body || !/event-stream/i.test(type)) {
    void response.body?.cancel().catch(() => {})
    throw new AppError('UPSTREAM_ERROR', `The model provider answered with ${type.split(';')[0]} instead of a stream`)
  }
  return response.body.getReader()
}

/** Bytes in, events out. Ends normally only after the provider's last word or a complete answer: else it was cut. */
async function* read(
  body: ReadableStreamDefaultReader<Uint8Array>,
  frames: FrameReader,
  deadlines: Deadlines,
): AsyncGenerator<ChatEvent> {
  const decoder = new TextDecoder()
  while (!frames.done) {
    const { value, done } = await body.read()
    if (done) break
    deadlines.progress()
    frames.feed(decoder.decode(value, { stream: true }))
    if (frames.events.length === 0) continue
    deadlines.talking()
    if (frames.finished) deadlines.ending()
    for (const event of frames.take()) yield event
  }
  if (frames.done) return
  // Some providers leave out the empty line after their last frame.
  frames.feed(`${decoder.decode()}\n\n`)
  for (const event of frames.take()) yield event
  if (!frames.done && !frames.finished) {
    throw new AppError('UPSTREAM_ERROR', 'The model provider broke off before its answer was complete')
  }
}
