import { AppError } from '../../errors'

/** A value of a document, not yet looked into. */
export interface Piece {
  /**
   * `line`, `element` of a list that is the document, `member` of the `conversations` of an object, or the `whole`: all
   * there is, but for those members.
   */
  kind: 'line' | 'element' | 'member' | 'whole'
  /** Absent when there were too many. */
  bytes: Uint8Array | undefined
}

/** Takes a document as it comes, whatever its bytes are cut into, and gives each piece when it has the end of it. */
export interface Cutter {
  push(chunk: Uint8Array): Generator<Piece>
  end(): Generator<Piece>
}

/** Bytes that are kept to be written again; more are given away with the piece. */
const SPARE = 1_048_576

/**
 * What a piece consists of. Beyond the limit nothing is kept of it. One buffer that grows, because a body may come byte by
 * byte and a list of its chunks would be many times as large.
 */
class Collected {
  private buffer = Buffer.alloc(0)
  private size = 0

  constructor(private readonly most: number) {}

  add(bytes: Uint8Array): void {
    const start = this.size
    this.size += bytes.length
    if (this.size > this.most) this.buffer = Buffer.alloc(0)
    else {
      if (this.size > this.buffer.length) this.grow()
      this.buffer.set(bytes, start)
    }
  }

  private grow(): void {
    const larger = Buffer.alloc(Math.max(this.size, Math.min(2 * this.buffer.length, this.most)))
    larger.set(this.buffer)
    this.buffer = larger
  }

  /** The last bytes, as text. */
  tail(length: number): string {
    return this.size > this.most ? '' : this.buffer.toString('latin1', Math.max(0, this.size - length), this.size)
  }

  take(): Uint8Array | undefined {
    const bytes = this.size > this.most ? undefined : this.buffer.subarray(0, this.size)
    this.size = 0
    if (this.buffer.length <= SPARE) return bytes && new Uint8Array(bytes)
    this.buffer = Buffer.alloc(0)
    return bytes
  }
}

/** One value on each line. */
export class Lines implements Cutter {
  private readonly line: Collected

  constructor(maxBytes: number) {
    this.line = new Collected(maxBytes)
  }

  *push(chunk: Uint8Array): Generator<Piece> {
    let from = 0
    for (let to = chunk.indexOf(LF); to >= 0; to = chunk.indexOf(LF, from)) {
      this.line.add(chunk.subarray(from, to))
      from = to + 1
      yield* this.end()
    }
    this.line.add(chunk.subarray(from))
  }

  *end(): Generator<Piece> {
    const bytes = this.line.take()
    if (!bytes?.every(isBlank)) yield { kind: 'line', bytes }
  }
}

const [LF, QUOTE, COMMA, OPENS, BACKSLASH, CLOSES, CURLY_OPENS, CURLY_CLOSES] = [10, 34, 44, 91, 92, 93, 123, 125]
/** A mark of the byte order, wherever it stands, is a blank of a few bytes: no JSON begins with one of these. */
const isBlank = (byte: number) =>
  byte === 32 || byte === LF || byte === 13 || byte === 9 || byte === 0xef || byte === 0xbb || byte === 0xbf

