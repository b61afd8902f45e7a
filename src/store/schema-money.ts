import { sql } from 'drizzle-orm'
import {
  bigint,
  bigserial,
  boolean,
  check,
  index,
  integer,
  pgTable,
  primaryKey,
  text,
  unique,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import { tenants } from './schema'
import { instant, jsonb } from './schema-columns'

export type LedgerAccountKind = 'tenant' | 'user' | 'key' | 'system'

/** Who has money, or owes it, in nano-dollars. What belongs to a person outlives them: the books must add up. */
export const ledgerAccounts = pgTable(
  'accounts',
  {
    id: uuid('id').primaryKey(),
    tenantId: uuid('tenant_id')
      .notNull()
      .references(() => tenants.id),
    /** `system` is the other side of every transaction of its tenant. */
    kind: text('kind').$type<LedgerAccountKind>().notNull(),
    /** The person, the API key or the tenant. */
    ownerId: uuid('owner_id').notNull(),
    /** Always the sum of the account's entries. */
    balanceNanos: bigint('balance_nanos', { mode: 'bigint' }).notNull().default(sql`0`),
    /** Always the sum of the open reservations that name the account. */
    reservedNanos: bigint('reserved_nanos', { mode: 'bigint' }).notNull().default(sql`0`),
    /** What is not limited is counted, and never refused. */
    limited: boolean('limited').notNull(),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [
    unique('accounts_owner').on(t.tenantId, t.kind, t.ownerId),
    check('accounts_kind', sql`${t.kind} in ('tenant', 'user', 'key') or (${t.kind} = 'system' and not ${t.limited})`),
    check('accounts_not_overdrawn', sql`not ${t.limited} or ${t.balanceNanos} - ${t.reservedNanos} >= 0`),
    check('accounts_reserved', sql`${t.reservedNanos} >= 0`),
  ],
)

export type LedgerEntryKind = 'topup' | 'grant' | 'refund' | 'adjustment' | 'charge'

/** The books: written once, never changed (triggers refuse it). The entries of a transaction add up to zero. */
export const ledgerEntries = pgTable(
  'ledger_entries',
  {
    /** In the order in which an account's entries were made. */
    seq: bigserial('seq', { mode: 'bigint' }).notNull(),
    /** Of a charge: the reservation's id, so that the primary key keeps a reservation from being charged twice. */
    transactionId: uuid('transaction_id').notNull(),
    /** The account's. */
    tenantId: uuid('tenant_id').notNull(),
    accountId: uuid('account_id')
      .notNull()
      .references(() => ledgerAccounts.id),
    kind: text('kind').$type<LedgerEntryKind>().notNull(),
    amountNanos: bigint('amount_nanos', { mode: 'bigint' }).notNull(),
    /** The account's, with this entry. */
    balanceNanos: bigint('balance_nanos', { mode: 'bigint' }).notNull(),
    /** What a charge settles, or a refund is about. */
    reservationId: uuid('reservation_id'),
    reason: text('reason'),
    /** Who did it; null for what the program does by itself. */
    actorId: uuid('actor_id'),
    /** On one entry of the transaction: the one that is not the system's. */
    idempotencyKey: text('idempotency_key'),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.transactionId, t.accountId] }),
    uniqueIndex('ledger_entries_order').on(t.accountId, t.seq),
    uniqueIndex('ledger_entries_idempotency')
      .on(t.tenantId, t.idempotencyKey)
      .where(sql`${t.idempotencyKey} is not null`),
    check('ledger_entries_kind', sql`${t.kind} in ('topup', 'grant', 'refund', 'adjustment', 'charge')`),
    check('ledger_entries_amount', sql`${t.amountNanos} <> 0`),
    check(
      'ledger_entries_charge',
      sql`${t.kind} <> 'charge' or ${t.reservationId} is not distinct from ${t.transactionId}`,
    ),
  ],
)

export type ReservationState = 'open' | 'settled' | 'voided' | 'expired'

