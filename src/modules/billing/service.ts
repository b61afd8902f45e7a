import { AppError } from '../../errors'
import { retry } from '../../lib/retry'
import type { EmbeddedBy } from '../../llm/embeddings'
import type { ChatEvent, ChatMessage, ChatModel, UsageEvent } from '../../llm/port'
import type { Rater } from '../../llm/rater'
import type { Owner, TurnStore } from '../../store/port'
import type { LedgerAccount, LedgerStore, NewUsage, OutboxEvent, Settlement } from '../../store/port-money'
import { Admission, type AdmissionDeps, type Asked } from './admission'
import type { Held } from './amounts'
import { chargeOf, type Ending, recordOf } from './bill'
import { MeteredAnswer, type Metering, type Unsettled } from './metered'
import { Settler, type SettlerDeps } from './settler'
import { Sweeper, type SweeperDeps } from './sweeper'
import { Vectors } from './vectors'

export interface BillingDeps extends Omit<AdmissionDeps, 'rater' | 'ledger' | 'lifetimeMs'> {
  /** Absent where the store has none: then nothing is kept back and nothing is written. */
  ledger: LedgerStore | undefined
  rater: Rater
  journal: SettlerDeps['journal']
  /** Where stored answers are told what they took when that is known only later. */
  answers?: Pick<TurnStore, 'amend'> | undefined
  /** Milliseconds that one request to a model may take. */
  totalMs: number
  /** Nano-dollars below which whoever pays in advance is told; absent: never. */
  lowAt?: bigint | undefined
  /** What the outbox is told of an answer. */
  eventOf?: ((record: NewUsage) => OutboxEvent | undefined) | undefined
  /** Something may have been written into the outbox. */
  onEvent?: (() => void) | undefined
  onWaiting: SettlerDeps['onWaiting']
  onFault: SettlerDeps['onFault']
}

/** Milliseconds between two notes of what answers have said that are kept nowhere. */
const NOTE_EVERY = 1000
/** Milliseconds that a reservation outlives what it is for. */
const SPARE = 300_000

/** Sees to it that every answer is paid for: nobody asks a model without a reservation, and each is settled once. */
export class Billing {
  private readonly books: Books | undefined
  /** Answers that are not settled yet. */
  private readonly unsettled = new Map<Promise<void>, Unsettled>()
  private notes: ReturnType<typeof setInterval> | undefined
  private noting = false

  constructor(private readonly deps: BillingDeps) {
    this.books = deps.ledger && booksOf({ ...deps, hold: () => this.hold() }, deps.ledger)
  }

  /** Goes on with settlements that were left, and tidies up now and then. Call before the first answer. */
  async open(): Promise<void> {
    await this.books?.settler.open()
    this.books?.sweeper.start()
    this.notes = setInterval(() => void this.note(), NOTE_EVERY)
    this.notes.unref()
  }

  /** Settles what dead processes left open, now. It is done every few seconds anyway. */
  async sweep(): Promise<void> {
    await this.books?.sweeper.turn()
  }

  /** Settlements that could not be written yet. */
  get waiting(): number {
    return this.books?.settler.count ?? 0
  }

  /** A person's account, opened if they have none. @throws AppError NOT_SUPPORTED where there is no ledger. */
  async account(owner: Owner): Promise<LedgerAccount> {
    if (this.books) return this.books.admission.account(owner)
    throw new AppError('NOT_SUPPORTED', 'A ledger needs a database of this server: set DATABASE_URL and STORE=postgres')
  }

  /** The same model, paid for by whoever asks. Outermost: whatever is around it asks for nothing. */
  govern(answerer: ChatModel, asked: Asked): ChatModel {
    const { books } = this
    if (!books) return answerer
    return { stream: (request, signal) => this.metered(books, { answerer, asked, request, signal }) }
  }

