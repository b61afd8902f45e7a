import type { Owner } from './port-accounts'
import type { LedgerAccountKind, LedgerEntryKind, ReservationState } from './schema'
import type { BudgetPeriod, CostBasis, UsageStatus } from './schema-money'

export type { BudgetPeriod, CostBasis, LedgerAccountKind, LedgerEntryKind, ReservationState, UsageStatus }

/** Somebody's money. All amounts of the ledger are nano-dollars, one million dollars at most at once. */
export interface LedgerAccount {
  id: string
  tenantId: string
  kind: LedgerAccountKind
  /** The person, the API key or the tenant. */
  ownerId: string
  /** An account that is not limited is counted and never refused; its balance may be below zero. */
  limited: boolean
  /** The sum of its entries. */
  balance: bigint
  /** Kept back for open reservations. */
  reserved: bigint
  /** What it can still reserve; null when nothing limits it. */
  available: bigint | null
}

export interface NewLedgerAccount extends Pick<LedgerAccount, 'id' | 'tenantId' | 'ownerId' | 'limited'> {
  kind: Exclude<LedgerAccountKind, 'system'>
  at: Date
}

/** Money that comes in. */
export interface Credit {
  /** Of the transaction, if it comes to one. */
  id: string
  accountId: string
  /** Above zero; only an adjustment may be below. */
  amount: bigint
  kind: Exclude<LedgerEntryKind, 'charge'>
  reason: string
  /** Who did it; null for the program itself. */
  actorId: string | null
  /** 1 to 255 characters, for each tenant its own. */
  idempotencyKey: string
  /** What a refund is about. */
  reservationId?: string | undefined
  at: Date
}

/** A credit as it stands in the books. */
export interface Credited {
  transactionId: string
  amount: bigint
  /** The account's, just after it. */
  balance: bigint
  createdAt: Date
}

export interface NewReservation {
  id: string
  /** All that it is charged to, each the whole amount, and all of one tenant: the person. At least one. */
  accountIds: string[]
  /** Charged likewise where they exist, and left out where they do not: the API key, the tenant. */
  optionalAccountIds?: string[] | undefined
  /** Above zero. */
  amount: bigint
  /** Nobody knows the price: refused where an account is limited or has a hard budget, as it would get round these. */
  unpriced?: boolean | undefined
  /** What is known of the answer already: the record of usage is made of it when nobody comes back to settle. */
  usage?: UsageBeginning | undefined
  runId: string | null
  /** When a sweeper may give it back; long after any answer should be over. */
  expiresAt: Date
  at: Date
}

/**
 * `no_account`: an account is not there, or is another tenant's. `taken`: the id has another reservation, or one that is
 * resolved. `available`: what the account, or the hard budget, with the least left can still reserve. `limited`: whether
 * anything could ever refuse: if not, the answer need not be watched while it is made; `available` is then what there was before.
 */
export type Reserved =
  | { outcome: 'reserved'; limited: boolean; available?: bigint }
  | { outcome: 'no_account' | 'taken' | 'unpriced' }
  | Insufficient

/** `budget`: the one that is used up, where it is not the balance. */
export interface Insufficient {
  outcome: 'insufficient'
  available: bigint
  budget: Pick<Budget, 'id' | 'period' | 'kind'> | null
}

export type Extended =
  | { outcome: 'extended' | 'unknown' }
  | Insufficient
  | { outcome: 'closed'; state: ReservationState }

export interface Drawing {
  /** Whether they were made: not when the reservation they should come from is resolved, or was lost. */
  made: Promise<boolean>
}

/** What an answer cost in the end. */
export interface Settlement {
  id: string
  /** Zero or more. */
  amount: bigint
  /** Written with it, and with the sums by time, if this is what resolves the reservation. */
  usage?: NewUsage | undefined
  /** Written with it, likewise: for whoever wants to know. */
  event?: OutboxEvent | undefined
  /** What it settles, for whoever has to make it again: a database that dies may lose it. */
  reservation?: Pick<NewReservation, 'accountIds' | 'optionalAccountIds' | 'runId' | 'expiresAt'> | undefined
  /** Nano-dollars: when a person's limited balance falls below it with this, an event says so. */
  lowAt?: bigint | undefined
  at: Date
}

/**
 * `settled`: now, or before; what was charged to each account, and what nobody could pay. `closed`: it was resolved otherwise
 * before, and is charged nothing.
 */
export type Settled =
  | { outcome: 'settled'; settled: bigint; uncollected: bigint }
  | { outcome: 'closed'; state: ReservationState }
  | { outcome: 'unknown' }

export type Voided = { outcome: 'voided' } | { outcome: 'closed'; state: ReservationState } | { outcome: 'unknown' }

export interface LedgerEntry extends Omit<Credited, 'balance'> {
  kind: LedgerEntryKind
  /** The account's, with this entry. */
  balance: bigint
  reservationId: string | null
  reason: string | null
  actorId: string | null
}

/**
 * The books: append-only, double entry. Every write is one transaction; lists are decided item by item in their order, and one
 * item that is refused does not touch the others. Every write may be repeated when nobody knows whether it was done: the
 * same id, or key, gives the first result.
 * @throws AppError VALIDATION_ERROR for amounts, ids and times that are none, before the database is asked.
 */
