import { AppError } from '../errors'
import { retry } from '../lib/retry'
import type { Seal } from '../lib/seal'
import { otherRequest } from '../lib/turn-options'
import type { IdempotencyStore, KeptAnswer, KeyClaim, Owner } from '../store/port'

const HOUR = 3_600_000
/** How long a key is remembered. */
const KEPT_MS = 24 * HOUR
/** Seconds without a heartbeat after which a process counts as dead; as for answers being written. */
const DEAD_AFTER = 10
/** Milliseconds between two tidyings, and how many keys each forgets at most. */
const PRUNE_EVERY = 60_000
const PRUNE_LIMIT = 1000

export interface IdempotencyDeps {
  store: { idempotency: IdempotencyStore }
  /** Encrypts kept answers: they may hold what is shown only once. */
  seal: Seal
  instanceId: string
  now: () => Date
  /** Faults that have no request to answer: they are logged. */
  onFault: (message: string, error: unknown) => void
}

/** A request that is being worked on for the first time. Neither way of ending it ever throws. */
export interface Claim {
  /** The same request gets this answer from now on. */
  keep(answer: KeptAnswer): Promise<void>
  /** As if it had never come. */
  release(): Promise<void>
}

/** Requests that are done once, however often they come. */
export class Idempotency {
  private prunedAt = 0

  constructor(private readonly deps: IdempotencyDeps) {}

  /**
   * @returns a claim, to be ended; or the answer, when the request came before.
   * @throws AppError CONFLICT while that one is being worked on, and for ever when it was lost with its server;
   *   VALIDATION_ERROR when it was another.
   */
  async begin(
    owner: Owner,
    request: Pick<KeyClaim, 'key' | 'operation' | 'fingerprint' | 'once'>,
  ): Promise<{ claim: Claim } | { answer: KeptAnswer }> {
    const { store, seal, instanceId, now } = this.deps
    const at = now()
    this.prune(at)
    const claim: KeyClaim = { ...request, instanceId, at, expiresAt: new Date(at.getTime() + KEPT_MS) }
    const claimed = await store.idempotency.claim(owner, claim, DEAD_AFTER)
    if (claimed.outcome === 'claimed') return { claim: this.claimed(owner, claim) }
    if (claimed.outcome === 'other') throw otherRequest()
    if (claimed.outcome === 'running') throw running()
    if (claimed.outcome === 'lost') throw lost()
    const body = seal.openBytes(claimed.answer.body, ...placeOf(owner, claim))
    if (!body) throw unreadable()
    return { answer: { ...claimed.answer, body } }
  }

  private claimed(owner: Owner, claim: KeyClaim): Claim {
    const { store, seal, onFault } = this.deps
    // A claim that is not ended would be in the way for a day.
    const surely = (work: () => Promise<void>) =>
      retry(work, { attempts: 3, baseMs: 50 }).catch((error) => onFault('An Idempotency-Key could not be kept', error))
    return {
      keep: ({ body, ...answer }) => {
        const sealed = { ...answer, body: seal.sealBytes(body, ...placeOf(owner, claim)) }
        return surely(() => store.idempotency.complete(owner, claim, sealed))
      },
      release: () => surely(() => store.idempotency.release(owner, claim)),
    }
  }

  /** Beside the request: nobody waits for it. */
  private prune(at: Date): void {
    if (at.getTime() - this.prunedAt < PRUNE_EVERY) return
    this.prunedAt = at.getTime()
    const { store, onFault } = this.deps
    store.idempotency
      .prune(at, PRUNE_LIMIT)
      .catch((error) => onFault('Old Idempotency-Keys could not be forgotten', error))
  }
}

/** A kept answer opens for the request it answers and for no other. */
const placeOf = ({ tenantId, userId }: Owner, { key, fingerprint }: KeyClaim) => [
  'idempotency',
  tenantId,
  userId,
  fingerprint,
  key,
]

const running = () =>
  new AppError('CONFLICT', 'The request with this Idempotency-Key is still being worked on. Try again in a moment', {
    retryAfter: 1,
  })

/** To ask the model again would be the second call that the key forbids. */
const lost = () =>
  new AppError(
    'CONFLICT',
    'The server stopped while it answered the request with this Idempotency-Key, and the answer is lost. To ask again, use a new key',
  )

/** After the server got another secret to encrypt with. To do it again would be the very thing that the key forbids. */
const unreadable = () =>
  new AppError(
    'CONFLICT',
    'This Idempotency-Key was used, and its answer cannot be read any more. Look what there is, then use a new key',
  )
