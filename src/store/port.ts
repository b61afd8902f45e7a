import type { Day } from '../lib/days'
import type { Snippet } from '../lib/snippet'
import type { BudgetStore, LedgerStore, OutboxStore, UsageStore } from './port-money'
import type { PeopleStore, TenantStore } from './port-tenants'
import type { FeedbackKind, MessageStatus, Role, RunStatus } from './schema'

export type { FeedbackKind, MessageStatus, Role, RunStatus }

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
  /** The API key that they came with. */
  keyId?: string
  email: string | null
  name: string
  role: Role
  /** The person's own key at the LiteLLM proxy; never leaves the server. */
  litellmKey: string | null
  /** Null where somebody else keeps accounts and does not say. */
  createdAt: Date | null
  /** The models that this person may use, of those their tenant may; absent: all of these. */
  allowedModels?: string[] | null
  /** How often this person may ask, and all of their tenant together, where an administrator has said so. */
  rateLimits?: { user: Record<string, number> | null; tenant: Record<string, number> | null }
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

/** Nobody of a disabled tenant is found by anything here: not by password, session, key or token. */
export interface AccountStore {
  /** @throws AppError CONFLICT when the e-mail has an account; FORBIDDEN when the tenant is disabled. */
  create(user: NewUser): Promise<User>
  /**
   * The user of an outside identity, made by this call if it is new; undefined when they or their tenant are disabled. Somebody
   * who is known stays in the tenant they are in, whatever this says. Safe to race.
   */
  adopt(user: NewUser): Promise<User | undefined>
  /** For sign-in by password: our own accounts only; disabled ones are not found. */
  findByEmail(email: string): Promise<{ user: User; passwordHash: string } | undefined>
  setPasswordHash(userId: string, hash: string): Promise<void>
  setRole(userId: string, role: Role): Promise<void>
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
  /** The person whose key this is, among those of a tenant; undefined when there is no such key. */
  ownerOf(tenantId: string, id: string): Promise<string | undefined>
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

/** An empty conversation: its one branch "Main" ends nowhere yet. */
export interface NewConversation
  extends Pick<
    Conversation,
    'id' | 'title' | 'titleSource' | 'model' | 'systemPrompt' | 'settings' | 'metadata' | 'tags'
  > {
  /** Of the branch "Main". */
  branchId: string
  at: Date
}

export interface ConversationPatch {
  title?: string
  model?: string | null
  systemPrompt?: string | null
  settings?: Record<string, unknown> | null
  metadata?: Record<string, unknown> | null
  tags?: string[]
  /** Pinning what is pinned keeps the time it was. */
  pinned?: boolean
  archived?: boolean
}

/** Which conversations to list; what is absent does not matter. */
export interface ConversationFilter {
  model?: string | undefined
  createdAfter?: Date | undefined
  createdBefore?: Date | undefined
  /** More than one branch. */
  hasBranches?: boolean | undefined
  minMessages?: number | undefined
  maxMessages?: number | undefined
  pinned?: boolean | undefined
  archived?: boolean | undefined
  tag?: string | undefined
  /** Has these among its own data. */
  metadata?: Record<string, string> | undefined
  /** A part of the title, in letters of any size. */
  q?: string | undefined
  /** Without it the pinned ones first, then the one changed last. */
  sort?: { by: 'updatedAt' | 'createdAt' | 'title'; descending: boolean } | undefined
}

/** The counts are null where counting would read every conversation as a whole. */
export interface ListedConversation extends Conversation {
  messageCount: number | null
  branchCount: number | null
}

export interface ConversationStats {
  messages: number
  branches: number
  /** Messages of the assistant, finished or not. */
  answers: number
  promptTokens: number
  completionTokens: number
  totalTokens: number
  /** What is known of it: answers without a price are left out. */
  costNanos: bigint
  /** Most used first. */
  models: { model: string; answers: number }[]
  firstMessageAt: Date | null
  lastMessageAt: Date | null
}

/** A named end of the tree. */
export interface Branch {
  id: string
  conversationId: string
  name: string
  /** Where it forked off. */
  parentMessageId: string | null
  /** Null while the conversation is empty. */
  leafId: string | null
  /** Of the path from the root to its end. */
  messageCount: number
  /** The first 80 characters of its last message. */
  preview: string
  active: boolean
  createdAt: Date
  viewedAt: Date
}

export interface NewBranch {
  id: string
  parentMessageId: string
  name: string | undefined
  /** The id follows from a key of the client's: the call may have come before. */
  repeatable?: boolean
}

/** When a write happens, and which state of the conversation it expects. */
export interface WriteTerms {
  rev?: number | undefined
  at: Date
}

/** What a write made, and the conversation after it; `stale`: nothing was written, and this is the current state. */
export type Written<T> =
  | { outcome: 'done'; conversation: Conversation; value: T }
  | { outcome: 'stale'; conversation: Conversation }

export interface Comparison {
  /** How many messages both paths begin with, and the last of these. */
  commonLength: number
  lastCommonId: string | null
  /** What each has beyond: one page, and how many there are. */
  a: { items: Message[]; total: number }
  b: { items: Message[]; total: number }
}

export interface ConversationStore {
  list(
    owner: Owner,
    options: { page: number; limit: number } & ConversationFilter,
  ): Promise<{ items: ListedConversation[]; total: number }>
  /** @throws AppError CONFLICT when the id is taken. */
  create(owner: Owner, conversation: NewConversation): Promise<Conversation>
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
  /** Every message of every branch, oldest first; one page of them. At most 1000 branches, in the order of their making. */
  tree(
    owner: Owner,
    id: string,
    page: { page: number; limit: number },
  ): Promise<{ conversation: Conversation; branches: Branch[]; items: PlacedMessage[]; total: number } | undefined>
  stats(owner: Owner, id: string): Promise<ConversationStats | undefined>
  /** Adds facts to what is kept beside a message. @returns false when it is not the owner's. */
  annotate(owner: Owner, messageId: string, metadata: Record<string, unknown>): Promise<boolean>
  /** @returns undefined when it is not the owner's; `stale` with the current state when `rev` is given and differs. */
  update(
    owner: Owner,
    id: string,
    patch: ConversationPatch,
    options: { rev?: number | undefined; at: Date },
  ): Promise<{ outcome: 'updated' | 'stale'; conversation: Conversation } | undefined>
  /**
   * Also writes down that it is gone, for devices that have not heard of it, where changes are kept.
   * @returns whether it was there and, where the database compares it, still at `rev`.
   */
  remove(owner: Owner, id: string, terms?: WriteTerms): Promise<boolean>
}

/** Writes are one transaction each, move `rev`, and answer undefined for what is not the owner's. */
export interface BranchStore {
  /** In the order of their making. */
  list(
    owner: Owner,
    conversationId: string,
    page: { page: number; limit: number },
  ): Promise<{ items: Branch[]; total: number } | undefined>
  /**
   * A branch that ends at this message, from now on the active one; where one ends already, it is that one. When the
   * conversation has a branch of this id, the call came before, and changes nothing; so it does with `repeatable` when the
   * branch that ends there is shown already. Both come before `terms` is looked at.
   * @throws AppError CONFLICT when the message is still being written.
   */
  create(
    owner: Owner,
    conversationId: string,
    branch: NewBranch,
    terms: WriteTerms,
  ): Promise<Written<Branch> | undefined>
  activate(owner: Owner, conversationId: string, id: string, terms: WriteTerms): Promise<Written<Branch> | undefined>
  rename(
    owner: Owner,
    conversationId: string,
    change: { id: string; name: string },
    terms: WriteTerms,
  ): Promise<Written<Branch> | undefined>
  /**
   * The branch, with the messages that no other branch has; the other one viewed last becomes active in its place.
   * @returns the ids of these messages. @throws AppError CONFLICT for the last branch.
   */
  remove(owner: Owner, conversationId: string, id: string, terms: WriteTerms): Promise<Written<string[]> | undefined>
  compare(
    owner: Owner,
    conversationId: string,
    between: { a: string; b: string; page: number; limit: number },
  ): Promise<Comparison | undefined>
  /**
   * Copies what one branch has beyond the other below the end of the other, which becomes active. Done again with the same
   * `key`, it changes nothing and gives what it made, whatever `terms` says. @throws AppError CONFLICT when either ends with an answer that is still
   * being written.
   */
  merge(
    owner: Owner,
    conversationId: string,
    between: { id: string; onto: string; key?: string | undefined },
    terms: WriteTerms,
  ): Promise<Written<{ branch: Branch; copied: number }> | undefined>
}

/** Single messages of the owner's conversations. Writes as in `BranchStore`. */
export interface MessageStore {
  find(owner: Owner, id: string): Promise<PlacedMessage | undefined>
  /** Itself and the alternatives to it, oldest first. */
  siblings(
    owner: Owner,
    id: string,
    page: { page: number; limit: number },
  ): Promise<{ items: PlacedMessage[]; total: number } | undefined>
  /** Another message beside a user's message, at the end of the branch that is active from now on. */
  edit(
    owner: Owner,
    id: string,
    edited: { id: string; branchId: string; content: string; extra: Record<string, unknown> | null },
    terms: WriteTerms,
  ): Promise<Written<PlacedMessage> | undefined>
  /** Of a message and all below it, those that are being written now. */
  writing(owner: Owner, id: string): Promise<string[]>
  /**
   * A message and all below it. A branch that ended there ends at the message above, if none does yet, and is active
   * if it was. @returns the ids of what is gone.
   */
  remove(owner: Owner, id: string, terms: WriteTerms): Promise<Written<string[]> | undefined>
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
  /** Kept beside the answer, see `Message.metadata`. Not kept by the Edge Function. */
  metadata?: Record<string, unknown> | undefined
  /** What another process needs to go on with it; absent when none shall. Kept by Postgres only. */
  request?: Record<string, unknown> | undefined
  /** Used when the turn opens a new branch. */
  branchId: string
  branchName?: string | undefined
  idempotency?: { key: string; fingerprint: string } | undefined
  /** W3C trace context of the request, when it brought one: 32 and 16 hexadecimal digits. */
  trace?: { traceId: string; spanId: string } | undefined
  /** The conversation to make, or the one to go on with. */
  conversation:
    | { kind: 'new'; id: string; title: string; systemPrompt: string | null }
    /** `parentId`: undefined = the active leaf; null = a new root. `title`: for one that is empty and that nobody has named. */
    | { kind: 'existing'; id: string; parentId?: string | null | undefined; title?: string | undefined }
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
  /** Who made it, where another process may have gone on with it: then nothing is written. */
  instanceId?: string | undefined
  status: Exclude<RunStatus, 'running'>
  lastSeq: number
  error: Record<string, unknown> | null
  answer: Pick<Message, 'content' | 'extra' | 'status' | 'finishReason' | 'usage' | 'costNanos'>
  /** For the message, beside the answer: `variant`, the arm of an A/B test. Not kept by the Edge Function. */
  metadata?: Record<string, unknown> | undefined
  /** Which provider answered, and milliseconds from the beginning to the first piece and to the end. */
  timing?: { provider: string | null; firstTokenMs: number | null; latencyMs: number } | undefined
  at: Date
}

/** How an answer was kept, as far as its reader does not know it yet. */
export interface Kept {
  /** The id it got by being saved. */
  messageId?: string
  /** It could not be saved now. It is safe on this server's disk and is saved later. */
  delayed?: true
  /** It was not kept: others took this process for dead, and closed the answer with as much as they knew of it. That stays. */
  closed?: true
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
  /** Which provider answered; null while it is being asked, and where nobody kept it. */
  provider: string | null
  /** Milliseconds from the beginning to the first piece and to the end. */
  firstTokenMs: number | null
  latencyMs: number | null
  /** W3C trace context of the request that began it. */
  traceId: string | null
  spanId: string | null
  /** How often another process went on with it, because the one that made it had died. */
  continued: number
  createdAt: Date
  finishedAt: Date | null
}

/** What a running answer has said since the piece before. */
export interface Piece {
  runId: string
  /** Number of the last event that is in it. */
  seq: number
  text: string
  /** The answer began anew: the pieces before this one are void. */
  anew?: boolean | undefined
}

export interface AmendedAnswer extends Pick<Message, 'conversationId' | 'usage'> {
  messageId: string
  costNanos: bigint
}

export interface TurnStore {
  /** One transaction: the new messages, the answer's node, the run, the branch and the active leaf. */
  begin(owner: Owner, turn: BeginTurn): Promise<BeginResult>
  /** One transaction: final text, usage, cost, run. Finishing twice changes nothing. */
  finish(turn: FinishTurn): Promise<Kept>
  /**
   * What a finished answer took, where that became known only afterwards; what is known is not changed. @returns whether there is
   * such an answer, and it is finished.
   */
  amend(answer: AmendedAnswer): Promise<boolean>
  /**
   * Keeps what running answers have said since the last call. All of them in one statement.
   * @param instanceId keeps only what this process still makes.
   */
  checkpoint(pieces: Piece[], instanceId?: string): Promise<void>
}

/** What a process knows of its own runs. */
export interface OwnRuns {
  instanceId: string
  /** Those that it makes, or has yet to store. */
  making: string[]
  /** By its own clock, as `Run.createdAt` is: it may not know yet of those that were begun later. */
  before: Date
}

export interface RunStore {
  find(owner: Owner, id: string): Promise<Run | undefined>
  /** The runs that made these messages of a conversation, in no order; a message nobody made here has none. */
  ofMessages(owner: Owner, conversationId: string, messageIds: string[]): Promise<Run[]>
  list(
    owner: Owner,
    options: { active: boolean; page: number; limit: number },
  ): Promise<{ items: Run[]; total: number }>
  /** Says that this process lives, by the database's clock. */
  heartbeat(instanceId: string): Promise<void>
  /**
   * Finishes the runs of processes not heard of for `silentSeconds` as interrupted, with the text they had kept.
   * Several processes may call it at once. @returns how many.
   * @param own has the lost runs of this process finished, too: those that were begun, and it never heard that they were.
   */
  interruptOrphans(silentSeconds: number, at: Date, own?: OwnRuns): Promise<number>
  /**
   * Makes this process the one that makes some of the runs of such processes: those that can be gone on with, whose owner may still
   * ask, that nobody wants to end and that nobody went on with before. What the dead process kept back for them is settled by what
   * they had said. Several processes may call it at once: each run is claimed once.
   */
  claimOrphans(claim: { instanceId: string; silentSeconds: number; most: number }): Promise<Orphan[]>
  /** Finishes a run of this process as those of dead ones are. @returns undefined when it is not this process's any more. */
  giveUp(id: string, instanceId: string, at: Date): Promise<GivenUp | undefined>
  /** Says that this process is gone for good. */
  leave(instanceId: string): Promise<void>
  /**
   * How these runs stand, whoever makes them; what is not among the results is gone. For what the server does by itself: whose
   * they are is not asked.
   */
  look(ids: string[]): Promise<RunLook[]>
  /** What other processes are writing in these conversations. Whose they are is not asked. */
  elsewhere(conversationIds: string[], instanceId: string): Promise<RunElsewhere[]>
  /** Asks whoever writes these to stop; the wish stays with the run. @returns those still being written, and who writes them. */
  requestStop(ids: string[], at: Date): Promise<Pick<RunElsewhere, 'id' | 'instanceId'>[]>
}

export interface RunLook {
  id: string
  status: RunStatus
  /** Somebody has asked another server to stop it. */
  stopRequested: boolean
  /** Who makes it, where that may be another process than began it. */
  instanceId?: string
  /** See `Run`. */
  continued: number
}

/** A run that was claimed. */
export interface Orphan extends Run {
  /** Whose it is, as they would be signed in now. */
  user: User
  /** What it answers. */
  parentId: string | null
  /** As the turn that began it gave it. */
  request: Record<string, unknown>
}

export interface GivenUp extends Pick<Run, 'error'> {
  /** All that was kept of it. */
  text: string
}

export interface RunElsewhere extends Pick<Run, 'id' | 'branchId' | 'messageId'> {
  instanceId: string
}

/** What a person thinks of a message. */
export interface Feedback {
  id: string
  conversationId: string
  messageId: string
  kind: FeedbackKind | null
  /** 1 to 5. */
  rating: number | null
  tags: string[]
  comment: string | null
  metadata: Record<string, unknown> | null
  /** What it was about, as it stood then. */
  snapshot: Record<string, unknown>
  /** The one that wrote the message. */
  model: string | null
  createdAt: Date
  updatedAt: Date
}

export type NewFeedback = Omit<Feedback, 'createdAt' | 'updatedAt'> & { at: Date }

/** How the answers of one model were liked; null for messages that no model wrote. */
export interface ModelFeedback {
  model: string | null
  total: number
  thumbsUp: number
  thumbsDown: number
  flags: number
  /** How many gave a rating, and their mean. */
  ratings: number
  meanRating: number | null
}

export interface FeedbackStore {
  /**
   * The person's one opinion of the message: given again it replaces the older one as a whole, but keeps its id and when it
   * was first given. @returns undefined when the owner has no such message in that conversation.
   */
  put(owner: Owner, feedback: NewFeedback): Promise<Feedback | undefined>
  find(owner: Owner, messageId: string): Promise<Feedback | undefined>
  /** All of a conversation, the one changed last first. */
  list(
    owner: Owner,
    conversationId: string,
    page: { page: number; limit: number },
  ): Promise<{ items: Feedback[]; total: number }>
  remove(owner: Owner, messageId: string): Promise<boolean>
  /** Of a whole tenant, for its administrators: what was first given from `from` on and before `to`, by model. */
  byModel(tenantId: string, period: { from: Date; to: Date }): Promise<ModelFeedback[]>
}

/** Which conversations something is done to: those that fit everything given; without anything, all of the owner's. */
export interface Selection {
  ids?: string[] | undefined
  archived?: boolean | undefined
  model?: string | undefined
  createdBefore?: Date | undefined
  tag?: string | undefined
}

/** A change of one of many conversations; what is absent stays as it is. */
export interface BulkChange {
  id: string
  title?: string | undefined
  model?: string | null | undefined
  tags?: string[] | undefined
  archived?: boolean | undefined
  pinned?: boolean | undefined
}

export interface BulkStore {
  /** Those that fit, by id. */
  select(owner: Owner, selection: Selection): Promise<{ id: string; title: string }[]>
  /**
   * Makes the changes (at most one for each id) in one transaction. With `allOrNothing` nothing is changed unless every
   * conversation is there. @returns the ids that are there.
   */
  update(owner: Owner, changes: BulkChange[], options: { allOrNothing: boolean; at: Date }): Promise<Set<string>>
  /** Removes them in one transaction and leaves word for other devices. @returns the ids that were there. */
  remove(owner: Owner, ids: string[], at: Date): Promise<string[]>
}

export interface ArchivedBranch {
  id: string
  name: string
  parentMessageId: string | null
  /** Null while the conversation is empty. */
  leafId: string | null
  createdAt: Date
  viewedAt: Date
}

/** A whole conversation to be written at once. */
export interface ArchivedTree {
  conversation: Omit<Conversation, 'activeBranchId' | 'rev'>
  branches: ArchivedBranch[]
  /** Parents before their children, every parent among them. */
  messages: Omit<Message, 'conversationId'>[]
}

/** Conversations as they leave and come in: with everything, hidden branches included. */
export interface ArchiveStore {
  find(owner: Owner, id: string): Promise<{ conversation: Conversation; branches: ArchivedBranch[] } | undefined>
  /** Every message by id, without its text; `size` is about how many bytes it has. Empty for what is not the owner's. */
  outline(owner: Owner, id: string): Promise<{ id: string; parentId: string | null; size: number }[]>
  /** These messages of one conversation, in the order of the ids; what is gone meanwhile is left out. */
  messages(owner: Owner, conversationId: string, ids: string[]): Promise<Message[]>
  /** Whether a conversation of this id is the owner's, somebody else's, or nobody's. */
  holder(owner: Owner, id: string): Promise<'owner' | 'other' | 'nobody'>
  /**
   * Writes a tree in one transaction, with `rev` 1. `exists`: the owner has this conversation already, nothing is changed.
   * `taken`: an id in it belongs to something else, nothing is changed.
   */
  write(owner: Owner, tree: ArchivedTree): Promise<'written' | 'exists' | 'taken'>
}

/** What is looked for in titles and in every message, hidden branches included; what is absent does not matter. */
export interface SearchQuery {
  /** As a person types it: words, "a phrase", this or that, -without. About ten thousand characters at most. */
  q: string
  /** The conversation's. */
  model?: string | undefined
  /** Written then or later, and before. A title is as old as its conversation. */
  from?: Date | undefined
  before?: Date | undefined
  minMessages?: number | undefined
  /** Titles are nobody's message: with it they are left out. */
  role?: Message['role'] | undefined
}

export interface SearchMatch {
  /** Null for the title. */
  messageId: string | null
  role: Message['role'] | null
  createdAt: Date
  snippet: Snippet
}

export interface FoundConversation {
  conversation: Pick<Conversation, 'id' | 'title' | 'model' | 'updatedAt'>
  /** Comparable within one answer only. */
  score: number
  /** The best three. */
  matches: SearchMatch[]
}

export interface SearchResult {
  /** How they were found: by words; else as a part of the text; else because it is written much like this. */
  method: 'words' | 'substring' | 'similar'
  /** The best first. */
  items: FoundConversation[]
  total: number
  /** More matched than were counted: there may be more conversations. */
  totalIsEstimate: boolean
  /** How many of all conversations found have this model, the most first; and a match of this month, the latest first. */
  models: { model: string | null; conversations: number }[]
  months: { month: string; conversations: number }[]
}

export interface SearchStore {
  /** @throws AppError UPSTREAM_UNAVAILABLE when it would take too long. */
  find(owner: Owner, query: SearchQuery, page: { page: number; limit: number }): Promise<SearchResult>
}

/** Everything of one person, in numbers. */
export interface UserStats extends Omit<ConversationStats, 'models'> {
  conversations: number
  archived: number
  /** The most used first, twenty at most. */
  models: { model: string; answers: number; totalTokens: number; costNanos: bigint }[]
  /** Of each day asked for. */
  days: { date: string; messages: number; answers: number; totalTokens: number; costNanos: bigint }[]
  /** The five conversations with the most messages. */
  mostActive: { id: string; title: string; messages: number; lastMessageAt: Date }[]
}

export interface StatsStore {
  /** @param days in order, each beginning where the one before it ends; the last one does not end. */
  of(owner: Owner, options: { days: Day[] }): Promise<UserStats>
}

/** Something that is gone. With a conversation all its messages are. */
export interface Deletion {
  kind: 'conversation' | 'message'
  id: string
  conversationId: string
  at: Date
}

/** How far somebody has read the changes. Numbers are those of the database's transactions, as decimal digits. */
export interface SyncCursor {
  /** What changed in this transaction or a later one is read. */
  from: string
  /** The `from` of the next reading, once this one is at its end. */
  next: string
  /** The last row of an unfinished reading: of which kind, and the two values that its kind is sorted by. */
  after: { kind: 'deletion' | 'conversation' | 'message'; key: [string, string] | null } | null
}

export interface Changes {
  deletions: Deletion[]
  conversations: Conversation[]
  /** By conversation. */
  messages: Message[]
  /** Those that made these messages. */
  runs: Run[]
  cursor: SyncCursor
  /** There is more to read now. */
  more: boolean
}

export interface SyncStore {
  /**
   * One page of what changed since `cursor`: deletions, then conversations, then messages, `limit` of them together; without
   * a cursor everything there is. Whoever applies all pages has what was there when the first of them was read, or newer.
   * A row may come again. @returns `reset` when the cursor is not of this database, or of one that was set back.
   */
  changes(owner: Owner, options: { cursor: SyncCursor | undefined; limit: number }): Promise<Changes | 'reset'>
}

/** Which request a key came with, and who works on it. */
export interface KeyClaim {
  /** 1 to 255 visible ASCII characters. The same key of another person is another key. */
  key: string
  /** The operation's template, such as `POST /v1/keys`: for people who look into the table. */
  operation: string
  /** The same for the same request, another for any other. */
  fingerprint: string
  /** The process that works on it. */
  instanceId: string
  /** What a dead process was working on is nobody's: it cannot be done a second time. */
  once?: boolean | undefined
  at: Date
  /** From then on the key is as good as new. */
  expiresAt: Date
}

/** An answer as it left. */
export interface KeptAnswer {
  status: number
  /** Names in small letters. */
  headers: Record<string, string>
  /** Sealed by whoever keeps it: answers hold secrets. */
  body: Uint8Array
}

export type Claimed =
  /** Work on it now: nobody else does. */
  | { outcome: 'claimed' }
  /** The same request is being worked on. */
  | { outcome: 'running' }
  /** It was being worked on by a process that died, and was to be done `once`. */
  | { outcome: 'lost' }
  /** The key came with another request. */
  | { outcome: 'other' }
  | { outcome: 'done'; answer: KeptAnswer }

/** Requests that must be done once, by the keys that their clients gave them. */
export interface IdempotencyStore {
  /**
   * Takes a key. Of any number of calls at once one gets it. What a process not heard of for `silentSeconds` was working
   * on goes to the next who asks the same, unless it is to be done `once`.
   */
  claim(owner: Owner, claim: KeyClaim, silentSeconds: number): Promise<Claimed>
  /** Keeps the answer. Changes nothing when the claim is not this one any more. */
  complete(owner: Owner, claim: KeyClaim, answer: KeptAnswer): Promise<void>
  /** Gives the key back: the next request with it is a first one. Changes nothing when the claim is not this one any more. */
  release(owner: Owner, claim: KeyClaim): Promise<void>
  /** Forgets at most `limit` keys whose time is over, of everybody. @returns how many. */
  prune(now: Date, limit: number): Promise<number>
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
