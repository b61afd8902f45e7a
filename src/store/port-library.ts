import type { Day } from '../lib/days'
import type { Snippet } from '../lib/snippet'
import type { Owner } from './port-accounts'
import type { Conversation, ConversationStats, Message } from './port-conversations'
import type { Run } from './port-turns'
import type { FeedbackKind } from './schema'

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
