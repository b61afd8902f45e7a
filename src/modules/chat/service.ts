import { AppError } from '../../errors'
import { newId } from '../../lib/ids'
import { rejectRouting, withSettings } from '../../lib/parameters'
import { retry } from '../../lib/retry'
import { headline } from '../../lib/text'
import { hashToken } from '../../lib/tokens'
import { commonPrefix, fromChatMessage } from '../../lib/tree'
import { otherRequest } from '../../lib/turn-options'
import type { Catalog } from '../../llm/catalog'
import type { ChatEvent, ChatMessage, ChatModel } from '../../llm/port'
import type { Asker, Router } from '../../llm/router'
import type { Decision } from '../../llm/tool-answer'
import type { ToolLoop } from '../../llm/tool-loop'
import type { RunBatch } from '../../runs/port'
import type { BeginTurn, NewMessage, Run, Store, User, Wallet } from '../../store/port'
import type { Billing } from '../billing/service'
import type { Runs } from '../runs/service'
import type { Tenants } from '../tenants/service'
import { type ContextPolicy, type FittedTo, Fitting, trimmedFields, withFacts } from './fitting'
import { checkInputs } from './inputs'
import type { NativeChat, OpenAiChat, Regenerate } from './model'
import { askerOf, contextOf, failing, type Params, toRequest } from './request'

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

/** Who reads a stateless answer. */
export interface Reader {
  /** Aborts when they leave. */
  signal: AbortSignal
  /** Whether they can take it that an answer begins anew after a piece of it. */
  mayRestart: boolean
}

export interface ChatDeps {
  store: Pick<Store, 'turns' | 'conversations' | 'wallets'>
  runs: Runs
  models: Router
  /** Says what somebody may use, and with which keys. */
  tenants: Pick<Tenants, 'access'>
  /** Has every answer paid for. */
  billing: Pick<Billing, 'govern'>
  /** Tools that this server calls for models; absent when there are none. */
  tools?: ToolLoop | undefined
  instanceId: string
  maxContextMessages: number
  /** Nano-dollars that must be left, and a little more, for an answer to be begun. */
  minBalance: bigint
  /** What is known of models: their limits. */
  catalog: Catalog
  /** What is done with a conversation that is too long for its model. */
  contextPolicy: ContextPolicy
  now: () => Date
}

type Place = BeginTurn['conversation']

/** Characters of an automatic title. */
const TITLE_LENGTH = 50

export class Chat {
  private readonly fitting: Fitting

  constructor(private readonly deps: ChatDeps) {
    this.fitting = new Fitting(deps)
  }

  /** One more message in a conversation, or the first of a new one. */
  async send(user: User, body: NativeChat, options: TurnOptions = {}): Promise<Answer> {
    const { message, conversation_id, parent_message_id, ...rest } = body
    if (parent_message_id && !conversation_id) {
      throw new AppError('VALIDATION_ERROR', 'parent_message_id needs the conversation_id it belongs to')
    }
    const place: Place = conversation_id
      ? {
          kind: 'existing',
          id: conversation_id,
          parentId: parent_message_id ?? undefined,
        }
      : {
          kind: 'new',
          id: newId(),
          title: titleOf(message),
          systemPrompt: null,
        }
    return this.turn(user, {
      place,
      sent: [{ role: 'user', content: message }],
      tools: rest.server_tools !== false,
      body: rest,
      whole: body,
      ...options,
    })
  }

  /** The same question answered again, as a sibling of the answer there is. */
  async regenerate(user: User, body: Regenerate, options: TurnOptions = {}): Promise<Answer> {
    const { conversation_id, message_id, branch_name, ...rest } = body
    const message = await this.deps.store.conversations.findMessage(user, message_id)
    if (!message || message.conversationId !== conversation_id.toLowerCase())
      throw new AppError('NOT_FOUND', 'There is no such message')
    const parentId = message.role === 'assistant' ? message.parentId : message.id
    if (parentId === null)
      throw new AppError('CONFLICT', 'Nothing was said before this answer: there is nothing to answer again')
    const place: Place = { kind: 'existing', id: conversation_id, parentId }
    return this.turn(user, {
      place,
      sent: [],
      tools: rest.server_tools !== false,
      body: rest,
      whole: body,
      branchName: branch_name?.trim(),
      ...options,
    })
  }

  /**
   * A Chat Completions request kept in a conversation. New messages are added to what is stored; a whole history (one
   * with answers in it) is laid over the stored path, and what differs becomes a branch.
   */
  async bound(user: User, conversationId: string, body: OpenAiChat, options: TurnOptions = {}): Promise<Answer> {
    const { messages, conversation_id, ...rest } = body
    const isInstruction = ({ role }: ChatMessage) => role === 'system' || role === 'developer'
    const instructions = messages.filter(isInstruction)
    const turns = messages.filter((message) => !isInstruction(message))
    // Whoever sends a history sends its answers, too. Without any, everything is new: a message, or results of tools.
    if (!turns.some(({ role }) => role === 'assistant')) {
      const place: Place = { kind: 'existing', id: conversationId }
      return this.turn(user, {
        place,
        sent: turns,
        instructions,
        tools: rest.server_tools === true,
        body: rest,
        whole: body,
        ...options,
      })
    }
    const path = await this.deps.store.conversations.prefix(user, conversationId, turns.length)
    if (!path) throw noConversation()
    const known = commonPrefix(turns, path)
    const place: Place = {
      kind: 'existing',
      id: conversationId,
      parentId: path[known - 1]?.id ?? null,
    }
    return this.turn(user, {
      place,
      sent: turns.slice(known),
      messages,
      tools: rest.server_tools === true,
      body: rest,
      whole: body,
      ...options,
    })
  }

