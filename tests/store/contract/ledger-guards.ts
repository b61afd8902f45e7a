import { expect, test } from 'bun:test'
import { broken } from '../bank'
import { AT, type Given, TENANT } from './given'
import { amounts, codeOf, funded, newAccount, newCredit, newReservation, RESERVED } from './ledger-given'

/** What the ledger takes from nobody. */
export function ledgerGuards(given: () => Given): void {
  const ledger = () => given().store.ledger

  test('refuses what is no amount, no id and no time before the database is asked', async () => {
    const { id } = await funded(ledger(), 10n)
    const count = () =>
      given().sql('select (select count(*) from ledger_entries) as e, (select count(*) from reservations) as r')
    const before = await count()
    const bad = [
      -1n,
      0n,
      Number.NaN,
      Number('1e309'),
      Number('-1e309'),
      1,
      1.5,
      '10',
      '١٢',
      '',
      null,
      undefined,
      true,
      {},
      2n ** 63n,
      10n ** 15n + 1n,
    ]
    const open = newReservation([id], 1n)
    for (const amount of bad as bigint[]) {
      const calls = [
        ledger().credit(newCredit(id, amount)),
        ledger().reserve([newReservation([id], 1n), newReservation([id], amount)]),
        ledger().extend(open.id, amount),
        ...(amount === 0n ? [] : [ledger().settle([{ id: open.id, amount, at: AT }])]),
      ]
      expect(await Promise.all(calls.map(codeOf))).toEqual(calls.map(() => 'VALIDATION_ERROR'))
    }
    const never = new Date(Number.NaN)
    const calls = [
      ledger().credit(newCredit(id, 0n, { kind: 'adjustment' })),
      ledger().credit(newCredit(id, -1n, { kind: 'refund' })),
      ledger().credit(newCredit(id, 1n, { kind: 'charge' as 'topup' })),
      ledger().credit(newCredit(id, 1n, { reason: ' ' })),
      ledger().credit(newCredit(id, 1n, { idempotencyKey: '' })),
      ledger().credit(newCredit(id, 1n, { idempotencyKey: 'k'.repeat(256) })),
      ledger().credit(newCredit('nobody', 1n)),
      ledger().reserve([newReservation([], 1n)]),
      ledger().reserve([newReservation([`${id}'`], 1n)]),
      ledger().reserve([newReservation([id], 1n, { expiresAt: never })]),
      ledger().settle([{ id: open.id, amount: 1n, at: never }]),
      ledger().void(['x'], AT),
      ledger().expire(never, 1),
      ledger().open(newAccount({ kind: 'system' as 'user' })),
    ]
    expect(await Promise.all(calls.map(codeOf))).toEqual(calls.map(() => 'VALIDATION_ERROR'))
    expect(await count()).toEqual(before)
  })

  test('takes the largest amounts there are without an overflow', async () => {
    const most = 10n ** 15n
    const { id } = await funded(ledger(), most)
    const free = await ledger().open(newAccount({ limited: false }))
    const reservations = [...Array(3)].map(() => newReservation([free.id], most))
    expect(await ledger().reserve([newReservation([id], most), ...reservations])).toEqual([
      RESERVED,
      ...[...Array(3)].map(() => ({ outcome: 'reserved' as const, limited: false })),
    ])
    await ledger().settle(reservations.map((one) => ({ id: one.id, amount: most, at: AT })))
    expect(await amounts(ledger(), free.id)).toEqual({ balance: -3n * most, reserved: 0n, available: null })
    expect(await broken(given())).toEqual([])
  })

  test('lets nobody rewrite the books, and takes no transaction that does not add up', async () => {
    const { id } = await funded(ledger(), 10n)
    const reservation = newReservation([id], 5n)
    await ledger().reserve([reservation])
    await ledger().settle([{ id: reservation.id, amount: 5n, at: AT }])
    const refused = async (text: string) =>
      given()
        .sql(text, [id])
        .then(
          () => 'done',
          (error) => String(error.message),
        )
    expect(await refused('update ledger_entries set amount_nanos = 1 where account_id = $1')).toContain('never changed')
    expect(await refused('delete from ledger_entries where account_id = $1')).toContain('never changed')
    expect(
      await refused(`update reservations set state = 'open', resolved_at = null where $1 = any(account_ids)`),
    ).toContain('resolved once')
    expect(await refused('update accounts set balance_nanos = -1 where id = $1')).toContain('accounts_not_overdrawn')
    const entry = (of: string, charge: string) => `insert into ledger_entries
      (transaction_id, tenant_id, account_id, kind, amount_nanos, balance_nanos, reservation_id, created_at)
      values (${of}, '${TENANT}', $1, '${charge}', 5, 5, null, now())`
    expect(await refused(entry('gen_random_uuid()', 'topup'))).toContain('add up to zero')
    expect(await refused(entry('gen_random_uuid()', 'charge'))).toContain('ledger_entries_charge')
    expect(await refused(entry(`'${reservation.id}'`, 'topup'))).toContain('duplicate key')
    expect(await broken(given())).toEqual([])
  })
}
