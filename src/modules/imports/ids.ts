import { createHash } from 'node:crypto'
import { idFrom } from '../../lib/ids'

const hex = (bytes: Uint8Array) => {
  const text = Buffer.from(bytes).toString('hex')
  return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20, 32)].join('-')
}

/** The id that follows from these words, wherever one ends and the next begins. */
export const derivedId = (...words: string[]): string => idFrom(JSON.stringify(words))

/**
 * Ids that follow from words as well, but sort by age like those we make (UUID version 7), and in the order in which they
 * are asked for: alternatives are numbered by their ids.
 */
export class DerivedIds {
  private ms = 0
  private seq = 0

  constructor(private readonly within: string) {}

  next(kind: string, key: string, at: Date): string {
    const time = Math.max(0, at.getTime())
    if (time > this.ms) [this.ms, this.seq] = [time, 0]
    else if (this.seq < 0xfff) this.seq++
    else [this.ms, this.seq] = [this.ms + 1, 0]
    const bytes = createHash('sha256')
      .update(JSON.stringify([this.within, kind, key]))
      .digest()
      .subarray(0, 16)
    bytes.writeUIntBE(this.ms, 0, 6)
    bytes.writeUInt16BE(0x7000 | this.seq, 6)
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
    return hex(bytes)
  }
}
