import type { ErrorBody } from '../../errors'
import { recordedCost } from '../../lib/cost'
import { toUsd } from '../../lib/money'
import { stepDeltas, takenApart } from '../../lib/steps'
import type { Usage } from '../../llm/port'
import type { RunBatch, RunEnded, RunEvent } from '../../runs/port'
import type { Kept, Message, Run } from '../../store/port'
import type { UsageRecord } from '../../store/port-money'

/** What is left of a run whose events are not kept any more. */
export interface Stored {
  run: Run
  message: Message
  /** Absent where nobody pays, and for what was never charged. */
  record: UsageRecord | undefined
}

/**
 * Its events made of that: how it began, the whole text at once, how it ended. The first has its own number; the last ones have the
 * last numbers, so that a reader who has some of them gets the right rest, also from whoever has the true events.
 */
export async function* storedEvents(stored: Stored): AsyncGenerator<RunBatch> {
  const { start, rest } = eventsOf(stored)
  yield { seq: 1, events: [start] }
  yield { seq: Math.max(2, stored.run.lastSeq - rest.length + 1), events: rest }
}

/** The same for a reader in the middle of the true events, who has those up to `at` and gets no more of them. */
export function storedAfter(at: number, stored: Stored): RunBatch[] {
  const { start, rest } = eventsOf(stored)
  const { lastSeq } = stored.run
  const whole = { seq: Math.max(2, lastSeq - rest.length + 1), events: rest }
  if (at === 0) return [{ seq: 1, events: [start] }, whole]
  if (at === 1) return [whole]
  // Numbers beyond the end: whoever comes back with one of them has none of the true events.
  return [{ seq: Math.max(at, lastSeq) + 1, events: [{ type: 'restart' }, ...rest] }]
}

function eventsOf({ run, message, record }: Stored): { start: RunEvent; rest: RunEvent[] } {
  const { steps, content, extra } = takenApart(message.content, message.extra)
  const end = content || Object.keys(extra).length > 0 ? [{ content, ...extra }] : []
  const deltas = [...stepDeltas(steps), ...end].map((delta): RunEvent => ({ type: 'delta', index: 0, delta }))
  return { start: { type: 'start', fields: startFields(run) }, rest: [...deltas, storedEnd({ run, message, record })] }
}

/** What a client needs to find the answer again. */
export const startFields = (run: Pick<Run, 'id' | 'conversationId' | 'branchId' | 'messageId' | 'continued'>) => ({
  conversation_id: run.conversationId,
  branch_id: run.branchId,
  message_id: run.messageId,
  run_id: run.id,
  ...(run.continued > 0 ? { continued: run.continued } : {}),
})

/** What it learns last: what waits for a decision, and what saving the answer told. */
export function endFields(extra: Message['extra'], { messageId, delayed }: Kept = {}) {
  const fields = {
    ...(extra?.approval_required ? { approval_required: extra.approval_required } : {}),
    ...(messageId ? { message_id: messageId } : {}),
    ...(delayed ? { saving: 'delayed' } : {}),
  }
  return Object.keys(fields).length > 0 ? fields : undefined
}

/** For a reader that has everything already. */
export async function* noEvents(): AsyncGenerator<RunBatch> {}

export const storedError = (error: Run['error']): RunEnded => {
  return { type: 'error', error: { details: null, request_id: null, ...error } as unknown as ErrorBody }
}

function storedEnd({ run, message, record }: Stored): RunEnded {
  if (run.error) return storedError(run.error)
  return {
    type: 'done',
    finishReason: message.finishReason ?? 'stop',
    usage: message.usage as Usage | null,
    costUsd: message.costNanos === null ? null : toUsd(message.costNanos),
    ...(record && message.costNanos !== null ? { cost: recordedCost(record) } : {}),
    fields: endFields(message.extra),
  }
}
