import { t } from 'elysia'
import { pageFields } from '../paging'
import { sampling } from '../shapes'

export { completionExample, messageExample, messageJson, streamExample } from '../shapes'

export const MessageId = t.Object({ id: t.String({ format: 'uuid' }) })
export const HistoryQuery = t.Object(pageFields(20))
export const ThreadQuery = t.Object(pageFields(50))

export const Edit = t.Object(
  { content: t.String({ minLength: 1, maxLength: 32_000, description: 'What the user says instead' }) },
  { examples: [{ content: 'Hello, how is the weather?' }] },
)
export type Edit = typeof Edit.static

export const Again = t.Object(
  { branch_name: t.Optional(t.Nullable(t.String({ minLength: 1, maxLength: 100, pattern: '\\S' }))), ...sampling },
  {
    additionalProperties: true,
    description: 'Any other key of the Chat Completions API is passed on.',
    examples: [{ branch_name: 'Second try', stream: false }],
  },
)
export type Again = typeof Again.static
