import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import { broken } from '../bank'
import { AT, after, atOnce, type Given, TENANT } from './given'
import { ledgerDraws } from './ledger-draws'
import { amounts, codeOf, funded, insufficient, newAccount, newCredit, newReservation, RESERVED } from './ledger-given'
import { ledgerGuards } from './ledger-guards'
import { ledgerLists } from './ledger-lists'

export function ledgerContract(given: () => Given): void {
  const ledger = () => given().store.ledger

  test('opens an account once for each owner, however many ask', async () => {
    const ownerId = newId()
    const opened = await atOnce(5, () => ledger().open(newAccount({ ownerId })))
    expect(new Set(opened.map(({ id }) => id)).size).toBe(1)
    expect(opened[0]).toMatchObject({
      tenantId: TENANT,
      kind: 'user',
      ownerId,
      limited: true,
      balance: 0n,
      reserved: 0n,
    })
    const other = await ledger().open(newAccount({ ownerId, kind: 'key', limited: false }))
    expect(other).toMatchObject({ kind: 'key', limited: false, available: null })
    expect(await ledger().balance(other.id)).toEqual(other)
    expect(await ledger().balance(newId())).toBeUndefined()
  })

  test('keeps, extends, charges and gives back', async () => {
    const { id } = await funded(ledger(), 100n)
    const reservation = newReservation([id], 60n)
    expect(await ledger().reserve([reservation])).toEqual([RESERVED])
    expect(await amounts(ledger(), id)).toEqual({ balance: 100n, reserved: 60n, available: 40n })
    expect(await ledger().extend(reservation.id, 41n)).toEqual(insufficient(40n))
    expect(await ledger().extend(reservation.id, 40n, { expiresAt: after(90_000) })).toEqual({ outcome: 'extended' })
    expect(await amounts(ledger(), id)).toEqual({ balance: 100n, reserved: 100n, available: 0n })
    expect(await ledger().expire(after(80_000), 100)).toBe(0)
    const settled = await ledger().settle([{ id: reservation.id, amount: 25n, at: after(1) }])
    expect(settled).toEqual([{ outcome: 'settled', settled: 25n, uncollected: 0n }])
    expect(await amounts(ledger(), id)).toEqual({ balance: 75n, reserved: 0n, available: 75n })
    const { items, total } = await ledger().entries(id, { page: 1, limit: 1 })
    expect(total).toBe(2)
    expect(items).toEqual([
      {
        transactionId: reservation.id,
        kind: 'charge',
        amount: -25n,
        balance: 75n,
        reservationId: reservation.id,
        reason: null,
        actorId: null,
        createdAt: after(1),
      },
    ])
    expect(await broken(given())).toEqual([])
  })

  test('decides item by item in order, and one that is refused touches no other', async () => {
    const { id } = await funded(ledger(), 10n)
    const stranger = await funded(ledger(), 10n, { tenantId: await tenant(given()) })
    const items = [6n, 5n, 4n, 1n].map((amount) => newReservation([id], amount))
    const answers = await ledger().reserve([
      ...items,
      newReservation([newId()], 1n),
      newReservation([id, stranger.id], 1n),
      newReservation([stranger.id], 10n),
    ])
    expect(answers).toEqual([
      RESERVED,
      insufficient(4n),
      RESERVED,
      insufficient(0n),
      { outcome: 'no_account' },
      { outcome: 'no_account' },
      RESERVED,
    ])
    expect(await amounts(ledger(), id)).toEqual({ balance: 10n, reserved: 10n, available: 0n })
    expect(await broken(given())).toEqual([])
  })

  test('charges person, key and tenant alike, and reserves what all of them can pay', async () => {
    const [user, key] = [await funded(ledger(), 100n), await funded(ledger(), 30n, { kind: 'key' })]
    const company = await ledger().open(newAccount({ kind: 'tenant', limited: false }))
    const accountIds = [user.id, key.id, company.id]
    expect(await ledger().reserve([newReservation(accountIds, 31n)])).toEqual([insufficient(30n)])
    const reservation = newReservation(accountIds, 20n)
    await ledger().reserve([reservation])
    const [settled] = await ledger().settle([{ id: reservation.id, amount: 45n, at: AT }])
    expect(settled).toEqual({ outcome: 'settled', settled: 30n, uncollected: 15n })
    expect(await amounts(ledger(), user.id)).toEqual({ balance: 70n, reserved: 0n, available: 70n })
    expect(await amounts(ledger(), key.id)).toEqual({ balance: 0n, reserved: 0n, available: 0n })
    expect(await amounts(ledger(), company.id)).toEqual({ balance: -30n, reserved: 0n, available: null })
    expect(await broken(given())).toEqual([])
  })

  test('charges above a reservation down to zero, and not what others have reserved', async () => {
    const { id } = await funded(ledger(), 100n)
    const [first, second] = [newReservation([id], 30n), newReservation([id], 50n)]
    await ledger().reserve([first, second])
    const settled = await ledger().settle([
      { id: first.id, amount: 60n, at: AT },
      { id: second.id, amount: 51n, at: AT },
    ])
    expect(settled).toEqual([
      { outcome: 'settled', settled: 50n, uncollected: 10n },
      { outcome: 'settled', settled: 50n, uncollected: 1n },
    ])
    expect(await amounts(ledger(), id)).toEqual({ balance: 0n, reserved: 0n, available: 0n })
    expect(await broken(given())).toEqual([])
  })

  test('resolves a reservation once, and says the first result to whoever asks again', async () => {
    const { id } = await funded(ledger(), 100n)
    const [settled, voided, free] = [newReservation([id], 10n), newReservation([id], 10n), newReservation([id], 10n)]
    await ledger().reserve([settled, voided, free])
    expect(await ledger().reserve([settled, { ...settled, amount: 9n }])).toEqual([RESERVED, { outcome: 'taken' }])
    const pay = (reservation: { id: string }, amount: bigint) => ({ id: reservation.id, amount, at: AT })
    const once = { outcome: 'settled' as const, settled: 7n, uncollected: 0n }
    expect(await ledger().settle([pay(settled, 7n), pay(settled, 9n)])).toEqual([once, once])
    expect(await ledger().settle([pay(settled, 8n), pay(free, 0n), pay({ id: newId() }, 1n)])).toEqual([
      once,
      { outcome: 'settled', settled: 0n, uncollected: 0n },
      { outcome: 'unknown' },
    ])
    expect(await ledger().void([voided.id, voided.id, settled.id, newId()], AT)).toEqual([
      { outcome: 'voided' },
      { outcome: 'voided' },
      { outcome: 'closed', state: 'settled' },
      { outcome: 'unknown' },
    ])
    expect(await ledger().settle([pay(voided, 5n)])).toEqual([{ outcome: 'closed', state: 'voided' }])
    expect(await ledger().extend(voided.id, 1n)).toEqual({ outcome: 'closed', state: 'voided' })
    expect(await ledger().extend(newId(), 1n)).toEqual({ outcome: 'unknown' })
    expect(await ledger().reserve([settled])).toEqual([{ outcome: 'taken' }])
    expect(await amounts(ledger(), id)).toEqual({ balance: 93n, reserved: 0n, available: 93n })
    expect(await broken(given())).toEqual([])
  })

  test('gives back what nobody resolved in time, the oldest first', async () => {
    const { id } = await funded(ledger(), 100n)
    const overdue = [1, 2, 3].map((i) => newReservation([id], 10n, { expiresAt: after(-10_000 + i) }))
    const fresh = newReservation([id], 10n, { expiresAt: after(1) })
    await ledger().reserve([...overdue.toReversed(), fresh])
    expect(await ledger().expire(after(0), 2)).toBe(2)
    expect(await ledger().settle(overdue.map((one) => ({ id: one.id, amount: 10n, at: AT })))).toEqual([
      { outcome: 'closed', state: 'expired' },
      { outcome: 'closed', state: 'expired' },
      { outcome: 'settled', settled: 10n, uncollected: 0n },
    ])
    expect(await ledger().expire(after(0), 100)).toBe(0)
    expect(await amounts(ledger(), id)).toEqual({ balance: 90n, reserved: 10n, available: 80n })
    expect(await broken(given())).toEqual([])
  })

  test('gives back nothing early for a server whose clock is ahead', async () => {
    const { id } = await funded(ledger(), 100n)
    const living = newReservation([id], 10n, { expiresAt: new Date(Date.now() + 3_600_000) })
    await ledger().reserve([living])
    await ledger().expire(new Date(Date.now() + 86_400_000), 100)
    expect(await ledger().settle([{ id: living.id, amount: 10n, at: AT }])).toEqual([
      { outcome: 'settled', settled: 10n, uncollected: 0n },
    ])
  })

  test('credits once for each key, and refuses the key for anything else', async () => {
    const [account, other] = [await funded(ledger(), 0n), await funded(ledger(), 0n)]
    const credit = newCredit(account.id, 50n, { actorId: newId(), reason: 'paid by card' })
    const first = await ledger().credit(credit)
    expect(first).toEqual({ transactionId: credit.id, amount: 50n, balance: 50n, createdAt: AT })
    await ledger().credit(newCredit(account.id, 1n))
    expect(await ledger().credit({ ...credit, id: newId(), at: after(1) })).toEqual(first)
    for (const change of [{ amount: 51n }, { accountId: other.id }, { kind: 'grant' as const }]) {
      expect(await codeOf(ledger().credit({ ...credit, id: newId(), ...change }))).toBe('CONFLICT')
    }
    expect(await codeOf(ledger().credit(newCredit(newId(), 1n)))).toBe('NOT_FOUND')
    expect(await amounts(ledger(), account.id)).toEqual({ balance: 51n, reserved: 0n, available: 51n })
    const { items } = await ledger().entries(account.id, { page: 1, limit: 10 })
    expect(items.map(({ kind, reason, actorId }) => ({ kind, reason, actorId }))).toEqual([
      { kind: 'topup', reason: 'test', actorId: null },
      { kind: 'topup', reason: 'paid by card', actorId: credit.actorId },
    ])
    expect(await broken(given())).toEqual([])
  })

  test('takes money out only by an adjustment, and only what is available', async () => {
    const { id } = await funded(ledger(), 100n)
    await ledger().reserve([newReservation([id], 40n)])
    const take = (amount: bigint) => ledger().credit(newCredit(id, amount, { kind: 'adjustment' }))
    expect(await codeOf(take(-61n))).toBe('INSUFFICIENT_BALANCE')
    expect(await take(-60n)).toMatchObject({ amount: -60n, balance: 40n })
    expect(await broken(given())).toEqual([])
  })

  ledgerDraws(given)
  ledgerGuards(given)
  ledgerLists(given)
}

/** Somebody else's. */
async function tenant(given: Given): Promise<string> {
  const id = newId()
  await given.sql(`insert into tenants (id, name, created_at) values ($1, 'other', now())`, [id])
  return id
}
