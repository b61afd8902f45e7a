/**
 * A bucket that holds `capacity` units and fills by itself, `perSecond` units each second: that many units may be taken at once,
 * and so many more each second after that. In any `s` seconds at most `capacity + s * perSecond` units are granted.
 */
export interface Bucket {
  /** Whose kind it is: `user`, `tenant`, … For headers and metrics. */
  name: string
  /** Which one it is, among all buckets of all kinds. */
  key: string
  /** More than zero. */
  capacity: number
  /** More than zero. */
  perSecond: number
  /** Units to take, at most `capacity`. */
  cost: number
}

/** Places for what takes a while: at most `most` are taken at once. */
export interface Slots {
  name: string
  key: string
  most: number
}

/** How a bucket stands after it was asked. */
export interface Level {
  name: string
  capacity: number
  /** Milliseconds in which an empty one fills. */
  emptyMs: number
  /** Units that may be taken now; below zero while it is in debt. */
  left: number
  /** Milliseconds until it is full again. */
  fullMs: number
  /** Milliseconds until it had what was asked of it; zero when it had. */
  waitMs: number
}

export interface Taken {
  /** Whether everything was taken. If not, nothing was. */
  granted: boolean
  /** In the order of the buckets. */
  levels: Level[]
  /** The first of the slots that were all taken. */
  busy: string | undefined
}

export interface Ask {
  buckets: readonly Bucket[]
  slots?: readonly Slots[]
  /** Who takes the slots: an id that nobody else has. Needed with slots. */
  holder?: string
}

/** A place that somebody holds. */
export interface Hold {
  key: string
  holder: string
}

/** Milliseconds that a slot is held without being renewed: how late those of a dead server are free. */
export const HOLD_MS = 60_000
/** How deep a bucket may be in debt, in capacities. */
export const MOST_DEBT = 10

/** Counts for all servers of an installation. Nothing here throws, and nothing waits for long. */
export interface Limiter {
  /** Takes from all buckets and one of all slots, or from none. */
  take(ask: Ask): Promise<Taken>
  /** What was taken turned out to be more by `cost`, or less where that is negative. Never refused: a bucket may go into debt. */
  correct(buckets: readonly Bucket[]): Promise<void>
  /** Holds slots for another `HOLD_MS`. Also those that were forgotten by whoever counts. */
  renew(holds: readonly Hold[]): Promise<void>
  /** Gives slots back; those that nobody holds are none. */
  release(holds: readonly Hold[]): Promise<void>
  /** Where it is counted: in this process alone; in Redis; in this process while Redis is away. */
  readonly mode: 'memory' | 'redis' | 'local'
  close(): Promise<void>
}
