import { AppError } from '../../errors'
import { newId } from '../../lib/ids'
import { commonPrefix } from '../../lib/tree'
import type { ChatEvent, ChatMessage } from '../../llm/port'
import type { Asker } from '../../llm/router'
import type { BeginTurn, Orphan, User } from '../../store/port'
import type { StartRun } from '../runs/live'
import { Admission, type AdmissionDeps } from './admission'
import { trimmedFields, withFacts } from './fitting'
import { checkInputs } from './inputs'
import type { NativeChat, OpenAiChat, Regenerate } from './model'
import { type Params, tokensOf, toRequest } from './request'
import { type Answer, noConversation, type PlacedTurn, type TurnOptions, Turns, type TurnsDeps, titleOf } from './turns'

export type { Answer, PlacedTurn, TurnOptions } from './turns'

/** Who reads a stateless answer. */
export interface Reader {
  /** Aborts when they leave. */
  signal: AbortSignal
  /** Whether they can take it that an answer begins anew after a piece of it. */
  mayRestart: boolean
}

export type ChatDeps = TurnsDeps & AdmissionDeps

type Place = BeginTurn['conversation']

/** What clients may ask of models, and where in the tree it belongs. */
export class Chat {
  private readonly admission: Admission
  private readonly turns: Turns

  constructor(private readonly deps: ChatDeps) {
    this.admission = new Admission(deps)
    this.turns = new Turns(deps, this.admission)
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
    return this.turns.make(user, {
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
    return this.turns.make(user, {
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
      return this.turns.make(user, {
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
    return this.turns.make(user, {
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
    return this.turns.make(user, { ...turn, ...options })
  }

  /** @see Turns.goOn */
  goOn(orphan: Orphan): Promise<StartRun> {
    return this.turns.goOn(orphan)
  }

  /** Whether decisions can be carried out. */
  get hasTools(): boolean {
    return this.deps.tools !== undefined
  }

  /** A Chat Completions request that leaves nothing behind. Ends when its reader's `signal` aborts. */
  async stateless(user: User, body: OpenAiChat, { signal, mayRestart }: Reader) {
    const { messages: sent, conversation_id, model: wanted, ...rest } = body
    const { asker, standing } = await this.admission.admit(user, rest)
    checkInputs(sent, rest)
    const model = wanted ?? (await this.deps.models.defaultModel(asker))
    const fitted = await this.turns.fitting.fit(asker, { model, messages: sent, body: rest })
    const { messages, deployments } = fitted
    const facts = trimmedFields(fitted)
    const routed = await this.deps.models.route(model, asker)
    const equipment = { tools: rest.server_tools === true, approvals: false }
    const equipped = this.turns.equipped(routed, user, equipment)
    const answerer = this.deps.billing.govern(equipped, { user, model, deployments, tools: equipment.tools })
    const request = { ...toRequest(asker, { model, messages, body: rest }), mayRestart }
    const pass = await this.deps.rates.enter({ user, tokens: () => tokensOf(messages, rest), streams: true })
    const open = (end: AbortSignal): AsyncIterable<ChatEvent> => {
      const events = answerer.stream(request, end)
      return facts ? withFacts(events, facts) : events
    }
    return {
      header: {
        id: `chatcmpl-${newId()}`,
        created: Math.floor(Date.now() / 1000),
        model,
      },
      events: pass.over(this.deps.places.borrow(open, { standing, signal }), signal),
    }
  }

  /**
   * Who asks a model, if they may now. @throws AppError when the server is about to stop, when the request would choose
   * a provider itself, or when the balance is used up.
   */
  async admitted(user: User, body: Params): Promise<Asker> {
    return (await this.admission.admit(user, body)).asker
  }
}
