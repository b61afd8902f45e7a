import { AppError } from '../../errors'
import { newId } from '../../lib/ids'
import { withSettings } from '../../lib/parameters'
import { retry } from '../../lib/retry'
import { headline } from '../../lib/text'
import { hashToken } from '../../lib/tokens'
import { fromChatMessage } from '../../lib/tree'
import { otherRequest } from '../../lib/turn-options'
import type { Pass } from '../../limits/pass'
import type { Rates } from '../../limits/rates'
import type { Catalog } from '../../llm/catalog'
import type { ChatMessage, ChatModel } from '../../llm/port'
import type { Asker, Router } from '../../llm/router'
import type { Decision } from '../../llm/tool-answer'
import type { ToolLoop } from '../../llm/tool-loop'
import type { Places } from '../../load/places'
import type { RunBatch } from '../../runs/port'
import type { BeginTurn, NewMessage, Orphan, Run, Store, User } from '../../store/port'
import type { Billing } from '../billing/service'
import type { StartRun } from '../runs/live'
import type { Runs } from '../runs/service'
import type { Admission } from './admission'
import { type KeptRequest, keptRequest } from './again'
import { type ContextPolicy, type FittedTo, Fitting, trimmedFields } from './fitting'
import { checkInputs } from './inputs'
import { contextOf, failing, type Params, tokensOf, toRequest } from './request'

/** A stored answer, being made or made before. */
export interface Answer {
  run: Pick<Run, 'id' | 'conversationId' | 'branchId' | 'messageId' | 'model' | 'createdAt'>
  events: AsyncIterableIterator<RunBatch>
  /** The idempotency key was used before: this is what it made then. */
  replayed: boolean
}

/** What a request may bring besides its body. */
export interface TurnOptions {
  idempotencyKey?: string | undefined
  /** For errors inside the stream, so that they can be found in the log. */
  requestId?: string | undefined
  /** The trace that the request belongs to. */
  trace?: BeginTurn['trace']
}

export interface TurnsDeps {
  store: Pick<Store, 'turns' | 'conversations'>
  runs: Runs
  /** Bounds the answers that are made at once. */
  places: Places
  /** Says how much everybody may ask for. */
  rates: Pick<Rates, 'enter'>
  models: Router
  /** Has every answer paid for. */
  billing: Pick<Billing, 'govern'>
  /** Tools that this server calls for models; absent when there are none. */
  tools?: ToolLoop | undefined
  instanceId: string
  /** Whether other processes go on with answers of this one when it dies. */
  continues: boolean
  maxContextMessages: number
  /** What is known of models: their limits. */
  catalog: Catalog
  /** What is done with a conversation that is too long for its model. */
  contextPolicy: ContextPolicy
  now: () => Date
}

/** Characters of an automatic title. */
const TITLE_LENGTH = 50

/** Makes stored answers: a turn is written, paid for and handed to its run. */
export class Turns {
  readonly fitting: Fitting

  constructor(
    private readonly deps: TurnsDeps,
    private readonly admission: Admission,
  ) {
    this.fitting = new Fitting(deps)
  }

  async make(user: User, turn: Turn): Promise<Answer> {
    const { models, places, rates } = this.deps
    const { asker, standing } = await this.admission.admit(user, turn.body)
    // Others would be paid for and lost.
    if (Number(turn.body.n ?? 1) !== 1) {
      throw new AppError('VALIDATION_ERROR', 'n must be 1 when the answer is kept in a conversation')
    }
    // Before anything is written: a model that does not exist shall not leave a conversation behind.
    const defaultModel = turn.body.model ?? (await models.defaultModel(asker))
    await models.route(defaultModel, asker)
    const fresh = turn.messages ?? [...(turn.instructions ?? []), ...turn.sent]
    checkInputs(fresh, turn.body)
    await this.fitting.fit(asker, { model: defaultModel, messages: fresh, body: turn.body })
    const pass = await rates.enter({ user, tokens: () => tokensOf(fresh, turn.body), streams: true })
    try {
      const release = await places.take(standing)
      return await this.begin(user, { turn, asker, defaultModel, pass, release }).catch((error) => {
        release()
        throw error
      })
    } finally {
      // Does nothing for an answer that is being made.
      pass.leave()
    }
  }

