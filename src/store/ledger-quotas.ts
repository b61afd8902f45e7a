import { newId } from '../lib/ids'
import { retry } from '../lib/retry'
import { checkReservation } from './ledger-check'
import { GroupedLedger, type GroupOptions } from './ledger-groups'
import type { Drawing, LedgerStore, NewReservation, Reserved, Settlement } from './port-money'

/** A quota is this many times what was reserved from one look to the next, so that it lasts when they ask more. */
const AMPLE = 2n
/** Answers of all from one look to the next above which nothing is set aside: written together, their reservations cost half. */
const CROWDED = 100
/** Milliseconds until a sweeper gives back the quota of a process that died. */
const EXPIRES = 60_000
/** Tries of what may have been done. */
const AGAIN = { attempts: 5, baseMs: 50 }
/** Reservations on their way to the database. More wait for it, together: so they do while it is slow or away. */
const UNCONFIRMED = 2

export interface QuotaOptions extends GroupOptions {
  /** Milliseconds between two looks at who is busy; infinite: only `turn` looks. */
  everyMs?: number
  /** Answers from one look to the next that make somebody busy. */
  busy?: number
  /** A quota is at most such a part of what is available, so that nobody is refused because of what lies in quotas of other servers. */
  part?: bigint
  now: () => Date
  onFault: (message: string, error: unknown) => void
}

/** Credit set aside: an open reservation out of which others are made. */
interface Quota {
  id: string
  left: bigint
  /** What those that are made of it say of the account. */
  says: Pick<Extract<Reserved, { outcome: 'reserved' }>, 'limited' | 'available'>
}

/** Those who are charged for the same things: mostly an API key. */
interface Caller {
  accounts: Pick<NewReservation, 'accountIds' | 'optionalAccountIds'>
  /** Since the last look. */
  answers: number
  reserved: bigint
  /** What could be reserved as of late; undefined while nothing limits it. */
  available: bigint | undefined
  quota?: Quota | undefined
}

/**
 * A ledger in which nobody who is busy waits for a first word until the database has answered. For them a quota is reserved each
 * second (the granted units of online charging, RFC 8506), and an answer's reservation is drawn from it: the
 * statement is sent before the model is asked, and confirmed while it answers. So no model is asked without money kept back, and no
 * call is without its reservation when this process dies.
 */
export class QuotaLedger extends GroupedLedger {
  private readonly callers = new Map<string, Caller>()
  /** Quotas that are to be given back. */
  private readonly retired = new Set<string>()
  /** Reservations on their way, by their ids. Never reject. */
  private readonly unconfirmed = new Map<string, Promise<void>>()
  private readonly timer: ReturnType<typeof setInterval> | undefined
  private turning: Promise<void> | undefined
  /** Of all callers since the last look. */
  private answers = 0
  private readonly busy: number
  private readonly part: bigint

  constructor(
    ledger: LedgerStore,
    private readonly options: QuotaOptions,
  ) {
    super(ledger, options)
    const { everyMs = 1000, busy = 5, part = 64n } = options
    this.busy = busy
    this.part = part
    if (!Number.isFinite(everyMs)) return
    this.timer = setInterval(() => void this.turn(), everyMs)
    this.timer.unref()
  }

  override async reserve(reservations: NewReservation[]): Promise<Reserved[]> {
    const [one, ...more] = reservations
    if (!one || more.length > 0 || one.unpriced) return super.reserve(reservations)
    checkReservation(one)
    const caller = this.callerOf(one)
    caller.answers++
    this.answers++
    caller.reserved += one.amount
    const { quota } = caller
    if (quota && quota.left > one.amount && this.unconfirmed.size < UNCONFIRMED) return this.drawn(quota, one)
    const answers = await super.reserve(reservations)
    if (answers[0]?.outcome === 'reserved') caller.available = answers[0].available
    return answers
  }

  override async settle(settlements: Settlement[]) {
    await this.confirmed(settlements)
    return super.settle(settlements)
  }

  override async void(ids: string[], at: Date) {
    await this.confirmed(ids.map((id) => ({ id })))
    return super.void(ids, at)
  }

  override async extend(...[id, ...terms]: Parameters<LedgerStore['extend']>) {
    await this.confirmed([{ id }])
    return super.extend(id, ...terms)
  }

  /** Waits until those of them that were made here are in the database. Never rejects. */
  async confirmed(reservations: { id: string }[]): Promise<void> {
    if (this.unconfirmed.size === 0) return
    await Promise.all(reservations.map(({ id }) => this.unconfirmed.get(id)))
  }

