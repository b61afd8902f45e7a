import type { Branch, Conversation, Message, MessageStatus, PlacedMessage } from '../port'
import { needed } from './api'

export type Row = Record<string, unknown>

const text = (value: unknown): string | null => (typeof value === 'string' && value ? value : null)
const json = (value: unknown): Row | null => (typeof value === 'object' && value !== null ? (value as Row) : null)

/** A moment as the other side writes it; the beginning of time for one that cannot be read. */
const moment = (value: unknown): Date => {
  const date = new Date(String(value))
  return Number.isNaN(date.getTime()) ? new Date(0) : date
}

/** A conversation's row. What older functions do not keep has the value it would have had. */
export function toConversation(row: Row): Conversation {
  const updatedAt = moment(row.updated_at)
  return {
    id: needed(row, 'id'),
    title: String(row.title ?? ''),
    titleSource: row.title_source === 'user' ? 'user' : 'auto',
    model: text(row.model),
    systemPrompt: text(row.system_prompt),
    settings: json(row.settings),
    metadata: json(row.metadata),
    tags: Array.isArray(row.tags) ? row.tags.map(String) : [],
    pinnedAt: row.pinned_at ? moment(row.pinned_at) : null,
    archivedAt: row.archived_at ? moment(row.archived_at) : null,
    activeLeafId: text(row.active_leaf_id),
    activeBranchId: text(row.active_branch_id),
    // Without a counter the time of the last change is one: it grows with every change, too.
    rev: typeof row.rev === 'number' ? row.rev : updatedAt.getTime(),
    createdAt: moment(row.created_at),
    updatedAt,
  }
}

/** A branch's row, without what its end says. Older functions do not tell where it ends or when it was viewed. */
export function toBranch(row: Row, conversationId: string): Omit<Branch, 'messageCount' | 'preview' | 'active'> {
  const createdAt = moment(row.created_at)
  return {
    id: needed(row, 'id'),
    conversationId,
    name: String(row.name ?? ''),
    parentMessageId: text(row.parent_message_id),
    leafId: text(row.leaf_id),
    createdAt,
    viewedAt: row.viewed_at ? moment(row.viewed_at) : createdAt,
  }
}

const ROLES = ['user', 'assistant', 'tool'] as const

/** A message's row. Its depth is not told by older functions; `Tree` counts it. */
export function toMessage(row: Row): Message {
  const createdAt = moment(row.created_at)
  const tokens = row.tokens_count
  const usage = json(row.usage) ?? (typeof tokens === 'number' ? { completion_tokens: tokens } : null)
  const costNanos = row.cost_nanos
  return {
    id: needed(row, 'id'),
    conversationId: needed(row, 'conversation_id'),
    branchId: text(row.branch_id),
    parentId: text(row.parent_id),
    depth: typeof row.depth === 'number' ? row.depth : 0,
    role: ROLES.find((role) => role === row.role) ?? 'assistant',
    content: String(row.content ?? ''),
    extra: json(row.extra),
    status: (text(row.status) as MessageStatus | null) ?? 'complete',
    model: text(row.model),
    finishReason: text(row.finish_reason),
    usage,
    costNanos: typeof costNanos === 'string' ? BigInt(costNanos) : null,
    metadata: json(row.metadata),
    createdAt,
    completedAt: row.completed_at === null ? null : moment(row.completed_at ?? row.created_at),
  }
}

/** A whole conversation in memory: what `GET /conversations/{id}/full` tells, and the answers being written here. */
export class Tree {
  private readonly nodes = new Map<string, Message>()
  private readonly children = new Map<string | null, string[]>()

  constructor(messages: Message[]) {
    const ordered = [...messages].sort(
      (a, b) => a.createdAt.getTime() - b.createdAt.getTime() || (a.id < b.id ? -1 : 1),
    )
    for (const message of ordered) this.nodes.set(message.id, message)
    for (const { id, parentId } of ordered) {
      // An orphan is a root: it must not vanish.
      const parent = parentId !== null && this.nodes.has(parentId) ? parentId : null
      const alike = this.children.get(parent)
      if (alike) alike.push(id)
      else this.children.set(parent, [id])
    }
  }

  /** From the root down to `leafId`; undefined when there is no such message. */
  path(leafId: string): PlacedMessage[] | undefined {
    if (!this.nodes.has(leafId)) return undefined
    const up: Message[] = []
    const seen = new Set<string>()
    for (let id: string | null = leafId; id !== null && !seen.has(id); ) {
      seen.add(id)
      const node = this.nodes.get(id)
      if (!node) break
      up.push(node)
      id = node.parentId
    }
    return up.reverse().map((node, depth) => this.place({ ...node, depth }))
  }

  get size(): number {
    return this.nodes.size
  }

  /** All of it, oldest first. */
  all(): PlacedMessage[] {
    const depths = new Map<string, number>()
    let level = this.children.get(null) ?? []
    for (let depth = 0; level.length > 0; depth++) {
      for (const id of level) depths.set(id, depth)
      level = level.flatMap((id) => this.children.get(id) ?? [])
    }
    return [...this.nodes.values()].map((node) => this.place({ ...node, depth: depths.get(node.id) ?? 0 }))
  }

  /** A message and the alternatives to it, oldest first; undefined when there is none of this id. */
  alternatives(id: string): PlacedMessage[] | undefined {
    const node = this.nodes.get(id)
    const depth = (this.path(id)?.length ?? 0) - 1
    const alike = node && (this.children.get(this.parentOf(node)) ?? [])
    return alike?.flatMap((other) => {
      const found = this.nodes.get(other)
      return found ? this.place({ ...found, depth }) : []
    })
  }

  /** The end of a branch as older functions know one: the last message written in it, or where it forked off. */
  leafOf(branchId: string | null, branches: Row[], rows: Row[]): string | null {
    const branch = branches.find(({ id }) => id === branchId)
    const leaf = text(branch?.leaf_id)
    if (leaf) return leaf
    const inside = new Set(rows.filter((row) => row.branch_id === branchId).map(({ id }) => id))
    const last = [...this.nodes.keys()].findLast((id) => inside.has(id))
    return last ?? text(branch?.parent_message_id)
  }

  private place(node: Message): PlacedMessage {
    const alike = this.children.get(this.parentOf(node)) ?? []
    const at = alike.indexOf(node.id)
    const siblings = { index: at + 1, count: alike.length, prev: alike[at - 1] ?? null, next: alike[at + 1] ?? null }
    return { ...node, siblings }
  }

  private parentOf({ parentId }: Message): string | null {
    return parentId !== null && this.nodes.has(parentId) ? parentId : null
  }
}
