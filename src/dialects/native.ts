import { sseFrame } from '../lib/sse'
import type { RunBatch, RunEvent } from '../runs/port'
import { type ChunkHeader, ChunkWriter, DONE, framesOf, openAiReason } from './chunks'

/**
 * Our own stream: OpenAI chunks with our facts as extra top-level fields. The first frame carries `conversation_id`,
 * `branch_id`, `message_id` and `run_id`; the last one `usage`, `cost_usd` and `finish_reason`; then `[DONE]`.
 * Every frame's `id:` is the event's number, to resume after. `event: restart` takes back the text so far.
 */
export function nativeFrames(header: ChunkHeader): (batch: RunBatch) => string {
  const chunks = new ChunkWriter(header, false)
  return framesOf(encode)

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
        return restartFrame(seq, 1)
      case 'done': {
        const { finishReason, usage, costUsd, cost } = event
        const fields = {
          ...event.fields,
          usage,
          cost_usd: costUsd,
          ...(cost ? { cost } : {}),
          finish_reason: finishReason,
        }
        return chunks.finish(0, openAiReason(finishReason), { seq, fields }) + DONE
      }
      case 'error':
        // `code` beside `error` is where clients of the system this one replaces look for it.
        return sseFrame(JSON.stringify({ error: event.error, code: event.error.code, ...event.fields }), seq) + DONE
    }
  }
}

/**
 * Tells a client to drop all text after frame `after`; what the answer says follows again, from the beginning. So it is
 * when an answer begins anew in the middle, and for a client that resumes after a number we no longer have.
 */
export const restartFrame = (seq = 0, after = 0): string =>
  sseFrame(JSON.stringify({ restart: { after } }), seq, 'restart')