  /** Sets aside for who was busy since the last look, and gives back what was set aside then. Never rejects. */
  turn(): Promise<void> {
    this.turning ??= this.renew()
      .catch((error) => this.options.onFault('Credit of busy callers could not be set aside', error))
      .finally(() => {
        this.turning = undefined
      })
    return this.turning
  }

  /** Gives back what is set aside. Never rejects. */
  async close(): Promise<void> {
    clearInterval(this.timer)
    await this.turning
    for (const caller of this.callers.values()) caller.answers = 0
    await this.turn()
  }

  private callerOf({ accountIds, optionalAccountIds }: NewReservation): Caller {
    const accounts = { accountIds, optionalAccountIds }
    const key = JSON.stringify(accounts)
    const known = this.callers.get(key)
    if (known) return known
    const caller: Caller = { accounts, answers: 0, reserved: 0n, available: undefined }
    this.callers.set(key, caller)
    return caller
  }

  private async drawn(quota: Quota, reservation: NewReservation): Promise<Reserved[]> {
    quota.left -= reservation.amount
    const sent = this.draw(quota.id, [reservation])
    this.unconfirmed.set(reservation.id, this.confirm(sent, quota, reservation))
    try {
      await sent
    } catch {
      quota.left = 0n
      return super.reserve([reservation])
    }
    return [{ outcome: 'reserved', ...quota.says }]
  }

  /** Waits for the answer to what was sent; drawing the same again takes nothing more. */
  private async confirm(sent: Promise<Drawing>, quota: Quota, reservation: NewReservation): Promise<void> {
    const drawing = await sent.catch(() => undefined)
    const again = async () => (await this.draw(quota.id, [reservation])).made
    const alone = () => super.reserve([reservation])
    try {
      if (!drawing || (await drawing.made.catch(() => false))) return
      // Until there is another one, everybody waits for the database.
      quota.left = 0n
      // One that died may have forgotten its last second, and with it the quota.
      if (!(await retry(again, AGAIN))) await retry(alone, AGAIN)
    } catch (error) {
      // Whoever settles it finds that it is not there, and makes it.
      this.options.onFault('A reservation could not be written; its settlement will be', error)
    } finally {
      this.unconfirmed.delete(reservation.id)
    }
  }

  private async renew(): Promise<void> {
    const wanted = new Map<Caller, NewReservation>()
    const crowded = this.answers > CROWDED
    this.answers = 0
    for (const [key, caller] of this.callers) {
      const { answers, quota } = caller
      if (quota) this.retired.add(quota.id)
      const reservation = crowded || answers < this.busy ? undefined : this.quotaFor(caller)
      if (reservation) wanted.set(caller, reservation)
      else caller.quota = undefined
      if (answers === 0) this.callers.delete(key)
      Object.assign(caller, { answers: 0, reserved: 0n })
    }
    try {
      // Meanwhile the old ones serve.
      const answers = await super.reserve([...wanted.values()])
      for (const [i, [caller, reservation]] of [...wanted].entries()) take(caller, reservation, answers[i])
    } catch (error) {
      for (const [caller, { id }] of wanted) {
        caller.quota = undefined
        // Nobody knows whether it was made.
        this.retired.add(id)
      }
      throw error
    } finally {
      await this.giveBack()
    }
  }

  private async giveBack(): Promise<void> {
    const ids = [...this.retired]
    await Promise.all(this.unconfirmed.values())
    await super.void(ids, this.options.now())
    for (const id of ids) this.retired.delete(id)
  }

  private quotaFor({ accounts, answers, reserved, available }: Caller): NewReservation | undefined {
    const ample = reserved * AMPLE
    const amount = available === undefined || ample < available / this.part ? ample : available / this.part
    // Not worth it for what pays for few of them.
    if (amount < (reserved / BigInt(answers)) * BigInt(this.busy)) return undefined
    const at = this.options.now()
    return { ...accounts, id: newId(), amount, runId: null, expiresAt: new Date(at.getTime() + EXPIRES), at }
  }
}

function take(caller: Caller, { id, amount }: NewReservation, answer: Reserved | undefined): void {
  caller.quota = undefined
  if (answer?.outcome !== 'reserved') return
  const { limited, available } = answer
  caller.available = available
  const says = available === undefined ? { limited } : { limited, available: available - amount }
  caller.quota = { id, left: amount, says }
}
