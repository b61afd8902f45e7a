import { AppError, errorBody } from '../../errors'
import { Accumulator } from '../../lib/accumulate'
import { costOf } from '../../lib/cost'
import { toUsd } from '../../lib/money'
import type { ServedBy, UsageEvent } from '../../llm/port'
import type { RunEnded, RunWriter } from '../../runs/port'
import type { FinishTurn, MessageStatus } from '../../store/port'

/** How an answer went, as far as it got. */
export interface Outcome {
  finishReason: string | null
  /** What it took, and what is charged for that. */
  bill: UsageEvent | null
  /** Who answered, and for which arm of an A/B test. */
  servedBy: ServedBy | undefined
  /** Milliseconds from the beginning to the first piece. */
  firstTokenMs: number | null
  error: AppError | undefined
  /** Who ended it before the model did. */
  stopped: 'user' | 'server' | undefined
}

interface Ending {
  id: string
  /** All that was said; what comes before a restart does not count. */
  writer: Pick<RunWriter, 'events' | 'seq'>
  outcome: Outcome
  /** `performance.now()` at the beginning. */
  begun: number
  continued?: number | undefined
}

const STATUS: Record<'error' | 'user' | 'server' | 'done', { run: FinishTurn['status']; message: MessageStatus }> = {
  error: { run: 'failed', message: 'error' },
  user: { run: 'stopped', message: 'stopped' },
  server: { run: 'interrupted', message: 'interrupted' },
  done: { run: 'completed', message: 'complete' },
}

/** What is stored of it. */
export function toFinish({ id, writer, outcome, begun, continued = 0 }: Ending, ended: RunEnded, at: Date): FinishTurn {
  const whole = new Accumulator()
  for (const event of writer.events(0)) {
    if (typeof event === 'string' || event.type === 'delta' || event.type === 'restart') whole.add(event)
  }
  const { role, content, ...extra } = whole.choices()[0]?.message ?? {}
  const { servedBy, firstTokenMs } = outcome
  const provider = servedBy?.provider ?? outcome.error?.provider ?? null
  const status = STATUS[outcome.error ? 'error' : (outcome.stopped ?? 'done')]
  return {
    runId: id,
    status: status.run,
    // The terminal event comes next.
    lastSeq: writer.seq + 1,
    error: ended.type === 'error' ? { ...ended.error } : null,
    answer: {
      content: typeof content === 'string' ? content : '',
      extra: Object.keys(extra).length > 0 ? extra : null,
      status: status.message,
      finishReason: ended.type === 'done' ? ended.finishReason : null,
      usage: outcome.bill?.usage ?? null,
      costNanos: outcome.bill?.costNanos ?? null,
    },
    metadata: metadataOf(servedBy?.variant, continued),
    timing: { provider, firstTokenMs, latencyMs: Math.round(performance.now() - begun) },
    at,
  }
}

const metadataOf = (variant: string | undefined, continued: number) =>
  variant === undefined && continued === 0
    ? undefined
    : { ...(variant === undefined ? {} : { variant }), ...(continued === 0 ? {} : { continued }) }

/** What the readers are told last. @param requestId the request that began the run, as errors quote it. */
export function toEnded(outcome: Outcome, requestId: string | null): RunEnded {
  const error = outcome.error ?? (outcome.stopped === 'server' ? restarting() : undefined)
  if (error) return { type: 'error', error: errorBody(error, requestId), retryAfter: error.retryAfter }
  const { bill, stopped, finishReason } = outcome
  const costNanos = bill?.costNanos ?? null
  return {
    type: 'done',
    finishReason: stopped ? 'stopped' : (finishReason ?? 'stop'),
    usage: bill?.usage ?? null,
    costUsd: costNanos === null ? null : toUsd(costNanos),
    ...(bill && costNanos !== null ? { cost: costOf(bill) } : {}),
  }
}

/** Why an answer ends that this process will not finish. */
export const restarting = () =>
  new AppError('UPSTREAM_UNAVAILABLE', 'The server is restarting; what was said so far is saved', {
    retryAfter: 2,
    details: { reason: 'server_draining', resumable: true },
  })
