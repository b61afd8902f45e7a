import type { AskedResponse } from '../../dialects/responses-in'
import type { Echo } from '../../dialects/responses-object'
import { AppError } from '../../errors'
import { isUuid, newId } from '../../lib/ids'
import { headline } from '../../lib/text'
import { textOf } from '../../lib/tree'
import type { RunBatch } from '../../runs/port'
import type { BeginTurn, Message, Run, Store, User } from '../../store/port'
import type { Answer, Chat, TurnOptions } from '../chat/service'
import type { Runs } from '../runs/service'
import type { ResponsesBody } from './model'

const TITLE_LENGTH = 50
/** Messages of a path that are read at once. */
const PAGE = 100

/** A response that was made here: a run, and what of its request is kept. */
export interface StoredResponse {
  run: Answer['run']
  running: boolean
  /** Undefined for answers that another API asked for. */
  echo: Echo | undefined
}

/** Responses are answers like any other: each is a run, kept in a conversation. */
export class Responses {
  constructor(
    private readonly store: Pick<Store, 'conversations'>,
    private readonly chat: Chat,
    private readonly runs: Runs,
  ) {}

  /** A response that is kept: below the one it names, at the end of a conversation, or in a new one. */
  async create(user: User, asked: AskedResponse, { body, ...options }: TurnOptions & { body: ResponsesBody }) {
    const { messages, instructions, system, params, echo } = asked
    if (messages.length === 0) throw invalid('input', 'input holds nothing to answer: send a message or an output')
    const place = await this.place(user, body)
    const known = place ?? {
      kind: 'new' as const,
      id: newId(),
      title:
        headline(textOf(messages.find(({ role }) => role === 'user')?.content), TITLE_LENGTH) || 'New conversation',
      systemPrompt: system.map(({ content }) => textOf(content)).join('\n\n') || null,
    }
    const turn = {
      place: known,
      sent: messages,
      instructions: place ? [...instructions, ...system] : instructions,
      body: params,
      whole: body,
      metadata: { response: echo },
    }
    return this.chat.at(user, turn, options)
  }

  /**
   * A response that leaves nothing behind. @param left aborts when the client leaves.
   * @throws AppError VALIDATION_ERROR for what needs a response that is kept.
   */
  stateless(user: User, asked: AskedResponse, { left, mayRestart }: { left: AbortSignal; mayRestart: boolean }) {
    const { messages, instructions, system, params, echo } = asked
    if (echo.background) throw invalid('background', 'background needs a response that is kept: leave out store: false')
    if (echo.previous_response_id) throw invalid('store', 'Without store nothing is remembered: send the whole input')
    const body = { ...params, messages: [...instructions, ...system, ...messages] }
    return this.chat.stateless(user, body as Parameters<Chat['stateless']>[1], { signal: left, mayRestart })
  }

  /** @throws AppError NOT_FOUND */
  async find(user: User, id: string): Promise<StoredResponse> {
    const run = await this.run(user, id)
    const message = run.messageId ? await this.store.conversations.findMessage(user, run.messageId) : undefined
    const kept = message?.metadata?.response as (Echo & { deleted?: true }) | undefined
    if (kept?.deleted) throw noResponse()
    return { run, running: run.status === 'running', echo: kept }
  }

  /** All events of a response, from the first one, those there are and those to come. */
  async events(user: User, { run }: StoredResponse): Promise<AsyncIterableIterator<RunBatch>> {
    return (await this.runs.read(user, run.id, 0)).events
  }

  /** Ends a response that is being made; what was delivered is kept. Too late, it changes nothing. */
  async cancel(user: User, id: string): Promise<StoredResponse> {
    const { run } = await this.find(user, id)
    await this.runs.stop(user, run.id)
    return this.find(user, id)
  }

  /**
   * Deletes a response: with its whole conversation when nothing else was said there, otherwise only as a response. Its
   * messages then stay in the conversation, where others may have been built on them.
   */
  async remove(user: User, id: string): Promise<void> {
    const { run, running } = await this.find(user, id)
    if (running) await this.runs.stop(user, run.id)
    const { conversations } = this.store
    const conversation = await conversations.find(user, run.conversationId)
    // Whatever is written to a conversation after its first turn counts its `rev` up.
    if (conversation?.rev === 1) await conversations.remove(user, conversation.id)
    else if (run.messageId) await conversations.annotate(user, run.messageId, { response: { deleted: true } })
  }

  /** What a response was asked, oldest first: the messages that were written together with it. */
  async input(user: User, id: string): Promise<Message[]> {
    const { run } = await this.find(user, id)
    const { conversations } = this.store
    const found: Message[] = []
    for (let page = 1; run.messageId; page++) {
      const path = await conversations.path(user, run.conversationId, { leafId: run.messageId, page, limit: PAGE })
      const items = path?.items ?? []
      const asked = items.filter((item) => item.createdAt >= run.createdAt && item.id !== run.messageId)
      found.unshift(...asked)
      if (items.length < PAGE || (items[0] && items[0].createdAt < run.createdAt)) break
    }
    return found
  }

  /** Messages of this person, by their ids; those there are not are left out. */
  async messages(user: User, ids: string[]): Promise<Message[]> {
    const found = await Promise.all(ids.map((id) => this.store.conversations.findMessage(user, id)))
    return found.filter((message) => message !== undefined)
  }

  private async place(user: User, body: ResponsesBody): Promise<BeginTurn['conversation'] | undefined> {
    const { previous_response_id: previous, conversation } = body
    if (previous && conversation) {
      throw invalid('conversation', 'Send previous_response_id or conversation, not both')
    }
    if (conversation) {
      const id = typeof conversation === 'string' ? conversation : conversation.id
      if (!isUuid(id)) throw invalid('conversation', 'conversation must be the id of one of your conversations: a UUID')
      return { kind: 'existing', id }
    }
    if (!previous) return undefined
    const { run } = await this.find(user, previous).catch((error) => {
      throw error instanceof AppError && error.code === 'NOT_FOUND' ? noPrevious() : error
    })
    if (!run.messageId) {
      throw new AppError('CONFLICT', 'The previous response is not saved yet. Wait until it is completed')
    }
    return { kind: 'existing', id: run.conversationId, parentId: run.messageId }
  }

  private async run(user: User, id: string): Promise<Run> {
    const runId = runIdOf(id)
    if (!runId) throw noResponse()
    return this.runs.find(user, runId).catch((error) => {
      throw error instanceof AppError && error.code === 'NOT_FOUND' ? noResponse() : error
    })
  }
}

/** `resp_` and the run's id without dashes; the id itself will do. */
function runIdOf(id: string): string | undefined {
  if (isUuid(id)) return id
  const [, a, b, c, d, e] = /^resp_([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})$/i.exec(id) ?? []
  return a && [a, b, c, d, e].join('-')
}

const fieldsOf = (path: string, message: string) => ({ details: { fields: [{ path, message }] } })

const invalid = (path: string, message: string) => new AppError('VALIDATION_ERROR', message, fieldsOf(path, message))

const noResponse = () => new AppError('NOT_FOUND', 'There is no such response. Those with store: false are not kept')

const noPrevious = () => {
  const message = 'There is no response with this previous_response_id. Those with store: false are not kept'
  return new AppError('NOT_FOUND', message, fieldsOf('previous_response_id', message))
}
