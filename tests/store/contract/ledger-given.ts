import { expect } from 'bun:test'
import { AppError } from '../../../src/errors'
import { newId } from '../../../src/lib/ids'
import type {
  Credit,
  Insufficient,
  LedgerAccount,
  LedgerStore,
  NewLedgerAccount,
  NewReservation,
  Reserved,
} from '../../../src/store/port-money'
import { AT, after, TENANT } from './given'

export const newAccount = (fields: Partial<NewLedgerAccount> = {}): NewLedgerAccount => ({
  id: newId(),
  tenantId: TENANT,
  kind: 'user',
  ownerId: newId(),
  limited: true,
  at: AT,
  ...fields,
})

export const newCredit = (accountId: string, amount: bigint, fields: Partial<Credit> = {}): Credit => ({
  id: newId(),
  accountId,
  amount,
  kind: 'topup',
  reason: 'test',
  actorId: null,
  idempotencyKey: newId(),
  at: AT,
  ...fields,
})

export const newReservation = (
  accountIds: string[],
  amount: bigint,
  fields: Partial<NewReservation> = {},
): NewReservation => ({ id: newId(), accountIds, amount, runId: null, expiresAt: after(60_000), at: AT, ...fields })

/** A person's account with so much in it. */
export async function funded(
  ledger: LedgerStore,
  amount: bigint,
  fields: Partial<NewLedgerAccount> = {},
): Promise<LedgerAccount> {
  const account = await ledger.open(newAccount(fields))
  if (amount > 0n) await ledger.credit(newCredit(account.id, amount))
  return account
}

export async function amounts(ledger: LedgerStore, id: string) {
  const account = await ledger.balance(id)
  return account && { balance: account.balance, reserved: account.reserved, available: account.available }
}

/** The code of the refusal. */
export const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'nothing was thrown',
    (error) => (error instanceof AppError ? error.code : String(error)),
  )

export const RESERVED: Reserved = { outcome: 'reserved', limited: true, available: expect.any(BigInt) }

export const insufficient = (available: bigint, budget: Insufficient['budget'] = null): Insufficient => ({
  outcome: 'insufficient',
  available,
  budget,
})
