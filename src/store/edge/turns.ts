import { LRUCache } from 'lru-cache'
import { AppError } from '../../errors'
import { storableJson } from '../../lib/text'
import type { BeginResult, BeginTurn, Begun, FinishTurn, Kept, Owner, Piece, TurnStore } from '../port'
import { toTurnArgument } from '../turn-argument'
import type { Answers } from './answers'
import { type EdgeApi, list, needed, record } from './api'
import type { ProfileWallets } from './rest'
import type { Row } from './rows'
import type { EdgeRuns } from './runs'

/** Idempotency keys remembered, and for how many milliseconds. By this process: the function has no place for them. */
const KEYS = { max: 10_000, ttl: 86_400_000 }

interface EdgeTurnsDeps {
  api: EdgeApi
  answers: Answers
  runs: EdgeRuns
  wallets: ProfileWallets
}

/** What the function made of a turn's beginning. */
type Opened = Exclude<BeginResult, { outcome: 'begun' | 'repeated' }> | Began
interface Began extends Omit<Begun, 'answerId'> {
  outcome: 'begun'
  /** What the answer hangs below, and how deep that makes it; an older function does not say. */
  parentId: string | null
  depth: number
}

export class EdgeTurns implements TurnStore {
  private readonly keys = new LRUCache<string, { runId: string; begun: Promise<BeginResult> }>(KEYS)
  private readonly owners = new Map<string, Owner>()

  constructor(private readonly deps: EdgeTurnsDeps) {}

  async begin(owner: Owner, turn: BeginTurn): Promise<BeginResult> {
    this.deps.answers.seen(owner)
    if (!turn.idempotency) return this.begun(owner, turn)
    const key = `${owner.tenantId} ${owner.userId} ${turn.idempotency.key}`
    const first = this.keys.get(key)
    if (first) {
      const result = await first.begun.catch(() => undefined)
      const run = result?.outcome === 'begun' && (await this.deps.runs.find(owner, first.runId))
      if (run) return { outcome: 'repeated', run }
    }
    const begun = this.begun(owner, turn)
    this.keys.set(key, { runId: turn.runId, begun })
    // What was not begun may be tried again under its key.
    const forget = () => this.keys.get(key)?.begun === begun && this.keys.delete(key)
    begun.then(({ outcome }) => outcome !== 'begun' && forget(), forget)
    return begun
  }

  async finish({ runId, status, lastSeq, error, answer, at }: FinishTurn): Promise<Kept> {
    const kept = await this.deps.answers.finish(runId, (row) => ({
      ...row,
      content: answer.content,
      extra: answer.extra,
      status: answer.status,
      finish_reason: answer.finishReason,
      usage: answer.usage,
      cost_nanos: answer.costNanos === null ? null : String(answer.costNanos),
      completed_at: at.toISOString(),
    }))
    const messageId = kept.messageId ? { messageId: kept.messageId } : {}
    this.deps.runs.finish(runId, { status, lastSeq, error, finishedAt: at, ...messageId })
    const owner = this.owners.get(runId)
    this.owners.delete(runId)
    // Something was spent: the next turn has to know.
    if (owner) this.deps.wallets.read({ ...owner, email: null }).catch(() => {})
    return kept
  }

  /** Nothing is settled here, and so nothing becomes known later. */
  async amend(): Promise<boolean> {
    return false
  }

  async checkpoint(pieces: Piece[]): Promise<void> {
    for (const piece of pieces) this.deps.answers.piece(piece)
  }

  private async begun(owner: Owner, turn: BeginTurn): Promise<BeginResult> {
    const { api, answers, runs } = this.deps
    const { conversation: place, runId, answerId, at } = turn
    const parentId = place.kind === 'existing' ? place.parentId : null
    if (parentId !== null && answers.writing(owner, place.id, parentId)) return { outcome: 'busy' }
    answers.reserve(runId, owner, blankRow(turn, place.id))
    try {
      await answers.settle(owner, place.id)
      const opened = await this.open(owner, turn)
      if (opened.outcome !== 'begun') {
        answers.drop(runId)
        return opened
      }
      const { conversationId, branchId, model } = opened
      answers.begin(runId, {
        ...blankRow(turn, conversationId),
        branch_id: branchId,
        parent_id: opened.parentId,
        depth: opened.depth,
        model,
      })
      const messageId = api.extended ? answerId : null
      const run = { id: runId, conversationId, branchId, messageId, model, createdAt: at, ...NEW_RUN }
      const { tenantId, userId } = owner
      runs.add({ ...run, fingerprint: turn.idempotency?.fingerprint ?? null, tenantId, userId })
      this.owners.set(runId, owner)
      const { depth, parentId: below, ...begun } = opened
      return { ...begun, answerId: messageId }
    } catch (error) {
      answers.drop(runId)
      throw error
    }
  }

