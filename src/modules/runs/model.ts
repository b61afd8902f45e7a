import { Kind } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { t } from 'elysia'
import { validationError } from '../../lib/problems'
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

const Approvals = t.Object(
  {
    decisions: t.Array(
      t.Object({
        tool_call_id: t.String({ minLength: 1, maxLength: 200, description: 'Of `approval_required`' }),
        approve: t.Boolean({ description: 'Whether this server may make the call' }),
        reason: t.Optional(t.Nullable(t.String({ maxLength: 1000, description: 'For the model, why not' }))),
      }),
      { minItems: 1, maxItems: 100 },
    ),
    stream: t.Optional(t.Nullable(t.Boolean())),
    model: t.Optional(t.String({ minLength: 1, maxLength: 200, description: 'Default: the one that asked' })),
  },
  {
    additionalProperties: true,
    description: 'One decision for each call. Any other key of a chat request is for the answer that follows.',
    examples: [{ decisions: [{ tool_call_id: 'call_1', approve: true }] }],
  },
)
export type Approvals = typeof Approvals.static

/** Documented as it is, but checked by `parseApprovals`: whose run it is matters before what was sent. */
export const ApprovalsBody = t.Unsafe<unknown>({ ...Approvals, [Kind]: 'Any' })

const approvals = TypeCompiler.Compile(Approvals)

/** @throws AppError VALIDATION_ERROR naming the fields. */
export function parseApprovals(body: unknown): Approvals {
  if (approvals.Check(body)) return body
  throw validationError('body', approvals.Errors(body))
}

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
  continued: run.continued,
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
  continued: 0,
  created_at: '2026-11-21T10:00:00.000Z',
  finished_at: '2026-11-21T10:00:01.000Z',
} satisfies ReturnType<typeof runJson>

export const approvalExample = {
  id: `chatcmpl-${runExample.id}`,
  object: 'chat.completion',
  created: 1_790_000_000,
  model: 'demo/eliza',
  choices: [
    {
      index: 0,
      message: {
        role: 'assistant',
        content: 'The file is gone.',
        steps: [
          {
            content: '',
            tool_calls: [],
            tool_results: [{ tool_call_id: 'call_1', name: 'files__remove', content: 'removed', is_error: false }],
          },
        ],
      },
      logprobs: null,
      finish_reason: 'stop',
    },
  ],
  usage: { prompt_tokens: 40, completion_tokens: 5, total_tokens: 45 },
  conversation_id: runExample.conversation_id,
  branch_id: runExample.branch_id,
  message_id: runExample.message_id,
  run_id: runExample.id,
  cost_usd: 0.00005,
  cost: { parts: { input: 0.00004, output: 0.00001 }, basis: 'provider', price_version: 'models_file#a76cdbdbedab' },
  finish_reason: 'stop',
}
