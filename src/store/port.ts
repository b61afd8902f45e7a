import type { MessageStatus, RunStatus } from './schema'

export type { MessageStatus, RunStatus }

/** Whose rows a call may see. Someone else's row does not exist for it. */
export interface Owner {
  tenantId: string
  userId: string
  /** For stores that ask another service in this person's name; absent when they signed in with something of ours. */
  caller?: Caller
}

/** The request behind a call. */
export interface Caller {
  /** The person's own token of the outside issuer. Secret: it goes to that issuer's services and nowhere else. */
  token: string
  requestId: string
}

export interface User extends Owner {
  email: string | null
  name: string
  /** The person's own key at the LiteLLM proxy; never leaves the server. */
  litellmKey: string | null
  /** Null where somebody else keeps accounts and does not say. */
  createdAt: Date | null
}

export interface NewUser {
  id: string
  tenantId: string
  email: string | null
  name: string
  passwordHash: string | null
  issuer: string | null
  subject: string | null
  at: Date
}

export interface NewSession {
  id: string
  userId: string
  refreshHash: string
  at: Date
  expiresAt: Date
}

/** `reused`: an already spent token came back after the grace period; the session is revoked in the same transaction. */
export type Rotation =
  | { outcome: 'rotated'; user: User; sessionId: string }
  | { outcome: 'reused'; sessionId: string }
  | { outcome: 'unknown' }

export interface AccountStore {
  /** @throws AppError CONFLICT when the e-mail has an account. */
  create(user: NewUser): Promise<User>
  /** The user of an outside identity, made by this call if it is new; undefined when disabled. Safe to race. */
  adopt(user: NewUser): Promise<User | undefined>
  /** For sign-in by password: our own accounts only; disabled ones are not found. */
  findByEmail(email: string): Promise<{ user: User; passwordHash: string } | undefined>
  setPasswordHash(userId: string, hash: string): Promise<void>
  openSession(session: NewSession): Promise<void>
  /** The user of a live session, or undefined when the session ended or the user is disabled. */
  findBySession(sessionId: string, at: Date): Promise<User | undefined>
  /**
   * Spends `hash` and stores `nextHash` as its successor, atomically. A token spent less than `graceMs` ago counts
   * as rotated again: two tabs that refresh at once get the same successor.
   */
  rotate(hash: string, nextHash: string, at: Date, graceMs: number): Promise<Rotation>
  /** Ends the session that a refresh token belongs to; returns its id, or undefined when there is none. */
  revokeByRefresh(hash: string, at: Date): Promise<string | undefined>
  revokeSession(sessionId: string, at: Date): Promise<void>
}

export interface ApiKey {
  id: string
  name: string
  lastFour: string
  createdAt: Date
  expiresAt: Date | null
  lastUsedAt: Date | null
}

export interface KeyStore {
  /** @throws AppError CONFLICT when the owner has `limit` keys already. */
  create(owner: Owner, key: Omit<ApiKey, 'lastUsedAt'> & { hash: string }, limit: number): Promise<ApiKey>
  list(owner: Owner): Promise<ApiKey[]>
  /** @returns the hash of the removed key, or undefined when the owner has no such key. */
  remove(owner: Owner, id: string): Promise<string | undefined>
  /** The user behind a live key; notes the use (at most once a minute). */
  findUser(hash: string, at: Date): Promise<User | undefined>
}

export interface Conversation {
  id: string
  title: string
  titleSource: 'auto' | 'user'
  model: string | null
  systemPrompt: string | null
  settings: Record<string, unknown> | null
  /** Whatever a client keeps with it. */
  metadata: Record<string, unknown> | null
  tags: string[]
  pinnedAt: Date | null
  archivedAt: Date | null
  activeLeafId: string | null
  activeBranchId: string | null
  rev: number
  createdAt: Date
  updatedAt: Date
}

export interface Message {
  id: string
  conversationId: string
  /** The branch it was written in; null when nobody knows. */
  branchId: string | null
  parentId: string | null
  depth: number
  role: 'user' | 'assistant' | 'tool'
  content: string
  extra: Record<string, unknown> | null
  status: MessageStatus
  model: string | null
  finishReason: string | null
  usage: Record<string, unknown> | null
  costNanos: bigint | null
  metadata: Record<string, unknown> | null
  createdAt: Date
  completedAt: Date | null
}

/** A message with its place among the alternatives at the same fork; `index` is 1-based. */
export interface PlacedMessage extends Message {
  siblings: {
    index: number
    count: number
    prev: string | null
    next: string | null
  }
}

export interface ConversationPatch {
  title?: string
  model?: string | null
  systemPrompt?: string | null
}

export interface ConversationStore {
  list(owner: Owner, page: { page: number; limit: number }): Promise<{ items: Conversation[]; total: number }>
  find(owner: Owner, id: string): Promise<Conversation | undefined>
  /**
   * One page of the path from the root to `leafId` (default: the active leaf), oldest first; page 1 is the newest end.
   * @returns undefined when the conversation or the leaf is not the owner's.
   */
  path(
    owner: Owner,
    id: string,
    options: { leafId?: string | undefined; page: number; limit: number },
  ): Promise<{ items: PlacedMessage[]; total: number } | undefined>
  /** The same path, bare: for comparing it with what a client sent. Oldest first, at most `limit` from the root. */
  prefix(owner: Owner, id: string, limit: number): Promise<Message[] | undefined>
  findMessage(owner: Owner, id: string): Promise<Message | undefined>
  /** @returns undefined when it is not the owner's; `stale` with the current state when `rev` is given and differs. */
  update(
    owner: Owner,
    id: string,
    patch: ConversationPatch,
    options: { rev?: number | undefined; at: Date },
  ): Promise<{ outcome: 'updated' | 'stale'; conversation: Conversation } | undefined>
  remove(owner: Owner, id: string): Promise<boolean>
}