  private async open(owner: Owner, turn: BeginTurn): Promise<Opened> {
    const { api } = this.deps
    if (!isPlain(turn)) await api.needExtension('Several messages in one turn, tools, images and new roots')
    const { conversation, messages, branchName } = turn
    const parentId = conversation.kind === 'existing' ? conversation.parentId : undefined
    const conversation_id = conversation.kind === 'existing' ? { conversation_id: conversation.id } : {}
    // A new conversation has the model that answers first; an old one keeps its own unless the caller chooses.
    const chosen = turn.model ?? (conversation.kind === 'new' ? turn.defaultModel : undefined)
    const model = chosen ? { model: chosen } : {}
    const [last] = messages.slice(-1)
    const name = branchName === undefined ? {} : { name: branchName }
    const body = last
      ? {
          ...conversation_id,
          ...(parentId ? { parent_id: parentId } : {}),
          role: last.role,
          content: last.content,
          ...model,
        }
      : { ...conversation_id, from_message_id: parentId, ...name }
    const { outcome, data } = await api.call(owner, {
      method: 'POST',
      path: last ? '/add-message' : '/create-branch',
      body: storableJson({ ...body, turn: toTurnArgument(turn) }),
    })
    if (outcome === 'missing') return { outcome: 'not_found' }
    if (outcome === 'conflict') return { outcome: 'busy' }
    const row = record(data)
    const below = last ? needed(row, 'message_id') : (parentId ?? null)
    return 'turn' in row ? toOpened(record(row.turn), below) : this.context(owner, turn, { row, below })
  }

  /** An older function tells the context in a second call. A conversation it has just made has none. */
  private async context(owner: Owner, turn: BeginTurn, { row, below }: { row: Row; below: string | null }) {
    const { conversation, messages, maxContext } = turn
    const conversationId = conversation.kind === 'new' ? needed(row, 'conversation_id') : conversation.id
    const branchId = needed(row, 'branch_id')
    const place = { outcome: 'begun', conversationId, branchId, parentId: below, depth: 0 } as const
    if (conversation.kind === 'new') {
      return {
        ...place,
        model: turn.model ?? turn.defaultModel,
        systemPrompt: conversation.systemPrompt,
        settings: null,
        context: [],
      }
    }
    const { outcome, data } = await this.deps.api.call(owner, {
      method: 'GET',
      path: '/build-context',
      query: { conversation_id: conversationId, branch_id: branchId, max_messages: maxContext + messages.length },
      fresh: true,
    })
    if (outcome !== 'ok')
      throw new AppError('UPSTREAM_ERROR', 'The Edge Function does not find what it has just written')
    const { model, messages: path } = record(data)
    const told = list(path).map(toContext)
    const isSystem = ({ role }: { role: string }) => role === 'system'
    const bare = told.filter((message) => !isSystem(message)) as Begun['context']
    return {
      ...place,
      model: turn.model ?? (typeof model === 'string' && model ? model : turn.defaultModel),
      systemPrompt: told.find(isSystem)?.content ?? null,
      settings: null,
      context: (messages.length ? bare.slice(0, -messages.length) : bare).slice(-maxContext),
    }
  }
}

/** How long answers took, and for which trace, is not kept here. */
const NO_FACTS = { provider: null, firstTokenMs: null, latencyMs: null, traceId: null, spanId: null }
const NEW_RUN = {
  status: 'running',
  lastSeq: 0,
  error: null,
  continued: 0,
  finishedAt: null,
  ...NO_FACTS,
} as const

/** What functions of any age can keep: one message of text below a message there is, or an answer made again. */
const isPlain = ({ conversation, messages }: BeginTurn): boolean =>
  (conversation.kind === 'new' || conversation.parentId !== null) &&
  (messages.length === 1
    ? messages.every(({ role, extra }) => role === 'user' && extra === null)
    : messages.length === 0 && conversation.kind === 'existing')

const blankRow = ({ answerId, branchId, at }: BeginTurn, conversationId: string): Row => ({
  id: answerId,
  conversation_id: conversationId,
  branch_id: branchId,
  parent_id: null,
  role: 'assistant',
  content: '',
  status: 'streaming',
  created_at: at.toISOString(),
  completed_at: null,
})

const toContext = ({ role, content }: Row) => ({ role: String(role), content: String(content ?? ''), extra: null })

function toOpened(turn: Row, parentId: string | null): Began {
  return {
    outcome: 'begun',
    conversationId: needed(turn, 'conversation_id'),
    branchId: needed(turn, 'branch_id'),
    model: needed(turn, 'model'),
    systemPrompt: typeof turn.system_prompt === 'string' ? turn.system_prompt : null,
    settings: typeof turn.settings === 'object' ? (turn.settings as Began['settings']) : null,
    context: list(turn.context) as unknown as Begun['context'],
    parentId,
    depth: Number(turn.depth) || 0,
  }
}
