import { LRUCache } from 'lru-cache'
import type { CacheUse } from './port'
import type { Entry, Look, Place, Shelf } from './shelf'

export interface MemoryOptions {
  maxEntries?: number
  /** Of all values together; one that takes more than an eighth of it is not kept. */
  maxBytes?: number
}

/** What is kept in this process: those that were not wanted for the longest time go first. */
export class MemoryShelf implements Shelf {
  private readonly entries: LRUCache<string, Entry>
  /** A mark that was pushed out is made anew, and all it was on is worth nothing. */
  private readonly marks: LRUCache<string, number>
  private count = 0

  constructor({ maxEntries = 10_000, maxBytes = 16 * 1024 * 1024 }: MemoryOptions = {}) {
    this.entries = new LRUCache({
      max: maxEntries,
      maxSize: maxBytes,
      maxEntrySize: Math.floor(maxBytes / 8),
      // Two bytes a character, and what an entry has besides.
      sizeCalculation: ({ owner, key, text }) => 2 * (2 * (owner.length + key.length) + text.length) + 200,
    })
    this.marks = new LRUCache({ max: 2 * maxEntries })
  }

  /** How many there are, for those who look. */
  get size(): number {
    return this.entries.size
  }

  async look(place: Place): Promise<Look> {
    const mark = `${this.mark(place.use)}.${this.mark(place.use, place.owner)}`
    return { mark, entry: this.entries.get(nameOf(place)) }
  }

  put(entry: Entry, ms: number): void {
    this.entries.set(nameOf(entry), entry, { ttl: ms })
  }

  async forget(use: CacheUse, owners: readonly string[] | 'everybody'): Promise<void> {
    if (owners === 'everybody') this.marks.delete(markName(use))
    else for (const owner of owners) this.marks.delete(markName(use, owner))
  }

  mode() {
    return 'local' as const
  }

  close(): void {
    this.entries.clear()
  }

  private mark(use: CacheUse, owner?: string): number {
    const name = markName(use, owner)
    const known = this.marks.get(name)
    if (known !== undefined) return known
    this.marks.set(name, ++this.count)
    return this.count
  }
}

const nameOf = ({ use, owner, key }: Place) => JSON.stringify([use, owner, key])
const markName = (use: CacheUse, owner?: string) => JSON.stringify(owner === undefined ? [use] : [use, owner])
