import { expect, test } from 'bun:test'
import { newId } from '../../../src/lib/ids'
import type { NewUsage, UsageFilter, UsageTotals } from '../../../src/store/port-money'
import { broken } from '../bank'
import { AT, after, type Given, TENANT } from './given'
import { amounts, codeOf, funded, newReservation } from './ledger-given'
import { answered, newBeginning, newEvent, newUsage } from './money-given'

const MINUTE = 60_000
const YEAR: Pick<UsageFilter, 'from' | 'to'> = {
  from: new Date('2026-01-01T00:00:00.000Z'),
  to: new Date('2027-01-01T00:00:00.000Z'),
}
const at = (text: string) => new Date(`2026-${text}Z`)

export function usageContract(given: () => Given): void {
  const ledger = () => given().store.ledger
  const usage = () => given().store.usage
  const account = () => funded(given().store.ledger, 1_000_000n)
  const sumsOf = ({ answers, chargeNanos, costNanos }: UsageTotals) => [answers, chargeNanos, costNanos]

  test('writes down with a settlement what was used, and nothing when it is repeated', async () => {
    const { id, ownerId } = await account()
    const one = newReservation([id], 50n)
    const record = newUsage({
      id: one.id,
      userId: ownerId,
      keyId: newId(),
      conversationId: newId(),
      messageId: newId(),
      runId: newId(),
      model: 'caf\u0000é',
      reportedNanos: 29n,
      usage: { prompt_tokens: 10, details: { cached: 4, note: '10.5' } },
    })
    const event = newEvent({ userId: ownerId, data: { reservation_id: one.id } })
    await ledger().reserve([one])
    const settlement = { id: one.id, amount: 40n, usage: record, event, at: AT }
    await ledger().settle([settlement])
    await ledger().settle([
      { ...settlement, event: { ...event, id: newId() }, usage: { ...record, completedAt: after(MINUTE) } },
    ])
    const { items } = await usage().records({ userId: ownerId, ...YEAR }, { after: null, limit: 10 })
    expect(items).toEqual([{ ...record, model: 'caf\uFFFDé', chargeNanos: 40n }])
    expect(await usage().find(TENANT, [one.id, newId()])).toEqual(items)
    expect(await usage().find(newId(), [one.id])).toEqual([])
    expect(await usage().find(TENANT, [])).toEqual([])
    expect(await given().count('outbox', 'user_id', ownerId)).toBe(1)
    expect(await broken(given())).toEqual([])
  })

  test('charges as much as there is, and says so in the record', async () => {
    const { id, ownerId } = await funded(ledger(), 25n)
    await answered(given(), id, { userId: ownerId, amount: 20n })
    const one = newReservation([id], 5n)
    await ledger().reserve([one])
    const record = newUsage({ id: one.id, userId: ownerId, costNanos: 9n, chargeNanos: 9n })
    expect(await ledger().settle([{ id: one.id, amount: 9n, usage: record, at: AT }])).toEqual([
      { outcome: 'settled', settled: 5n, uncollected: 4n },
    ])
    expect(sumsOf(await usage().totals({ userId: ownerId, ...YEAR }))).toEqual([2, 25n, 39n])
    expect(await broken(given())).toEqual([])
  })

  test('writes nothing for what is voided, or resolved otherwise before', async () => {
    const { id, ownerId } = await account()
    const one = newReservation([id], 50n, { usage: newBeginning({ userId: ownerId }) })
    await ledger().reserve([one])
    await ledger().void([one.id], AT)
    const record = newUsage({ id: one.id, userId: ownerId })
    const event = newEvent({ userId: ownerId })
    await ledger().settle([{ id: one.id, amount: 1n, usage: record, event, at: AT }])
    await ledger().settle([{ id: newId(), amount: 1n, usage: record, event, at: AT }])
    expect(await given().count('usage_records', 'user_id', ownerId)).toBe(0)
    expect(await given().count('outbox', 'user_id', ownerId)).toBe(0)
    expect(await broken(given())).toEqual([])
  })

  test('says of what expired what it was for', async () => {
    const { id, ownerId } = await account()
    const beginning = newBeginning({ userId: ownerId, keyId: newId(), runId: newId(), model: 'late', promptTokens: 77 })
    const known = newReservation([id], 50n, { usage: beginning, expiresAt: after(-1_000_000) })
    const unknown = newReservation([id], 50n, { expiresAt: after(-1_000_000) })
    await ledger().reserve([known, unknown])
    expect(await ledger().expire(after(-999_999), 100)).toBe(2)
    const { promptNanos, outputRate, ...who } = beginning
    const { items } = await usage().records({ userId: ownerId, ...YEAR }, { after: null, limit: 10 })
    expect(items).toEqual([
      {
        ...who,
        id: known.id,
        provider: null,
        providerModel: null,
        status: 'expired',
        finishReason: null,
        completionTokens: 0,
        cachedTokens: 0,
        reasoningTokens: 0,
        usage: null,
        costNanos: null,
        chargeNanos: 0n,
        reportedNanos: null,
        savedNanos: 0n,
        parts: null,
        costBasis: 'estimated',
        priceVersion: null,
        firstTokenMs: null,
        latencyMs: null,
        completedAt: after(-999_999),
      },
    ])
    expect(await usage().totals({ userId: ownerId, ...YEAR })).toMatchObject({ answers: 1, failed: 1, unpriced: 1 })
    expect(await amounts(ledger(), id)).toMatchObject({ reserved: 0n })
    expect(await broken(given())).toEqual([])
  })

  test('takes counts that a provider got wrong, and no ids, times or amounts that are none', async () => {
    const { id, ownerId } = await account()
    const wrong = {
      promptTokens: Number.NaN,
      completionTokens: -5,
      cachedTokens: Number.POSITIVE_INFINITY,
      reasoningTokens: 1.6,
    }
    await answered(given(), id, { userId: ownerId, ...wrong, firstTokenMs: 1e300, latencyMs: 1.2 })
    const { items } = await usage().records({ userId: ownerId, ...YEAR }, { after: null, limit: 1 })
    expect(items).toMatchObject([
      {
        promptTokens: 0,
        completionTokens: 0,
        cachedTokens: 0,
        reasoningTokens: 2,
        firstTokenMs: 2 ** 31 - 1,
        latencyMs: 1,
      },
    ])
    const bad = [
      { userId: 'x' },
      { keyId: '' },
      { model: '' },
      { costNanos: -1n },
      { savedNanos: 1.5 },
      { reportedNanos: 2n ** 63n },
      { status: 'gone' },
      { costBasis: 'guessed' },
      { completedAt: new Date(Number.NaN) },
    ] as Partial<NewUsage>[]
    const codes = bad.map((fields) =>
      codeOf(ledger().settle([{ id: newId(), amount: 1n, usage: newUsage(fields), at: AT }])),
    )
    expect(await Promise.all(codes)).toEqual(bad.map(() => 'VALIDATION_ERROR'))
    const begun = newReservation([id], 1n, { usage: newBeginning({ outputRate: -1n }) })
    expect(await codeOf(ledger().reserve([begun]))).toBe('VALIDATION_ERROR')
  })

  test('sums whole quarters of an hour and their edges alike, to the millisecond', async () => {
    const { id, ownerId } = await account()
    const times = [
      '11-21T09:59:59.999',
      '11-21T10:00:00.000',
      '11-21T10:14:59.999',
      '11-21T10:15:00.000',
      '11-21T11:07:30.500',
    ]
    for (const [i, time] of times.entries()) {
      await answered(given(), id, { userId: ownerId, amount: 10n ** BigInt(i), completedAt: at(time) })
    }
    const edges = [
      '11-21T09:59:59.999',
      '11-21T10:00:00.000',
      '11-21T10:14:59.999',
      '11-21T10:15:00.000',
      '11-21T10:15:00.001',
    ]
    const ends = [...edges, '11-21T11:07:30.500', '11-21T11:07:30.501', '11-22T00:00:00.000']
    for (const from of ends) {
      for (const to of ends.filter((end) => end >= from)) {
        const expected = times.reduce((sum, time, i) => sum + (time >= from && time < to ? 10n ** BigInt(i) : 0n), 0n)
        const filter = { userId: ownerId, from: at(from), to: at(to) }
        expect({ from, to, sum: (await usage().totals(filter)).chargeNanos }).toEqual({ from, to, sum: expected })
      }
    }
  })

  test('tells days apart as they are where somebody lives, half hours and summer time included', async () => {
    const { id, ownerId } = await account()
    const said = [
      '03-08T04:59:59.999',
      '03-08T05:00:00.000',
      '03-09T03:59:59.999',
      '03-09T04:00:00.000',
      '06-01T18:14:59.999',
      '06-01T18:15:00.000',
    ]
    for (const time of said) await answered(given(), id, { userId: ownerId, amount: 1n, completedAt: at(time) })
    const days = async (zone: string) =>
      (await usage().byDay({ userId: ownerId, ...YEAR }, zone)).map(({ day, answers }) => `${day} ${answers}`)
    expect(await days('UTC')).toEqual(['2026-03-08 2', '2026-03-09 2', '2026-06-01 2'])
    expect(await days('America/New_York')).toEqual(['2026-03-07 1', '2026-03-08 2', '2026-03-09 1', '2026-06-01 2'])
    expect(await days('Asia/Kathmandu')).toEqual(['2026-03-08 2', '2026-03-09 2', '2026-06-01 1', '2026-06-02 1'])
    for (const zone of ['Nowhere/Town', '', '+05:30', 'UTC+3', "UTC'", '\0', 'posixrules']) {
      expect(await codeOf(usage().byDay({ userId: ownerId, ...YEAR }, zone))).toBe('VALIDATION_ERROR')
    }
  })

  test('tells apart models, keys, conversations, people and providers, what cost most first', async () => {
    const { id, ownerId } = await account()
    const [key, conversation, tenantId] = [newId(), newId(), TENANT]
    const one = (amount: bigint, fields: Partial<NewUsage>) =>
      answered(given(), id, { userId: ownerId, amount, ...fields })
    await one(5n, { model: 'a', keyId: key, conversationId: conversation, provider: 'p' })
    await one(7n, {
      model: 'b',
      conversationId: conversation,
      provider: 'q',
      status: 'stopped',
      costBasis: 'estimated',
    })
    await one(4n, { model: 'a', provider: null, status: 'failed', costNanos: null, completedAt: after(20 * MINUTE) })
    const filter = { tenantId, userId: ownerId, ...YEAR }
    const by = async (group: Parameters<ReturnType<typeof usage>['by']>[1]['group'], limit = 10) =>
      (await usage().by(filter, { group, limit })).map(({ key: name, chargeNanos }) => [name, chargeNanos])
    expect(await by('model')).toEqual([
      ['a', 9n],
      ['b', 7n],
    ])
    expect(await by('model', 1)).toEqual([['a', 9n]])
    expect(await by('key')).toEqual([
      [null, 11n],
      [key, 5n],
    ])
    expect(await by('conversation')).toEqual([
      [conversation, 12n],
      [null, 4n],
    ])
    expect(await by('provider')).toEqual([
      ['q', 7n],
      ['p', 5n],
      [null, 4n],
    ])
    expect(await by('user')).toEqual([[ownerId, 16n]])
    expect(await usage().totals(filter)).toEqual({
      answers: 3,
      completed: 1,
      stopped: 1,
      failed: 1,
      promptTokens: 30,
      completionTokens: 60,
      cachedTokens: 12,
      reasoningTokens: 9,
      costNanos: 60n,
      chargeNanos: 16n,
      savedNanos: 6n,
      unpriced: 1,
      estimated: 1,
    })
    const charge = async (fields: Partial<UsageFilter>) => (await usage().totals({ ...filter, ...fields })).chargeNanos
    expect(await charge({ keyId: key })).toBe(5n)
    expect(await charge({ model: 'b' })).toBe(7n)
    expect(await charge({ conversationId: conversation })).toBe(12n)
    expect(await charge({ tenantId: newId() })).toBe(0n)
    expect(await charge({ userId: newId() })).toBe(0n)
    expect(await charge({ tenantId: undefined })).toBe(16n)
    expect(await broken(given())).toEqual([])
  })

  test('gives single records page by page, the oldest first, and none twice', async () => {
    const { id, ownerId } = await account()
    for (let i = 0; i < 7; i++) {
      await answered(given(), id, { userId: ownerId, completedAt: after(Math.floor(i / 3) * MINUTE) })
    }
    const seen: string[] = []
    const times: number[] = []
    let cursor: string | null = null
    do {
      const page: Awaited<ReturnType<ReturnType<typeof usage>['records']>> = await usage().records(
        { userId: ownerId, ...YEAR },
        { after: cursor, limit: 3 },
      )
      expect(page.items.length).toBeLessThanOrEqual(3)
      seen.push(...page.items.map((one) => one.id))
      times.push(...page.items.map(({ completedAt }) => completedAt.getTime()))
      cursor = page.next
    } while (cursor)
    expect([seen.length, new Set(seen).size]).toEqual([7, 7])
    expect(times).toEqual(times.toSorted((a, b) => a - b))
    for (const after of ['x', '_', `2026_${newId()}x`, `never_${newId()}`]) {
      expect(await codeOf(usage().records({ userId: ownerId, ...YEAR }, { after, limit: 3 }))).toBe('VALIDATION_ERROR')
    }
  })
}
