import type { Owner } from './port-accounts'

/** Which request a key came with, and who works on it. */
export interface KeyClaim {
  /** 1 to 255 visible ASCII characters. The same key of another person is another key. */
  key: string
  /** The operation's template, such as `POST /v1/keys`: for people who look into the table. */
  operation: string
  /** The same for the same request, another for any other. */
  fingerprint: string
  /** The process that works on it. */
  instanceId: string
  /** What a dead process was working on is nobody's: it cannot be done a second time. */
  once?: boolean | undefined
  at: Date
  /** From then on the key is as good as new. */
  expiresAt: Date
}

/** An answer as it left. */
export interface KeptAnswer {
  status: number
  /** Names in small letters. */
  headers: Record<string, string>
  /** Sealed by whoever keeps it: answers hold secrets. */
  body: Uint8Array
}

export type Claimed =
  /** Work on it now: nobody else does. */
  | { outcome: 'claimed' }
  /** The same request is being worked on. */
  | { outcome: 'running' }
  /** It was being worked on by a process that died, and was to be done `once`. */
  | { outcome: 'lost' }
  /** The key came with another request. */
  | { outcome: 'other' }
  | { outcome: 'done'; answer: KeptAnswer }

/** Requests that must be done once, by the keys that their clients gave them. */
export interface IdempotencyStore {
  /**
   * Takes a key. Of any number of calls at once one gets it. What a process not heard of for `silentSeconds` was working
   * on goes to the next who asks the same, unless it is to be done `once`.
   */
  claim(owner: Owner, claim: KeyClaim, silentSeconds: number): Promise<Claimed>
  /** Keeps the answer. Changes nothing when the claim is not this one any more. */
  complete(owner: Owner, claim: KeyClaim, answer: KeptAnswer): Promise<void>
  /** Gives the key back: the next request with it is a first one. Changes nothing when the claim is not this one any more. */
  release(owner: Owner, claim: KeyClaim): Promise<void>
  /** Forgets at most `limit` keys whose time is over, of everybody. @returns how many. */
  prune(now: Date, limit: number): Promise<number>
}
