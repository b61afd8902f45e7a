import { t } from 'elysia'
import { toUsd } from '../../lib/money'
import type { Conversation, Message, Run } from '../../store/port'
import { Data } from '../shapes'

export const ConversationId = t.Object({ id: t.String({ format: 'uuid' }) })

/** Lists begin anywhere here: `offset` rows are left out. */
const LAST_OFFSET = 10_000_000
const windowFields = (limit: number) => ({
  limit: t.Optional(t.Numeric({ minimum: 1, maximum: 100, multipleOf: 1, default: limit })),
  offset: t.Optional(t.Numeric({ minimum: 0, maximum: LAST_OFFSET, multipleOf: 1, default: 0 })),
})

const UserId = t.Nullable(
  t.String({ maxLength: 255, description: 'A name for somebody in your system: kept and given back, no identity' }),
)
const Metadata = Data('Whatever you keep with it')

export const ListQuery = t.Object({ user_id: t.Optional(t.String({ maxLength: 255 })), ...windowFields(20) })
export const MessagesQuery = t.Object(windowFields(50))

const conversationFields = {
  title: t.Optional(t.Nullable(t.String({ minLength: 1, maxLength: 500, pattern: '\\S' }))),
  metadata: t.Optional(Metadata),
  user_id: t.Optional(UserId),
}
export const NewConversation = t.Object(conversationFields, {
  examples: [{ user_id: 'user_123', title: 'Customer Support Chat', metadata: { source: 'web' } }],
})
export type NewConversation = typeof NewConversation.static

export const Changes = t.Object(conversationFields, {
  description: 'What is left out or null stays as it is; `metadata` is replaced as a whole.',
  examples: [{ title: 'Support, closed' }],
})
export type Changes = typeof Changes.static

const Provider = t.String({ minLength: 1, maxLength: 50, description: 'Whose model, when its name alone does not say' })
const Model = t.String({ minLength: 1, maxLength: 200, description: 'One of `GET /v1/models`' })
const Said = t.String({ minLength: 1, maxLength: 100_000, description: 'What the user says' })

export const Question = t.Object(
  {
    message: Said,
    provider: t.Optional(t.Nullable(Provider)),
    model: t.Optional(t.Nullable(Model)),
    temperature: t.Optional(t.Nullable(t.Number({ minimum: 0, maximum: 2 }))),
    max_tokens: t.Optional(t.Nullable(t.Integer({ minimum: 1 }))),
    stream: t.Optional(t.Nullable(t.Boolean({ description: 'Not here: see `/stream`' }))),
  },
  {
    examples: [{ message: 'What is the weather like today?', model: 'demo/eliza', temperature: 0.7, max_tokens: 150 }],
  },
)
export type Question = typeof Question.static

export const StreamQuery = t.Object({
  message: Said,
  provider: t.Optional(Provider),
  model: t.Optional(Model),
  temperature: t.Optional(t.Numeric({ minimum: 0, maximum: 2 })),
  max_tokens: t.Optional(t.Numeric({ minimum: 1, maximum: 1_000_000_000, multipleOf: 1 })),
})

export const NewFeedback = t.Object(
  {
    message_id: t.Optional(t.Nullable(t.String({ format: 'uuid', description: 'Without it, the last message' }))),
    feedback_type: t.Union([t.Literal('thumbs_up'), t.Literal('thumbs_down'), t.Literal('flag')]),
    rating: t.Optional(t.Nullable(t.Integer({ minimum: 1, maximum: 5 }))),
    comment: t.Optional(t.Nullable(t.String({ maxLength: 10_000 }))),
    metadata: t.Optional(Metadata),
    user_id: t.Optional(UserId),
  },
  {
    examples: [
      {
        message_id: '0199c0de-0000-7000-8000-000000000003',
        feedback_type: 'thumbs_up',
        rating: 5,
        comment: 'Very helpful response!',
      },
    ],
  },
)
export type NewFeedback = typeof NewFeedback.static

/** As the old system wrote times: seconds, and their fraction only when there is one. */
export const time = (at: Date): string => at.toISOString().replace('.000Z', 'Z')

/** A conversation's own data with the `user_id` in it, which has no column of its own; undefined when nothing is given. */
export function withUserId(
  metadata: Record<string, unknown> | null | undefined,
  userId: string | null | undefined,
): Record<string, unknown> | undefined {
  return metadata || userId ? { ...metadata, ...(userId ? { user_id: userId } : {}) } : undefined
}

/** The same, taken apart again. */
export function ownData(kept: Record<string, unknown> | null) {
  const { user_id, ...metadata } = kept ?? {}
  return typeof user_id === 'string' ? { user_id, metadata } : { user_id: null, metadata: { ...kept } }
}

type Told = Pick<Conversation, 'id' | 'title' | 'metadata' | 'createdAt' | 'updatedAt'>

export const conversationJson = ({ id, title, metadata, createdAt, updatedAt }: Told) => ({
  id,
  title,
  ...ownData(metadata),
  created_at: time(createdAt),
  updated_at: time(updatedAt),
})

/** What is shown of a message, wherever it comes from. */
export type Shown = Pick<
  Message,
  'conversationId' | 'role' | 'content' | 'model' | 'finishReason' | 'usage' | 'metadata' | 'createdAt'
> & { id: string | null; costUsd: number | null }

export const shown = (message: Message): Shown => ({
  ...message,
  costUsd: message.costNanos === null ? null : toUsd(message.costNanos),
})

export const usageJson = (usage: Message['usage']) => ({
  prompt_tokens: countOf(usage?.prompt_tokens),
  completion_tokens: countOf(usage?.completion_tokens),
  total_tokens: countOf(usage?.total_tokens),
})

const countOf = (value: unknown): number | null => (typeof value === 'number' ? value : null)

/** @param run that made it; the user's messages have none. */
export const messageJson = (message: Shown, run: Run | undefined) => ({
  id: message.id,
  conversation_id: message.conversationId,
  // The old word for it.
  role: message.role === 'tool' ? ('function' as const) : message.role,
  content: message.content,
  provider: run?.provider ?? null,
  model: message.model,
  ...usageJson(message.usage),
  cost_usd: message.costUsd,
  latency_ms: run?.latencyMs ?? null,
  time_to_first_token_ms: run?.firstTokenMs ?? null,
  trace_id: run?.traceId ?? null,
  span_id: run?.spanId ?? null,
  metadata: { ...message.metadata, ...(message.finishReason ? { finish_reason: message.finishReason } : {}) },
  error: typeof run?.error?.message === 'string' ? run.error.message : null,
  created_at: time(message.createdAt),
})
