import type { ErrorBody } from '../../errors'
import { toUsd } from '../../lib/money'
import type { Usage } from '../../llm/port'
import type { RunBatch, RunEnded, RunEvent } from '../../runs/port'
import type { Kept, Message, Run } from '../../store/port'

/** A run whose events are not kept any more, from its rows: how it began, the whole text at once, how it ended. */
export function storedEvents(run: Run, message: Message): AsyncIterableIterator<RunBatch> {
  const events: RunEvent[] = [{ type: 'start', fields: startFields(run) }]
  if (message.content || message.extra) {
    events.push({
      type: 'delta',
      index: 0,
      delta: { content: message.content, ...message.extra },
    })
  }
  events.push(storedEnd(run, message))
  return once({ seq: Math.max(1, run.lastSeq - events.length + 1), events })
}

/** What a client needs to find the answer again. */
export const startFields = (run: Pick<Run, 'id' | 'conversationId' | 'branchId' | 'messageId'>) => ({
  conversation_id: run.conversationId,
  branch_id: run.branchId,
  message_id: run.messageId,
  run_id: run.id,
})

/** What it learns last, when saving the answer told something new. */
export const keptFields = ({ messageId, delayed }: Kept): Record<string, unknown> | undefined =>
  messageId || delayed
    ? { ...(messageId ? { message_id: messageId } : {}), ...(delayed ? { saving: 'delayed' } : {}) }
    : undefined

/** For a reader that has everything already. */
export const noEvents = (): AsyncIterableIterator<RunBatch> => once(undefined)

function storedEnd(run: Run, message: Message): RunEnded {
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
  }
}

async function* once(batch: RunBatch | undefined): AsyncGenerator<RunBatch> {
  if (batch) yield batch
}
