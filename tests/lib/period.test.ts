import { describe, expect, test } from 'bun:test'
import { beginnings, periodOf } from '../../src/lib/period'

const now = new Date('2026-11-21T23:30:00Z')
const period = (asked: { from?: string; to?: string }, timeZone = 'UTC') => {
  const { from, to } = periodOf(asked, { timeZone, now })
  return [from.toISOString(), to.toISOString()]
}

describe('a period', () => {
  test('is the last 30 days, with today as it is there', () => {
    expect(period({})).toEqual(['2026-10-23T00:00:00.000Z', '2026-11-22T00:00:00.000Z'])
    expect(period({}, 'Asia/Kathmandu')).toEqual(['2026-10-23T18:15:00.000Z', '2026-11-22T18:15:00.000Z'])
    expect(period({}, 'America/New_York')).toEqual(['2026-10-23T04:00:00.000Z', '2026-11-22T05:00:00.000Z'])
  })

  test('ends with the last hour of a day, and begins with its first', () => {
    expect(period({ from: '2026-03-08', to: '2026-03-08' }, 'America/New_York')).toEqual([
      '2026-03-08T05:00:00.000Z',
      '2026-03-09T04:00:00.000Z',
    ])
    expect(period({ from: '2026-02-28', to: '2026-02-28' })).toEqual([
      '2026-02-28T00:00:00.000Z',
      '2026-03-01T00:00:00.000Z',
    ])
  })

  test('takes moments as they are', () => {
    const [from, to] = ['2026-11-21T10:00:00.001Z', '2026-11-21T12:00:00+01:00']
    expect(period({ from, to })).toEqual([from, '2026-11-21T11:00:00.000Z'])
  })

  test.each([
    { from: '2026-11-22' },
    { from: '2026-11-21', to: '2026-11-20' },
    { from: '2026-11-21T10:00:00Z', to: '2026-11-21T10:00:00Z' },
    { from: '2010-01-01' },
    { from: '2026-02-30' },
    { to: '1969-12-31' },
    { to: '2200-01-01' },
  ])('is refused as %j', (asked) => {
    expect(() => period(asked)).toThrow()
  })

  test('may be ten years', () => {
    expect(period({ from: '2016-11-22', to: '2026-11-21' })[0]).toBe('2016-11-22T00:00:00.000Z')
  })
})

test('days and months begin where one is', () => {
  const { day, month, tomorrow } = beginnings(new Date('2026-03-31T23:00:00Z'), 'Asia/Kathmandu')
  expect([day, month, tomorrow].map((at) => at.toISOString())).toEqual([
    '2026-03-31T18:15:00.000Z',
    '2026-03-31T18:15:00.000Z',
    '2026-04-01T18:15:00.000Z',
  ])
})
