import type { Owner } from './port-accounts'
import type { MessageStatus } from './schema'

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
