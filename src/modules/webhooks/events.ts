import { derivedId } from '../../lib/ids'
import { toUsd } from '../../lib/money'
import type { OutboxEvent, UsageRecord } from '../../store/port-money'

/** What is told of an answer that has ended and is paid for. None of what was said. */
export const completedEvent = (record: UsageRecord): OutboxEvent => ({
  // Whoever settles an answer a second time tells the same.
  id: derivedId('event', 'message.completed', record.id),
  tenantId: record.tenantId,
  userId: record.userId,
  type: 'message.completed',
  data: {
    conversation_id: record.conversationId,
    message_id: record.messageId,
    run_id: record.runId,
    key_id: record.keyId,
    model: record.model,
    status: record.status,
    finish_reason: record.finishReason,
    usage: {
      prompt_tokens: record.promptTokens,
      completion_tokens: record.completionTokens,
      total_tokens: record.promptTokens + record.completionTokens,
      cached_tokens: record.cachedTokens,
      reasoning_tokens: record.reasoningTokens,
    },
    cost_usd: record.costNanos === null ? null : toUsd(record.costNanos),
    // The books put in what could be collected.
    charge_nanos: String(record.chargeNanos),
    cost_basis: record.costBasis,
  },
  createdAt: record.completedAt,
})

/** The body that a receiver gets. The same event is always the same text. */
export const bodyOf = (event: OutboxEvent): string =>
  JSON.stringify({
    id: event.id,
    type: event.type,
    created_at: event.createdAt.toISOString(),
    data: { tenant_id: event.tenantId, user_id: event.userId, ...inUsd(event.data) },
  })

/** The database writes amounts as nano-dollars, in digits: `limit_nanos` becomes `limit_usd`. */
const inUsd = (data: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(data).map(([name, value]) => {
      const [, what] = /^(\w+)_nanos$/.exec(name) ?? []
      if (what === undefined) return [name, value]
      return [`${what}_usd`, value === null ? null : toUsd(BigInt(String(value)))]
    }),
  )
