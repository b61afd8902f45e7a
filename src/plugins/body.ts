import { Elysia } from 'elysia'
import { AppError } from '../errors'
import { storable } from '../lib/text'

/** Levels of nesting a body may have: more than any tool schema needs, less than what a recursion survives. */
const MAX_DEPTH = 100
/** Of a document that nests each answer in its question: a path of a thousand messages. A recursion survives that, too. */
const MAX_DOCUMENT_DEPTH = 2100

export interface BodyOptions {
  maxBytes: number
  /** Paths that take documents made elsewhere. */
  documents?: string[]
  /** Told of what was read. */
  onRead?: (request: Request, bytes: Uint8Array, value: unknown) => void
}

/** Reads JSON bodies strictly: size, encoding, depth and syntax are each refused with their own sentence. */
export const body = ({ maxBytes, documents = [], onRead = () => {} }: BodyOptions) =>
  new Elysia({ name: 'body' }).onParse({ as: 'global' }, async function strictJson({ request, headers, path }) {
    if (Number(headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes)
    const bytes = await readAll(request, maxBytes)
    const value = read(bytes, headers, documents.includes(path) ? MAX_DOCUMENT_DEPTH : MAX_DEPTH)
    onRead(request, bytes, value)
    return value
  })

function read(bytes: Uint8Array, headers: Record<string, string | undefined>, levels: number): unknown {
  const type = (headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase()
  if (bytes.length === 0) return null
  if (isPacked(headers['content-encoding'], bytes)) {
    throw new AppError(
      'UNSUPPORTED_MEDIA_TYPE',
      'Send the body unpacked: compressed bodies and archives are not opened',
    )
  }
  if (NDJSON.test(type ?? '')) return parseLines(decode(bytes), levels)
  if (type !== 'application/json' && !type?.endsWith('+json')) {
    throw new AppError('UNSUPPORTED_MEDIA_TYPE', 'Send the body as JSON, with Content-Type: application/json')
  }
  return parse(decode(bytes), levels)
}

/** One JSON value per line; becomes the list of them. */
const NDJSON = /^application\/(?:x-)?(?:ndjson|jsonl|jsonlines)$/

/** gzip and zip, said or seen: a small one may hold more than any memory. */
const isPacked = (encoding: string | undefined, [first, second, third]: Uint8Array) =>
  !/^(?:identity)?$/i.test(encoding ?? '') ||
  (first === 0x1f && second === 0x8b) ||
  (first === 0x50 && second === 0x4b && third !== undefined && third < 8)

const tooLarge = (max: number) =>
  new AppError('PAYLOAD_TOO_LARGE', `The body is larger than the ${max} bytes allowed here`)

async function readAll(request: Request, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of request.body ?? []) {
    size += chunk.length
    if (size > maxBytes) throw tooLarge(maxBytes)
    chunks.push(chunk)
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new AppError('BAD_REQUEST', 'The body is not valid UTF-8')
  }
}

function parse(text: string, levels: number): unknown {
  if (depthOf(text) > levels) throw new AppError('BAD_REQUEST', `The body is nested deeper than ${levels} levels`)
  try {
    // NUL and half surrogate pairs are legal in JSON and in no database: replaced here, once, for everything behind.
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

const parseLines = (text: string, levels: number): unknown[] =>
  text.split('\n').flatMap((line) => (line.trim() ? [parse(line, levels)] : []))

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