/** How a list of conversations begins in an object around it. */
const LIST = /[{,]\s*"conversations"\s*:\s*$/
const LIST_LENGTH = 64

/** A JSON document: the elements of its list, or the conversations of its object and then what was around them. */
export class Document implements Cutter {
  private readonly piece: Collected
  private readonly around: Collected
  /** Where the next byte is. `list` is within the one that is given away piece by piece. */
  private at: 'start' | 'list' | 'object' | 'scalar' | 'end' = 'start'
  private inString = false
  private escaped = false
  /** Open brackets; in the list, those of the element. */
  private depth = 0
  private kind: 'element' | 'member' = 'element'
  private blank = true
  private count = 0

  constructor(maxBytes: number) {
    this.piece = new Collected(maxBytes)
    this.around = new Collected(maxBytes)
  }

  *push(chunk: Uint8Array): Generator<Piece> {
    for (let from = 0; from < chunk.length; ) {
      if (this.at === 'start' || this.at === 'end') from = this.begin(chunk, from)
      else if (this.at === 'list') {
        const to = this.scan(chunk, from)
        this.piece.add(chunk.subarray(from, to))
        if (to < chunk.length) yield* this.endOfElement(chunk[to] ?? 0)
        from = to + 1
      } else if (this.at === 'object') from = this.object(chunk, from)
      else {
        this.around.add(chunk.subarray(from))
        return
      }
    }
  }

  *end(): Generator<Piece> {
    if (this.at === 'list' || this.at === 'object') throw broken('it ends too early')
    const bytes = this.around.take()
    if (!bytes || bytes.length > 0) yield { kind: 'whole', bytes }
  }

  /** Before and after the one value there must be. */
  private begin(chunk: Uint8Array, start: number): number {
    let from = start
    while (from < chunk.length && isBlank(chunk[from] ?? 0)) from++
    if (from === chunk.length) return from
    if (this.at === 'end') throw broken('something follows its end')
    const byte = chunk[from]
    if (byte === OPENS) {
      this.at = 'list'
      return from + 1
    }
    this.at = byte === CURLY_OPENS ? 'object' : 'scalar'
    return from
  }

  /** @returns where the element ends: at a comma or a bracket of its list, or not in this chunk. */
  private scan(chunk: Uint8Array, from: number): number {
    let { inString, escaped, depth, blank } = this
    let i = from
    for (; i < chunk.length; i++) {
      const byte = chunk[i]
      if (inString) {
        if (escaped) escaped = false
        else if (byte === BACKSLASH) escaped = true
        else if (byte === QUOTE) inString = false
        continue
      }
      if (byte === QUOTE) inString = true
      else if (byte === CURLY_OPENS || byte === OPENS) depth++
      else if (byte === CURLY_CLOSES || byte === CLOSES) {
        if (depth === 0) break
        depth--
      } else if (byte === COMMA && depth === 0) break
      blank &&= isBlank(byte ?? 0)
    }
    this.inString = inString
    this.escaped = escaped
    this.depth = depth
    this.blank = blank
    return i
  }

  private *endOfElement(byte: number): Generator<Piece> {
    if (byte === CURLY_CLOSES) throw broken('a bracket closes what another opened')
    const isEmpty = this.blank && byte === CLOSES && this.count === 0
    if (this.blank && !isEmpty) throw broken('a comma has nothing beside it')
    const bytes = this.piece.take()
    this.blank = true
    this.count++
    if (!isEmpty) yield { kind: this.kind, bytes }
    if (byte === COMMA) return
    this.count = 0
    this.at = this.kind === 'element' ? 'end' : 'object'
    if (this.kind === 'member') {
      this.around.add(Buffer.from(']'))
      this.depth = 1
    }
  }

  /** What stands around a list. @returns where that begins, or the object ends. */
  private object(chunk: Uint8Array, from: number): number {
    let kept = from
    for (let i = from; i < chunk.length; i++) {
      const byte = chunk[i]
      if (this.inString) {
        if (this.escaped) this.escaped = false
        else if (byte === BACKSLASH) this.escaped = true
        else if (byte === QUOTE) this.inString = false
      } else if (byte === QUOTE) this.inString = true
      else if (byte === CURLY_OPENS) this.depth++
      else if (byte === OPENS) {
        if (++this.depth !== 2) continue
        this.around.add(chunk.subarray(kept, i))
        kept = i
        if (LIST.test(this.around.tail(LIST_LENGTH))) return this.beginMembers(i)
      } else if (byte === CURLY_CLOSES || byte === CLOSES) {
        if (--this.depth > 0) continue
        this.around.add(chunk.subarray(kept, i + 1))
        this.at = 'end'
        return i + 1
      }
    }
    this.around.add(chunk.subarray(kept))
    return chunk.length
  }

  private beginMembers(at: number): number {
    this.around.add(Buffer.from('['))
    this.at = 'list'
    this.kind = 'member'
    this.depth = 0
    return at + 1
  }
}

const broken = (why: string) => new AppError('BAD_REQUEST', `The body is not valid JSON: ${why}`)
