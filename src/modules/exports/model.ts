import { t } from 'elysia'

const Id = t.String({ format: 'uuid' })

export const ExportId = t.Object({ id: Id })

export const ExportRequest = t.Object(
  {
    format: t.Union([t.Literal('json'), t.Literal('markdown'), t.Literal('ndjson'), t.Literal('chatgpt')]),
    ids: t.Optional(t.Array(Id, { minItems: 1, maxItems: 1000 })),
    filter: t.Optional(
      t.Object(
        {
          archived: t.Optional(t.Boolean()),
          model: t.Optional(t.String({ minLength: 1, maxLength: 200 })),
          created_before: t.Optional(t.String({ format: 'date-time' })),
          tag: t.Optional(t.String({ minLength: 1, maxLength: 50 })),
        },
        { minProperties: 1, additionalProperties: true },
      ),
    ),
  },
  {
    additionalProperties: false,
    description: 'Without `ids` and `filter`: all of mine',
    examples: [{ format: 'json' }],
  },
)
export type ExportRequest = typeof ExportRequest.static
export type ExportFormatName = ExportRequest['format']

export interface Progress {
  id: string
  format: ExportFormatName
  state: 'running' | 'done' | 'failed' | 'cancelled'
  done: number
  total: number
  bytes: number
}

export const progressJson = (p: Progress) => ({
  id: p.id,
  format: p.format,
  state: p.state,
  conversations_done: p.done,
  conversations_total: p.total,
  bytes: p.bytes,
})

export const progressExample = {
  id: '0199c0de-0000-7000-8000-00000000000e',
  format: 'json',
  state: 'running',
  conversations_done: 3,
  conversations_total: 12,
  bytes: 262_144,
} satisfies ReturnType<typeof progressJson>

export const fileExample = {
  format: 'ai-chat-orchestrator',
  version: 1,
  conversations: [
    {
      id: '0199c0de-0000-7000-8000-000000000001',
      title: 'Hello, how are you?',
      title_source: 'auto',
      model: 'demo/eliza',
      system_prompt: null,
      settings: null,
      metadata: null,
      tags: [],
      pinned_at: null,
      archived_at: null,
      active_leaf_id: '0199c0de-0000-7000-8000-000000000003',
      created_at: '2026-11-21T10:00:00.000Z',
      updated_at: '2026-11-21T10:00:01.000Z',
      branches: [
        {
          id: '0199c0de-0000-7000-8000-000000000002',
          name: 'Main',
          parent_message_id: null,
          leaf_id: '0199c0de-0000-7000-8000-000000000003',
          created_at: '2026-11-21T10:00:00.000Z',
          viewed_at: '2026-11-21T10:00:00.000Z',
        },
      ],
      messages: [
        {
          id: '0199c0de-0000-7000-8000-000000000003',
          parent_id: null,
          branch_id: '0199c0de-0000-7000-8000-000000000002',
          role: 'assistant',
          content: 'Hello there.',
          extra: null,
          status: 'complete',
          model: 'demo/eliza',
          finish_reason: 'stop',
          usage: { prompt_tokens: 4, completion_tokens: 2, total_tokens: 6 },
          cost_usd: 0,
          metadata: null,
          created_at: '2026-11-21T10:00:00.000Z',
          completed_at: '2026-11-21T10:00:01.000Z',
        },
      ],
    },
  ],
}
