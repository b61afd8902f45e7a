/** Headers of every event stream: no cache, no proxy buffering, no compression on the way. */
const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
}

/** Below the 10 s after which Bun closes a silent connection, and far below what proxies allow. */
const HEARTBEAT_MS = 8000

/** What a stream would begin with, for those who only ask. */
export const sseHead = () => new Response(null, { headers: HEADERS })

const encoder = new TextEncoder()
const OPEN = encoder.encode(': open\n\n')
const HEARTBEAT = encoder.encode(': hb\n\n')

/** Anthropic's event names, https://platform.claude.com/docs/en/build-with-claude/streaming. */
export type AnthropicEvent =
  | 'message_start'
  | 'content_block_start'
  | 'content_block_delta'
  | 'content_block_stop'
  | 'message_delta'
  | 'message_stop'
  | 'ping'
  | 'error'

/** OpenAI's event names, https://platform.openai.com/docs/api-reference/responses-streaming; those that we write. */
export type ResponseEvent =
  | `response.${'created' | 'in_progress' | 'completed' | 'incomplete' | 'failed'}`
  | `response.${'output_item' | 'content_part' | 'reasoning_summary_part'}.${'added' | 'done'}`
  | `response.${'output_text' | 'refusal' | 'reasoning_summary_text' | 'function_call_arguments'}.${'delta' | 'done'}`
  | 'error'

/**
 * One event. `data` must be one line (JSON always is); `id` is what a client may resume after, a number or a word of ours.
 * The event name is from a closed set, so that nothing a model says can become one.
 */
export const sseFrame = (
  data: string,
  id?: number | `${string}:${number}`,
  event?: 'restart' | AnthropicEvent | ResponseEvent,
): string => `${id === undefined ? '' : `id: ${id}\n`}${event ? `event: ${event}\n` : ''}data: ${data}\n\n`

export interface SseOptions {
  /** Called once when the client leaves before the end. */
  onCancel?: () => void
  heartbeatMs?: number
}

/**
 * Sends frames as they come. Pulls one at a time, so a slow reader slows the source and nothing piles up here.
 * `frames` must not throw after it has begun: by then the status is out, an error has to be a frame.
 */
export function sseResponse(frames: AsyncIterator<string>, { onCancel, heartbeatMs = HEARTBEAT_MS }: SseOptions = {}) {
  let heartbeat: ReturnType<typeof setInterval>
  let left = false
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      // The headers leave with the first byte, and clients and proxies wait for them.
      controller.enqueue(OPEN)
      heartbeat = setInterval(() => {
        if ((controller.desiredSize ?? 0) > 0) controller.enqueue(HEARTBEAT)
      }, heartbeatMs)
    },
    async pull(controller) {
      const { value, done } = await frames.next()
      if (left) return
      if (!done) return controller.enqueue(encoder.encode(value))
      clearInterval(heartbeat)
      controller.close()
    },
    cancel() {
      left = true
      clearInterval(heartbeat)
      onCancel?.()
      void frames.return?.()
    },
  })
  return new Response(body, { headers: HEADERS })
}
