import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import type { NewReservation } from '../../../src/store/port-money'
import { broken } from '../bank'
import { AT, after, type Given } from './given'
import { amounts, funded, newReservation, RESERVED } from './ledger-given'
import { newBeginning } from './money-given'

/** Reservations out of reservations. */
export function ledgerDraws(given: () => Given): void {
  const ledger = () => given().store.ledger
  const draw = async (from: string, ...reservations: NewReservation[]) => (await ledger().draw(from, reservations)).made

  test('draws reservations out of one, which keep back what it kept, for its accounts', async () => {
    const [user, key] = [await funded(ledger(), 100n), await funded(ledger(), 100n, { kind: 'key' })]
    const quota = newReservation([user.id, key.id], 60n)
    await ledger().reserve([quota])
    const usage = newBeginning({ userId: user.ownerId })
    const [one, two] = [
      newReservation([user.id, key.id], 20n, { usage, runId: newId() }),
      newReservation([user.id, key.id], 30n, { expiresAt: after(5) }),
    ]
    expect(await draw(quota.id, one, two)).toBe(true)
    expect(await amounts(ledger(), user.id)).toEqual({ balance: 100n, reserved: 60n, available: 40n })
    expect(await broken(given())).toEqual([])
    // It is as if they had been reserved.
    expect(await ledger().reserve([one])).toEqual([RESERVED])
    expect(await ledger().extend(one.id, 5n)).toEqual({ outcome: 'extended' })
    expect(await ledger().settle([{ id: one.id, amount: 22n, at: AT }])).toMatchObject([{ settled: 22n }])
    expect(await ledger().expire(after(10), 100)).toBe(1)
    expect(await ledger().void([quota.id], AT)).toEqual([{ outcome: 'voided' }])
    for (const { id } of [user, key])
      expect(await amounts(ledger(), id)).toEqual({ balance: 78n, reserved: 0n, available: 78n })
    expect(await broken(given())).toEqual([])
  })

  test('draws the same once, and what stands in the books already not at all', async () => {
    const { id } = await funded(ledger(), 100n)
    const [quota, known, one] = [newReservation([id], 50n), newReservation([id], 10n), newReservation([id], 10n)]
    await ledger().reserve([quota, known])
    for (let i = 0; i < 3; i++) expect(await draw(quota.id, one, known)).toBe(true)
    expect(await amounts(ledger(), id)).toMatchObject({ reserved: 60n })
    await ledger().void([one.id], AT)
    expect(await draw(quota.id, one)).toBe(true)
    expect(await ledger().void([one.id, quota.id], AT)).toEqual([{ outcome: 'voided' }, { outcome: 'voided' }])
    expect(await amounts(ledger(), id)).toMatchObject({ reserved: 10n })
    expect(await broken(given())).toEqual([])
  })

  test('draws nothing from what is resolved or unknown, and leaves something of what is open', async () => {
    const { id } = await funded(ledger(), 100n)
    const [quota, gone] = [newReservation([id], 50n), newReservation([id], 50n)]
    await ledger().reserve([quota, gone])
    await ledger().void([gone.id], AT)
    const one = newReservation([id], 50n)
    expect(await draw(gone.id, one)).toBe(false)
    expect(await draw(newId(), one)).toBe(false)
    expect(await draw(quota.id, one).catch((error: Error) => error.message)).toContain('reservations_amounts')
    expect(await amounts(ledger(), id)).toMatchObject({ reserved: 50n })
    expect(await ledger().void([one.id], AT)).toEqual([{ outcome: 'unknown' }])
    expect(await broken(given())).toEqual([])
  })
}