  /** A turn at a place of the tree that its caller has found: `sent` is written there and answered. */
  at(user: User, turn: PlacedTurn, options: TurnOptions = {}): Promise<Answer> {
    return this.turn(user, { ...turn, ...options })
  }

  /** Whether decisions can be carried out. */
  get hasTools(): boolean {
    return this.deps.tools !== undefined
  }

  /** A Chat Completions request that leaves nothing behind. Ends when its reader's `signal` aborts. */
  async stateless(user: User, body: OpenAiChat, { signal, mayRestart }: Reader) {
    const { messages: sent, conversation_id, model: wanted, ...rest } = body
    const asker = await this.admitted(user, rest)
    checkInputs(sent, rest)
    const model = wanted ?? (await this.deps.models.defaultModel(asker))
    const fitted = await this.fitting.fit(asker, { model, messages: sent, body: rest })
    const { messages, deployments } = fitted
    const facts = trimmedFields(fitted)
    const routed = await this.deps.models.route(model, asker)
    const equipment = { tools: rest.server_tools === true, approvals: false }
    const equipped = this.equipped(routed, user, equipment)
    const answerer = this.deps.billing.govern(equipped, { user, model, deployments, tools: equipment.tools })
    const request = { ...toRequest(asker, { model, messages, body: rest }), mayRestart }
    const events: AsyncIterable<ChatEvent> = answerer.stream(request, signal)
    return {
      header: {
        id: `chatcmpl-${newId()}`,
        created: Math.floor(Date.now() / 1000),
        model,
      },
      events: facts ? withFacts(events, facts) : events,
    }
  }

  /**
   * Who asks a model, if they may now. @throws AppError when the server is about to stop, when the request would choose
   * a provider itself, or when the balance is used up.
   */
  async admitted(user: User, body: Params): Promise<Asker> {
    this.deps.runs.admit()
    rejectRouting(body)
    const [wallet, access] = await Promise.all([this.wallet(user), this.deps.tenants.access(user)])
    return askerOf(user, wallet, access)
  }

  private async turn(user: User, turn: Turn): Promise<Answer> {
    const { store, runs, models, now, instanceId, maxContextMessages } = this.deps
    const { place, sent, idempotencyKey } = turn
    const asker = await this.admitted(user, turn.body)
    // Others would be paid for and lost.
    if (Number(turn.body.n ?? 1) !== 1) {
      throw new AppError('VALIDATION_ERROR', 'n must be 1 when the answer is kept in a conversation')
    }
    // Before anything is written: a model that does not exist shall not leave a conversation behind.
    const defaultModel = turn.body.model ?? (await models.defaultModel(asker))
    await models.route(defaultModel, asker)
    const fresh = turn.messages ?? [...(turn.instructions ?? []), ...sent]
    checkInputs(fresh, turn.body)
    await this.fitting.fit(asker, { model: defaultModel, messages: fresh, body: turn.body })
    const begin: BeginTurn = {
      runId: newId(),
      instanceId,
      model: turn.body.model ?? undefined,
      defaultModel,
      at: now(),
      messages: sent.map((message): NewMessage => ({ id: newId(), ...fromChatMessage(message) })),
      answerId: newId(),
      metadata: turn.metadata,
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
    if (begun.outcome === 'repeated') return this.replay(user, begun.run, begin)
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
      answerer,
      fields: fitted instanceof Error ? undefined : trimmedFields(fitted),
      request: toRequest(asker, { model, messages, body }),
      requestId: turn.requestId ?? null,
    })
    return { run, events: runs.follow(run.id), replayed: false }
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

  /** The same model with the tools of this server. */
  private equipped(model: ChatModel, owner: User, { tools, decisions, approvals }: Equipment): ChatModel {
    const loop = tools || decisions ? this.deps.tools : undefined
    return loop ? loop.around(model, { owner, approvals, decisions }) : model
  }

  /** @throws AppError INSUFFICIENT_BALANCE */
  private async wallet(user: User): Promise<Wallet> {
    const wallet = await this.deps.store.wallets.of(user)
    if (wallet.available !== null && wallet.available <= this.deps.minBalance) {
      throw new AppError('INSUFFICIENT_BALANCE', 'Your balance is used up. Top it up to go on')
    }
    return wallet
  }

  private async replay(user: User, run: Run, { idempotency }: BeginTurn): Promise<Answer> {
    if (run.fingerprint !== idempotency?.fingerprint) throw otherRequest()
    // The first request may have written the run's row and not yet opened its log: that is a matter of moments.
    const { events } = await retry(() => this.deps.runs.read(user, run.id, 0), { attempts: 5, baseMs: 50 })
    return { run, events, replayed: true }
  }
}

export type PlacedTurn = Pick<Turn, 'place' | 'sent' | 'instructions' | 'body' | 'whole' | 'metadata' | 'decisions'>

interface Turn extends TurnOptions {
  place: Place
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

interface Paying {
  asker: Asker
  user: User
  turn: Turn
  run: Pick<Run, 'id' | 'conversationId' | 'messageId' | 'model'>
}

type Equipment = Pick<Turn, 'tools' | 'decisions'> & { approvals: boolean }

const noConversation = () => new AppError('NOT_FOUND', 'There is no such conversation or message')

const titleOfFirst = ([first]: ChatMessage[]) =>
  typeof first?.content === 'string' ? titleOf(first.content) : undefined

const titleOf = (message: string) => headline(message, TITLE_LENGTH) || 'New conversation'
