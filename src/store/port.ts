import type { AccountStore, KeyStore, WalletStore } from './port-accounts'
import type { BranchStore, ConversationStore, MessageStore } from './port-conversations'
import type { IdempotencyStore } from './port-idempotency'
import type { ArchiveStore, BulkStore, FeedbackStore, SearchStore, StatsStore, SyncStore } from './port-library'
import type { BudgetStore, LedgerStore, OutboxStore, UsageStore } from './port-money'
import type { PeopleStore, TenantStore } from './port-tenants'
import type { RunStore, TurnStore } from './port-turns'

export type * from './port-accounts'
export type * from './port-conversations'
export type * from './port-idempotency'
export type * from './port-library'
export type * from './port-turns'
export type { FeedbackKind, MessageStatus, Role, RunStatus } from './schema'

/** Where everything durable lives. What a store does not have answers NOT_SUPPORTED, with the setting that gives it. */
export interface Store {
  readonly kind: 'pglite' | 'postgres' | 'edge'
  readonly accounts: AccountStore
  readonly keys: KeyStore
  readonly wallets: WalletStore
  readonly conversations: ConversationStore
  readonly branches: BranchStore
  readonly messages: MessageStore
  readonly turns: TurnStore
  readonly runs: RunStore
  readonly bulk: BulkStore
  readonly archive: ArchiveStore
  readonly feedback: FeedbackStore
  readonly search: SearchStore
  readonly stats: StatsStore
  readonly sync: SyncStore
  readonly ledger: LedgerStore
  readonly budgets: BudgetStore
  readonly usage: UsageStore
  readonly outbox: OutboxStore
  readonly tenants: TenantStore
  readonly people: PeopleStore
  readonly idempotency: IdempotencyStore
  /** Resolves when the database answers. */
  ping(): Promise<void>
  close(): Promise<void>
}
