import { AppError } from '../errors'
import { parseTraceparent } from './traceparent'

/** @throws AppError VALIDATION_ERROR for a key that no client library would send. */
export function idempotencyKey(headers: Record<string, string | undefined>): string | undefined {
  const key = headers['idempotency-key']
  if (key === undefined || /^[\x21-\x7e]{1,255}$/.test(key)) return key
  throw new AppError('VALIDATION_ERROR', 'Idempotency-Key must be 1 to 255 visible ASCII characters')
}

/** For a key that comes again with something else. */
export const otherRequest = () =>
  new AppError('VALIDATION_ERROR', 'This Idempotency-Key was used with a different request. Use a new key')

/** Whether a client can take it that an answer begins anew in the middle of its stream. */
export const mayRestart = (headers: Record<string, string | undefined>): boolean =>
  headers['x-stream-restart']?.toLowerCase() === 'allow'

/** What the headers of a request for an answer say about it. */
export const turnOptions = (
  headers: Record<string, string | undefined>,
  set: { headers: Record<string, unknown> },
) => ({
  idempotencyKey: idempotencyKey(headers),
  requestId: String(set.headers['x-request-id']),
  trace: parseTraceparent(headers.traceparent),
})
