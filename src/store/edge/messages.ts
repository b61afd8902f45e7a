import { AppError } from '../../errors'
import { storableJson } from '../../lib/text'
import type { MessageStore, Owner, PlacedMessage, WriteTerms, Written } from '../port'
import type { Answers } from './answers'
import { callerOf, type EdgeApi, type EdgeCall, needed, record } from './api'
import { writeThrough } from './branches'
import type { Whole, Wholes } from './whole'

interface EdgeMessagesDeps {
  api: EdgeApi
  answers: Answers
  wholes: Wholes
}

const absent = async () => {
  throw new AppError(
    'NOT_SUPPORTED',
    'The Edge Function deletes no messages. For that, set DATABASE_URL and STORE=postgres',
  )
}

/** Messages as the function has them. Of one message it tells neither its depth nor its alternatives: these need the whole. */
export class EdgeMessages implements MessageStore {
  /** Asked before a deletion, so that nothing is stopped in vain. */
  readonly writing = absent
  readonly remove = absent

  constructor(private readonly deps: EdgeMessagesDeps) {}

  async find(owner: Owner, id: string): Promise<PlacedMessage | undefined> {
    const whole = await this.wholeOf(owner, id)
    return whole && placed(whole, id)
  }

  async siblings(owner: Owner, id: string, { page, limit }: { page: number; limit: number }) {
    const all = (await this.wholeOf(owner, id))?.tree.alternatives(id)
    return all && { items: all.slice((page - 1) * limit, page * limit), total: all.length }
  }

  /** Ours makes another message beside it; an older function may change the message where it is, and then that is told. */
  async edit(
    owner: Owner,
    id: string,
    { content, extra }: { id: string; branchId: string; content: string; extra: Record<string, unknown> | null },
    terms: WriteTerms,
  ): Promise<Written<PlacedMessage> | undefined> {
    if (extra) {
      throw new AppError(
        'NOT_SUPPORTED',
        'The Edge Function edits plain text only. For more, set DATABASE_URL and STORE=postgres',
      )
    }
    const conversationId = await this.conversationOf(owner, id)
    if (conversationId === undefined) return undefined
    const call: EdgeCall = { method: 'PATCH', path: `/messages/${id}`, body: storableJson({ content }) }
    const write = { owner, conversationId, terms, call }
    return writeThrough(this.deps, write, (whole, row) => placed(whole, 'id' in row ? needed(row, 'id') : id))
  }

  private async wholeOf(owner: Owner, id: string): Promise<Whole | undefined> {
    const conversationId = await this.conversationOf(owner, id)
    return conversationId === undefined ? undefined : this.deps.wholes.read(owner, conversationId)
  }

  private async conversationOf(owner: Owner, id: string): Promise<string | undefined> {
    const { api, answers } = this.deps
    const known = callerOf(owner) && answers.find(owner, id)
    if (known) return known.conversationId
    const { outcome, data } = await api.call(owner, { method: 'GET', path: `/messages/${id}` })
    return outcome === 'ok' ? needed(record(data), 'conversation_id') : undefined
  }
}

const placed = ({ tree }: Whole, id: string) => tree.path(id)?.at(-1)
