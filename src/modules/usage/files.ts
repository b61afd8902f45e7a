import { csvLine, csvText } from '../../lib/csv'
import { toUsd, usdText } from '../../lib/money'
import type { UsageRecord } from '../../store/port-money'

export interface UsageFile {
  name: string
  contentType: string
  /** Read one piece at a time; nothing is read ahead. */
  pieces: AsyncGenerator<Uint8Array>
}

type Cell = (record: UsageRecord) => string | number

const nanos = (amount: bigint | null): string => (amount === null ? '' : usdText(amount))
const number = (value: number | null): string | number => value ?? ''

/** In this order for ever: programs read columns by their place. New ones come last. */
const COLUMNS: Record<string, Cell> = {
  id: (r) => csvText(r.id),
  created_at: (r) => r.createdAt.toISOString(),
  completed_at: (r) => r.completedAt.toISOString(),
  tenant_id: (r) => csvText(r.tenantId),
  user_id: (r) => csvText(r.userId),
  key_id: (r) => csvText(r.keyId),
  conversation_id: (r) => csvText(r.conversationId),
  message_id: (r) => csvText(r.messageId),
  run_id: (r) => csvText(r.runId),
  model: (r) => csvText(r.model),
  provider: (r) => csvText(r.provider),
  provider_model: (r) => csvText(r.providerModel),
  status: (r) => csvText(r.status),
  finish_reason: (r) => csvText(r.finishReason),
  prompt_tokens: (r) => r.promptTokens,
  completion_tokens: (r) => r.completionTokens,
  cached_tokens: (r) => r.cachedTokens,
  reasoning_tokens: (r) => r.reasoningTokens,
  cost_usd: (r) => nanos(r.costNanos),
  charged_usd: (r) => nanos(r.chargeNanos),
  reported_usd: (r) => nanos(r.reportedNanos),
  saved_usd: (r) => nanos(r.savedNanos),
  cost_basis: (r) => csvText(r.costBasis),
  price_version: (r) => csvText(r.priceVersion),
  first_token_ms: (r) => number(r.firstTokenMs),
  latency_ms: (r) => number(r.latencyMs),
}
const cells = Object.values(COLUMNS)

const usd = (amount: bigint | null): number | null => (amount === null ? null : toUsd(amount))

const recordJson = (r: UsageRecord) => ({
  id: r.id,
  created_at: r.createdAt.toISOString(),
  completed_at: r.completedAt.toISOString(),
  tenant_id: r.tenantId,
  user_id: r.userId,
  key_id: r.keyId,
  conversation_id: r.conversationId,
  message_id: r.messageId,
  run_id: r.runId,
  model: r.model,
  provider: r.provider,
  provider_model: r.providerModel,
  status: r.status,
  finish_reason: r.finishReason,
  prompt_tokens: r.promptTokens,
  completion_tokens: r.completionTokens,
  cached_tokens: r.cachedTokens,
  reasoning_tokens: r.reasoningTokens,
  cost_usd: usd(r.costNanos),
  charged_usd: toUsd(r.chargeNanos),
  reported_usd: usd(r.reportedNanos),
  saved_usd: toUsd(r.savedNanos),
  cost_parts_usd: r.parts && Object.fromEntries(Object.entries(r.parts).map(([kind, part]) => [kind, toUsd(part)])),
  cost_basis: r.costBasis,
  price_version: r.priceVersion,
  first_token_ms: r.firstTokenMs,
  latency_ms: r.latencyMs,
  usage: r.usage,
})

interface Format {
  contentType: string
  head: string
  line: (record: UsageRecord) => string
}

export const FILES: Record<'csv' | 'ndjson', Format> = {
  csv: {
    contentType: 'text/csv; charset=utf-8; header=present',
    head: csvLine(Object.keys(COLUMNS)),
    line: (record) => csvLine(cells.map((cell) => cell(record))),
  },
  ndjson: {
    contentType: 'application/x-ndjson; charset=utf-8',
    head: '',
    line: (record) => `${JSON.stringify(recordJson(record))}\n`,
  },
}
