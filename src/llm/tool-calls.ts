/** Calls of one step that are made at once. */
const AT_ONCE = 4

interface Numbered {
  index: number
  [key: string]: unknown
}

/**
 * Numbers the calls of an answer through all its steps, and sees to it that each has an id of its own: providers begin
 * again with every request, some of them with the same ids, and some give none at all.
 */
export class CallNumbers {
  /** Calls of the steps before. */
  private before = 0
  private places: { key: unknown; given: unknown; id: string }[] = []

  /** @param used ids that calls before this answer have. */
  constructor(private readonly used: Set<string>) {}

  /** The next request's calls begin. */
  nextStep(): void {
    this.before += this.places.length
    this.places = []
  }

  /** What the calls of this request were, is void. */
  reset(): void {
    for (const { id } of this.places) this.used.delete(id)
    this.places = []
  }

  /** Pieces of calls, as a provider sent them, with unique ids. `index` begins with 0 in each step. */
  number(pieces: unknown[]): Numbered[] {
    return pieces.flatMap((piece) => {
      if (typeof piece !== 'object' || piece === null) return []
      const { index, id, ...rest }: { index?: unknown; id?: unknown } = piece
      const at = this.placeOf(index, id)
      if (at >= 0) return [{ index: at, ...rest }]
      const unique = this.unique(id)
      this.places.push({ key: index, given: id, id: unique })
      return [{ index: this.places.length - 1, id: unique, type: 'function', ...rest }]
    })
  }

  /** The same pieces with `index` through the whole answer. */
  through(pieces: Numbered[]): Numbered[] {
    return pieces.map((piece) => ({ ...piece, index: piece.index + this.before }))
  }

  /** Which of this request's calls a piece belongs to; -1 for a new one. */
  private placeOf(index: unknown, id: unknown): number {
    const at = this.places.findLastIndex(({ key }) => key === index)
    const place = this.places[at]
    if (!place) return -1
    const isOther = typeof id === 'string' && id !== '' && id !== place.given
    // Without a number every piece is a whole call.
    return isOther || (index === undefined && id === undefined) ? -1 : at
  }

  private unique(id: unknown): string {
    const wanted = typeof id === 'string' && id ? id : `call_${this.before + this.places.length + 1}`
    let unique = wanted
    for (let n = 2; this.used.has(unique); n++) unique = `${wanted}_${n}`
    this.used.add(unique)
    return unique
  }
}

/** The first bytes of a text, and a note when that is not all of it. */
export function cut(text: string, bytes: number): string {
  const all = Buffer.byteLength(text)
  if (all <= bytes) return text
  const kept = Buffer.from(text)
    .subarray(0, bytes)
    .toString('utf8')
    .replace(/\uFFFD+$/, '')
  return `${kept}\n[Cut off: the result has ${all} bytes, and these are the first ${Buffer.byteLength(kept)}]`
}

/** Does something with each, some at once. @returns the results in the order of the items. */
export async function inTurn<A, B>(items: A[], work: (item: A) => Promise<B>): Promise<B[]> {
  const results: B[] = []
  const queue = items.entries()
  const worker = async () => {
    for (const [i, item] of queue) results[i] = await work(item)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return results
}
