import { AppError } from '../errors'
import * as check from './ledger-check'
import type {
  Credit,
  LedgerStore,
  NewLedgerAccount,
  NewReservation,
  Reserved,
  Said,
  Settled,
  Settlement,
  Voided,
} from './port-money'

export interface GroupOptions {
  /** Milliseconds that a call waits at most for the group that is being written, and gathers others, before it is a group itself. */
  waitMs?: number
  /**
   * Milliseconds that a settlement waits for others where they come faster than that: a few together cost the database half.
   * Reservations do not wait, as somebody waits for a first word.
   */
  gatherMs?: number
  /** How many items are written together at most, unless one call alone has more. */
  maxItems?: number
  /** How many groups of one kind are being written at once; the database would only have them wait for each other. */
  maxWrites?: number
  /** How many reservations wait at most; one more is refused. Settlements are never refused: the answer has been given. */
  maxWaiting?: number
}

/**
 * A ledger whose reservations and settlements of concurrent requests are written together, so that each costs a fraction of a
 * transaction. What comes alone is written at once. When a group cannot be written, all its callers hear so:
 * UPSTREAM_UNAVAILABLE, and nobody knows whether it was; they may repeat it.
 */
export class GroupedLedger implements LedgerStore {
  private readonly reservations: Group<NewReservation, Reserved>
  private readonly settlements: Group<Settlement, Settled>
  private readonly voids: Group<{ id: string; at: Date }, Voided>

  constructor(
    private readonly ledger: LedgerStore,
    { waitMs = 10, gatherMs = 8, maxItems = 200, maxWrites = 2, maxWaiting = 10_000 }: GroupOptions = {},
  ) {
    const limits = { waitMs, gatherMs: 0, maxItems, maxWrites, maxWaiting: Number.POSITIVE_INFINITY }
    this.reservations = new Group((items) => ledger.reserve(items), { ...limits, maxWaiting })
    this.settlements = new Group((items) => ledger.settle(items), { ...limits, gatherMs })
    this.voids = new Group(
      (items) =>
        ledger.void(
          items.map(({ id }) => id),
          latest(items),
        ),
      limits,
    )
  }

  async reserve(reservations: NewReservation[]): Promise<Reserved[]> {
    // Here rather than in the database: what is wrong with one must not fail the others.
    reservations.forEach(check.checkReservation)
    return this.reservations.add(reservations)
  }

  async settle(settlements: Settlement[]): Promise<Settled[]> {
    settlements.forEach(check.checkSettlement)
    return this.settlements.add(settlements)
  }

  async void(ids: string[], at: Date): Promise<Voided[]> {
    check.checkVoid(ids, at)
    return this.voids.add(ids.map((id) => ({ id, at })))
  }

  open(account: NewLedgerAccount) {
    return this.ledger.open(account)
  }

  credit(credit: Credit) {
    return this.ledger.credit(credit)
  }

  draw(from: string, reservations: NewReservation[]) {
    return this.ledger.draw(from, reservations)
  }

  extend(...terms: Parameters<LedgerStore['extend']>) {
    return this.ledger.extend(...terms)
  }

  note(said: Said[]) {
    return this.ledger.note(said)
  }

  expire(now: Date, limit: number) {
    return this.ledger.expire(now, limit)
  }

  orphans(seconds: number, limit: number) {
    return this.ledger.orphans(seconds, limit)
  }

  limit(accountId: string, limited: boolean) {
    return this.ledger.limit(accountId, limited)
  }

  accounts(tenantId: string, options: Parameters<LedgerStore['accounts']>[1]) {
    return this.ledger.accounts(tenantId, options)
  }

  balance(accountId: string) {
    return this.ledger.balance(accountId)
  }

  entries(accountId: string, page: { page: number; limit: number }) {
    return this.ledger.entries(accountId, page)
  }
}

const latest = (items: { at: Date }[]) => new Date(Math.max(...items.map(({ at }) => at.getTime())))

interface Call<Item, Answer> {
  items: Item[]
  done: (answers: Answer[]) => void
  failed: (error: unknown) => void
}

/** Milliseconds between two calls that count at most, so that a pause is over at once when many come again. */
const PAUSE = 50
/** How much of the time between calls is that before the last one. */
const SHARE = 0.2

/** Collects calls and writes them together, in the order in which they came. */
class Group<Item, Answer> {
  private calls: Call<Item, Answer>[] = []
  private waiting = 0
  private writing = 0
  /** When the last call came, and how many milliseconds there are between two as of late. */
  private last = 0
  private between = PAUSE
  /** Takes back the next write while it is planned. */
  private cancel: (() => void) | undefined

  constructor(
    private readonly write: (items: Item[]) => Promise<Answer[]>,
    private readonly limits: Required<GroupOptions>,
  ) {}

  async add(items: Item[]): Promise<Answer[]> {
    if (items.length === 0) return []
    if (this.waiting > 0 && this.waiting + items.length > this.limits.maxWaiting) {
      throw new AppError('UPSTREAM_UNAVAILABLE', 'Too many requests wait for the ledger', { retryAfter: 1 })
    }
    const { promise, resolve, reject } = Promise.withResolvers<Answer[]>()
    this.calls.push({ items, done: resolve, failed: reject })
    this.waiting += items.length
    const now = performance.now()
    this.between += (Math.min(now - this.last, PAUSE) - this.between) * SHARE
    this.last = now
    this.wake()
    return promise
  }

  /** Full groups go at once, as does what comes while nothing is being written; the rest waits for company. */
  private wake(): void {
    if (this.calls.length === 0 || this.writing >= this.limits.maxWrites) return
    if (this.waiting >= this.limits.maxItems) return void this.flush()
    if (this.cancel) return
    const { waitMs, gatherMs } = this.limits
    // Where no other is likely to come meanwhile, waiting brings nothing.
    const wait = this.writing > 0 ? waitMs : this.between < gatherMs ? gatherMs : 0
    if (wait > 0) {
      const timer = setTimeout(() => this.flush(), wait)
      this.cancel = () => clearTimeout(timer)
    } else {
      // Those who come in the same turn of the event loop join.
      const immediate = setImmediate(() => this.flush())
      this.cancel = () => clearImmediate(immediate)
    }
  }

  private async flush(): Promise<void> {
    this.cancel?.()
    this.cancel = undefined
    if (this.calls.length === 0 || this.writing >= this.limits.maxWrites) return
    const group = this.take()
    this.writing++
    this.wake()
    try {
      const answers = await this.write(group.flatMap(({ items }) => items))
      let from = 0
      for (const { items, done } of group) {
        done(answers.slice(from, from + items.length))
        from += items.length
      }
    } catch (cause) {
      const error = new AppError('UPSTREAM_UNAVAILABLE', 'The ledger cannot be written just now', {
        retryAfter: 1,
        cause,
      })
      for (const { failed } of group) failed(error)
    } finally {
      this.writing--
      // Who came meanwhile has waited enough.
      void this.flush()
    }
  }

  /** The calls at the head of the line that fit into one group; at least one. */
  private take(): Call<Item, Answer>[] {
    let size = 0
    let n = 0
    for (const { items } of this.calls) {
      if (n > 0 && size + items.length > this.limits.maxItems) break
      size += items.length
      n++
    }
    this.waiting -= size
    return this.calls.splice(0, n)
  }
}
