import { AppError } from '../../errors'
import { newId } from '../../lib/ids'
import { rejectRouting, withSettings } from '../../lib/parameters'
import { retry } from '../../lib/retry'
import { headline } from '../../lib/text'
import { hashToken } from '../../lib/tokens'
import { commonPrefix, fromChatMessage } from '../../lib/tree'
import { otherRequest } from '../../lib/turn-options'
import type { ModelDirectory } from '../../llm/directory'
import type { ChatEvent, ChatMessage } from '../../llm/port'
import type { RunBatch } from '../../runs/port'
import type { BeginTurn, NewMessage, Run, Store, User, Wallet } from '../../store/port'
import type { Runs } from '../runs/service'
import type { NativeChat, OpenAiChat, Regenerate } from './model'
import { contextOf, failing, type Params, payable, toRequest } from './request'

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

export interface ChatDeps {
  store: Pick<Store, 'turns' | 'conversations' | 'wallets'>
  runs: Runs
  models: ModelDirectory
  instanceId: string
  maxContextMessages: number
  /** Nano-dollars that must be left, and a little more, for an answer to be begun. */
  minBalance: bigint
  now: () => Date
}

type Place = BeginTurn['conversation']

/** Characters of an automatic title. */
const TITLE_LENGTH = 50

export class Chat {
  constructor(private readonly deps: ChatDeps) {}

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
      body: rest,
      whole: body,
      ...options,
    })
  }

  /** A Chat Completions request that leaves nothing behind. Ends when `signal` aborts. */
  async stateless(user: User, body: OpenAiChat, signal: AbortSignal) {
    const { messages, conversation_id, model: wanted, ...rest } = body
    this.deps.runs.admit()
    rejectRouting(rest)
    const wallet = await this.wallet(user)
    const model = wanted ?? (await this.deps.models.defaultModel(wallet.litellmKey))
    const provider = payable(wallet, await this.deps.models.providerOf(model, wallet.litellmKey))
    const request = toRequest(wallet, provider, { model, messages, body: rest })
    const events: AsyncIterable<ChatEvent> = provider.stream(request, signal)
    return {
      header: {
        id: `chatcmpl-${newId()}`,
        created: Math.floor(Date.now() / 1000),
        model,
      },
      events,
    }
  }

  private async turn(user: User, turn: Turn): Promise<Answer> {
    const { store, runs, models, now, instanceId, maxContextMessages } = this.deps
    const { place, sent, idempotencyKey } = turn
    runs.admit()
    rejectRouting(turn.body)
    // Others would be paid for and lost.
    if (Number(turn.body.n ?? 1) !== 1) {
      throw new AppError('VALIDATION_ERROR', 'n must be 1 when the answer is kept in a conversation')
    }
    const wallet = await this.wallet(user)
    // Before anything is written: a model that does not exist shall not leave a conversation behind.
    const defaultModel = turn.body.model ?? (await models.defaultModel(wallet.litellmKey))
    payable(wallet, await models.providerOf(defaultModel, wallet.litellmKey))
    const begin: BeginTurn = {
      runId: newId(),
      instanceId,
      model: turn.body.model ?? undefined,
      defaultModel,
      at: now(),
      messages: sent.map((message): NewMessage => ({ id: newId(), ...fromChatMessage(message) })),
      answerId: newId(),
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
    const provider = await models
      .providerOf(model, wallet.litellmKey)
      .then((found) => payable(wallet, found))
      .catch(failing)
    const messages = turn.messages ?? contextOf(begun, turn)
    const run = {
      id: begin.runId,
      conversationId,
      branchId,
      messageId: answerId,
      model,
      createdAt: begin.at,
    }
    runs.start({
      ...run,
      provider,
      request: toRequest(wallet, provider, { model, messages, body: withSettings(begun.settings, turn.body) }),
      requestId: turn.requestId ?? null,
    })
    return { run, events: runs.follow(run.id), replayed: false }
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

interface Turn extends TurnOptions {
  place: Place
  /** Messages to store. */
  sent: ChatMessage[]
  /** System messages for this turn only. */
  instructions?: ChatMessage[]
  /** What the model is to see, when the client decides; otherwise the stored path. */
  messages?: ChatMessage[]
  branchName?: string | undefined
  body: Params
  /** The body as it came, for the idempotency fingerprint. */
  whole: unknown
}

const noConversation = () => new AppError('NOT_FOUND', 'There is no such conversation or message')

const titleOfFirst = ([first]: ChatMessage[]) =>
  typeof first?.content === 'string' ? titleOf(first.content) : undefined

const titleOf = (message: string) => headline(message, TITLE_LENGTH) || 'New conversation'
