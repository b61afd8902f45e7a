import { expect, test } from 'bun:test'
import type { OutboxEvent } from '../../../src/store/port-money'
import { AT, after, atOnce, type Given } from './given'
import { funded, newReservation } from './ledger-given'
import { newEvent, spend } from './money-given'

export function outboxContract(given: () => Given): void {
  const outbox = () => given().store.outbox
  const empty = () => given().sql('delete from outbox')
  const claim = (ms: number, limit = 10) => outbox().claim(after(ms), { leaseSeconds: 60, limit })

  /** Events come with settlements. */
  async function write(...events: OutboxEvent[]): Promise<void> {
    const { id } = await funded(given().store.ledger, 1000n)
    for (const event of events) await spend(given(), [id], 1n, { event })
  }

  test('gives out what is due, the oldest first, and to nobody else for a while', async () => {
    await empty()
    const data = { cost_nanos: '12', deep: { text: '10.5', list: [1, null] } }
    const events = [3, 1, 2].map((ms) => newEvent({ createdAt: after(ms), data }))
    const [third, first, second] = events as [OutboxEvent, OutboxEvent, OutboxEvent]
    await write(...events, newEvent({ userId: null, createdAt: after(5000) }))
    expect(await claim(2, 1)).toEqual([{ ...first, attempts: 0 }])
    expect(await claim(2)).toEqual([{ ...second, attempts: 0 }])
    expect(await claim(100)).toEqual([{ ...third, attempts: 0 }])
    expect(await claim(4999)).toEqual([])
    expect(await outbox().waiting()).toEqual({ count: 4, oldest: first.createdAt })
    await outbox().done([first.id, second.id])
    await outbox().done([])
    // Whoever had the third one did not come back.
    expect(await claim(60_100)).toMatchObject([
      { id: third.id, attempts: 1 },
      { userId: null, attempts: 0 },
    ])
    expect(await outbox().waiting()).toMatchObject({ count: 2 })
  })

  test('tells what could be charged, not what should have been', async () => {
    await empty()
    const { id } = await funded(given().store.ledger, 100n)
    const one = newReservation([id], 10n)
    await given().store.ledger.reserve([one])
    const event = newEvent({ data: { charge_nanos: '130', cost_nanos: '130' } })
    expect(await given().store.ledger.settle([{ id: one.id, amount: 130n, event, at: AT }])).toMatchObject([
      { settled: 100n, uncollected: 30n },
    ])
    expect(await claim(0)).toMatchObject([{ id: event.id, data: { charge_nanos: '100', cost_nanos: '130' } }])
  })

  test('gives out again, when it is time, what failed', async () => {
    await empty()
    const event = newEvent()
    await write(event)
    await claim(0)
    await outbox().failed(event.id, after(500_000), `half a character \ud800 and \0 ${'x'.repeat(5000)}`)
    expect(await claim(499_999)).toEqual([])
    expect(await claim(500_000)).toEqual([{ ...event, attempts: 1 }])
    const [row] = await given().sql<{ error: string }>('select error from outbox where id = $1', [event.id])
    expect(row?.error.length).toBe(1000)
    await outbox().done([event.id, event.id])
    expect(await outbox().waiting()).toEqual({ count: 0, oldest: null })
  })

  test('gives each event to one of many who ask at once', async () => {
    await empty()
    await write(...Array.from({ length: 30 }, () => newEvent()))
    const claimed = await atOnce(10, () => claim(0, 5))
    const ids = claimed.flat().map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids.length + (await claim(0, 100)).length).toBe(30)
    await empty()
  })

  test('tells once that a balance falls below what was asked about, each time it does', async () => {
    await empty()
    const { ledger } = given().store
    const account = await funded(ledger, 100n)
    const free = await funded(ledger, 100n, { limited: false })
    const key = await funded(ledger, 1000n, { kind: 'key' })
    const lows = () =>
      given().sql<{ data: { balance_nanos: string } }>(`select data from outbox where type = 'balance.low'`)
    for (const amount of [50n, 1n, 10n]) {
      await spend(given(), [account.id, key.id], amount, { lowAt: 50n })
      await spend(given(), [free.id], amount, { lowAt: 50n })
    }
    expect((await lows()).map(({ data }) => data)).toEqual([
      {
        account_id: account.id,
        reservation_id: expect.any(String),
        balance_nanos: '49',
        threshold_nanos: '50',
      } as unknown as { balance_nanos: string },
    ])
    expect(await claim(0)).toMatchObject([{ type: 'balance.low', userId: account.ownerId, createdAt: AT }])
    const one = newReservation([account.id], 39n)
    await ledger.reserve([one])
    await ledger.void([one.id], AT)
    await ledger.credit({
      id: one.id,
      accountId: account.id,
      amount: 100n,
      kind: 'topup',
      reason: 'x',
      actorId: null,
      idempotencyKey: one.id,
      at: AT,
    })
    await spend(given(), [account.id], 100n, { lowAt: 50n })
    expect((await lows()).map(({ data }) => data.balance_nanos)).toEqual(['49', '39'])
    await empty()
  })
}
