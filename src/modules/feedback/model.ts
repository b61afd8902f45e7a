import { t } from 'elysia'
import type { Feedback, ModelFeedback } from '../../store/port'
import { pageFields } from '../paging'
import { Data } from '../shapes'

export const MessageId = t.Object({ id: t.String({ format: 'uuid', description: 'The message' }) })
export const ConversationId = t.Object({ id: t.String({ format: 'uuid' }) })
export const FeedbackQuery = t.Object(pageFields(20))

export const Opinion = t.Object(
  {
    kind: t.Optional(t.Nullable(t.Union([t.Literal('thumbs_up'), t.Literal('thumbs_down'), t.Literal('flag')]))),
    rating: t.Optional(t.Nullable(t.Integer({ minimum: 1, maximum: 5 }))),
    tags: t.Optional(t.Nullable(t.Array(t.String({ minLength: 1, maxLength: 50 }), { maxItems: 20 }))),
    comment: t.Optional(t.Nullable(t.String({ maxLength: 10_000 }))),
    metadata: t.Optional(Data('Whatever the client keeps with it')),
  },
  {
    description: 'At least one of `kind`, `rating`, `tags` and `comment`. What is left out is none, not what it was.',
    examples: [{ kind: 'thumbs_up', rating: 5, tags: ['clear'], comment: 'Very helpful' }],
  },
)
export type Opinion = typeof Opinion.static

export const feedbackJson = (f: Feedback) => ({
  id: f.id,
  conversation_id: f.conversationId,
  message_id: f.messageId,
  kind: f.kind,
  rating: f.rating,
  tags: f.tags,
  comment: f.comment,
  metadata: f.metadata,
  snapshot: f.snapshot,
  model: f.model,
  created_at: f.createdAt.toISOString(),
  updated_at: f.updatedAt.toISOString(),
})

export const modelJson = (m: ModelFeedback) => ({
  model: m.model,
  total: m.total,
  thumbs_up: m.thumbsUp,
  thumbs_down: m.thumbsDown,
  flags: m.flags,
  ratings: m.ratings,
  mean_rating: m.meanRating,
})

const Moment = (description: string) => t.Optional(t.String({ format: 'date-time', description }))

export const Period = t.Object({
  from: Moment('Said first then or later'),
  to: Moment('Said first before'),
})
export type Period = typeof Period.static

export const modelExample = {
  model: 'demo/eliza',
  total: 3,
  thumbs_up: 2,
  thumbs_down: 1,
  flags: 0,
  ratings: 2,
  mean_rating: 4.5,
} satisfies ReturnType<typeof modelJson>

export const feedbackExample = {
  id: '0199c0de-0000-7000-8000-00000000000f',
  conversation_id: '0199c0de-0000-7000-8000-000000000001',
  message_id: '0199c0de-0000-7000-8000-000000000003',
  kind: 'thumbs_up',
  rating: 5,
  tags: ['clear'],
  comment: 'Very helpful',
  metadata: null,
  snapshot: {
    role: 'assistant',
    question: 'Hello, how are you?',
    answer: 'Hello there.',
    model: 'demo/eliza',
    branch_id: '0199c0de-0000-7000-8000-000000000002',
    status: 'complete',
    finish_reason: 'stop',
    version: 1,
    versions: 1,
  },
  model: 'demo/eliza',
  created_at: '2026-11-21T10:00:02.000Z',
  updated_at: '2026-11-21T10:00:02.000Z',
} satisfies ReturnType<typeof feedbackJson>
