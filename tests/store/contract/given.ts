import { newId } from '../../../src/lib/ids'
import type {
  BeginTurn,
  Begun,
  FinishTurn,
  NewMessage,
  NewUser,
  Owner,
  Run,
  Store,
  User,
} from '../../../src/store/port'
import type { TestStore } from '../../support/db'

export const TENANT = '00000000-0000-0000-0000-000000000001'
export const AT = new Date('2026-11-21T10:00:00.000Z')
/** `AT`, so many milliseconds later. */
export const after = (ms: number) => new Date(AT.getTime() + ms)

export const newUser = (fields: Partial<NewUser> = {}): NewUser => ({
  id: newId(),
  tenantId: TENANT,
  email: `${newId()}@example.com`,
  name: 'Test',
  passwordHash: 'hash',
  issuer: null,
  subject: null,
  at: AT,
  ...fields,
})

export const message = (content: string, role: NewMessage['role'] = 'user'): NewMessage => ({
  id: newId(),
  role,
  content,
  extra: null,
})

export type TurnOptions = Partial<Omit<BeginTurn, 'conversation' | 'messages'>> & {
  /** The conversation to go on with; a new one without it. */
  in?: string
  parentId?: string | null
  title?: string
  systemPrompt?: string | null
  messages?: NewMessage[]
}

/** A turn as the chat service makes one: by default one question that opens a conversation. */
export function newTurn({ in: id, parentId, title, systemPrompt, ...rest }: TurnOptions = {}): BeginTurn {
  return {
    runId: newId(),
    instanceId: newId(),
    model: undefined,
    defaultModel: 'default-model',
    at: AT,
    messages: [message('question')],
    answerId: newId(),
    branchId: newId(),
    maxContext: 100,
    conversation: id
      ? { kind: 'existing', id, parentId }
      : { kind: 'new', id: newId(), title: title ?? 'Title', systemPrompt: systemPrompt ?? null },
    ...rest,
  }
}

export type Turn = BeginTurn & Omit<Begun, 'answerId'> & { questionId: string }

/** What the tests of the contract say over and over. Every test makes a user of its own, so none sees another's rows. */
export class Given {
  readonly store: Store

  constructor(private readonly opened: TestStore) {
    this.store = opened.store
  }

  user(fields: Partial<NewUser> = {}): Promise<User> {
    return this.opened.user?.() ?? this.store.accounts.create(newUser(fields))
  }

  /** Looks behind the store's back. */
  async sql<T = Record<string, unknown>>(text: string, values: unknown[] = []): Promise<T[]> {
    return (await this.opened.pool.query(text, values)).rows as T[]
  }

  async count(table: string, where: string, value: string): Promise<number> {
    const [row] = await this.sql<{ n: string }>(`select count(*) as n from ${table} where ${where} = $1`, [value])
    return Number(row?.n)
  }

  /** A turn that must begin. Its answer is still being written. */
  async begun(owner: Owner, options: TurnOptions = {}): Promise<Turn> {
    const turn = newTurn(options)
    const result = await this.store.turns.begin(owner, turn)
    if (result.outcome !== 'begun') throw new Error(`The turn did not begin: ${result.outcome}`)
    return { ...turn, ...result, answerId: turn.answerId, questionId: turn.messages.at(-1)?.id ?? '' }
  }

  finish(
    { runId }: Pick<BeginTurn, 'runId'>,
    text = 'answer',
    more: Partial<FinishTurn['answer']> = {},
    timing?: FinishTurn['timing'],
  ) {
    return this.store.turns.finish({
      runId,
      status: 'completed',
      lastSeq: 3,
      error: null,
      at: after(1000),
      answer: {
        content: text,
        extra: null,
        status: 'complete',
        finishReason: 'stop',
        usage: null,
        costNanos: null,
        ...more,
      },
      timing,
    })
  }

  /** A turn that is over. */
  async answered(owner: Owner, options: TurnOptions = {}): Promise<Turn> {
    const turn = await this.begun(owner, options)
    await this.finish(turn)
    return turn
  }

  async conversation(owner: Owner, id: string) {
    const found = await this.store.conversations.find(owner, id)
    if (!found) throw new Error('There is no such conversation')
    return found
  }

  async path(owner: Owner, id: string, options: { leafId?: string; page?: number; limit?: number } = {}) {
    const path = await this.store.conversations.path(owner, id, { page: 1, limit: 100, ...options })
    if (!path) throw new Error('There is no such path')
    return path
  }

  async message(owner: Owner, id: string) {
    const found = await this.store.conversations.findMessage(owner, id)
    if (!found) throw new Error('There is no such message')
    return found
  }

  async run(owner: Owner, id: string): Promise<Run> {
    const found = await this.store.runs.find(owner, id)
    if (!found) throw new Error('There is no such run')
    return found
  }

  branches(conversationId: string) {
    return this.sql<{ id: string; name: string; leaf_id: string }>(
      'select id, name, leaf_id from branches where conversation_id = $1 order by id',
      [conversationId],
    )
  }
}

/** Calls it so many times at once. */
export const atOnce = <T>(times: number, call: (i: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: times }, (_, i) => call(i)))
