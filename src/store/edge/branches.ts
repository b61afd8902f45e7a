import { AppError } from '../../errors'
import { storableJson } from '../../lib/text'
import type { Branch, BranchStore, Comparison, Owner, PlacedMessage, WriteTerms, Written } from '../port'
import type { Answers } from './answers'
import { type EdgeApi, type EdgeCall, needed, record } from './api'
import type { Whole, Wholes } from './whole'

interface EdgeWriteDeps {
  api: EdgeApi
  answers: Answers
  wholes: Wholes
}

interface Page {
  page: number
  limit: number
}

/**
 * Makes a call that changes a conversation, and reads the conversation after it. The function compares no `rev` in these calls:
 * what changes between this look and the call is not seen. @param made picks what was made, from the call's answer.
 */
export async function writeThrough<T>(
  { api, answers, wholes }: EdgeWriteDeps,
  { owner, conversationId, terms, call }: { owner: Owner; conversationId: string; terms: WriteTerms; call: EdgeCall },
  made: (whole: Whole, data: Record<string, unknown>) => T | undefined,
): Promise<Written<T> | undefined> {
  answers.seen(owner)
  await answers.settle(owner, conversationId)
  if (terms.rev !== undefined) {
    const before = await wholes.read(owner, conversationId)
    if (!before) return undefined
    if (before.conversation.rev !== terms.rev) return { outcome: 'stale', conversation: before.conversation }
  }
  const { outcome, data } = await api.call(owner, call)
  if (outcome === 'missing') return undefined
  if (outcome === 'conflict') throw busy()
  const whole = await wholes.read(owner, conversationId, true)
  const value = whole && made(whole, record(data))
  return whole && value && { outcome: 'done', conversation: whole.conversation, value }
}

export const busy = () =>
  new AppError('CONFLICT', 'The message is still being written. Wait for it, or stop its run first')

const absent = async () => {
  throw new AppError(
    'NOT_SUPPORTED',
    'The Edge Function renames, deletes and merges no branches. For that, set DATABASE_URL and STORE=postgres',
  )
}

/** Branches as the function has them: it lists, opens and activates them; the rest is not there. */
export class EdgeBranches implements BranchStore {
  readonly rename = absent
  readonly remove = absent
  readonly merge = absent

  constructor(private readonly deps: EdgeWriteDeps) {}

  async list(owner: Owner, conversationId: string, { page, limit }: Page) {
    const whole = await this.deps.wholes.read(owner, conversationId)
    return whole && { items: whole.branches.slice((page - 1) * limit, page * limit), total: whole.branches.length }
  }

  async create(
    owner: Owner,
    conversationId: string,
    { parentMessageId, name }: { id: string; parentMessageId: string; name: string | undefined },
    terms: WriteTerms,
  ): Promise<Written<Branch> | undefined> {
    const { api, answers } = this.deps
    if (answers.writing(owner, conversationId, parentMessageId)) throw busy()
    const body = storableJson({ parent_message_id: parentMessageId, ...(name === undefined ? {} : { name }) })
    const call: EdgeCall = { method: 'POST', path: `/conversations/${conversationId}/branches`, body }
    const write = { owner, conversationId, terms, call }
    const written = await writeThrough(this.deps, write, (whole, row) => branchOf(whole, idOf(row)))
    // Not every older function shows the branch that it has made.
    if (written?.outcome !== 'done' || api.extended || written.value.active) return written
    return this.activate(owner, conversationId, written.value.id, { at: terms.at })
  }

  activate(owner: Owner, conversationId: string, id: string, terms: WriteTerms): Promise<Written<Branch> | undefined> {
    const call: EdgeCall = { method: 'POST', path: `/conversations/${conversationId}/branches/${id}/activate` }
    return writeThrough(this.deps, { owner, conversationId, terms, call }, (whole) => branchOf(whole, id))
  }

  async compare(
    owner: Owner,
    conversationId: string,
    { a, b, page, limit }: { a: string; b: string } & Page,
  ): Promise<Comparison | undefined> {
    const whole = await this.deps.wholes.read(owner, conversationId)
    const [one, other] = whole ? [pathOf(whole, a), pathOf(whole, b)] : []
    if (!one || !other) return undefined
    const parting = one.findIndex(({ id }, i) => other[i]?.id !== id)
    const commonLength = parting === -1 ? one.length : parting
    const beyond = (path: PlacedMessage[]) => {
      const own = path.slice(commonLength)
      return { items: own.slice((page - 1) * limit, page * limit), total: own.length }
    }
    return { commonLength, lastCommonId: one[commonLength - 1]?.id ?? null, a: beyond(one), b: beyond(other) }
  }
}

const idOf = (row: Record<string, unknown>): string => needed(row, 'branch_id' in row ? 'branch_id' : 'id')
const branchOf = ({ branches }: Whole, id: string) => branches.find((branch) => branch.id === id)

function pathOf(whole: Whole, id: string): PlacedMessage[] | undefined {
  const branch = branchOf(whole, id)
  return branch && (branch.leafId === null ? [] : whole.tree.path(branch.leafId))
}
