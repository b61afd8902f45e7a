import type { CacheUse, Wanted } from './port'

/** A value as it is kept. */
export interface Entry {
  use: CacheUse
  owner: string
  key: string
  /** The mark that was there before it was loaded. It is good while that is still the mark. */
  mark: string
  /** When it began to be loaded: milliseconds since 1970. */
  at: number
  /** JSON, see text.ts. */
  text: string
}

export type Place = Pick<Wanted, 'use' | 'owner' | 'key'>

/** What was found. */
export interface Look {
  /** Changes with every `forget` that is about this place, and is never the same again. */
  mark: string
  entry: Entry | undefined
}

/** Where entries are. Nothing of it ever throws. */
export interface Shelf {
  /** @returns undefined: it does not serve just now. */
  look(place: Place): Promise<Look | undefined>
  /** Kept for `ms` milliseconds at most. Later looks of this server find it. */
  put(entry: Entry, ms: number): void
  forget(use: CacheUse, owners: readonly string[] | 'everybody'): Promise<void>
  mode(): 'redis' | 'local'
  close(): void
}
