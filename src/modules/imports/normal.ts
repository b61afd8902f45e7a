import type { ArchivedBranch, Conversation, Message } from '../../store/port'

/** A message as every format is brought to it. Ids are the source's own, and nothing is sure about them yet. */
export interface NormalMessage {
  /** Null where the source has none. */
  sourceId: string | null
  /** Null for a root; undefined where the source has only an order: below the one before it. */
  parentSourceId: string | null | undefined
  /** As the source says it; null for a node without a message, whose children belong to the one above. */
  role: string | null
  content: string
  extra?: Record<string, unknown> | null
  metadata?: Record<string, unknown> | null
  createdAt: Date | null
  model: string | null
  /** What only our own files know. */
  own?: Partial<Pick<Message, 'status' | 'finishReason' | 'usage' | 'costNanos' | 'completedAt' | 'branchId'>>
}

export interface NormalConversation {
  /** Which product it comes from. */
  source: string
  /** Null where the source has none: then its content is what it is known by. */
  sourceId: string | null
  title: string | null
  createdAt: Date | null
  updatedAt: Date | null
  /** Of the answers that do not name theirs. */
  model: string | null
  systemPrompt: string | null
  tags: string[]
  archived: boolean
  pinned: boolean
  messages: NormalMessage[]
  /** The end of the path that is shown; null when the source does not say. */
  activeSourceId: string | null
  /** What only our own files know. Times and ids of our own are taken as they are. */
  own?: Pick<Conversation, 'titleSource' | 'model' | 'settings' | 'metadata' | 'pinnedAt' | 'archivedAt'> & {
    branches: ArchivedBranch[]
  }
}

/** What was mended, and how often. */
export type Repairs = Partial<Record<Repair, number>>
export type Repair =
  | 'missing_parents'
  | 'self_parents'
  | 'cycles'
  | 'duplicate_ids'
  | 'times'
  | 'texts'
  | 'titles'
  | 'roles'
  | 'system_messages'

export const count = (repairs: Repairs, what: Repair): void => {
  repairs[what] = (repairs[what] ?? 0) + 1
}
