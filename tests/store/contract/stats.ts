import { expect, test } from 'bun:test'
import { lastDays } from '../../../src/lib/days'
import type { Owner } from '../../../src/store/port'
import type { Given } from './given'

const NOW = new Date('2026-11-21T10:00:00.000Z')

export function statsContract(given: () => Given): void {
  const stats = (owner: Owner, timeZone = 'UTC') => given().store.stats.of(owner, { days: lastDays(30, NOW, timeZone) })
  const answered = async (
    owner: Owner,
    at: string,
    tokens: object | null,
    more: { in?: string; model?: string } = {},
  ) => {
    const turn = await given().begun(owner, { ...more, at: new Date(at), title: at })
    const usage = tokens as Record<string, unknown> | null
    await given().finish(turn, 'text', { usage, costNanos: usage ? 1500n : null })
    return turn
  }

  test('counts nothing where there is nothing', async () => {
    const { days, ...rest } = await stats(await given().user())
    expect(rest).toEqual({
      conversations: 0,
      archived: 0,
      branches: 0,
      messages: 0,
      answers: 0,
      promptTokens: 0,
      completionTokens: 0,
      totalTokens: 0,
      costNanos: 0n,
      firstMessageAt: null,
      lastMessageAt: null,
      models: [],
      mostActive: [],
    })
    expect(days).toHaveLength(30)
    expect(days.at(0)?.date).toBe('2026-10-23')
    expect(days.at(-1)).toEqual({ date: '2026-11-21', messages: 0, answers: 0, totalTokens: 0, costNanos: 0n })
  })

  test('adds up every branch, by model, by day and by conversation', async () => {
    const user = await given().user()
    const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }
    const long = await answered(user, '2026-11-20T10:00:00.000Z', usage)
    await answered(user, '2026-11-20T11:00:00.000Z', usage, { in: long.conversationId, model: 'other' })
    await answered(user, '2026-01-01T10:00:00.000Z', {
      prompt_tokens: 'many',
      total_tokens: null,
      completion_tokens: 2,
    })
    await answered(user, '2026-11-21T09:00:00.000Z', null)
    const all = await stats(user)
    expect(all).toMatchObject({
      conversations: 3,
      archived: 0,
      branches: 3,
      messages: 8,
      answers: 4,
      promptTokens: 20,
      completionTokens: 12,
      totalTokens: 30,
      costNanos: 4500n,
      firstMessageAt: new Date('2026-01-01T10:00:00.000Z'),
      lastMessageAt: new Date('2026-11-21T09:00:00.000Z'),
      models: [
        { model: 'default-model', answers: 3, totalTokens: 15, costNanos: 3000n },
        { model: 'other', answers: 1, totalTokens: 15, costNanos: 1500n },
      ],
    })
    expect(all.days.slice(-2)).toEqual([
      { date: '2026-11-20', messages: 4, answers: 2, totalTokens: 30, costNanos: 3000n },
      { date: '2026-11-21', messages: 2, answers: 1, totalTokens: 0, costNanos: 0n },
    ])
    expect(all.mostActive[0]).toEqual({
      id: long.conversationId,
      title: '2026-11-20T10:00:00.000Z',
      messages: 4,
      lastMessageAt: new Date('2026-11-20T11:00:00.000Z'),
    })
  })

  test('begins days where the person lives', async () => {
    const user = await given().user()
    await answered(user, '2026-11-20T22:30:00.000Z', null)
    const dayOf = async (zone: string) => (await stats(user, zone)).days.find(({ messages }) => messages > 0)?.date
    expect(await dayOf('UTC')).toBe('2026-11-20')
    expect(await dayOf('Europe/Berlin')).toBe('2026-11-20')
    expect(await dayOf('Europe/Moscow')).toBe('2026-11-21')
    expect(await dayOf('Asia/Kolkata')).toBe('2026-11-21')
    expect(await dayOf('America/New_York')).toBe('2026-11-20')
    expect((await stats(user, 'Pacific/Kiritimati')).days.at(-1)?.date).toBe('2026-11-22')
  })

  test("counts nobody else's", async () => {
    const [owner, other] = [await given().user(), await given().user()]
    await answered(owner, '2026-11-20T10:00:00.000Z', null)
    expect(await stats(other)).toMatchObject({ conversations: 0, messages: 0, branches: 0, mostActive: [] })
    expect(await stats({ ...owner, tenantId: crypto.randomUUID() })).toMatchObject({ conversations: 0, messages: 0 })
  })
}
