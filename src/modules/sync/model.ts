import { t } from 'elysia'
import type { Deletion } from '../../store/port'
import { messageExample } from '../shapes'

export const SyncQuery = t.Object({
  since: t.Optional(
    t.String({ minLength: 1, maxLength: 400, description: 'The `cursor` of the last answer; without it everything' }),
  ),
  limit: t.Optional(
    t.Numeric({ minimum: 1, maximum: 500, multipleOf: 1, default: 100, description: 'Rows of all kinds together' }),
  ),
})

export const deletionJson = ({ kind, id, conversationId, at }: Deletion) => ({
  kind,
  id,
  conversation_id: conversationId,
  deleted_at: at.toISOString(),
})

const { siblings, ...message } = messageExample

export const syncExample = {
  deletions: [
    {
      kind: 'conversation' as const,
      id: '0199c0de-0000-7000-8000-00000000000d',
      conversation_id: '0199c0de-0000-7000-8000-00000000000d',
      deleted_at: '2026-11-21T10:00:01.000Z',
    } satisfies ReturnType<typeof deletionJson>,
  ],
  conversations: [{ id: message.conversation_id, title: 'Hello, how are you?', rev: 1 }],
  messages: [message],
  runs: [{ id: '0199c0de-0000-7000-8000-000000000004', message_id: message.id, status: 'completed' }],
  cursor: 'MS43NDIuNzQy',
  more: false,
  reset: false,
}
