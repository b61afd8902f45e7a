import { LRUCache } from 'lru-cache'
import { AppError } from '../../errors'
import { storableJson } from '../../lib/text'
import type { Caller, Kept, Message, Owner, Piece } from '../port'
import { type EdgeApi, list, needed, record } from './api'
import type { Outbox, Unsaved } from './outbox'
import { type Row, toMessage } from './rows'

/** Answers that may wait on disk; beyond it a run ends with the error that its answer could not be stored. */
const MAX_WAITING = 10_000
/** Milliseconds between two looks at what waits; deliveries at once; the pause after a failure, which doubles up to the last. */
const LOOK_EVERY = 2000
const AT_ONCE = 8
const FIRST_PAUSE = 2000
const LAST_PAUSE = 300_000
/** Milliseconds after which a saving nobody answered counts as dead: until then it may still happen. */
const MAY_STILL_HAPPEN = 60_000
/** Milliseconds for which a written conversation counts as fresh, and how many are remembered. */
const RECENT = 5000
const KEEP_RECENT = 2000
/** Milliseconds for which a saved answer is remembered. */
const KEEP_SAVED = 300_000
/** Milliseconds for which a conversation that is not found may only be late. */
const LATE = 600_000

interface Answer extends Unsaved {
  state: 'writing' | 'waiting'
  /** The newest token of its owner that was seen; gone after a restart, until they come back. */
  owner: Owner
  failures: number
  notBefore: number
  delivering?: Promise<string> | undefined
}

interface AnswersDeps {
  api: EdgeApi
  outbox: Outbox
  now: () => Date
  onFault: (message: string, error: unknown) => void
  /** How many wait, whenever that changes. */
  onWaiting: (count: number) => void
}

/** Answers that are being written, and those that could not be saved yet. To whoever reads they are there already. */
export class Answers {
  private readonly known = new Map<string, Answer>()
  /** Answers saved here, by owner and id: most answers that are made again are among them. */
  private readonly saved = new LRUCache<string, Message>({ max: KEEP_RECENT, ttl: KEEP_SAVED })
  /** Conversations something was written to a moment ago, by owner. */
  private readonly recent = new LRUCache<string, true>({ max: KEEP_RECENT, ttl: RECENT })
  private readonly timer

  constructor(private readonly deps: AnswersDeps) {
    for (const left of deps.outbox.left(deps.now())) {
      const owner = { userId: left.userId, tenantId: '' }
      this.known.set(left.runId, { ...left, state: 'waiting', owner, failures: 0, notBefore: 0 })
    }
    this.count()
    this.timer = setInterval(() => void this.look(), LOOK_EVERY)
  }

  /** Takes a place for an answer before the function is told of it, so that of two turns at once one sees the other. */
  reserve(runId: string, owner: Owner, row: Row): void {
    if (this.known.size >= MAX_WAITING) {
      throw new AppError('UPSTREAM_UNAVAILABLE', 'Too many answers wait to be saved. Try again later', {
        retryAfter: 60,
      })
    }
    const { userId } = owner
    this.known.set(runId, { runId, userId, row, sent: false, state: 'writing', owner, failures: 0, notBefore: 0 })
  }

  /** The answer begins. `row.id` is the id it gets if the function takes ids of ours. */
  begin(runId: string, row: Row): void {
    const answer = this.known.get(runId)
    if (!answer) throw new Error('An answer began that had no place')
    answer.row = row
    this.recent.set(`${answer.userId} ${row.conversation_id}`, true)
    this.deps.outbox.begin(runId, answer.userId, row)
  }

  drop(runId: string): void {
    this.known.delete(runId)
    this.deps.outbox.remove(runId)
    this.count()
  }

  private count(): void {
    let waiting = 0
    for (const { state } of this.known.values()) if (state === 'waiting') waiting++
    this.deps.onWaiting(waiting)
  }

  piece(piece: Piece): void {
    this.deps.outbox.piece(piece)
  }

  /** What was being written is over: saves it, or keeps it to be saved later. Does nothing the second time. */
  async finish(runId: string, complete: (row: Row) => Row): Promise<Kept> {
    const answer = this.known.get(runId)
    if (answer?.state !== 'writing') return {}
    answer.state = 'waiting'
    // As the database will keep it, so that nobody sees it change by being saved.
    answer.row = JSON.parse(storableJson(complete(answer.row)))
    // An older function has no place for an answer that says nothing.
    if (!this.deps.api.extended && !answer.row.content) {
      this.drop(runId)
      return {}
    }
    this.deps.outbox.finish(runId, answer.row)
    try {
      const messageId = await this.deliver(answer)
      return messageId === answer.row.id ? {} : { messageId }
    } catch (error) {
      this.count()
      this.deps.onFault('An answer is kept on disk until it can be saved', error)
      return { delayed: true }
    }
  }

  /** Whether a conversation may be so new that a replica does not know it yet. */
  isFresh({ userId }: Owner, conversationId: string): boolean {
    return this.recent.has(`${userId} ${conversationId}`)
  }

  /** As messages, those of one conversation. */
  in({ userId }: Owner, conversationId: string): Message[] {
    return this.of(userId, conversationId).map(({ row }) => toMessage(row))
  }