/** Money kept back for one answer. It is resolved once (a trigger refuses more). No foreign keys: it outlives what it names. */
export const reservations = pgTable(
  'reservations',
  {
    id: uuid('id').primaryKey(),
    tenantId: uuid('tenant_id').notNull(),
    /** All that it is charged to, each the whole amount: the person, the API key, the tenant; those that there are. */
    accountIds: uuid('account_ids').array().notNull(),
    amountNanos: bigint('amount_nanos', { mode: 'bigint' }).notNull(),
    state: text('state').$type<ReservationState>().notNull(),
    /** What each account was charged in the end. */
    settledNanos: bigint('settled_nanos', { mode: 'bigint' }),
    /** What the answer cost above that: nobody could pay it. */
    uncollectedNanos: bigint('uncollected_nanos', { mode: 'bigint' }),
    runId: uuid('run_id'),
    /** What is known of the answer already, for when nobody comes back to settle: see `UsageBeginning`. */
    usage: jsonb<Record<string, string | number | null>>('usage'),
    expiresAt: instant('expires_at').notNull(),
    createdAt: instant('created_at').notNull(),
    resolvedAt: instant('resolved_at'),
  },
  (t) => [
    index('reservations_open').on(t.expiresAt).where(sql`${t.state} = 'open'`),
    index('reservations_run').on(t.runId).where(sql`${t.runId} is not null`),
    check('reservations_state', sql`${t.state} in ('open', 'settled', 'voided', 'expired')`),
    check('reservations_accounts', sql`cardinality(${t.accountIds}) > 0`),
    check('reservations_amounts', sql`${t.amountNanos} > 0 and ${t.settledNanos} >= 0 and ${t.uncollectedNanos} >= 0`),
    check('reservations_resolved', sql`(${t.state} = 'open') = (${t.resolvedAt} is null)`),
    check(
      'reservations_settled',
      sql`(${t.state} = 'settled') = (${t.settledNanos} is not null) and (${t.settledNanos} is null) = (${t.uncollectedNanos} is null)`,
    ),
  ],
)

export type BudgetPeriod = 'day' | 'week' | 'month' | 'total'

/** How much may be spent from an account in each period. */
export const budgets = pgTable(
  'budgets',
  {
    id: uuid('id').primaryKey(),
    tenantId: uuid('tenant_id').notNull(),
    accountId: uuid('account_id')
      .notNull()
      .references(() => ledgerAccounts.id),
    period: text('period').$type<BudgetPeriod>().notNull(),
    limitNanos: bigint('limit_nanos', { mode: 'bigint' }).notNull(),
    warnPercent: integer('warn_percent'),
    hard: boolean('hard').notNull(),
    /** Of the period that begins then; null while nothing was ever spent, and for `total`. */
    periodStart: instant('period_start'),
    spentNanos: bigint('spent_nanos', { mode: 'bigint' }).notNull().default(sql`0`),
    reservedNanos: bigint('reserved_nanos', { mode: 'bigint' }).notNull().default(sql`0`),
    /** What was told in this period: each event once. */
    warned: boolean('warned').notNull().default(false),
    exceeded: boolean('exceeded').notNull().default(false),
    createdAt: instant('created_at').notNull(),
    updatedAt: instant('updated_at').notNull(),
  },
  (t) => [
    unique('budgets_one_each').on(t.accountId, t.period),
    check('budgets_period', sql`${t.period} in ('day', 'week', 'month', 'total')`),
    check('budgets_amounts', sql`${t.limitNanos} >= 0 and ${t.spentNanos} >= 0 and ${t.reservedNanos} >= 0`),
    check('budgets_warn', sql`${t.warnPercent} between 1 and 100`),
  ],
)

export type UsageStatus = 'completed' | 'stopped' | 'failed' | 'interrupted' | 'expired'
/** Who counted: the provider; this server, because it did not; the provider, read to the end after the reader had left. */
export type CostBasis = 'provider' | 'estimated' | 'drained'

