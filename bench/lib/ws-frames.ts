/** Just enough of RFC 6455 for a client whose server is known: whole messages of ASCII, no extensions. */

export const TEXT = 1
export const CLOSE = 8
export const PING = 9
export const PONG = 10

export interface Frame {
  readonly opcode: number
  readonly payload: string
}

/** A frame from a client must be masked; a mask of zeros leaves the bytes as they are. */
export function clientFrame(opcode: number, text: string): Buffer {
  const body = Buffer.from(text, 'latin1')
  const length = body.length < 126 ? [0x80 | body.length] : [0x80 | 126, body.length >> 8, body.length & 255]
  if (body.length > 0xffff) throw new Error('too long for the bench')
  return Buffer.concat([Buffer.from([0x80 | opcode, ...length, 0, 0, 0, 0]), body])
}

/** Cuts a server's bytes into frames. */
export class FrameReader {
  #rest: Buffer | undefined

  /** @throws when a message comes in several frames. */
  feed(bytes: Buffer, seen: (frame: Frame) => void): void {
    const all = this.#rest === undefined ? bytes : Buffer.concat([this.#rest, bytes])
    let at = 0
    for (let end = endOf(all, at); end !== undefined && end <= all.length; end = endOf(all, at)) {
      const first = all[at] ?? 0
      if ((first & 0x80) === 0) throw new Error('a message in several frames')
      seen({ opcode: first & 15, payload: all.toString('latin1', at + headOf(all, at), end) })
      at = end
    }
    // What comes next may be written over the same memory.
    this.#rest = at < all.length ? Buffer.from(all.subarray(at)) : undefined
  }
}

const headOf = (bytes: Buffer, at: number): number => {
  const length = bytes[at + 1] ?? 0
  return length < 126 ? 2 : length === 126 ? 4 : 10
}

/** Where the frame at `at` ends; undefined while its head is not there. */
function endOf(bytes: Buffer, at: number): number | undefined {
  if (bytes.length < at + 2) return undefined
  const head = headOf(bytes, at)
  if (bytes.length < at + head) return undefined
  const short = bytes[at + 1] ?? 0
  const length = head === 2 ? short : head === 4 ? bytes.readUInt16BE(at + 2) : bytes.readUInt32BE(at + 6)
  return at + head + length
}
