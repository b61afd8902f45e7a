import { withMargin } from '../../lib/margin'
import { millionths } from '../../lib/money'
import type { Rater } from '../../llm/rater'
import type { TurnStore } from '../../store/port'
import type { LedgerStore, NewUsage, OrphanedReservation, OutboxEvent, Settlement } from '../../store/port-money'
import type { TenantTerms } from './admission'
import type { Settler } from './settler'

export interface SweeperDeps {
  ledger: Pick<LedgerStore, 'expire' | 'orphans' | 'settle'>
  answers?: Pick<TurnStore, 'amend'> | undefined
  settler: Pick<Settler, 'has'>
  /** Comes before money is given back: answers of this process may still need some of it. */
  hold: () => Promise<void>
  rater: Pick<Rater, 'count'>
  tenants: (tenantId: string) => Promise<TenantTerms>
  lowAt?: bigint | undefined
  /** What the outbox is told of an answer. */
  eventOf?: ((record: NewUsage) => OutboxEvent | undefined) | undefined
  /** Something may have been written into the outbox. */
  onEvent?: (() => void) | undefined
  onFault: (message: string, error: unknown) => void
  now: () => Date
}

type Swept = Settlement & { usage: NewUsage }

/** Milliseconds between two sweeps. */
const EVERY = 10_000
/** Seconds after the end of a run in which whoever made it settles it. */
const GRACE = 30
/** Reservations at once. */
const MOST = 200

/** Settles what dead processes left open, by what was said, and gives back what nobody will settle. */
export class Sweeper {
  private timer: ReturnType<typeof setInterval> | undefined
  private sweeping: Promise<void> | undefined

  constructor(private readonly deps: SweeperDeps) {}

  start(): void {
    this.timer = setInterval(() => void this.turn(), EVERY)
    this.timer.unref()
  }

  stop(): void {
    clearInterval(this.timer)
  }

  /** One turn; while one is going, no other begins. Never rejects. */
  turn(): Promise<void> {
    this.sweeping ??= this.sweep()
      .catch((error) => this.deps.onFault('Could not look after open reservations', error))
      .finally(() => {
        this.sweeping = undefined
      })
    return this.sweeping
  }

  private async sweep(): Promise<void> {
    const { ledger, settler, hold, now } = this.deps
    await hold()
    // First those of which it is known what they took: what expires is charged nothing.
    const orphans = await ledger.orphans(GRACE, MOST)
    // What this process has not been able to write yet is known better than by a guess.
    const left = orphans.filter(({ id }) => !settler.has(id))
    if (left.length > 0) await this.settle(await Promise.all(left.map((orphan) => this.settlement(orphan))))
    await ledger.expire(now(), MOST)
  }

  private async settle(settlements: Swept[]): Promise<void> {
    const { ledger, answers, onEvent } = this.deps
    const settled = await ledger.settle(settlements)
    onEvent?.()
    for (const [i, { usage }] of settlements.entries()) {
      const { conversationId, messageId, promptTokens, completionTokens } = usage
      const outcome = settled[i]
      if (outcome?.outcome !== 'settled' || !conversationId || !messageId) continue
      const total = promptTokens + completionTokens
      const counted = { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: total }
      await answers?.amend({ conversationId, messageId, usage: counted, costNanos: outcome.settled })
    }
  }

  private async settlement({ id, usage: begun, text, said }: OrphanedReservation): Promise<Swept> {
    const { rater, tenants, lowAt, eventOf, now } = this.deps
    const { promptNanos, outputRate, ...beginning } = begun
    const [completionTokens, { marginBp }] = await Promise.all([
      said ?? rater.count(text, begun.model),
      tenants(begun.tenantId),
    ])
    const costNanos = promptNanos + millionths(BigInt(completionTokens) * outputRate)
    const amount = withMargin(costNanos, marginBp)
    const at = now()
    const usage: NewUsage = {
      ...beginning,
      id,
      provider: null,
      providerModel: null,
      status: 'interrupted',
      finishReason: null,
      completionTokens,
      cachedTokens: 0,
      reasoningTokens: 0,
      usage: null,
      costNanos,
      chargeNanos: amount,
      reportedNanos: null,
      savedNanos: 0n,
      parts: null,
      costBasis: 'estimated',
      priceVersion: null,
      firstTokenMs: null,
      latencyMs: null,
      completedAt: at,
    }
    return { id, amount, usage, event: eventOf?.(usage), lowAt, at }
  }
}
