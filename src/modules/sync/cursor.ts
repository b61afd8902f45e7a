import { AppError } from '../../errors'
import { isUuid } from '../../lib/ids'
import type { SyncCursor } from '../../store/port'

type Kind = NonNullable<SyncCursor['after']>['kind']

const KINDS: Record<string, Kind> = { d: 'deletion', c: 'conversation', m: 'message' }
const LARGEST = 2n ** 63n

/** A cursor as clients carry it: nothing they should read. */
export function writeCursor({ from, next, after }: SyncCursor): string {
  const place = after ? [after.kind[0], ...(after.key ?? [])] : []
  return Buffer.from(['1', from, next, ...place].join('.')).toString('base64url')
}

/** @throws AppError VALIDATION_ERROR for anything that `writeCursor` did not write. */
export function readCursor(text: string): SyncCursor {
  const [version, from = '', next = '', kind, ...key] = Buffer.from(text, 'base64url').toString('latin1').split('.')
  const cursor = { from, next, after: placeOf(kind, key) ?? null }
  const sound = version === '1' && isNumber(from) && isNumber(next) && (kind === undefined || cursor.after !== null)
  // Written again it must be the same: decoding overlooks what is no part of the alphabet.
  if (!sound || writeCursor(cursor) !== text) throw malformed()
  return cursor
}

function placeOf(name: string | undefined, key: string[]): SyncCursor['after'] | undefined {
  const kind = KINDS[name ?? '']
  if (!kind) return undefined
  const [first = '', second = ''] = key
  if (key.length === 0) return { kind, key: null }
  const fits = key.length === 2 && (kind === 'deletion' ? isNumber(first) : isUuid(first)) && isUuid(second)
  return fits ? { kind, key: [first, second] } : undefined
}

const isNumber = (text: string) => /^\d{1,19}$/.test(text) && BigInt(text) < LARGEST

function malformed(): AppError {
  const message = 'since: must be the cursor of an earlier answer'
  return new AppError('VALIDATION_ERROR', message, { details: { in: 'query', fields: [{ path: 'since', message }] } })
}