export interface LedgerStore {
  /** The account of this owner, made by this call if it is new; of one that is there nothing is changed. Safe to race. */
  open(account: NewLedgerAccount): Promise<LedgerAccount>
  /**
   * @throws AppError CONFLICT when the key came with another account, amount or kind; NOT_FOUND when there is no such account;
   * INSUFFICIENT_BALANCE when an adjustment would take more than is available.
   */
  credit(credit: Credit): Promise<Credited>
  /**
   * One answer for each, in order. Only here nobody waits for the disk, as somebody waits for a first word: a database that dies
   * may forget what it reserved in its last second, and a settlement of that is then `unknown`.
   */
  reserve(reservations: NewReservation[]): Promise<Reserved[]>
  /**
   * Makes reservations out of an open one, for its accounts, without asking whether anybody can pay: it is kept back already. Something
   * must be left of it. Resolves as soon as the statement is on its way, and will be carried out even if this process dies now.
   */
  draw(from: string, reservations: NewReservation[]): Promise<Drawing>
  /**
   * Keeps so much more back, and longer. Without `at`, budgets count it in the period that they are in. The one write that
   * counts twice when it is repeated: what is not used comes back.
   */
  extend(id: string, by: bigint, terms?: { expiresAt?: Date; at?: Date }): Promise<Extended>
  /**
   * Charges every account of a reservation what the answer cost, and gives back the rest. A cost above the reservation is
   * charged as far as the limited account with the least left can pay; what is left of it is `uncollected`.
   */
  settle(settlements: Settlement[]): Promise<Settled[]>
  /**
   * Writes down how many tokens answers that are kept nowhere have said by now: should their process die, they are charged by that.
   * Of reservations that are not open nothing is written.
   */
  note(said: Said[]): Promise<void>
  /** Gives everything back. */
  void(ids: string[], at: Date): Promise<Voided[]>
  /**
   * Gives back what was reserved until before `now`, at most `limit` reservations; several sweepers do not wait for each other.
   * Where it is known what they were for, a record of usage says `expired`. @returns how many.
   */
  expire(now: Date, limit: number): Promise<number>
  /**
   * Open reservations whose runs have ended for `seconds` and more, by the database's clock, and whose process is dead: a living one
   * may still be reading what its provider reports. They are to be settled with what was said. Where the run was deleted meanwhile
   * nobody knows whether its process lives: these are found so many seconds before they expire, without a text. So are those
   * without a run of which something was noted.
   */
  orphans(seconds: number, limit: number): Promise<OrphanedReservation[]>
  /** Limits an account from now on, or not any more. @throws AppError CONFLICT when less than nothing is available. */
  limit(accountId: string, limited: boolean): Promise<LedgerAccount | undefined>
  /** All of a tenant but the other side of its books, or of one kind; the newest first. */
  accounts(
    tenantId: string,
    options: { kind?: LedgerAccountKind | undefined; ownerId?: string | undefined; page: number; limit: number },
  ): Promise<{ items: LedgerAccount[]; total: number }>
  balance(accountId: string): Promise<LedgerAccount | undefined>
  /** The newest first. */
  entries(accountId: string, page: { page: number; limit: number }): Promise<{ items: LedgerEntry[]; total: number }>
}

/** About how many tokens the answer of a reservation has said. */
export interface Said {
  id: string
  tokens: number
}

/** How much may be spent from an account in each period. Periods begin in UTC, weeks on Monday. */
export interface Budget {
  id: string
  tenantId: string
  accountId: string
  /** Whose account it is. */
  kind: Exclude<LedgerAccountKind, 'system'>
  ownerId: string
  period: BudgetPeriod
  limit: bigint
  /** 1 to 100: when so many percent are spent, an event says so, once a period; null: no warning. */
  warnPercent: number | null
  /** Refuses what would go beyond it; otherwise it is only told. */
  hard: boolean
  /** In the current period. */
  spent: bigint
  reserved: bigint
  /** Null for `total`. */
  periodStart: Date | null
  periodEnd: Date | null
  createdAt: Date
  updatedAt: Date
}

export interface BudgetStore {
  /** As they are at `at`: now, if nothing is said. */
  list(tenantId: string, accountId?: string, at?: Date): Promise<Budget[]>
  /**
   * One for each account and period: a second one replaces the first. What was spent in the period counts, even before there was a
   * budget. The account must be there. `ownId` is the id of one that whom it is about has set: with it as `id` nobody else's gets
   * looser, and with another `id` it is theirs no more.
   * @throws AppError VALIDATION_ERROR, NOT_FOUND; FORBIDDEN when it would get looser.
   */
  put(
    budget: Pick<Budget, 'id' | 'tenantId' | 'accountId' | 'period' | 'limit' | 'warnPercent' | 'hard'> & {
      ownId?: string | undefined
      at: Date
    },
  ): Promise<Budget>
  remove(tenantId: string, id: string): Promise<boolean>
}

