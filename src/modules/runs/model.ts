import { t } from 'elysia'
import type { Run } from '../../store/port'
import { pageFields } from '../paging'

export const RunId = t.Object({ id: t.String({ format: 'uuid' }) })

export const RunQuery = t.Object({
  active: t.Optional(t.BooleanString({ description: 'Only answers being written' })),
  ...pageFields(20),
})

export const ResumeQuery = t.Object({
  after: t.Optional(
    t.Numeric({
      minimum: 0,
      maximum: 1_000_000_000,
      multipleOf: 1,
      description: 'The last event number the client has; as `Last-Event-ID`',
    }),
  ),
})

export const runJson = (run: Run) => ({
  id: run.id,
  conversation_id: run.conversationId,
  branch_id: run.branchId,
  message_id: run.messageId,
  status: run.status,
  model: run.model,
  last_seq: run.lastSeq,
  error: run.error,
  provider: run.provider,
  first_token_ms: run.firstTokenMs,
  latency_ms: run.latencyMs,
  trace_id: run.traceId,
  span_id: run.spanId,
  created_at: run.createdAt.toISOString(),
  finished_at: run.finishedAt?.toISOString() ?? null,
})

export const runExample = {
  id: '0199c0de-0000-7000-8000-000000000004',
  conversation_id: '0199c0de-0000-7000-8000-000000000001',
  branch_id: '0199c0de-0000-7000-8000-000000000002',
  message_id: '0199c0de-0000-7000-8000-000000000003',
  status: 'completed',
  model: 'demo/eliza',
  last_seq: 12,
  error: null,
  provider: 'demo',
  first_token_ms: 120,
  latency_ms: 840,
  trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
  span_id: '00f067aa0ba902b7',
  created_at: '2026-11-21T10:00:00.000Z',
  finished_at: '2026-11-21T10:00:01.000Z',
} satisfies ReturnType<typeof runJson>
