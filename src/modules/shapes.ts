import { Kind, Type, TypeRegistry } from '@sinclair/typebox'
import { t } from 'elysia'
import { toUsd } from '../lib/money'
import type { Branch, PlacedMessage } from '../store/port'

/** Characters of a client's own data, as JSON. */
const MAX_DATA = 16_000

TypeRegistry.Set<{ maxData: number }>('Data', ({ maxData }, value) => {
  const fits = typeof value === 'object' && !Array.isArray(value)
  return fits && JSON.stringify(value).length <= maxData
})

/**
 * An object with whatever is in it, or null. A kind of its own, because what Elysia takes for an object is copied before it
 * is checked: the text "x" would become { "0": "x" }.
 */
export const Data = (description: string, maxData = MAX_DATA) =>
  t.Unsafe<Record<string, unknown> | null>({
    [Kind]: 'Data',
    maxData,
    oneOf: [{ type: 'object', additionalProperties: true }],
    nullable: true,
    description: `${description}; at most ${maxData} characters as JSON`,
  })

/** What people call something, in one line. */
export const Name = t.String({
  minLength: 1,
  maxLength: 100,
  pattern: '^(?=.*\\S)[^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069]*$',
  'x-must': 'must be a text of 1 to 100 characters that is not blank, without line breaks and control characters',
})

/** Which models somebody may use. */
export const AllowedModels = t.Nullable(
  t.Array(t.String({ minLength: 1, maxLength: 200 }), { maxItems: 1000, uniqueItems: true }),
  { description: 'As `GET /v1/models` names them; null: all' },
)

// Elysia's own whole number is also a text that says one.
const AtMost = t.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000_000 }))

/** How much somebody may ask for. */
export const Limits = t.Nullable(
  t.Object({
    requests_per_minute: AtMost,
    requests_at_once: AtMost,
    tokens_per_minute: AtMost,
    concurrent_streams: AtMost,
  }),
  {
    description:
      "A person's, in place of what `RATE_LIMIT_REQUESTS`, `RATE_LIMIT_TOKENS` and `RATE_LIMIT_STREAMS` say, or a tenant's, for all its people together; what is more is refused with 429. `requests_at_once`: how many of the requests of a minute may come together; without it all. Takes effect within 5 seconds. Replaced as a whole; null, or left out: no limit of its own",
  },
)

/** What a request for an answer may say about how it is made. */
export const sampling = {
  model: t.Optional(
    t.String({
      minLength: 1,
      maxLength: 200,
      description: 'One of `GET /v1/models`',
    }),
  ),
  temperature: t.Optional(t.Nullable(t.Number({ minimum: 0, maximum: 2 }))),
  max_tokens: t.Optional(t.Nullable(t.Integer({ minimum: 1, description: 'Tokens the answer may have' }))),
  stream: t.Optional(t.Nullable(t.Boolean())),
  server_tools: t.Optional(
    t.Nullable(
      t.Boolean({
        description:
          'Whether the model may use the tools of this server. Default: with `message` yes, with `messages` no',
      }),
    ),
  ),
}

export const Id = (description: string) => t.String({ format: 'uuid', description })

/** The seeds' body: one message, the server keeps the conversation. */
export const NativeChat = t.Object(
  {
    message: t.String({
      minLength: 1,
      maxLength: 32_000,
      description: 'What the user says',
    }),
    conversation_id: t.Optional(t.Nullable(Id('Go on with this conversation; a new one is made without it'))),
    parent_message_id: t.Optional(
      t.Nullable(Id('Answer below this message instead of the end of the active branch: opens a branch')),
    ),
    ...sampling,
  },
  {
    additionalProperties: true,
    description:
      'Our own shape. Streams unless `stream` is false. Any other key of the Chat Completions API is passed on.',
    examples: [{ message: 'Hello, how are you?', stream: true, temperature: 0.7 }],
  },
)
export type NativeChat = typeof NativeChat.static

