/** What a streamed answer turned out to be, read from the JSON of its chunks. */
import { STAMP_DIGITS } from './clock'

export interface Answered {
  status: number
  tokens: number
  conversationId: string | undefined
  /** Of a stored answer. */
  runId: string | undefined
  /** `finish_reason` seen. */
  finished: boolean
  /** How often the end came; exactly once is right. */
  done: number
  /** The first error: an error event, or the body of an answer that is not 200. */
  error: string | undefined
  /** The server will close the connection. */
  closes: boolean
}

/** Called for each token with the time the upstream wrote it. */
export type OnToken = (stampUs: number) => void

export const unanswered = (): Answered => ({
  status: 0,
  tokens: 0,
  conversationId: undefined,
  runId: undefined,
  finished: false,
  done: 0,
  error: undefined,
  closes: false,
})

/** Reads one chunk by searching its text: to parse the JSON would cost more than what is measured. */
export function readChunk(data: string, answered: Answered, onToken: OnToken): void {
  if (answered.tokens === 0) {
    answered.conversationId ??= /"conversation_id":"([^"]+)"/.exec(data)?.[1]
    answered.runId ??= /"run_id":"([^"]+)"/.exec(data)?.[1]
  }
  const delta = data.indexOf('"delta":{')
  if (delta < 0) return
  if (data.indexOf('"finish_reason":"', delta) > 0) answered.finished = true
  const content = data.indexOf('"content":"t', delta)
  if (content < 0) return
  // A server may join tokens into one event; each is `t`, its digits and a blank.
  for (let t = content + 11; data.charCodeAt(t) === 116; t += STAMP_DIGITS + 2) {
    answered.tokens++
    onToken(Number(data.slice(t + 1, t + 1 + STAMP_DIGITS)))
  }
}