/** Who asked for an answer, and where it is. */
export interface UsageBeginning {
  tenantId: string
  userId: string
  /** Null when they did not come with an API key. */
  keyId: string | null
  conversationId: string | null
  messageId: string | null
  runId: string | null
  /** As the caller named it. */
  model: string
  /** Tokens of the request, estimated. */
  promptTokens: number
  /** Nano-dollars, for whoever settles it later: of the request, and per million tokens of the answer. */
  promptNanos: bigint
  outputRate: bigint
  createdAt: Date
}

/** One answer, and what it took. Written once, with its settlement; `id` is the reservation's. */
export interface UsageRecord extends Omit<UsageBeginning, 'promptNanos' | 'outputRate'> {
  id: string
  /** Who made it, and its name there; null when nobody was reached. */
  provider: string | null
  providerModel: string | null
  status: UsageStatus
  finishReason: string | null
  completionTokens: number
  /** Of the prompt's, read from the provider's cache; of the answer's, thought. */
  cachedTokens: number
  reasoningTokens: number
  /** As the provider reported it, so that it can be rated again. */
  usage: Record<string, unknown> | null
  /** What the provider charges, as we reckon; null while nobody knows its price. */
  costNanos: bigint | null
  /** What was charged here: that, with the tenant's margin. Written by the ledger: as much of the settlement as could be paid. */
  chargeNanos: bigint
  /** What the provider itself says it charges. */
  reportedNanos: bigint | null
  /** What reading from its cache saved. */
  savedNanos: bigint
  /** The cost by kind. */
  parts: Record<string, bigint> | null
  costBasis: CostBasis
  priceVersion: string | null
  firstTokenMs: number | null
  latencyMs: number | null
  completedAt: Date
}

export type NewUsage = UsageRecord

/** Whose usage, and from when to when; what is absent does not matter. */
export interface UsageFilter {
  /** Absent: of every tenant. For the owner of the installation only. */
  tenantId?: string | undefined
  userId?: string | undefined
  keyId?: string | undefined
  model?: string | undefined
  conversationId?: string | undefined
  /** From then on, and before. By when answers were completed. */
  from: Date
  to: Date
}

export interface UsageTotals {
  answers: number
  /** Ended as they should. */
  completed: number
  stopped: number
  failed: number
  promptTokens: number
  completionTokens: number
  cachedTokens: number
  reasoningTokens: number
  /** Of those whose price is known. */
  costNanos: bigint
  chargeNanos: bigint
  savedNanos: bigint
  /** How many have no known cost, and how many were counted by this server. */
  unpriced: number
  estimated: number
}

export type UsageGroup = 'model' | 'key' | 'conversation' | 'user' | 'provider'

export interface UsageStore {
  totals(filter: UsageFilter): Promise<UsageTotals>
  /** Only days with usage, in order, as `2026-11-21` in that IANA time zone. */
  byDay(filter: UsageFilter, timeZone: string): Promise<(UsageTotals & { day: string })[]>
  /** What cost most first. `key` is an id or a model's name; null for answers that have none. */
  by(
    filter: UsageFilter,
    options: { group: UsageGroup; limit: number },
  ): Promise<(UsageTotals & { key: string | null })[]>
  /** Single records, the oldest first, by pages of a cursor. */
  records(
    filter: UsageFilter,
    options: { after: string | null; limit: number },
  ): Promise<{ items: UsageRecord[]; next: string | null }>
  /** Those of these ids that there are, in no order: what the charges of a page of entries were for. At most 100 ids. */
  find(tenantId: string, ids: string[]): Promise<UsageRecord[]>
  /** What a message of this person took; undefined while it is not settled, and for one that was not made here. */
  ofAnswer(owner: Owner, answer: { conversationId: string; messageId: string }): Promise<UsageRecord | undefined>
}

export interface OrphanedReservation {
  id: string
  usage: UsageBeginning
  /** What was said, as far as it is known. */
  text: string
  /** Tokens that were said, where the text is kept nowhere. */
  said: number | null
  status: 'interrupted' | 'stopped' | 'failed' | 'completed'
}

/** Something that happened, told to webhooks. `id` is what receivers know repetitions by. */
export interface OutboxEvent {
  id: string
  tenantId: string
  /** Null for what is the tenant's. */
  userId: string | null
  type: 'message.completed' | 'balance.low' | 'budget.warning' | 'budget.exceeded'
  /** JSON. Money is decimal digits under names that end in `_nanos`; whoever sends it makes US dollars of it. */
  data: Record<string, unknown>
  createdAt: Date
}

export interface ClaimedEvent extends OutboxEvent {
  /** How often it was tried before. */
  attempts: number
}

export interface OutboxStore {
  /** Events that are due, the oldest first; for `leaseSeconds` nobody else gets them. */
  claim(now: Date, options: { leaseSeconds: number; limit: number }): Promise<ClaimedEvent[]>
  /** They are told, or given up: gone from here. */
  done(ids: string[]): Promise<void>
  /** It did not work: again at `next`; `error` is kept for whoever looks. */
  failed(id: string, next: Date, error: string): Promise<void>
  /** How many wait, and since when the oldest. */
  waiting(): Promise<{ count: number; oldest: Date | null }>
}
