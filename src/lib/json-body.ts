import { AppError } from '../errors'
import { storable } from './text'

/** How the bytes of a body are to be read; undefined for what is not JSON. */
export function kindOf(contentType: string | undefined): 'json' | 'lines' | undefined {
  const type = contentType?.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (NDJSON.test(type)) return 'lines'
  return type === 'application/json' || type.endsWith('+json') ? 'json' : undefined
}

/** One JSON value per line; becomes the list of them. */
const NDJSON = /^application\/(?:x-)?(?:ndjson|jsonl|jsonlines)$/

export const notJson = () =>
  new AppError('UNSUPPORTED_MEDIA_TYPE', 'Send the body as JSON, with Content-Type: application/json')

export interface Incoming {
  headers: Record<string, string | undefined>
  request: { body: AsyncIterable<Uint8Array> | null }
}

/**
 * The bytes of a body as they come, none of them read ahead.
 * @throws AppError PAYLOAD_TOO_LARGE when they say or turn out to be more, UNSUPPORTED_MEDIA_TYPE when they are packed.
 */
export async function* bytesOf({ headers, request }: Incoming, maxBytes: number): AsyncGenerator<Uint8Array> {
  if (Number(headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes)
  if (!/^(?:identity)?$/i.test(headers['content-encoding'] ?? '')) throw packed()
  let size = 0
  let held: Uint8Array | undefined
  for await (const chunk of request.body ?? []) {
    size += chunk.length
    if (size > maxBytes) throw tooLarge(maxBytes)
    if (size < MAGIC) {
      held = held ? Buffer.concat([held, chunk]) : chunk
      continue
    }
    const bytes = held ? Buffer.concat([held, chunk]) : chunk
    if (size - bytes.length === 0 && isPacked(bytes)) throw packed()
    held = undefined
    yield bytes
  }
  if (!held) return
  if (isPacked(held)) throw packed()
  yield held
}

/** So many bytes tell an archive. */
const MAGIC = 3

/** gzip and zip, whatever they are called: a small one may hold more than any memory. */
const isPacked = ([first, second, third]: Uint8Array) =>
  (first === 0x1f && second === 0x8b) || (first === 0x50 && second === 0x4b && third !== undefined && third < 8)

const packed = () =>
  new AppError('UNSUPPORTED_MEDIA_TYPE', 'Send the body unpacked: compressed bodies and archives are not opened')

const tooLarge = (max: number) =>
  new AppError('PAYLOAD_TOO_LARGE', `The body is larger than the ${max} bytes allowed here`)

/** A mark of the byte order at the beginning is left out. */
export function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new AppError('BAD_REQUEST', 'The body is not valid UTF-8')
  }
}

/** NUL and half surrogate pairs are legal in JSON and in no database: replaced here, once, for everything behind. */
export function parse(text: string, levels: number): unknown {
  if (depthOf(text) > levels) throw new AppError('BAD_REQUEST', `The body is nested deeper than ${levels} levels`)
  try {
    const suspicious = /\\u(?:0000|[dD][89a-fA-F])/.test(text)
    return JSON.parse(
      text,
      suspicious ? (_, value) => (typeof value === 'string' ? storable(value) : value) : undefined,
    )
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^JSON Parse error: /, '').slice(0, 100) : ''
    throw new AppError('BAD_REQUEST', `The body is not valid JSON: ${reason}`)
  }
}

/** The deepest bracket outside strings. One pass, because a parser that recurses must not see the text before. */
function depthOf(text: string): number {
  let depth = 0
  let deepest = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (inString) {
      if (code === 92) i++
      else if (code === 34) inString = false
    } else if (code === 34) inString = true
    else if (code === 123 || code === 91) deepest = Math.max(deepest, ++depth)
    else if (code === 125 || code === 93) depth--
  }
  return deepest
}