  /** One that is not saved yet, or was saved here a moment ago: an answer never changes. */
  find({ userId }: Owner, messageId: string): Message | undefined {
    for (const answer of this.known.values()) {
      if (answer.row.id === messageId && answer.userId === userId) return toMessage(answer.row)
    }
    return this.saved.get(`${userId} ${messageId}`)
  }

  /** Whether the last answer begun in a conversation, or the given one, is still being written. */
  writing({ userId }: Owner, conversationId: string, messageId: string | undefined): boolean {
    const answers = this.of(userId, conversationId)
    const answer = messageId ? answers.find(({ row }) => row.id === messageId) : answers.at(-1)
    return answer?.state === 'writing'
  }

  /** Saves what waits in a conversation before something is added below it. @throws AppError when that fails. */
  async settle(owner: Owner, conversationId: string): Promise<void> {
    for (const answer of this.of(owner.userId, conversationId)) {
      if (answer.state !== 'waiting') continue
      answer.owner = owner
      await this.deliver(answer)
    }
  }

  /** Forgets a conversation that is gone. */
  forget({ userId }: Owner, conversationId: string): void {
    this.recent.delete(`${userId} ${conversationId}`)
    for (const answer of this.of(userId, conversationId)) this.drop(answer.runId)
    for (const [key, message] of this.saved.entries()) {
      if (message.conversationId === conversationId) this.saved.delete(key)
    }
  }

  close(): void {
    clearInterval(this.timer)
    this.deps.outbox.close()
  }

  private of(userId: string, conversationId: string): Answer[] {
    if (this.known.size === 0) return []
    return [...this.known.values()].filter(
      (answer) => answer.userId === userId && answer.row.conversation_id === conversationId,
    )
  }

  /** Somebody is here again: with their token, what waits for them can be saved. */
  seen(owner: Owner): void {
    if (this.known.size === 0) return
    for (const answer of this.known.values()) if (answer.userId === owner.userId) answer.owner = owner
  }

  private async look(): Promise<void> {
    const now = Date.now()
    const due = [...this.known.values()].filter(
      ({ state, owner, notBefore, delivering }) =>
        state === 'waiting' && owner.caller && notBefore <= now && !delivering,
    )
    await Promise.allSettled(due.slice(0, AT_ONCE).map((answer) => this.deliver(answer)))
  }

  /** One at a time for each answer. @returns the id it is saved under. */
  private deliver(answer: Answer): Promise<string> {
    answer.delivering ??= this.send(answer).finally(() => {
      answer.delivering = undefined
    })
    return answer.delivering
  }

  private async send(answer: Answer): Promise<string> {
    const { row, owner } = answer
    const { caller } = owner
    try {
      const id = await this.save(answer)
      this.drop(answer.runId)
      this.saved.set(`${answer.userId} ${id}`, toMessage({ ...row, id }))
      return id
    } catch (error) {
      const { code } = error instanceof AppError ? error : { code: undefined }
      if (code === 'NOT_FOUND' && Date.now() - Date.parse(String(row.completed_at)) > LATE) {
        this.deps.onFault('An answer is dropped: its conversation is gone', error)
        this.drop(answer.runId)
      }
      // This token will not do any more; the next one its owner comes with may.
      if (code === 'UNAUTHORIZED' && answer.owner.caller === caller) answer.owner = withoutCaller(owner)
      const pause = Math.min(LAST_PAUSE, FIRST_PAUSE * 2 ** answer.failures++)
      answer.notBefore = Date.now() + (code === 'UPSTREAM_TIMEOUT' ? Math.max(MAY_STILL_HAPPEN, pause) : pause)
      throw error
    }
  }

  private async save(answer: Answer): Promise<string> {
    const { api } = this.deps
    const { row, owner } = answer
    // An older function would store a repeated answer twice; ours knows it by its id.
    const before = answer.sent && !api.extended ? await this.findSaved(owner, row) : undefined
    if (before) return before
    answer.sent = true
    const { outcome, data } = await api.call(owner, { method: 'POST', path: '/save-response', body: toSave(row) })
    if (outcome !== 'ok') throw new AppError('NOT_FOUND', 'The conversation of this answer is not there')
    return needed(record(data), 'message_id')
  }

  /** The same words below the same message on the same branch: an earlier try that got through unheard. */
  private async findSaved(owner: Owner, row: Row): Promise<string | undefined> {
    const path = `/conversations/${row.conversation_id}/full`
    const { outcome, data } = await this.deps.api.call(owner, { method: 'GET', path })
    if (outcome !== 'ok') return undefined
    const keys = ['parent_id', 'branch_id', 'content'] as const
    const twin = list(record(data).messages).find(
      (other) => other.role === 'assistant' && keys.every((key) => other[key] === row[key]),
    )
    return twin && needed(twin, 'id')
  }
}

const withoutCaller = ({ caller, ...owner }: Owner & { caller?: Caller }): Owner => owner

/** The body of `/save-response`: what every function reads, and in `turn` what ours knows besides. */
function toSave(row: Row): string {
  const { conversation_id, branch_id, parent_id, content, model, id, role, ...rest } = row
  const { completion_tokens } = record(row.usage)
  return storableJson({
    conversation_id,
    branch_id,
    parent_id,
    content,
    model,
    ...(typeof completion_tokens === 'number' ? { tokens_count: completion_tokens } : {}),
    turn: { message_id: id, branch_id, parent_id, ...rest },
  })
}
