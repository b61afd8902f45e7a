import { AppError } from '../../errors'
import type { Credit, NewReservation, Settlement, UsageBeginning, UsageRecord } from '../port-money'

// What the functions of the books take and keep, in the words of their tables. Money is digits: JSON's readers take large
// numbers for floats.

const digits = (nanos: bigint | null) => (nanos === null ? null : String(nanos))

export const toReservation = ({
  id,
  accountIds,
  optionalAccountIds,
  amount,
  unpriced,
  usage,
  ...rest
}: NewReservation) => ({
  id,
  accounts: accountIds,
  optional: optionalAccountIds ?? [],
  amount: String(amount),
  unpriced: unpriced ?? false,
  usage: usage ? toBeginning(usage) : null,
  run_id: rest.runId,
  expires_at: rest.expiresAt,
  at: rest.at,
})

export const toSettlement = ({ id, amount, usage, event, lowAt, at }: Settlement) => ({
  id,
  state: 'settled',
  amount: String(amount),
  at,
  usage: usage ? toUsage(usage) : null,
  event: event
    ? {
        id: event.id,
        tenant_id: event.tenantId,
        user_id: event.userId,
        type: event.type,
        data: event.data,
        created_at: event.createdAt,
      }
    : null,
  low_at: lowAt === undefined ? null : String(lowAt),
})

const who = (usage: UsageBeginning | UsageRecord) => ({
  tenant_id: usage.tenantId,
  user_id: usage.userId,
  key_id: usage.keyId,
  conversation_id: usage.conversationId,
  message_id: usage.messageId,
  run_id: usage.runId,
  model: usage.model,
  prompt_tokens: whole(usage.promptTokens),
  created_at: usage.createdAt,
})

const toBeginning = (usage: UsageBeginning) => ({
  ...who(usage),
  prompt_nanos: String(usage.promptNanos),
  output_rate: String(usage.outputRate),
})

/** @param row what `toBeginning` made. */
export const fromBeginning = (row: Record<string, string | number | null>): UsageBeginning => ({
  tenantId: String(row.tenant_id),
  userId: String(row.user_id),
  keyId: textOf(row.key_id),
  conversationId: textOf(row.conversation_id),
  messageId: textOf(row.message_id),
  runId: textOf(row.run_id),
  model: String(row.model),
  promptTokens: Number(row.prompt_tokens),
  promptNanos: BigInt(row.prompt_nanos ?? 0),
  outputRate: BigInt(row.output_rate ?? 0),
  createdAt: new Date(String(row.created_at)),
})

const textOf = (value: string | number | null | undefined) => (value == null ? null : String(value))

const toUsage = (usage: UsageRecord) => ({
  ...who(usage),
  id: usage.id,
  provider: usage.provider,
  provider_model: usage.providerModel,
  status: usage.status,
  finish_reason: usage.finishReason,
  completion_tokens: whole(usage.completionTokens),
  cached_tokens: whole(usage.cachedTokens),
  reasoning_tokens: whole(usage.reasoningTokens),
  usage: usage.usage,
  cost_nanos: digits(usage.costNanos),
  reported_nanos: digits(usage.reportedNanos),
  saved_nanos: String(usage.savedNanos),
  parts: usage.parts && Object.fromEntries(Object.entries(usage.parts).map(([kind, nanos]) => [kind, String(nanos)])),
  cost_basis: usage.costBasis,
  price_version: usage.priceVersion,
  first_token_ms: usage.firstTokenMs === null ? null : whole(usage.firstTokenMs, MAX_INT),
  latency_ms: usage.latencyMs === null ? null : whole(usage.latencyMs, MAX_INT),
  completed_at: usage.completedAt,
})

const MAX_INT = 2 ** 31 - 1
const MAX_TOKENS = 10 ** 12

/** A count that providers and clocks may have got wrong: that must not keep an answer from being settled. */
const whole = (n: number, most = MAX_TOKENS) => (Number.isFinite(n) ? Math.min(most, Math.max(0, Math.round(n))) : 0)

export const toCredit = ({
  id,
  accountId,
  amount,
  kind,
  reason,
  actorId,
  idempotencyKey,
  reservationId,
  at,
}: Credit) => ({
  id,
  account: accountId,
  amount: String(amount),
  kind,
  reason,
  actor: actorId,
  idempotency_key: idempotencyKey,
  reservation_id: reservationId ?? null,
  at,
})

export type CreditRow =
  | { outcome: 'credited'; entry: { transaction_id: string; amount: string; balance: string; created_at: string } }
  | { outcome: 'conflict' | 'no_account' }
  | { outcome: 'insufficient'; available: string }

/** @throws AppError when it was refused. */
export function toCredited(answer: CreditRow) {
  if (answer.outcome === 'credited') {
    const { transaction_id, amount, balance, created_at } = answer.entry
    return {
      transactionId: transaction_id,
      amount: BigInt(amount),
      balance: BigInt(balance),
      createdAt: new Date(created_at),
    }
  }
  if (answer.outcome === 'conflict') {
    throw new AppError('CONFLICT', 'This idempotency key has been used for another account, amount or kind')
  }
  if (answer.outcome === 'no_account') throw new AppError('NOT_FOUND', 'There is no such account')
  throw new AppError('INSUFFICIENT_BALANCE', 'The account has less than that left')
}