  /**
   * The same answer again, for one whose process died. Its place among those of its owner was taken when it began.
   * @throws AppError when they may not ask now, or this server has no room.
   */
  async goOn({ user: owner, parentId, request, ...run }: Orphan): Promise<StartRun> {
    const kept = request as unknown as KeptRequest
    const user = kept.key_id ? { ...owner, keyId: kept.key_id } : owner
    const { asker, standing } = await this.admission.admit(user, kept.body)
    const release = await this.deps.places.take(standing)
    try {
      const { model } = run
      const asked = { model, ...(await this.askedAgain(user, { kept, parentId, run })) }
      const fitted = await this.fitting.fit(asker, asked)
      const answerer = await this.paid({ asker, user, turn: {}, run }, fitted)
      return {
        ...run,
        answerer: this.deps.places.keep(answerer, release),
        fields: trimmedFields(fitted),
        request: toRequest(asker, { ...asked, messages: fitted.messages }),
        requestId: null,
      }
    } catch (error) {
      release()
      throw error
    }
  }

  /** The same model with the tools of this server. */
  equipped(model: ChatModel, owner: User, { tools, decisions, approvals }: Equipment): ChatModel {
    const loop = tools || decisions ? this.deps.tools : undefined
    return loop ? loop.around(model, { owner, approvals, decisions }) : model
  }

  /** @param release gives back the place of the answer, which goes on to its run. */
  private async begin(user: User, { turn, asker, defaultModel, pass, release }: Beginning): Promise<Answer> {
    const { store, runs, places, now, instanceId, maxContextMessages, continues } = this.deps
    const { place, sent, idempotencyKey } = turn
    const begin: BeginTurn = {
      runId: newId(),
      instanceId,
      model: turn.body.model ?? undefined,
      defaultModel,
      at: now(),
      messages: sent.map((message): NewMessage => ({ id: newId(), ...fromChatMessage(message) })),
      answerId: newId(),
      metadata: turn.metadata,
      request: continues
        ? keptRequest(turn, { hasTools: this.deps.tools !== undefined, keyId: user.keyId })
        : undefined,
      branchId: newId(),
      branchName: turn.branchName,
      idempotency: idempotencyKey
        ? {
            key: idempotencyKey,
            fingerprint: hashToken(JSON.stringify(turn.whole)),
          }
        : undefined,
      trace: turn.trace,
      conversation: place.kind === 'new' ? place : { ...place, title: titleOfFirst(sent) },
      maxContext: maxContextMessages,
    }
    const begun = await store.turns.begin(user, begin)
    if (begun.outcome === 'not_found') throw noConversation()
    if (begun.outcome === 'busy') {
      throw new AppError('CONFLICT', 'The message before is still being answered. Wait for it, or stop its run first')
    }
    if (begun.outcome === 'repeated') {
      release()
      return this.replay(user, begun.run, begin)
    }
    const { conversationId, branchId, answerId, model } = begun
    // The run's row exists: from here on whatever fails has to fail as that run, or it would stay "running".
    const context = turn.messages ?? contextOf(begun, turn)
    const body = withSettings(begun.settings, turn.body)
    const fitting = this.fitting.fit(asker, { model, messages: context, body })
    const fitted: FittedTo | Error = await fitting.catch((error: Error) => error)
    const run = { id: begin.runId, conversationId, branchId, messageId: answerId, model, createdAt: begin.at }
    const answerer = fitted instanceof Error ? failing(fitted) : await this.paid({ asker, user, turn, run }, fitted)
    const { messages } = fitted instanceof Error ? { messages: context } : fitted
    runs.start({
      ...run,
      answerer: pass.around(places.keep(answerer, release)),
      fields: fitted instanceof Error ? undefined : trimmedFields(fitted),
      request: toRequest(asker, { model, messages, body }),
      requestId: turn.requestId ?? null,
    })
    return { run, events: runs.follow(run.id), replayed: false }
  }

