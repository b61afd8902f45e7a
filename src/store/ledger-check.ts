import { AppError } from '../errors'
import { isUuid } from '../lib/ids'
import type {
  BudgetStore,
  Credit,
  NewLedgerAccount,
  NewReservation,
  Settlement,
  UsageBeginning,
  UsageRecord,
} from './port-money'

// What goes to the ledger is written together with what others send, so nothing may go that the database cannot read: it
// would refuse all of it. The types promise as much; what comes from outside keeps no promises.

/** One million dollars: nobody means more at once, and sums of it stay far from the end of a bigint. */
export const MAX_AMOUNT = 1_000_000_000_000_000n

const MAX_KEY = 255
const MAX_REASON = 1000
const KINDS = ['tenant', 'user', 'key']
const STATUSES = ['completed', 'stopped', 'failed', 'interrupted', 'expired']
const BASES = ['provider', 'estimated', 'drained']
const PERIODS = ['day', 'week', 'month', 'total']
const CREDITS = ['topup', 'grant', 'refund', 'adjustment']

function refuse(field: string, problem: string): never {
  throw new AppError('VALIDATION_ERROR', `${field} ${problem}`, { details: [{ field, message: problem }] })
}

export function checkAmount(amount: unknown, field: string, least = 1n): void {
  if (typeof amount !== 'bigint') refuse(field, 'must be a whole number of nano-dollars')
  if (amount < least || amount > MAX_AMOUNT) refuse(field, `must be ${least} to ${MAX_AMOUNT} nano-dollars`)
}

export function checkId(id: unknown, field: string): void {
  if (typeof id !== 'string' || !isUuid(id)) refuse(field, 'must be a UUID')
}

export function checkTime(at: unknown, field: string): void {
  if (!(at instanceof Date) || Number.isNaN(at.getTime())) refuse(field, 'must be a time')
}

function checkText(text: unknown, field: string, max: number): void {
  if (typeof text !== 'string' || text.trim() === '') refuse(field, 'must not be empty')
  if (text.length > max) refuse(field, `must have ${max} characters at most`)
}

export function checkAccount({ id, tenantId, ownerId, kind, limited, at }: NewLedgerAccount): void {
  checkId(id, 'id')
  checkId(tenantId, 'tenantId')
  checkId(ownerId, 'ownerId')
  checkTime(at, 'at')
  if (!KINDS.includes(kind)) refuse('kind', `must be one of ${KINDS.join(', ')}`)
  if (typeof limited !== 'boolean') refuse('limited', 'must be true or false')
}

export function checkCredit(credit: Credit): void {
  checkId(credit.id, 'id')
  checkId(credit.accountId, 'accountId')
  if (!CREDITS.includes(credit.kind)) refuse('kind', `must be one of ${CREDITS.join(', ')}`)
  checkAmount(credit.amount, 'amount', credit.kind === 'adjustment' ? -MAX_AMOUNT : 1n)
  if (credit.amount === 0n) refuse('amount', 'must not be zero')
  checkText(credit.reason, 'reason', MAX_REASON)
  checkText(credit.idempotencyKey, 'idempotencyKey', MAX_KEY)
  if (credit.actorId !== null) checkId(credit.actorId, 'actorId')
  if (credit.reservationId !== undefined) checkId(credit.reservationId, 'reservationId')
  checkTime(credit.at, 'at')
}

export function checkReservation(reservation: NewReservation): void {
  const { id, accountIds, optionalAccountIds = [], amount, usage, runId, expiresAt, at } = reservation
  checkId(id, 'id')
  if (!Array.isArray(accountIds) || accountIds.length === 0) refuse('accountIds', 'must name an account')
  for (const accountId of accountIds) checkId(accountId, 'accountIds')
  for (const accountId of optionalAccountIds) checkId(accountId, 'optionalAccountIds')
  checkAmount(amount, 'amount')
  if (runId !== null) checkId(runId, 'runId')
  checkTime(expiresAt, 'expiresAt')
  checkTime(at, 'at')
  if (!usage) return
  checkWho(usage)
  checkAmount(usage.promptNanos, 'usage.promptNanos', 0n)
  checkAmount(usage.outputRate, 'usage.outputRate', 0n)
}

export function checkSettlement({ id, amount, usage, event, lowAt, at }: Settlement): void {
  checkId(id, 'id')
  checkAmount(amount, 'amount', 0n)
  checkTime(at, 'at')
  if (lowAt !== undefined) checkAmount(lowAt, 'lowAt', 0n)
  if (usage) checkUsage(usage)
  if (!event) return
  checkId(event.id, 'event.id')
  checkId(event.tenantId, 'event.tenantId')
  if (event.userId !== null) checkId(event.userId, 'event.userId')
  checkTime(event.createdAt, 'event.createdAt')
}

function checkWho(usage: UsageBeginning | UsageRecord): void {
  checkId(usage.tenantId, 'usage.tenantId')
  checkId(usage.userId, 'usage.userId')
  for (const field of ['keyId', 'conversationId', 'messageId', 'runId'] as const) {
    if (usage[field] !== null) checkId(usage[field], `usage.${field}`)
  }
  checkText(usage.model, 'usage.model', MAX_REASON)
  checkTime(usage.createdAt, 'usage.createdAt')
}

function checkUsage(usage: UsageRecord): void {
  checkWho(usage)
  checkTime(usage.completedAt, 'usage.completedAt')
  if (!STATUSES.includes(usage.status)) refuse('usage.status', `must be one of ${STATUSES.join(', ')}`)
  if (!BASES.includes(usage.costBasis)) refuse('usage.costBasis', `must be one of ${BASES.join(', ')}`)
  checkAmount(usage.savedNanos, 'usage.savedNanos', 0n)
  if (usage.costNanos !== null) checkAmount(usage.costNanos, 'usage.costNanos', 0n)
  if (usage.reportedNanos !== null) checkAmount(usage.reportedNanos, 'usage.reportedNanos', 0n)
}

export function checkBudget(budget: Parameters<BudgetStore['put']>[0]): void {
  checkId(budget.id, 'id')
  checkId(budget.tenantId, 'tenantId')
  checkId(budget.accountId, 'accountId')
  if (budget.ownId !== undefined) checkId(budget.ownId, 'ownId')
  if (!PERIODS.includes(budget.period)) refuse('period', `must be one of ${PERIODS.join(', ')}`)
  checkAmount(budget.limit, 'limit', 0n)
  const { warnPercent: warn } = budget
  if (warn !== null && !(Number.isInteger(warn) && warn >= 1 && warn <= 100)) refuse('warnPercent', 'must be 1 to 100')
  if (typeof budget.hard !== 'boolean') refuse('hard', 'must be true or false')
  checkTime(budget.at, 'at')
}

export function checkVoid(ids: string[], at: Date): void {
  for (const id of ids) checkId(id, 'ids')
  checkTime(at, 'at')
}
