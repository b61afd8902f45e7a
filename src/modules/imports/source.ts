import { AppError } from '../../errors'
import { bytesOf, decode, kindOf, notJson, parse } from '../../lib/json-body'
import { type Cutter, Document, Lines, type Piece } from './cut'
import { conversationsOf, isMessage, isOurs, recognise } from './formats'
import type { NormalConversation } from './normal'

/** Bytes of one conversation: it is taken into memory as a whole. */
export const MAX_CONVERSATION = 33_554_432
/** Of a document that nests each answer in its question: a path of a thousand messages. A recursion survives that, too. */
const MAX_DEPTH = 2100

/** What a request brings; its body has not been read. */
export interface Upload {
  headers: Record<string, string | undefined>
  request: { body: AsyncIterable<Uint8Array> | null; signal: AbortSignal }
}

/** Why something could not even be looked into. */
type Unreadable = 'too_large' | 'invalid_json'

/** One conversation, or what stands where one should be. */
export interface Found {
  /** How to read it; absent when it is of no known format, or `problem` says why. */
  read?: (() => NormalConversation) | undefined
  problem?: Unreadable
  /** About how many bytes it has. */
  size: number
}

/** The conversations of an upload, one after the other as it comes in. */
export class Source {
  /** Whether it is known what this is; settled at the end. */
  known = false
  /** What to say when it is not. */
  problem: AppError | undefined

  constructor(
    private readonly upload: Upload,
    private readonly maxBytes: number,
  ) {}

  /** @throws AppError BAD_REQUEST where it breaks, PAYLOAD_TOO_LARGE where it grows beyond the limit. What came before is good. */
  async *found(): AsyncGenerator<Found> {
    for await (const { value, problem, size, kind } of this.values()) {
      this.upload.request.signal.throwIfAborted()
      this.problem ??= problem
      if (problem) {
        yield { problem: problem.code === 'PAYLOAD_TOO_LARGE' ? 'too_large' : 'invalid_json', size }
        continue
      }
      if (kind === 'whole' && isOurs(value)) this.known = true
      for (const one of kind === 'member' ? [value] : conversationsOf(value)) {
        const read = recognise(one)
        if (read) this.known = true
        yield { read, size }
      }
    }
  }

  /** A list of messages is one conversation; whether it is one is known at its end. */
  private async *values(): AsyncGenerator<Value> {
    let messages: Value[] | undefined = []
    let size = 0
    for await (const piece of this.pieces()) {
      const value = valueIn(piece)
      if (messages && isListed(piece) && isMessage(value.value)) {
        size += value.size
        if (size > MAX_CONVERSATION) throw tooLarge()
        messages.push(value)
        continue
      }
      if (messages) yield* messages
      messages = undefined
      yield value
    }
    if (messages?.length) yield { value: messages.map(({ value }) => value), kind: 'element', size }
  }

  private async *pieces(): AsyncGenerator<Piece> {
    const kind = kindOf(this.upload.headers['content-type'])
    if (!kind) throw notJson()
    const cutter: Cutter = kind === 'lines' ? new Lines(MAX_CONVERSATION) : new Document(MAX_CONVERSATION)
    for await (const chunk of bytesOf(this.upload, this.maxBytes)) yield* cutter.push(chunk)
    yield* cutter.end()
  }
}

interface Value {
  value?: unknown
  problem?: AppError
  kind: Piece['kind']
  size: number
}

const isListed = ({ kind }: Piece) => kind === 'element' || kind === 'line'

const tooLarge = () =>
  new AppError('PAYLOAD_TOO_LARGE', `One conversation is larger than the ${MAX_CONVERSATION} bytes allowed here`)

/** @throws AppError BAD_REQUEST when the rest of the document cannot be trusted either; a line stands for itself. */
function valueIn({ kind, bytes }: Piece): Value {
  if (!bytes) return { kind, size: 0, problem: tooLarge() }
  try {
    return { kind, size: bytes.length, value: parse(decode(bytes), MAX_DEPTH) }
  } catch (error) {
    if (kind === 'line' && error instanceof AppError) return { kind, size: bytes.length, problem: error }
    throw error
  }
}