  private async askedAgain(user: User, { kept, parentId, run }: Again) {
    const { store, maxContextMessages } = this.deps
    const { conversationId: id } = run
    const conversation = await store.conversations.find(user, id)
    if (!conversation) throw noConversation()
    const { systemPrompt, settings } = conversation
    // With the question, which was new when it began.
    const page = { leafId: parentId ?? undefined, page: 1, limit: maxContextMessages + 1 }
    const path = parentId ? await store.conversations.path(user, id, page) : undefined
    const { instructions, messages } = kept
    const context = contextOf({ systemPrompt, context: path?.items ?? [] }, { instructions, sent: [] })
    return { messages: messages ?? context, body: withSettings(settings, kept.body) }
  }

  /** The model of a stored answer, with its tools, paid for; or what fails as the answer would. */
  private async paid({ asker, user, turn, run }: Paying, { deployments }: FittedTo): Promise<ChatModel> {
    const { model, conversationId, messageId, id: runId } = run
    const routed = await this.deps.models.route(model, asker).catch((error: Error) => error)
    // Nobody is asked: nothing is to be paid.
    if (routed instanceof Error) return failing(routed)
    const equipped = this.equipped(routed, user, { ...turn, approvals: true })
    const place = { conversationId, messageId, runId }
    const tools = Boolean(turn.tools || turn.decisions)
    return this.deps.billing.govern(equipped, { user, model, deployments, place, tools })
  }

  private async replay(user: User, run: Run, { idempotency }: BeginTurn): Promise<Answer> {
    if (run.fingerprint !== idempotency?.fingerprint) throw otherRequest()
    // The first request may have written the run's row and not yet opened its log: that is a matter of moments.
    const { events } = await retry(() => this.deps.runs.read(user, run.id, 0), { attempts: 5, baseMs: 50 })
    return { run, events, replayed: true }
  }
}

export type PlacedTurn = Pick<Turn, 'place' | 'sent' | 'instructions' | 'body' | 'whole' | 'metadata' | 'decisions'>

export interface Turn extends TurnOptions {
  place: BeginTurn['conversation']
  /** Messages to store. */
  sent: ChatMessage[]
  /** System messages for this turn only. */
  instructions?: ChatMessage[]
  /** What the model is to see, when the client decides; otherwise the stored path. */
  messages?: ChatMessage[]
  /** Whether the model may use the tools of this server. */
  tools?: boolean | undefined
  /** About calls of the answer that this one is placed below; they are carried out first. */
  decisions?: Decision[] | undefined
  branchName?: string | undefined
  /** Kept beside the answer. */
  metadata?: Record<string, unknown> | undefined
  body: Params
  /** The body as it came, for the idempotency fingerprint. */
  whole: unknown
}

interface Beginning {
  turn: Turn
  asker: Asker
  defaultModel: string
  pass: Pass
  release: () => void
}

interface Paying {
  asker: Asker
  user: User
  turn: Pick<Turn, 'tools' | 'decisions'>
  run: Pick<Run, 'id' | 'conversationId' | 'messageId' | 'model'>
}

interface Again {
  kept: KeptRequest
  parentId: string | null
  run: Pick<Run, 'conversationId'>
}

type Equipment = Pick<Turn, 'tools' | 'decisions'> & { approvals: boolean }

export const noConversation = () => new AppError('NOT_FOUND', 'There is no such conversation or message')

const titleOfFirst = ([first]: ChatMessage[]) =>
  typeof first?.content === 'string' ? titleOf(first.content) : undefined

export const titleOf = (message: string) => headline(message, TITLE_LENGTH) || 'New conversation'
