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

/** Its events made of that: how it began, the whole text at once, how it ended. */
export function storedEvents({ run, message, record }: Stored): AsyncIterableIterator<RunBatch> {
  const events: RunEvent[] = [{ type: 'start', fields: startFields(run) }]
  const { steps, content, extra } = takenApart(message.content, message.extra)
  const end = content || Object.keys(extra).length > 0 ? [{ content, ...extra }] : []
  for (const delta of [...stepDeltas(steps), ...end]) events.push({ type: 'delta', index: 0, delta })
  events.push(storedEnd({ run, message, record }))
  return once({ seq: Math.max(1, run.lastSeq - events.length + 1), events })
}

/** What a client needs to find the answer again. */
export const startFields = (run: Pick<Run, 'id' | 'conversationId' | 'branchId' | 'messageId'>) => ({
  conversation_id: run.conversationId,
  branch_id: run.branchId,
  message_id: run.messageId,
  run_id: run.id,
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
export const noEvents = (): AsyncIterableIterator<RunBatch> => once(undefined)

function storedEnd({ run, message, record }: Stored): RunEnded {
  if (run.error) {
    const error = {
      details: null,
      request_id: null,
      ...run.error,
    } as unknown as ErrorBody
    return { type: 'error', error }
  }
  return {
    type: 'done',
    finishReason: message.finishReason ?? 'stop',
    usage: message.usage as Usage | null,
    costUsd: message.costNanos === null ? null : toUsd(message.costNanos),
    ...(record && message.costNanos !== null ? { cost: recordedCost(record) } : {}),
    fields: endFields(message.extra),
  }
}

async function* once(batch: RunBatch | undefined): AsyncGenerator<RunBatch> {
  if (batch) yield batch
}
