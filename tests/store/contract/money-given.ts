import { newId } from '../../../src/lib/ids'
import type {
  Budget,
  BudgetStore,
  NewReservation,
  NewUsage,
  OutboxEvent,
  Settlement,
  UsageBeginning,
} from '../../../src/store/port-money'
import { AT, after, type Given, TENANT } from './given'
import { newReservation } from './ledger-given'

export const newBeginning = (fields: Partial<UsageBeginning> = {}): UsageBeginning => ({
  tenantId: TENANT,
  userId: newId(),
  keyId: null,
  conversationId: null,
  messageId: null,
  runId: null,
  model: 'm',
  promptTokens: 10,
  promptNanos: 100n,
  outputRate: 1_000_000n,
  createdAt: AT,
  ...fields,
})

export function newUsage(fields: Partial<NewUsage> = {}): NewUsage {
  const { promptNanos, outputRate, ...who } = newBeginning()
  return {
    ...who,
    id: newId(),
    provider: 'fake',
    providerModel: 'fake-1',
    status: 'completed',
    finishReason: 'stop',
    completionTokens: 20,
    cachedTokens: 4,
    reasoningTokens: 3,
    usage: { prompt_tokens: 10, completion_tokens: 20 },
    costNanos: 30n,
    chargeNanos: 0n,
    reportedNanos: null,
    savedNanos: 2n,
    parts: { input: 10n, output: 20n },
    costBasis: 'provider',
    priceVersion: 'v1',
    firstTokenMs: 5,
    latencyMs: 50,
    completedAt: AT,
    ...fields,
  }
}

export const newEvent = (fields: Partial<OutboxEvent> = {}): OutboxEvent => ({
  id: newId(),
  tenantId: TENANT,
  userId: newId(),
  type: 'message.completed',
  data: { cost_nanos: '30' },
  createdAt: AT,
  ...fields,
})

export const newBudget = (
  accountId: string,
  limit: bigint,
  fields: Partial<Parameters<BudgetStore['put']>[0]> = {},
): Parameters<BudgetStore['put']>[0] => ({
  id: newId(),
  tenantId: TENANT,
  accountId,
  period: 'day',
  limit,
  warnPercent: null,
  hard: true,
  at: AT,
  ...fields,
})

type Spending = Pick<NewReservation, 'optionalAccountIds'> & Partial<Pick<Settlement, 'event' | 'lowAt' | 'at'>>

/** Reserves and settles at once; nobody looks whether it may. */
export async function spend(given: Given, accountIds: string[], amount: bigint, fields: Spending = {}): Promise<void> {
  const { ledger } = given.store
  const { at = AT, optionalAccountIds, ...rest } = fields
  const one = newReservation(accountIds, amount, { optionalAccountIds, at, expiresAt: new Date(at.getTime() + 60_000) })
  await ledger.reserve([one])
  await ledger.settle([{ ...rest, id: one.id, amount, at }])
}

/** An answer that is written down, with what it cost. @returns the record. */
export async function answered(given: Given, accountId: string, fields: Partial<NewUsage> & { amount?: bigint }) {
  const { amount = 30n, ...rest } = fields
  const one = newReservation([accountId], amount || 1n, { expiresAt: after(60_000) })
  const usage = newUsage({ ...rest, id: one.id })
  await given.store.ledger.reserve([one])
  await given.store.ledger.settle([{ id: one.id, amount, usage, at: AT }])
  return { ...usage, chargeNanos: amount }
}

/** What a budget says of itself, in short. */
export const short = ({ period, limit, spent, reserved, periodStart, periodEnd }: Budget) => ({
  period,
  limit,
  spent,
  reserved,
  from: periodStart?.toISOString().slice(0, 10) ?? null,
  to: periodEnd?.toISOString().slice(0, 10) ?? null,
})
