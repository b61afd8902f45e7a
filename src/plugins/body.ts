import { Elysia } from 'elysia'
import { bytesOf, decode, kindOf, notJson, parse } from '../lib/json-body'

/** Levels of nesting a body may have: more than any tool schema needs, less than what a recursion survives. */
const MAX_DEPTH = 100

export interface BodyOptions {
  maxBytes: number
  /** Routes that read their bodies themselves, piece by piece. */
  unread?: string[]
  /** Told of what was read. */
  onRead?: (request: Request, bytes: Uint8Array, value: unknown) => void
}

/** Reads JSON bodies strictly: size, encoding, depth and syntax are each refused with their own sentence. */
export const body = ({ maxBytes, unread = [], onRead = () => {} }: BodyOptions) =>
  new Elysia({ name: 'body' }).onParse({ as: 'global' }, async function strictJson({ request, headers, route }) {
    if (unread.includes(route)) return null
    const chunks = await Array.fromAsync(bytesOf({ request, headers }, maxBytes))
    const bytes = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)
    const value = bytes.length === 0 ? null : read(bytes, headers['content-type'])
    onRead(request, bytes, value)
    return value
  })

function read(bytes: Uint8Array, contentType: string | undefined): unknown {
  const kind = kindOf(contentType)
  if (!kind) throw notJson()
  const text = decode(bytes)
  return kind === 'json' ? parse(text, MAX_DEPTH) : parseLines(text)
}

const parseLines = (text: string): unknown[] =>
  text.split('\n').flatMap((line) => (line.trim() ? [parse(line, MAX_DEPTH)] : []))
