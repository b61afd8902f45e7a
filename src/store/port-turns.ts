import type { Owner, User } from './port-accounts'
import type { Message } from './port-conversations'
import type { RunStatus } from './schema'

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
