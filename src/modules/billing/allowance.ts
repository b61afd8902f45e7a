import type { LedgerStore } from '../../store/port-money'
import { choices, type Held, outputCost, promptCost } from './amounts'

export interface AllowanceDeps {
  ledger: Pick<LedgerStore, 'extend'>
  /** Milliseconds from an extension to when a sweeper may give the money back. */
  lifetimeMs: number
  now: () => Date
}

/** Share of what is kept back at which more is asked for. */
const SOON = 0.8
/** Tokens that an extension is for. */
const MORE = 2048
/** Tokens after which an extension that could not be written is tried again. */
const AGAIN = 64

/** What an answer may still say for the money that is kept back for it, and more money in time. */
export class Allowance {
  /** Tokens said since the last sum that is known. */
  private said = 0
  /** Nano-dollars: the last sum that is known. */
  private base: bigint
  private amount: bigint
  /** Tokens at which more is asked for, and at which there is nothing left. */
  private soon = 0
  private last = 0
  private pending: Promise<void> | undefined
  private exhausted = false

  constructor(
    private readonly held: Held,
    private readonly deps: AllowanceDeps,
  ) {
    this.amount = held.amount
    this.base = promptCost(held, held.terms.promptTokens)
    this.reckon()
  }

  /** So many tokens more were said. @returns whether there may be nothing left: see `over`. */
  spend(tokens: number): boolean {
    this.said += tokens
    if (this.said < this.soon) return false
    this.more()
    return this.said >= this.last
  }

  /** A part of the answer ended, and this is what all of it cost so far; the model is asked again with a longer request. */
  next(spent: bigint, promptTokens: number): boolean {
    this.base = spent + promptCost(this.held, promptTokens)
    this.said = 0
    this.reckon()
    return this.spend(0)
  }

  /** Nothing counts any more of what was said. */
  restart(): void {
    this.said = 0
  }

  /** Whether there is nothing left, after what more could be had. */
  async over(): Promise<boolean> {
    await this.pending
    if (this.said < this.last) return false
    this.more()
    await this.pending
    return this.said >= this.last
  }

  private more(): void {
    if (this.pending || this.exhausted) return
    this.pending = this.extend()
      // The database is away: later again, as long as there is something left.
      .catch(() => {
        this.soon = this.said + AGAIN
      })
      .finally(() => {
        this.pending = undefined
      })
  }

  private async extend(): Promise<void> {
    const { ledger, lifetimeMs, now } = this.deps
    const at = now()
    const terms = { at, expiresAt: new Date(at.getTime() + lifetimeMs) }
    const missing = this.base > this.amount ? this.base - this.amount : 0n
    const by = missing + outputCost(this.held, MORE * choices(this.held.request))
    if (by <= 0n) return
    const answer = await ledger.extend(this.held.id, by, terms)
    if (answer.outcome === 'extended') return this.raise(by)
    this.exhausted = true
    if (answer.outcome !== 'insufficient' || answer.available <= 0n) return
    const rest = await ledger.extend(this.held.id, answer.available, terms)
    if (rest.outcome === 'extended') this.raise(answer.available)
  }

  private raise(by: bigint): void {
    this.amount += by
    this.reckon()
  }

  /** In tokens, so that nothing has to be reckoned for each piece. */
  private reckon(): void {
    const perMillion = Number(outputCost(this.held, 1_000_000))
    const tokens = (nanos: number) => (perMillion > 0 ? (nanos * 1_000_000) / perMillion : nanos >= 0 ? Infinity : 0)
    this.soon = tokens(Number(this.amount) * SOON - Number(this.base))
    this.last = tokens(Number(this.amount - this.base))
  }
}