  /**
   * Vectors, paid for likewise.
   * @param messages what they are made of.
   * @param make asks for them, and says who made them.
   */
  async embed(asked: Asked, messages: ChatMessage[], make: () => Promise<EmbeddedBy>): Promise<EmbeddedBy> {
    const { books } = this
    if (!books) return make()
    const request = { model: asked.model, messages, params: { max_tokens: 1 } }
    const held = await books.admission.admit({ ...asked, vectors: true }, request)
    const vectors = new Vectors({ asked, request, rater: this.deps.rater, now: this.deps.now })
    const made = await make().catch(async (error) => {
      await this.settle(held, await vectors.failed(error))
      throw error
    })
    await this.settle(held, await vectors.made(made))
    return made
  }

  /** Waits for answers that are still read and for what is to be written, at most `ms`; ends the rest. */
  async close(ms: number): Promise<void> {
    this.books?.sweeper.stop()
    clearInterval(this.notes)
    const patience = new Promise((resolve) => setTimeout(resolve, ms).unref())
    await Promise.race([Promise.all(this.unsettled.keys()), patience])
    for (const { stop } of this.unsettled.values()) stop()
    await Promise.all(this.unsettled.keys())
    await this.books?.settler.close(ms)
  }

  private metered({ admission, ledger }: Books, metering: Metering): AsyncGenerator<ChatEvent> {
    const { rater, now, totalMs } = this.deps
    return new MeteredAnswer(metering, {
      ledger,
      rater,
      now,
      lifetimeMs: totalMs + SPARE,
      admit: (asked, request) => admission.admit(asked, request),
      // What cannot be given back now expires.
      release: async ({ id }) => void (await ledger.void([id], now()).catch(() => {})),
      settle: (held, ending) => this.settle(held, ending),
      amend: (held, usage) => this.amend(held, usage),
      watch: (over, unsettled) => this.watch(over, unsettled),
    }).make()
  }

  /** @returns what is charged. Never throws. */
  private async settle(held: Held, ending: Ending): Promise<bigint> {
    const { rater, lowAt, eventOf, onEvent } = this.deps
    const usage = recordOf(held, ending, rater)
    const event = eventOf?.(usage)
    const amount = chargeOf(held, ending.usage, rater)
    const { id, reservation } = held
    const settlement: Settlement = { id, amount, usage, event, reservation, lowAt, at: ending.at }
    const settled = await this.books?.settler.settle(settlement)
    onEvent?.()
    if (settled?.outcome === 'settled') return settled.settled
    if (settled) this.deps.onFault(`A reservation was ${settled.outcome} before its answer ended`, undefined)
    return amount
  }

  /** It may still be being stored. If it never is, the record says it all the same. */
  private async amend({ usage: { conversationId, messageId } }: Held, { usage, costNanos }: UsageEvent): Promise<void> {
    const { answers } = this.deps
    if (!answers || !conversationId || !messageId || typeof costNanos !== 'bigint') return
    const amend = async () => {
      if (!(await answers.amend({ conversationId, messageId, usage, costNanos }))) throw new Error('Not finished yet')
    }
    await retry(amend, { attempts: 6, baseMs: 50 }).catch(() => {})
  }

  /** A turn that comes while the last one is still going is left out. */
  private async note(): Promise<void> {
    if (!this.books || this.noting) return
    const said = [...this.unsettled.values()].map((answer) => answer.said()).filter((one) => one !== undefined)
    if (said.length === 0) return
    this.noting = true
    const failed = (error: unknown) => this.deps.onFault('Could not note what answers have said', error)
    await this.books.ledger.note(said).catch(failed)
    this.noting = false
  }

  private async hold(): Promise<void> {
    await Promise.all([...this.unsettled.values()].map(({ hold }) => hold()))
  }

  private watch(over: Promise<void>, unsettled: Unsettled): void {
    this.unsettled.set(over, unsettled)
    void over.then(() => this.unsettled.delete(over))
  }
}

interface Books {
  ledger: LedgerStore
  admission: Admission
  settler: Settler
  sweeper: Sweeper
}

function booksOf(deps: BillingDeps & Pick<SweeperDeps, 'hold'>, ledger: LedgerStore): Books {
  const { journal, onWaiting, onFault } = deps
  const settler = new Settler({ ledger, journal, onWaiting, onFault })
  const admission = new Admission({ ...deps, ledger, lifetimeMs: deps.totalMs + SPARE })
  return { ledger, settler, admission, sweeper: new Sweeper({ ...deps, ledger, settler }) }
}
