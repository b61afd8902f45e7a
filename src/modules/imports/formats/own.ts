import { nanosOf } from '../../../lib/money'
import type { ArchivedBranch, MessageStatus } from '../../../store/port'
import type { NormalConversation, NormalMessage } from '../normal'
import { type Fields, fieldsOrNull, idOrNull, isFields, list, moment, textOrNull, texts } from '../read'

/** What our own export writes, one conversation of it. */
export const isOwn = (value: Fields): boolean =>
  Array.isArray(value.messages) && Array.isArray(value.branches) && 'active_leaf_id' in value

export function fromOwn(value: Fields): NormalConversation {
  const [pinnedAt, archivedAt] = [moment(value.pinned_at), moment(value.archived_at)]
  return {
    source: 'own',
    sourceId: idOrNull(value.id),
    title: textOrNull(value.title),
    createdAt: moment(value.created_at),
    updatedAt: moment(value.updated_at),
    model: null,
    systemPrompt: textOrNull(value.system_prompt),
    tags: texts(value.tags),
    archived: archivedAt !== null,
    pinned: pinnedAt !== null,
    messages: list(value.messages).filter(isFields).map(toMessage),
    activeSourceId: idOrNull(value.active_leaf_id),
    own: {
      titleSource: value.title_source === 'auto' ? 'auto' : 'user',
      model: textOrNull(value.model),
      settings: fieldsOrNull(value.settings),
      metadata: fieldsOrNull(value.metadata),
      pinnedAt,
      archivedAt,
      branches: list(value.branches).filter(isFields).flatMap(toBranch),
    },
  }
}

/** An answer that was still being written is not any more. */
const STATUS: Record<string, MessageStatus> = {
  complete: 'complete',
  stopped: 'stopped',
  error: 'error',
  interrupted: 'interrupted',
  streaming: 'interrupted',
}

const statusOf = (word: string): MessageStatus => (Object.hasOwn(STATUS, word) && STATUS[word]) || 'complete'

const toMessage = (message: Fields): NormalMessage => ({
  sourceId: idOrNull(message.id),
  parentSourceId: idOrNull(message.parent_id),
  role: textOrNull(message.role) ?? '',
  content: textOrNull(message.content) ?? '',
  extra: fieldsOrNull(message.extra),
  metadata: fieldsOrNull(message.metadata),
  createdAt: moment(message.created_at),
  model: textOrNull(message.model),
  own: {
    status: statusOf(textOrNull(message.status) ?? ''),
    finishReason: textOrNull(message.finish_reason),
    usage: fieldsOrNull(message.usage),
    costNanos: costOf(message.cost_usd),
    completedAt: moment(message.completed_at),
    branchId: idOrNull(message.branch_id),
  },
})

/** What a database counts with. */
const MOST = 9_000_000_000_000_000_000n

function costOf(usd: unknown): bigint | null {
  const nanos = typeof usd === 'number' ? nanosOf(usd) : undefined
  return nanos !== undefined && nanos >= 0n && nanos < MOST ? nanos : null
}

function toBranch(branch: Fields): ArchivedBranch[] {
  const [id, createdAt] = [idOrNull(branch.id), moment(branch.created_at)]
  if (!id || !createdAt) return []
  return [
    {
      id,
      name: textOrNull(branch.name) ?? '',
      parentMessageId: idOrNull(branch.parent_message_id),
      leafId: idOrNull(branch.leaf_id),
      createdAt,
      viewedAt: moment(branch.viewed_at) ?? createdAt,
    },
  ]
}
