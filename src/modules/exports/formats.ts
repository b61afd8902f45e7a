import { toUsd } from '../../lib/money'
import type { ArchivedBranch, Conversation, Message } from '../../store/port'
import { markdownOf } from './markdown'
import type { ExportFormatName } from './model'
import type { Source } from './source'

/** A way to write conversations down, in pieces that are never more than a message. */
interface Format {
  contentType: string
  extension: string
  open: string
  between: string
  close: string
  write: (source: Source) => AsyncIterable<string>
}

/** What our own files say they are. */
const MARK = '"format":"ai-chat-orchestrator","version":1'

const iso = (at: Date | null) => at?.toISOString() ?? null

const headOf = (c: Conversation) => ({
  id: c.id,
  title: c.title,
  title_source: c.titleSource,
  model: c.model,
  system_prompt: c.systemPrompt,
  settings: c.settings,
  metadata: c.metadata,
  tags: c.tags,
  pinned_at: iso(c.pinnedAt),
  archived_at: iso(c.archivedAt),
  active_leaf_id: c.activeLeafId,
  created_at: iso(c.createdAt),
  updated_at: iso(c.updatedAt),
})

const branchOf = (b: ArchivedBranch) => ({
  id: b.id,
  name: b.name,
  parent_message_id: b.parentMessageId,
  leaf_id: b.leafId,
  created_at: iso(b.createdAt),
  viewed_at: iso(b.viewedAt),
})

const messageOf = (m: Message) => ({
  id: m.id,
  parent_id: m.parentId,
  branch_id: m.branchId,
  role: m.role,
  content: m.content,
  extra: m.extra,
  status: m.status,
  model: m.model,
  finish_reason: m.finishReason,
  usage: m.usage,
  cost_usd: m.costNanos === null ? null : toUsd(m.costNanos),
  metadata: m.metadata,
  created_at: iso(m.createdAt),
  completed_at: iso(m.completedAt),
})

/** `{…` of an object that goes on. */
const unclosed = (value: object) => JSON.stringify(value).slice(0, -1)

async function* wholeTree(source: Source, mark: string) {
  const head = { ...headOf(source.conversation), branches: source.branches.map(branchOf) }
  yield `{${mark}${unclosed(head).slice(1)},"messages":[`
  let between = ''
  for await (const message of source.all()) {
    yield between + JSON.stringify(messageOf(message))
    between = ','
  }
  yield ']}'
}

/** ChatGPT counts in seconds. */
const seconds = (at: Date) => at.getTime() / 1000

const chatGptNode = (m: Message, source: Source, root: string) => ({
  id: m.id,
  message: {
    id: m.id,
    author: { role: m.role, name: null, metadata: {} },
    create_time: seconds(m.createdAt),
    update_time: m.completedAt && seconds(m.completedAt),
    content: { content_type: 'text', parts: [m.content] },
    status: m.status === 'streaming' ? 'in_progress' : 'finished_successfully',
    end_turn: m.role === 'assistant' ? true : null,
    weight: 1,
    metadata: m.model === null ? {} : { model_slug: m.model },
    recipient: 'all',
    channel: null,
  },
  parent: m.parentId ?? root,
  children: source.childrenOf(m.id),
})

/** The shape of the `conversations.json` that ChatGPT gives away: one root without a message, then the tree. */
async function* chatGpt(source: Source) {
  const c = source.conversation
  const top = 'client-created-root'
  const root = c.systemPrompt === null ? top : 'system'
  const head = {
    title: c.title,
    create_time: seconds(c.createdAt),
    update_time: seconds(c.updatedAt),
    current_node: c.activeLeafId ?? root,
    conversation_id: c.id,
    id: c.id,
    default_model_slug: c.model,
    is_archived: c.archivedAt !== null,
    is_starred: c.pinnedAt !== null,
  }
  const children = source.childrenOf(null)
  const nodes: Record<string, object> = {
    [top]: { id: top, message: null, parent: null, children: root === top ? children : [root] },
  }
  if (c.systemPrompt !== null) {
    const content = { content_type: 'text', parts: [c.systemPrompt] }
    const message = { id: root, author: { role: 'system', name: null, metadata: {} }, content, weight: 1, metadata: {} }
    nodes[root] = { id: root, message, parent: top, children }
  }
  yield `${unclosed(head)},"mapping":${unclosed(nodes)}`
  for await (const message of source.all()) {
    yield `,"${message.id}":${JSON.stringify(chatGptNode(message, source, root))}`
  }
  yield '}}'
}

export const FORMATS: Record<ExportFormatName, Format> = {
  json: {
    contentType: 'application/json; charset=utf-8',
    extension: 'json',
    open: `{${MARK},"conversations":[\n`,
    between: ',\n',
    close: '\n]}\n',
    write: (source) => wholeTree(source, ''),
  },
  ndjson: {
    contentType: 'application/x-ndjson; charset=utf-8',
    extension: 'ndjson',
    open: '',
    between: '\n',
    close: '\n',
    write: (source) => wholeTree(source, `${MARK},`),
  },
  chatgpt: {
    contentType: 'application/json; charset=utf-8',
    extension: 'json',
    open: '[\n',
    between: ',\n',
    close: '\n]\n',
    write: chatGpt,
  },
  markdown: {
    contentType: 'text/markdown; charset=utf-8',
    extension: 'md',
    open: '',
    between: '\n---\n\n',
    close: '',
    write: markdownOf,
  },
}