/** A message to be written by `TurnStore.begin`; its parent is the one before it in the list. */
export interface NewMessage {
  id: string
  role: 'user' | 'assistant' | 'tool'
  content: string
  extra: Record<string, unknown> | null
}

export interface BeginTurn {
  runId: string
  instanceId: string
  /** What the caller chose; otherwise the conversation's model answers, otherwise the default. */
  model: string | undefined
  defaultModel: string
  at: Date
  /** Written before the answer, in order; empty when an answer is made again. */
  messages: NewMessage[]
  answerId: string
  /** Used when the turn opens a new branch. */
  branchId: string
  branchName?: string | undefined
  idempotency?: { key: string; fingerprint: string } | undefined
  /** W3C trace context of the request, when it brought one: 32 and 16 hexadecimal digits. */
  trace?: { traceId: string; spanId: string } | undefined
  /** The conversation to make, or the one to go on with. */
  conversation:
    | { kind: 'new'; id: string; title: string; systemPrompt: string | null }
    /** `parentId`: undefined = the active leaf; null = a new root. */
    | { kind: 'existing'; id: string; parentId?: string | null | undefined }
  /** How many messages of the path come back as context. */
  maxContext: number
}

export interface Begun {
  conversationId: string
  branchId: string
  /** The answer's id; null when the store gives it one only when it is saved. */
  answerId: string | null
  /** The one that answers. */
  model: string
  systemPrompt: string | null
  /** Parameters for turns that do not bring their own. */
  settings: Record<string, unknown> | null
  /** The path down to the parent, oldest first, without the messages this turn wrote. */
  context: Pick<Message, 'role' | 'content' | 'extra'>[]
}

export type BeginResult =
  | ({ outcome: 'begun' } & Begun)
  /** The conversation or the parent is not the owner's. */
  | { outcome: 'not_found' }
  /** The parent is an answer that is still being written. */
  | { outcome: 'busy' }
  /** The idempotency key was used before; here is what it made. */
  | { outcome: 'repeated'; run: Run }

export interface FinishTurn {
  runId: string
  status: Exclude<RunStatus, 'running'>
  lastSeq: number
  error: Record<string, unknown> | null
  answer: Pick<Message, 'content' | 'extra' | 'status' | 'finishReason' | 'usage' | 'costNanos'>
  /** Which provider answered, and milliseconds from the beginning to the first piece and to the end. */
  timing?: { provider: string; firstTokenMs: number | null; latencyMs: number } | undefined
  at: Date
}

/** How an answer was kept, as far as its reader does not know it yet. */
export interface Kept {
  /** The id it got by being saved. */
  messageId?: string
  /** It could not be saved now. It is safe on this server's disk and is saved later. */
  delayed?: true
}

export interface Run {
  id: string
  conversationId: string
  /** Null while the store has not given the answer its id. */
  messageId: string | null
  branchId: string
  status: RunStatus
  model: string
  fingerprint: string | null
  lastSeq: number
  error: Record<string, unknown> | null
  createdAt: Date
  finishedAt: Date | null
}

export interface TurnStore {
  /** One transaction: the new messages, the answer's node, the run, the branch and the active leaf. */
  begin(owner: Owner, turn: BeginTurn): Promise<BeginResult>
  /** One transaction: final text, usage, cost, run. Finishing twice changes nothing. */
  finish(turn: FinishTurn): Promise<Kept>
  /** Keeps what running answers have said since the last call. All of them in one statement. */
  checkpoint(pieces: { runId: string; seq: number; text: string }[]): Promise<void>
}

export interface RunStore {
  find(owner: Owner, id: string): Promise<Run | undefined>
  list(
    owner: Owner,
    options: { active: boolean; page: number; limit: number },
  ): Promise<{ items: Run[]; total: number }>
  /** Says that this process lives, by the database's clock. */
  heartbeat(instanceId: string): Promise<void>
  /**
   * Finishes the runs of processes not heard of for `silentSeconds` as interrupted, with the text they had kept.
   * Several processes may call it at once. @returns how many.
   */
  interruptOrphans(silentSeconds: number, at: Date): Promise<number>
  /** Says that this process is gone for good. */
  leave(instanceId: string): Promise<void>
}

/** What a person may spend, and with whose key. */
export interface Wallet {
  /** Nano-dollars left; null when nothing limits them. */
  available: bigint | null
  /** The person's own key at the LiteLLM proxy. Secret. */
  litellmKey: string | null
  /** Whether the server's own key pays for people who have none. */
  serverKey: boolean
}

export interface WalletStore {
  /** May be some seconds old while there is something left. @throws AppError UPSTREAM_* when it cannot be read. */
  of(user: User): Promise<Wallet>
}

/** Where everything durable lives. What a store does not have answers NOT_SUPPORTED, with the setting that gives it. */
export interface Store {
  readonly kind: 'pglite' | 'postgres' | 'edge'
  readonly accounts: AccountStore
  readonly keys: KeyStore
  readonly wallets: WalletStore
  readonly conversations: ConversationStore
  readonly turns: TurnStore
  readonly runs: RunStore
  /** Resolves when the database answers. */
  ping(): Promise<void>
  close(): Promise<void>
}
