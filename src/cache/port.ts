/** What is kept: the model lists of providers, people's profiles, and what they have and may spend. */
export type CacheUse = 'models' | 'profile' | 'balance'

export interface Wanted {
  use: CacheUse
  /** Whose it is: the id of a person, or of whoever else may see it. It is kept with the value and compared when that is read. */
  owner: string
  /** Which of the owner's values; may hold any characters, and no secret. */
  key: string
  /** Milliseconds for which it is good. Zero: it is not kept at all. */
  ttlMs: number
  /** Milliseconds after that in which it is still given, while it is loaded anew in the background; default: none. */
  staleMs?: number
}

/**
 * Answers that are dear to work out, kept for a while. The database or the provider has the truth: whatever is wrong with what
 * keeps them, the answer is loaded as if nothing were kept.
 *
 * What was forgotten is never given again by any server that shares the cache, once `forget` has resolved: not by one that began to
 * load it before, either. While a server cannot reach what is shared, it keeps nothing; what it had others forget they forget when
 * it can again, and until then they may give what they kept, for as long as that was good.
 */
export interface Cache {
  /**
   * The value that is kept, or what `load` gives. Callers that want the same at the same time share one call of `load` on each
   * server. What they get is a copy that is theirs to change.
   * @param load gives JSON, in which there may be bigints. Its failure goes to those who wait for it, and is not kept.
   */
  get<T>(wanted: Wanted, load: () => Promise<T>): Promise<T>
  /** Everything of these owners in one use, or of everybody. Call it after the change is written. Never throws; 50 ms at most. */
  forget(use: CacheUse, owners: readonly string[] | 'everybody'): Promise<void>
  /** `local`: what is kept is not shared with other servers now, or nothing is kept. */
  mode(): 'redis' | 'local'
  close(): void
}

/**
 * How it went: `hit`; `stale`, given while it is loaded anew; `miss`; `away`, loaded as what keeps it does not serve; `foreign`,
 * loaded as what was found is somebody else's.
 */
export type CacheOutcome = 'hit' | 'stale' | 'miss' | 'away' | 'foreign'

export interface CacheOptions {
  /** For those who count. */
  onAsked?: (use: CacheUse, outcome: CacheOutcome) => void
  onFault?: (message: string, facts: object) => void
  /** Milliseconds since 1970. Servers whose clocks differ take things for so much younger or older. */
  now?: () => number
}
