import { AppError, errorBody } from '../../errors'
import { Accumulator } from '../../lib/accumulate'
import type { Provider, Usage } from '../../llm/port'
import type { RunEnded, RunEvent } from '../../runs/port'
import type { FinishTurn, MessageStatus } from '../../store/port'

/** How an answer went, as far as it got. */
export interface Outcome {
  finishReason: string | null
  usage: Usage | null
  error: AppError | undefined
  /** Who ended it before the model did. */
  stopped: 'user' | 'server' | undefined
}

const STATUS: Record<'error' | 'user' | 'server' | 'done', { run: FinishTurn['status']; message: MessageStatus }> = {
  error: { run: 'failed', message: 'error' },
  user: { run: 'stopped', message: 'stopped' },
  server: { run: 'interrupted', message: 'interrupted' },
  done: { run: 'completed', message: 'complete' },
}

/** What is stored of it. */
export function toFinish(
  outcome: Outcome,
  {
    runId,
    events,
    provider,
    at,
  }: {
    runId: string
    events: readonly RunEvent[]
    provider: Provider
    at: Date
  },
): FinishTurn {
  const whole = new Accumulator()
  for (const event of events) if (typeof event === 'string' || event.type === 'delta') whole.add(event)
  const { role, content, ...extra } = whole.choices()[0]?.message ?? {}
  const status = STATUS[outcome.error ? 'error' : (outcome.stopped ?? 'done')]
  const ended = toEnded(outcome, provider)
  return {
    runId,
    status: status.run,
    // The terminal event comes next.
    lastSeq: events.length + 1,
    error: ended.type === 'error' ? { code: ended.error.code, message: ended.error.message } : null,
    answer: {
      content: typeof content === 'string' ? content : '',
      extra: Object.keys(extra).length > 0 ? extra : null,
      status: status.message,
      finishReason: ended.type === 'done' ? ended.finishReason : null,
      usage: outcome.usage,
      costNanos: outcome.usage && provider.cost(outcome.usage),
    },
    at,
  }
}

/** What the readers are told last. */
export function toEnded(outcome: Outcome, provider: Provider): RunEnded {
  const error =
    outcome.error ??
    (outcome.stopped === 'server'
      ? new AppError('UPSTREAM_UNAVAILABLE', 'The server is restarting; what was said so far is saved')
      : undefined)
  if (error) return { type: 'error', error: errorBody(error, null), retryAfter: error.retryAfter }
  const cost = outcome.usage && provider.cost(outcome.usage)
  return {
    type: 'done',
    finishReason: outcome.stopped ? 'stopped' : (outcome.finishReason ?? 'stop'),
    usage: outcome.usage,
    costUsd: cost === null ? null : toUsd(cost),
  }
}

/** Nano-dollars as US dollars, for JSON only. */
export const toUsd = (nanos: bigint): number => Number(nanos) / 1e9
