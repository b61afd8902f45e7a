import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import { broken } from '../bank'
import { AT, after, type Given, TENANT } from './given'
import { amounts, codeOf, funded, newAccount, newReservation } from './ledger-given'
import { newBeginning, newUsage, spend } from './money-given'

/** What administrators and sweepers ask of the ledger. */
export function ledgerLists(given: () => Given): void {
  const ledger = () => given().store.ledger

  test('lists the accounts of a tenant, the newest first, without the other side of its books', async () => {
    const tenantId = newId()
    await given().sql(`insert into tenants (id, name, created_at) values ($1, 'lists', now())`, [tenantId])
    const [old, key, young] = [
      await ledger().open(newAccount({ tenantId })),
      await ledger().open(newAccount({ tenantId, kind: 'key', at: after(1) })),
      await ledger().open(newAccount({ tenantId, at: after(2) })),
    ]
    const list = (options: { kind?: 'user' | 'system'; ownerId?: string } = {}, page = 1) =>
      ledger().accounts(tenantId, { ...options, page, limit: 2 })
    expect(await list()).toEqual({ items: [young, key], total: 3 })
    expect(await list({}, 2)).toEqual({ items: [old], total: 3 })
    expect(await list({ kind: 'user' })).toEqual({ items: [young, old], total: 2 })
    expect(await list({ ownerId: key.ownerId })).toEqual({ items: [key], total: 1 })
    expect(await list({ kind: 'system' })).toMatchObject({ items: [{ kind: 'system' }], total: 1 })
    expect(await ledger().accounts(newId(), { page: 1, limit: 10 })).toEqual({ items: [], total: 0 })
  })

  test('limits an account that has not less than nothing, and lets it go again', async () => {
    const { id, ownerId } = await funded(ledger(), 10n, { limited: false })
    const one = newReservation([id], 15n)
    await ledger().reserve([one])
    expect(await codeOf(ledger().limit(id, true))).toBe('CONFLICT')
    await ledger().void([one.id], AT)
    expect(await ledger().limit(id, true)).toMatchObject({ id, ownerId, limited: true, available: 10n })
    expect(await ledger().reserve([one])).toMatchObject([{ outcome: 'taken' }])
    expect(await ledger().reserve([newReservation([id], 11n)])).toMatchObject([{ outcome: 'insufficient' }])
    expect(await ledger().limit(id, false)).toMatchObject({ limited: false, available: null })
    await spend(given(), [id], 11n)
    expect(await amounts(ledger(), id)).toMatchObject({ balance: -1n })
    expect(await codeOf(ledger().limit(id, true))).toBe('CONFLICT')
    expect(await ledger().limit(newId(), true)).toBeUndefined()
    const { items } = await ledger().accounts(TENANT, { kind: 'system', page: 1, limit: 1 })
    expect(await ledger().limit(items[0]?.id ?? '', true)).toBeUndefined()
    expect(await broken(given())).toEqual([])
  })

  test('charges accounts that may not exist where they do', async () => {
    const { id } = await funded(ledger(), 100n)
    const key = newId()
    const one = newReservation([id], 10n, { optionalAccountIds: [key, newId(), id] })
    expect(await ledger().reserve([one])).toMatchObject([{ outcome: 'reserved' }])
    await ledger().open(newAccount({ id: key, kind: 'key', limited: false }))
    // Made since, it does not make the same reservation another one.
    expect(await ledger().reserve([one])).toMatchObject([{ outcome: 'reserved' }])
    expect(await ledger().reserve([{ ...one, accountIds: [id, key] }])).toEqual([{ outcome: 'taken' }])
    await spend(given(), [id], 20n, { optionalAccountIds: [key] })
    await ledger().settle([{ id: one.id, amount: 10n, at: AT }])
    expect(await amounts(ledger(), id)).toMatchObject({ balance: 70n, reserved: 0n })
    expect(await amounts(ledger(), key)).toMatchObject({ balance: -20n, reserved: 0n })
    expect(await ledger().reserve([newReservation([newId()], 1n, { optionalAccountIds: [id] })])).toEqual([
      { outcome: 'no_account' },
    ])
    expect(await broken(given())).toEqual([])
  })

  test('finds what was reserved for runs that have ended and was never settled, with what was said', async () => {
    const user = await given().user()
    const { id } = await funded(ledger(), 1000n, { ownerId: user.userId })
    const [ended, running, settled, unknown] = [
      await given().answered(user),
      await given().begun(user),
      await given().answered(user),
      await given().answered(user),
    ]
    const beginning = newBeginning({ userId: user.userId, keyId: newId(), runId: ended.runId })
    const reserve = (runId: string, usage = true) =>
      newReservation([id], 10n, { runId, usage: usage ? { ...beginning, runId } : undefined })
    const all = [reserve(ended.runId), reserve(running.runId), reserve(settled.runId), reserve(unknown.runId, false)]
    await ledger().reserve(all)
    await ledger().settle([{ id: all[2]?.id ?? '', amount: 1n, at: AT }])
    const mine = async (seconds: number) =>
      (await ledger().orphans(seconds, 1000)).filter(({ usage }) => usage.userId === user.userId)
    await given().sql(`update runs set finished_at = now() - interval '31 seconds' where finished_at is not null`)
    expect(await mine(30)).toEqual([
      { id: all[0]?.id ?? '', usage: beginning, text: 'answer', said: null, status: 'completed' },
    ])
    expect(await mine(40)).toEqual([])
    expect(await ledger().orphans(30, 0)).toEqual([])
  })

  test('leaves it to a living process to settle what it still reads', async () => {
    const { user, found, reservation } = await ended()
    const [run] = await given().sql('select instance_id from runs where id = $1', [reservation.runId])
    await given().store.runs.heartbeat(String(run?.instance_id))
    expect(await found()).toEqual([])
    await given().store.runs.leave(String(run?.instance_id))
    expect(await found()).toMatchObject([{ id: reservation.id, text: 'answer', usage: { userId: user.userId } }])
  })

  test('finds what a deleted run reserved shortly before it expires, without a text', async () => {
    const { user, found, reservation, answer } = await ended()
    const expiresIn = (seconds: number) =>
      given().sql('update reservations set expires_at = now() + make_interval(secs => $2) where id = $1', [
        reservation.id,
        seconds,
      ])
    await given().store.conversations.remove(user, answer.conversationId)
    await expiresIn(60)
    expect(await found()).toEqual([])
    await expiresIn(20)
    const usage = { userId: user.userId, promptTokens: reservation.usage?.promptTokens }
    expect(await found()).toMatchObject([{ id: reservation.id, text: '', status: 'interrupted', usage }])
  })

  test('finds what was noted of answers that are kept nowhere, shortly before it expires', async () => {
    const user = await given().user()
    const { id } = await funded(ledger(), 1000n, { ownerId: user.userId })
    const usage = newBeginning({ userId: user.userId, runId: null })
    const [noted, mute, settled] = [1, 2, 3].map(() => newReservation([id], 10n, { usage, expiresAt: new Date() }))
    if (!noted || !mute || !settled) throw new Error('unreachable')
    await ledger().reserve([noted, mute, settled])
    await ledger().settle([{ id: settled.id, amount: 1n, at: AT }])
    await ledger().note([{ id: settled.id, tokens: 7 }])
    await ledger().note([{ id: noted.id, tokens: 3 }])
    await ledger().note([{ id: noted.id, tokens: 5 }])
    const found = async () => (await ledger().orphans(30, 1000)).filter((one) => one.usage.userId === user.userId)
    expect(await found()).toEqual([{ id: noted.id, usage, text: '', said: 5, status: 'interrupted' }])
    await given().sql("update reservations set expires_at = now() + interval '1 minute' where id = $1", [noted.id])
    expect(await found()).toEqual([])
  })

  test('a stored answer learns later what it took, once, and finds the record of it', async () => {
    const { user, reservation, answer } = await ended()
    const { conversationId, answerId: messageId, runId } = answer
    const record = newUsage({ id: reservation.id, userId: user.userId, conversationId, messageId, runId })
    const ofAnswer = (owner = user) => given().store.usage.ofAnswer(owner, { conversationId, messageId })
    expect(await ofAnswer()).toBeUndefined()
    await ledger().settle([{ id: reservation.id, amount: 40n, usage: record, at: AT }])
    expect(await ofAnswer()).toMatchObject({ id: reservation.id, chargeNanos: 40n, parts: record.parts })
    expect(await ofAnswer(await given().user())).toBeUndefined()

    const amend = (costNanos: bigint, more: object = {}) =>
      given().store.turns.amend({ conversationId, messageId, usage: { total_tokens: 3 }, costNanos, ...more })
    expect(await amend(40n)).toBe(true)
    expect(await amend(50n, { usage: { total_tokens: 4 } })).toBe(true)
    const told = { usage: { total_tokens: 3 }, costNanos: 40n, content: 'answer', status: 'complete' }
    expect(await given().message(user, messageId)).toMatchObject(told)
    const unfinished = await given().begun(user)
    expect(await amend(1n, { conversationId: unfinished.conversationId, messageId: unfinished.answerId })).toBe(false)
    expect(await amend(1n, { conversationId: newId() })).toBe(false)
  })

  /** An answer that has ended a minute ago, and that nobody has settled. */
  async function ended() {
    const user = await given().user()
    const { id } = await funded(ledger(), 1000n, { ownerId: user.userId })
    const answer = await given().answered(user)
    const { runId } = answer
    const reservation = newReservation([id], 10n, { runId, usage: newBeginning({ userId: user.userId, runId }) })
    await ledger().reserve([reservation])
    await given().sql("update runs set finished_at = now() - interval '1 minute' where id = $1", [runId])
    const found = async () => (await ledger().orphans(30, 1000)).filter(({ usage }) => usage.runId === runId)
    return { user, answer, reservation, found }
  }
}
