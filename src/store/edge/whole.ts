import type { Branch, Conversation, Message, Owner, PlacedMessage } from '../port'
import type { Answers } from './answers'
import { type EdgeApi, list, record } from './api'
import { type Row, Tree, toBranch, toConversation, toMessage } from './rows'

/** A conversation with everything in it, as the function tells it in one call. */
export interface Whole {
  conversation: Conversation
  tree: Tree
  branches: Branch[]
}

/** Reads conversations as wholes, with the answers that the function does not have yet laid over. */
export class Wholes {
  constructor(private readonly deps: { api: EdgeApi; answers: Answers }) {}

  /** @param sure it was written to a moment ago, so that not finding it may be a replica that lags. */
  async read(owner: Owner, id: string, sure = false): Promise<Whole | undefined> {
    const { api, answers } = this.deps
    const fresh = sure || answers.isFresh(owner, id)
    const { outcome, data } = await api.call(owner, { method: 'GET', path: `/conversations/${id}/full`, fresh })
    if (outcome !== 'ok') return undefined
    const { conversation: row, branches, messages } = record(data)
    const rows = list(messages)
    const told = toConversation(record(row))
    const ends = list(branches ?? [])
    const tree = new Tree([...rows.map(toMessage), ...answers.in(owner, id)])
    const leafOf = (branchId: string | null) => tree.leafOf(branchId, ends, rows)
    const leaf = told.activeLeafId ?? leafOf(told.activeBranchId)
    const conversation = this.shown(owner, { ...told, activeLeafId: leaf })
    return { tree, conversation, branches: ends.map((end) => this.branch(owner, end, { conversation, tree, leafOf })) }
  }

  /** The active path goes on into answers that are still being written or waiting to be saved. */
  shown(owner: Owner, conversation: Conversation): Conversation {
    const next = this.next(owner, conversation.id, conversation.activeLeafId)
    return next ? { ...conversation, activeLeafId: next.id, activeBranchId: next.branchId } : conversation
  }

  /** The newest unsaved answer below a message. */
  private next(owner: Owner, conversationId: string, leafId: string | null): Message | undefined {
    if (leafId === null) return undefined
    return this.deps.answers.in(owner, conversationId).findLast(({ parentId }) => parentId === leafId)
  }

  private branch(
    owner: Owner,
    row: Row,
    { conversation, tree, leafOf }: { conversation: Conversation; tree: Tree; leafOf: (id: string) => string | null },
  ): Branch {
    const branch = toBranch(row, conversation.id)
    const saved = branch.leafId ?? leafOf(branch.id)
    const next = this.next(owner, conversation.id, saved)
    const leafId = next?.branchId === branch.id ? next.id : saved
    const path: PlacedMessage[] = (leafId && tree.path(leafId)) || []
    return {
      ...branch,
      leafId,
      messageCount: path.length,
      preview: path.at(-1)?.content.slice(0, 80) ?? '',
      active: branch.id === conversation.activeBranchId,
    }
  }
}
