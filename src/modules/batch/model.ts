import { t } from 'elysia'

const Id = t.String({ format: 'uuid' })
const Tags = t.Array(t.String({ minLength: 1, maxLength: 50, pattern: '\\S' }), { maxItems: 50 })

const Operation = t.Object(
  {
    id: Id,
    title: t.Optional(t.String({ minLength: 1, maxLength: 200, pattern: '\\S' })),
    model: t.Optional(t.Nullable(t.String({ minLength: 1, maxLength: 200 }))),
    tags: t.Optional(Tags),
    archived: t.Optional(t.Boolean()),
    pinned: t.Optional(t.Boolean()),
  },
  { minProperties: 2, additionalProperties: false },
)

export const BatchUpdate = t.Object(
  {
    operations: t.Array(Operation, { minItems: 1, maxItems: 100 }),
    all_or_nothing: t.Optional(t.Boolean({ description: 'Change nothing unless every conversation is there' })),
  },
  {
    additionalProperties: false,
    examples: [
      {
        operations: [
          { id: '0199c0de-0000-7000-8000-000000000001', title: 'Holiday plans', tags: ['travel'], pinned: true },
        ],
      },
    ],
  },
)
export type BatchUpdate = typeof BatchUpdate.static

const Filter = t.Object(
  {
    archived: t.Optional(t.Boolean()),
    model: t.Optional(t.String({ minLength: 1, maxLength: 200 })),
    created_before: t.Optional(t.String({ format: 'date-time' })),
    tag: t.Optional(t.String({ minLength: 1, maxLength: 50 })),
  },
  { minProperties: 1, additionalProperties: true, description: 'Those that fit everything given' },
)

export const BatchDelete = t.Object(
  {
    ids: t.Optional(t.Array(Id, { minItems: 1, maxItems: 1000 })),
    filter: t.Optional(Filter),
    dry_run: t.Optional(t.Boolean({ description: 'Say what would go, and how to confirm it' })),
    confirmation_token: t.Optional(t.String({ minLength: 1, maxLength: 500, description: 'Of the dry run' })),
  },
  {
    additionalProperties: false,
    examples: [{ ids: ['0199c0de-0000-7000-8000-000000000001'], dry_run: true }],
  },
)
export type BatchDelete = typeof BatchDelete.static

export const updateExample = {
  updated: 1,
  failed: 0,
  results: [{ id: '0199c0de-0000-7000-8000-000000000001', ok: true }],
}

export const deleteExample = {
  dry_run: true,
  count: 1,
  titles: ['Hello, how are you?'],
  missing: [],
  confirmation_token: '1795255800000.q0sB….b5lY…',
  expires_at: '2026-11-21T10:10:00.000Z',
}
