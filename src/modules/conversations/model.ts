import { t } from 'elysia'
import { toUsd } from '../../lib/money'
import type { Conversation, ConversationStats, ListedConversation } from '../../store/port'
import { pageFields } from '../paging'
import { Data } from '../shapes'

export { branchExample, branchJson, messageExample, messageJson } from '../shapes'

export const ConversationId = t.Object({ id: t.String({ format: 'uuid' }) })

const Flag = (description: string) => t.Optional(t.BooleanString({ description }))
const Time = (description: string) => t.Optional(t.String({ format: 'date-time', description }))
const Count = (description: string) =>
  t.Optional(t.Numeric({ minimum: 0, maximum: 1_000_000, multipleOf: 1, description }))
const Name = (maxLength: number, description: string) => t.Optional(t.String({ minLength: 1, maxLength, description }))

/** Not `UnionEnum`: it takes its first word for what nobody has said. */
const words = <const T extends string>(list: readonly T[], description: string) =>
  t.Optional(
    t.Union(
      list.map((word) => t.Literal(word)),
      { description },
    ),
  )

export const ListQuery = t.Object({
  ...pageFields(20),
  sort: words(
    ['updated_at', '-updated_at', 'created_at', '-created_at', 'title', '-title'],
    'With `-` the other way round. Without it pinned ones first, then `-updated_at`',
  ),
  q: Name(200, 'A part of the title, in letters of any size'),
  model: Name(200, 'The model that answers in it'),
  tag: Name(50, 'One of its tags'),
  created_after: Time('Made then or later'),
  created_before: Time('Made before'),
  has_branches: Flag('More than one branch'),
  min_messages: Count('At least so many messages, those of all branches'),
  max_messages: Count('At most so many'),
  pinned: Flag('Only pinned ones, or only others'),
  archived: words(['false', 'true', 'all'], '`true` for archived ones, `all` for both, else neither'),
})
export type ListQuery = typeof ListQuery.static

export const TreeQuery = t.Object({
  page: pageFields(20).page,
  limit: t.Optional(t.Numeric({ minimum: 1, maximum: 1000, multipleOf: 1, default: 1000 })),
})

export const PathQuery = t.Object({
  ...pageFields(50),
  leaf: t.Optional(
    t.String({
      format: 'uuid',
      description: 'Another end than that of the active branch',
    }),
  ),
})

const Title = t.String({ minLength: 1, maxLength: 200, pattern: '\\S' })
const Model = t.Nullable(t.String({ minLength: 1, maxLength: 200 }))
const SystemPrompt = t.Nullable(t.String({ maxLength: 32_000 }))
const Tags = t.Array(t.String({ minLength: 1, maxLength: 50, pattern: '\\S' }), { maxItems: 50 })

const fields = {
  title: t.Optional(Title),
  model: t.Optional(Model),
  system_prompt: t.Optional(SystemPrompt),
  settings: t.Optional(
    Data(
      'Parameters of the Chat Completions API for turns that do not bring their own. A turn says `null` to do without one',
      8000,
    ),
  ),
  metadata: t.Optional(Data('Whatever the client keeps with it')),
  tags: t.Optional(Tags),
}

export const NewConversation = t.Object(fields, {
  minProperties: 1,
  additionalProperties: false,
  description: 'At least one of them.',
  examples: [{ title: 'Holiday plans', settings: { temperature: 0.3 }, tags: ['travel'] }],
})
export type NewConversation = typeof NewConversation.static

export const Patch = t.Object(
  { ...fields, pinned: t.Optional(t.Boolean()), archived: t.Optional(t.Boolean()) },
  {
    minProperties: 1,
    additionalProperties: false,
    description: 'What is left out stays. `settings`, `metadata` and `tags` are replaced as a whole.',
    examples: [{ title: 'Holiday plans', pinned: true }],
  },
)
export type Patch = typeof Patch.static

export const conversationJson = (c: Conversation) => ({
  id: c.id,
  title: c.title,
  model: c.model,
  system_prompt: c.systemPrompt,
  settings: c.settings,
  metadata: c.metadata,
  tags: c.tags,
  pinned_at: c.pinnedAt?.toISOString() ?? null,
  archived_at: c.archivedAt?.toISOString() ?? null,
  active_leaf_id: c.activeLeafId,
  active_branch_id: c.activeBranchId,
  rev: c.rev,
  created_at: c.createdAt.toISOString(),
  updated_at: c.updatedAt.toISOString(),
})

export const conversationExample = {
  id: '0199c0de-0000-7000-8000-000000000001',
  title: 'Hello, how are you?',
  model: 'demo/eliza',
  system_prompt: null,
  settings: { temperature: 0.3 },
  metadata: null,
  tags: ['travel'],
  pinned_at: '2026-11-21T10:00:01.000Z',
  archived_at: null,
  active_leaf_id: '0199c0de-0000-7000-8000-000000000003',
  active_branch_id: '0199c0de-0000-7000-8000-000000000002',
  rev: 1,
  created_at: '2026-11-21T10:00:00.000Z',
  updated_at: '2026-11-21T10:00:01.000Z',
} satisfies ReturnType<typeof conversationJson>

export const emptyExample = {
  ...conversationExample,
  title: 'Holiday plans',
  model: null,
  pinned_at: null,
  active_leaf_id: null,
} satisfies ReturnType<typeof conversationJson>

export const listedJson = (c: ListedConversation) => ({
  ...conversationJson(c),
  message_count: c.messageCount,
  branch_count: c.branchCount,
})

export const listedExample = {
  ...conversationExample,
  message_count: 4,
  branch_count: 2,
} satisfies ReturnType<typeof listedJson>

export const statsJson = (s: ConversationStats) => ({
  messages: s.messages,
  branches: s.branches,
  answers: s.answers,
  prompt_tokens: s.promptTokens,
  completion_tokens: s.completionTokens,
  total_tokens: s.totalTokens,
  cost_usd: toUsd(s.costNanos),
  models: s.models,
  first_message_at: s.firstMessageAt?.toISOString() ?? null,
  last_message_at: s.lastMessageAt?.toISOString() ?? null,
})

export const statsExample = {
  messages: 4,
  branches: 2,
  answers: 2,
  prompt_tokens: 31,
  completion_tokens: 58,
  total_tokens: 89,
  cost_usd: 0.00012,
  models: [{ model: 'demo/eliza', answers: 2 }],
  first_message_at: '2026-11-21T10:00:00.000Z',
  last_message_at: '2026-11-21T10:02:00.000Z',
} satisfies ReturnType<typeof statsJson>
