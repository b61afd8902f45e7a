import { sseFrame } from '../lib/sse'
import type { RunBatch, RunEvent } from '../runs/port'
import { type ChunkHeader, ChunkWriter, DONE, type Frame, framesOf, openAiReason } from './chunks'

/**
 * Our own stream: OpenAI chunks with our facts as extra top-level fields. The first frame carries `conversation_id`,
 * `branch_id`, `message_id` and `run_id`; the last one `usage`, `cost_usd` and `finish_reason`; then `[DONE]`.
 * Every frame's `id:` is the event's number, to resume after. `event: restart` takes back the text so far.
 */
export const nativeFrames = (header: ChunkHeader): ((batch: RunBatch) => string) =>
  framesOf(nativeEvents(header, { frame: sseFrame, end: DONE }))

/** What is around the events on a wire. */
interface Wire {
  frame: Frame
  /** Follows the last event. */
  end: string
}

/** The same events, one by one, for any wire. */
export function nativeEvents(header: ChunkHeader, { frame, end }: Wire): (event: RunEvent, seq: number) => string {
  const chunks = new ChunkWriter(header, false, frame)
  return encode

  function encode(event: RunEvent, seq: number): string {
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
        return restartFrame(seq, 1, frame)
      case 'done': {
        const { finishReason, usage, costUsd, cost } = event
        const fields = {
          ...event.fields,
          usage,
          cost_usd: costUsd,
          ...(cost ? { cost } : {}),
          finish_reason: finishReason,
        }
        return chunks.finish(0, openAiReason(finishReason), { seq, fields }) + end
      }
      case 'error':
        // `code` beside `error` is where clients of the system this one replaces look for it.
        return frame(JSON.stringify({ error: event.error, code: event.error.code, ...event.fields }), seq) + end
    }
  }
}

/**
 * Tells a client to drop all text after frame `after`; what the answer says follows again, from the beginning. So it is
 * when an answer begins anew in the middle, and for a client that resumes after a number we no longer have.
 */
export const restartFrame = (seq = 0, after = 0, frame: Frame = sseFrame): string =>
  frame(JSON.stringify({ restart: { after } }), seq, 'restart')
