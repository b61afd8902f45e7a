import { AppError } from '../../errors'
import { Accumulator } from '../../lib/accumulate'
import type { RunEnded } from '../../runs/port'
import type { Answer } from '../chat/service'
import type { Shown } from './model'

/** The whole answer, when it is done. @throws AppError when it fails. */
export async function heard({ run, events }: Answer): Promise<Shown> {
  const whole = new Accumulator()
  let { messageId } = run
  let costUsd: number | null = null
  for await (const batch of events) {
    for (const event of batch.events) {
      if (typeof event === 'string' || event.type === 'delta' || event.type === 'restart') whole.add(event)
      else if (event.type === 'error') throw failure(event)
      else if (event.type === 'done') {
        whole.usage = event.usage
        costUsd = event.costUsd
        whole.add({ type: 'finish', index: 0, reason: event.finishReason })
        messageId = typeof event.fields?.message_id === 'string' ? event.fields.message_id : messageId
      }
    }
  }
  const [choice] = whole.choices()
  const content = choice?.message.content
  return {
    id: messageId,
    conversationId: run.conversationId,
    role: 'assistant',
    content: typeof content === 'string' ? content : '',
    model: run.model,
    finishReason: choice?.finishReason ?? null,
    usage: whole.usage,
    metadata: null,
    createdAt: run.createdAt,
    costUsd,
  }
}

const failure = ({ error, retryAfter }: RunEnded & { type: 'error' }) =>
  new AppError(error.code, error.message, { retryAfter })
