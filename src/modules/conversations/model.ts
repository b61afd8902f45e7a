import { t } from 'elysia'
import { toUsd } from '../../lib/money'
import type { Conversation, PlacedMessage } from '../../store/port'
import { pageFields } from '../paging'

export const ConversationId = t.Object({ id: t.String({ format: 'uuid' }) })

export const PageQuery = t.Object(pageFields(20))

export const PathQuery = t.Object({
  ...pageFields(50),
  leaf: t.Optional(
    t.String({
      format: 'uuid',
      description: 'Another end than that of the active branch',
    }),
  ),
})

export const Patch = t.Object(
  {
    title: t.Optional(t.String({ minLength: 1, maxLength: 200, pattern: '\\S' })),
    model: t.Optional(t.Nullable(t.String({ minLength: 1, maxLength: 200 }))),
    system_prompt: t.Optional(t.Nullable(t.String({ maxLength: 32_000 }))),
  },
  {
    minProperties: 1,
    additionalProperties: false,
    examples: [{ title: 'Holiday plans' }],
  },
)
export type Patch = typeof Patch.static

export const conversationJson = (c: Conversation) => ({
  id: c.id,
  title: c.title,
  model: c.model,
  system_prompt: c.systemPrompt,
  active_leaf_id: c.activeLeafId,
  active_branch_id: c.activeBranchId,
  rev: c.rev,
  created_at: c.createdAt.toISOString(),
  updated_at: c.updatedAt.toISOString(),
})

export const messageJson = (m: PlacedMessage) => ({
  id: m.id,
  conversation_id: m.conversationId,
  parent_id: m.parentId,
  role: m.role,
  content: m.content,
  extra: m.extra,
  status: m.status,
  model: m.model,
  finish_reason: m.finishReason,
  usage: m.usage,
  cost_usd: m.costNanos === null ? null : toUsd(m.costNanos),
  siblings: m.siblings,
  created_at: m.createdAt.toISOString(),
  completed_at: m.completedAt?.toISOString() ?? null,
})

export const conversationExample = {
  id: '0199c0de-0000-7000-8000-000000000001',
  title: 'Hello, how are you?',
  model: 'demo/eliza',
  system_prompt: null,
  active_leaf_id: '0199c0de-0000-7000-8000-000000000003',
  active_branch_id: '0199c0de-0000-7000-8000-000000000002',
  rev: 1,
  created_at: '2026-11-21T10:00:00.000Z',
  updated_at: '2026-11-21T10:00:01.000Z',
} satisfies ReturnType<typeof conversationJson>

export const messageExample = {
  id: '0199c0de-0000-7000-8000-000000000003',
  conversation_id: '0199c0de-0000-7000-8000-000000000001',
  parent_id: '0199c0de-0000-7000-8000-000000000005',
  role: 'assistant',
  content: 'Hello there.',
  extra: null,
  status: 'complete',
  model: 'demo/eliza',
  finish_reason: 'stop',
  usage: { prompt_tokens: 4, completion_tokens: 2, total_tokens: 6 },
  cost_usd: 0,
  siblings: { index: 1, count: 1, prev: null, next: null },
  created_at: '2026-11-21T10:00:00.000Z',
  completed_at: '2026-11-21T10:00:01.000Z',
} satisfies ReturnType<typeof messageJson>
