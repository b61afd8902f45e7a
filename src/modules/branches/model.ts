import { t } from 'elysia'
import type { Comparison, Message } from '../../store/port'
import { pageFields } from '../paging'

export { branchExample, branchJson } from '../shapes'

const Id = (description: string) => t.String({ format: 'uuid', description })
const Name = t.String({ minLength: 1, maxLength: 100, pattern: '\\S' })

export const ConversationId = t.Object({ id: t.String({ format: 'uuid' }) })
export const BranchId = t.Object({ id: t.String({ format: 'uuid' }), branch_id: t.String({ format: 'uuid' }) })
export const PageQuery = t.Object(pageFields(20))

export const CompareQuery = t.Object({
  a: Id('One branch'),
  b: Id('The other branch'),
  ...pageFields(50),
})
export type CompareQuery = typeof CompareQuery.static

export const NewBranch = t.Object(
  {
    parent_message_id: Id('The message of the conversation that it begins below'),
    name: t.Optional(t.Nullable(Name)),
  },
  { examples: [{ parent_message_id: '0199c0de-0000-7000-8000-000000000003', name: 'Another way' }] },
)
export type NewBranch = typeof NewBranch.static

export const Rename = t.Object({ name: Name }, { examples: [{ name: 'The short version' }] })
export type Rename = typeof Rename.static

export const Merge = t.Object(
  { onto_branch_id: Id('The branch that the messages are added to') },
  { examples: [{ onto_branch_id: '0199c0de-0000-7000-8000-000000000002' }] },
)
export type Merge = typeof Merge.static

const saidJson = ({ id, role, content, model, createdAt }: Message) => ({
  id,
  role,
  content,
  model,
  created_at: createdAt.toISOString(),
})

export const comparisonJson = ({ commonLength, lastCommonId, a, b }: Comparison) => ({
  common_length: commonLength,
  last_common_message_id: lastCommonId,
  a: { items: a.items.map(saidJson), total: a.total },
  b: { items: b.items.map(saidJson), total: b.total },
})

const said = {
  id: '0199c0de-0000-7000-8000-000000000003',
  role: 'assistant' as const,
  content: 'Hello there.',
  model: 'demo/eliza',
  created_at: '2026-11-21T10:00:00.000Z',
}

export const comparisonExample = {
  common_length: 1,
  last_common_message_id: '0199c0de-0000-7000-8000-000000000005',
  a: { items: [said], total: 1 },
  b: { items: [{ ...said, id: '0199c0de-0000-7000-8000-000000000006', content: 'Good day.' }], total: 1 },
} satisfies ReturnType<typeof comparisonJson>