export const messageJson = (m: PlacedMessage) => ({
  id: m.id,
  conversation_id: m.conversationId,
  branch_id: m.branchId,
  parent_id: m.parentId,
  role: m.role,
  content: m.content,
  extra: m.extra,
  metadata: m.metadata,
  status: m.status,
  model: m.model,
  finish_reason: m.finishReason,
  usage: m.usage,
  cost_usd: m.costNanos === null ? null : toUsd(m.costNanos),
  siblings: m.siblings,
  created_at: m.createdAt.toISOString(),
  completed_at: m.completedAt?.toISOString() ?? null,
})

export const messageExample = {
  id: '0199c0de-0000-7000-8000-000000000003',
  conversation_id: '0199c0de-0000-7000-8000-000000000001',
  branch_id: '0199c0de-0000-7000-8000-000000000002',
  parent_id: '0199c0de-0000-7000-8000-000000000005',
  role: 'assistant',
  content: 'Hello there.',
  extra: null,
  metadata: null,
  status: 'complete',
  model: 'demo/eliza',
  finish_reason: 'stop',
  usage: { prompt_tokens: 4, completion_tokens: 2, total_tokens: 6 },
  cost_usd: 0,
  siblings: { index: 1, count: 1, prev: null, next: null },
  created_at: '2026-11-21T10:00:00.000Z',
  completed_at: '2026-11-21T10:00:01.000Z',
} satisfies ReturnType<typeof messageJson>

export const branchJson = (b: Branch) => ({
  id: b.id,
  conversation_id: b.conversationId,
  name: b.name,
  parent_message_id: b.parentMessageId,
  leaf_id: b.leafId,
  message_count: b.messageCount,
  preview: b.preview,
  active: b.active,
  created_at: b.createdAt.toISOString(),
  viewed_at: b.viewedAt.toISOString(),
})

export const branchExample = {
  id: '0199c0de-0000-7000-8000-000000000002',
  conversation_id: '0199c0de-0000-7000-8000-000000000001',
  name: 'Main',
  parent_message_id: null,
  leaf_id: '0199c0de-0000-7000-8000-000000000003',
  message_count: 2,
  preview: 'Hello there.',
  active: true,
  created_at: '2026-11-21T10:00:00.000Z',
  viewed_at: '2026-11-21T10:00:01.000Z',
} satisfies ReturnType<typeof branchJson>

const ids = {
  conversation_id: '0199c0de-0000-7000-8000-000000000001',
  branch_id: '0199c0de-0000-7000-8000-000000000002',
  message_id: '0199c0de-0000-7000-8000-000000000003',
  run_id: '0199c0de-0000-7000-8000-000000000004',
}
const head = {
  id: `chatcmpl-${ids.run_id}`,
  created: 1_790_000_000,
  model: 'demo/eliza',
}
const usage = { prompt_tokens: 4, completion_tokens: 2, total_tokens: 6 }
const cost = { parts: {}, basis: 'provider', price_version: 'demo#1785c4243e87' }

export const completionExample = {
  ...head,
  object: 'chat.completion',
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: 'Hello there.' },
      logprobs: null,
      finish_reason: 'stop',
    },
  ],
  usage,
  ...ids,
  cost_usd: 0,
  cost,
  finish_reason: 'stop',
}

const frame = (choice: object, more: object = {}) =>
  `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [{ index: 0, ...choice }], ...more })}\n\n`

export const streamExample = [
  ': open\n\n',
  `id: 1\n${frame({ delta: { role: 'assistant', content: '' }, finish_reason: null }, ids)}`,
  `id: 2\n${frame({ delta: { content: 'Hello there.' }, finish_reason: null })}`,
  `id: 3\n${frame({ delta: {}, finish_reason: 'stop' }, { usage, cost_usd: 0, cost, finish_reason: 'stop' })}`,
  'data: [DONE]\n\n',
].join('')
