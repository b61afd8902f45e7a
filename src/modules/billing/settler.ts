import type { LedgerStore, Settled, Settlement } from '../../store/port-money'
import type { Journal } from './journal'

export interface SettlerDeps {
  ledger: Pick<LedgerStore, 'settle' | 'reserve'>
  journal: Pick<Journal, 'open' | 'add' | 'clear'>
  /** How many wait: for those who count. */
  onWaiting: (count: number) => void
  onFault: (message: string, error: unknown) => void
}

/** Milliseconds that an answer waits for its settlement; then it is on disk, and is written in the background. */
const PATIENCE = 5000
/** Milliseconds of the first pause before the next try, and of the longest. */
const PAUSE = 250
const LONGEST = 5000
/** Settlements in memory at most; more are on disk, for the next start. */
const MOST = 10_000
/** How many are written at once after a while without a database. */
const TOGETHER = 200

/** Writes settlements, for however long it takes. Each is charged once: the ledger sees to that. */
export class Settler {
  private readonly waiting = new Map<string, Settlement>()
  private overflowed = false
  private retrying: Promise<void> | undefined
  private closing = false
  private wake: (() => void) | undefined

  constructor(private readonly deps: SettlerDeps) {}

  /** Goes on with what processes before this one left. */
  async open(): Promise<void> {
    this.keep(await this.deps.journal.open())
  }

  /** Whether this one is still to be written. */
  has(id: string): boolean {
    return this.waiting.has(id)
  }

  get count(): number {
    return this.waiting.size
  }

  /** @returns what was charged; undefined while that is not known: it is on disk, and goes on being tried. Never throws. */
  async settle(settlement: Settlement): Promise<Settled | undefined> {
    const { journal, onFault } = this.deps
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('The ledger does not answer')), PATIENCE)
    })
    try {
      const [settled] = await Promise.race([this.together([settlement]), late])
      return settled
    } catch (error) {
      onFault('A settlement could not be written; it is kept and tried again', error)
      // In memory first: the file is removed only when nothing waits there.
      this.keep([settlement])
      await journal.add([settlement]).catch((failure) => onFault('A settlement could not be kept on disk', failure))
      return undefined
    } finally {
      clearTimeout(timer)
    }
  }

  /** Tries what is left, at most `ms`. What is left then is on disk. */
  async close(ms: number): Promise<void> {
    const patience = new Promise((resolve) => setTimeout(resolve, ms).unref())
    this.wake?.()
    await Promise.race([this.retrying, patience])
    this.closing = true
    this.wake?.()
    await this.retrying
  }

  private keep(settlements: Settlement[]): void {
    for (const settlement of settlements) {
      if (this.waiting.size < MOST || this.waiting.has(settlement.id)) this.waiting.set(settlement.id, settlement)
      else if (!this.overflowed) {
        this.overflowed = true
        this.deps.onFault('Too many settlements wait; more are kept on disk until the next start', undefined)
      }
    }
    this.deps.onWaiting(this.waiting.size)
    if (this.waiting.size > 0)
      this.retrying ??= this.retry().finally(() => {
        this.retrying = undefined
      })
  }

  private async retry(): Promise<void> {
    for (let pause = PAUSE; this.waiting.size > 0 && !this.closing; pause = Math.min(LONGEST, pause * 2)) {
      await this.pause(pause)
      for (let size = TOGETHER; this.waiting.size > 0; size = TOGETHER) {
        // One that the database will not have must not hold up the others: it goes to the end of the line.
        while (size >= 1 && !(await this.write(size))) size = Math.floor(size / 14)
        if (size < 1) break
        pause = PAUSE / 2
      }
    }
  }

  /** What was only just reserved when the database died is lost with it, and kept back again: the answer was given. */
  private async together(settlements: Settlement[]): Promise<Settled[]> {
    const { ledger } = this.deps
    const settled = await ledger.settle(settlements)
    const lost = settlements.flatMap(({ id, at, reservation }, i) =>
      reservation && settled[i]?.outcome === 'unknown' ? [{ ...reservation, id, amount: 1n, at }] : [],
    )
    if (lost.length === 0) return settled
    await ledger.reserve(lost)
    // What is settled stays as it is.
    return ledger.settle(settlements)
  }

  /** Writes the first ones of them. @returns whether that worked. */
  private async write(size: number): Promise<boolean> {
    const { journal, onWaiting, onFault } = this.deps
    const some = [...this.waiting.values().take(size)]
    try {
      await this.together(some)
    } catch {
      const [first] = some
      if (first && size === 1) {
        this.waiting.delete(first.id)
        this.waiting.set(first.id, first)
      }
      return false
    }
    for (const { id } of some) this.waiting.delete(id)
    onWaiting(this.waiting.size)
    if (this.waiting.size === 0 && !this.overflowed) {
      await journal.clear().catch((error) => onFault('A file of settlements could not be removed', error))
    }
    return true
  }

  /** Equal jitter: several servers come back to one database. */
  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms / 2 + (Math.random() * ms) / 2)
      timer.unref()
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
