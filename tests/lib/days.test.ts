import { expect, test } from 'bun:test'
import { lastDays } from '../../src/lib/days'

const NOW = new Date('2026-11-21T10:00:00.000Z')
const beginnings = (at: string, zone: string) =>
  lastDays(2, new Date(at), zone).map(({ date, from }) => `${date} ${from.toISOString()}`)

test('gives the last days, today included', () => {
  const days = lastDays(30, NOW, 'UTC')
  expect(days).toHaveLength(30)
  expect(days.at(0)).toEqual({ date: '2026-10-23', from: new Date('2026-10-23T00:00:00.000Z') })
  expect(days.at(-1)).toEqual({ date: '2026-11-21', from: new Date('2026-11-21T00:00:00.000Z') })
})

test('begins them where the person lives, also on days of 23 and 25 hours', () => {
  expect(beginnings('2026-11-21T23:00:00Z', 'Europe/Moscow')[1]).toBe('2026-11-22 2026-11-21T21:00:00.000Z')
  expect(beginnings('2026-11-21T10:00:00Z', 'Pacific/Kiritimati')[1]).toBe('2026-11-22 2026-11-21T10:00:00.000Z')
  expect(beginnings('2026-11-21T10:00:00Z', 'Asia/Kathmandu')[1]).toBe('2026-11-21 2026-11-20T18:15:00.000Z')
  expect(beginnings('2026-03-30T10:00:00Z', 'Europe/Berlin')).toEqual([
    '2026-03-29 2026-03-28T23:00:00.000Z',
    '2026-03-30 2026-03-29T22:00:00.000Z',
  ])
  expect(beginnings('2026-10-26T10:00:00Z', 'Europe/Berlin')).toEqual([
    '2026-10-25 2026-10-24T22:00:00.000Z',
    '2026-10-26 2026-10-25T23:00:00.000Z',
  ])
})

test('knows zones that set their clocks at midnight', () => {
  // 00:00 did not exist there: the clock went from 23:59:59 to 01:00.
  expect(beginnings('2023-09-03T12:00:00Z', 'America/Santiago')[1]).toBe('2023-09-03 2023-09-03T04:00:00.000Z')
})

test('refuses what is no zone', () => {
  expect(() => lastDays(1, NOW, 'Nowhere/Land')).toThrow(RangeError)
})