/** One answer and what it took, kept for ever: no foreign keys, as it outlives what it names. `id` is the reservation's. */
export const usageRecords = pgTable(
  'usage_records',
  {
    id: uuid('id').primaryKey(),
    tenantId: uuid('tenant_id').notNull(),
    userId: uuid('user_id').notNull(),
    keyId: uuid('key_id'),
    conversationId: uuid('conversation_id'),
    messageId: uuid('message_id'),
    runId: uuid('run_id'),
    model: text('model').notNull(),
    provider: text('provider'),
    providerModel: text('provider_model'),
    status: text('status').$type<UsageStatus>().notNull(),
    finishReason: text('finish_reason'),
    promptTokens: bigint('prompt_tokens', { mode: 'number' }).notNull(),
    completionTokens: bigint('completion_tokens', { mode: 'number' }).notNull(),
    cachedTokens: bigint('cached_tokens', { mode: 'number' }).notNull(),
    reasoningTokens: bigint('reasoning_tokens', { mode: 'number' }).notNull(),
    usage: jsonb<Record<string, unknown>>('usage'),
    costNanos: bigint('cost_nanos', { mode: 'bigint' }),
    chargeNanos: bigint('charge_nanos', { mode: 'bigint' }).notNull(),
    reportedNanos: bigint('reported_nanos', { mode: 'bigint' }),
    savedNanos: bigint('saved_nanos', { mode: 'bigint' }).notNull(),
    /** By kind: nano-dollars as decimal digits. */
    parts: jsonb<Record<string, string>>('parts'),
    costBasis: text('cost_basis').$type<CostBasis>().notNull(),
    priceVersion: text('price_version'),
    firstTokenMs: integer('first_token_ms'),
    latencyMs: integer('latency_ms'),
    createdAt: instant('created_at').notNull(),
    completedAt: instant('completed_at').notNull(),
  },
  (t) => [
    index('usage_records_user').on(t.userId, t.completedAt, t.id),
    index('usage_records_tenant').on(t.tenantId, t.completedAt, t.id),
    // For the owner of the installation, who sees all tenants.
    index('usage_records_completed').on(t.completedAt, t.id),
    index('usage_records_conversation').on(t.conversationId).where(sql`${t.conversationId} is not null`),
  ],
)

/**
 * The same in sums of a quarter of an hour, which every time zone's days are made of: what makes a year's usage a matter of
 * milliseconds. Written together with the records.
 */
export const usageQuarters = pgTable(
  'usage_quarters',
  {
    tenantId: uuid('tenant_id').notNull(),
    userId: uuid('user_id').notNull(),
    /** The zero UUID for answers without an API key. */
    keyId: uuid('key_id').notNull(),
    model: text('model').notNull(),
    /** Its beginning. */
    quarter: instant('quarter').notNull(),
    answers: integer('answers').notNull(),
    completed: integer('completed').notNull(),
    stopped: integer('stopped').notNull(),
    failed: integer('failed').notNull(),
    promptTokens: bigint('prompt_tokens', { mode: 'number' }).notNull(),
    completionTokens: bigint('completion_tokens', { mode: 'number' }).notNull(),
    cachedTokens: bigint('cached_tokens', { mode: 'number' }).notNull(),
    reasoningTokens: bigint('reasoning_tokens', { mode: 'number' }).notNull(),
    costNanos: bigint('cost_nanos', { mode: 'bigint' }).notNull(),
    chargeNanos: bigint('charge_nanos', { mode: 'bigint' }).notNull(),
    savedNanos: bigint('saved_nanos', { mode: 'bigint' }).notNull(),
    unpriced: integer('unpriced').notNull(),
    estimated: integer('estimated').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.userId, t.quarter, t.model, t.keyId] }),
    index('usage_quarters_tenant').on(t.tenantId, t.quarter),
  ],
)

/** What happened and is not told yet. Written in the transaction in which it happened. */
export const outbox = pgTable(
  'outbox',
  {
    id: uuid('id').primaryKey(),
    tenantId: uuid('tenant_id').notNull(),
    userId: uuid('user_id'),
    type: text('type').notNull(),
    data: jsonb<Record<string, unknown>>('data').notNull(),
    attempts: integer('attempts').notNull().default(0),
    /** When it is due, again. */
    nextAt: instant('next_at').notNull(),
    error: text('error'),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [index('outbox_due').on(t.nextAt)],
)

/** A tenant's own keys at providers. */
export const providerKeys = pgTable(
  'provider_keys',
  {
    tenantId: uuid('tenant_id')
      .notNull()
      .references(() => tenants.id, { onDelete: 'cascade' }),
    provider: text('provider').notNull(),
    /** Encrypted with a key of the server. */
    sealed: text('sealed').notNull(),
    lastFour: text('last_four').notNull(),
    createdAt: instant('created_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.tenantId, t.provider] })],
)
