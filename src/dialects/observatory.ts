import type { AppError } from '../errors'
import { sseFrame } from '../lib/sse'
import type { RunBatch, RunEvent } from '../runs/port'
import { framesOf } from './chunks'

/** What FastAPI says of a failure: a sentence, or for a request that is not valid a list of what is wrong where. */
export function observatoryError({ message, details }: AppError) {
  const { in: where, fields } = (details ?? {}) as { in?: string; fields?: { path: string; message: string }[] }
  if (!fields) return { detail: message }
  const part = where === 'params' ? 'path' : (where ?? 'body')
  const locate = (path: string) => [part, ...(path === where ? [] : path.split('.'))]
  return { detail: fields.map((field) => ({ loc: locate(field.path), msg: field.message, type: 'value_error' })) }
}

/** Frame ids name the run, too: a browser that reconnects by itself sends the last one, and no question is asked twice. */
const FRAME_ID = /^([0-9a-f-]{36}):(\d{1,9})$/

export function parseFrameId(id: string | undefined): { runId: string; after: number } | undefined {
  const [, runId, after] = FRAME_ID.exec(id ?? '') ?? []
  return runId === undefined ? undefined : { runId, after: Number(after) }
}

export interface ObservatoryStream {
  runId: string
  /** Null while the store has not given the answer its id. */
  messageId: string | null
  /** The reader has a part of the text that cannot be taken back: say only how it ended. */
  endOnly?: boolean
}

/**
 * `{content, done}` for each piece of text, then `{content: "", done: true, message_id}` or `{error, done: true}`. An answer that
 * begins anew ends in an error, too: these clients cannot take back what they have shown. What is stored is whole.
 */
export function observatoryFrames({
  runId,
  messageId,
  endOnly = false,
}: ObservatoryStream): (batch: RunBatch) => string {
  let over = false
  return framesOf(encode)

  function encode(event: RunEvent, seq: number): string {
    if (over) return ''
    const frame = (data: object) => sseFrame(JSON.stringify(data), `${runId}:${seq}`)
    const text = textOf(event)
    if (text !== undefined) return text && !endOnly ? frame({ content: text, done: false }) : ''
    if (typeof event === 'string' || event.type === 'start' || event.type === 'delta') return ''
    if (event.type === 'restart') {
      if (endOnly) return ''
      over = true
      return frame({
        error: 'The model broke off, and another one begins the answer anew. Read the message',
        done: true,
      })
    }
    if (event.type === 'error') return frame({ error: event.error.message, done: true })
    return frame({ content: '', done: true, message_id: event.fields?.message_id ?? messageId })
  }
}

/** A piece of the answer's text; what else a model says (calls of tools, reasoning) has no place in these frames. */
function textOf(event: RunEvent): string | undefined {
  if (typeof event === 'string') return event
  if (event.type !== 'delta' || event.index !== 0) return undefined
  return typeof event.delta.content === 'string' ? event.delta.content : undefined
}
