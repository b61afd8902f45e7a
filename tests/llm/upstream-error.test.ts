import { afterEach, describe, expect, setSystemTime, test } from 'bun:test'
import { AppError } from '../../src/errors'
import { ofStatus, refused, refusedInStream, secondsOf } from '../../src/llm/upstream-error'

afterEach(() => {
  setSystemTime()
})

describe('a refusal', () => {
  test.each([
    [400, 'BAD_REQUEST', 'request'],
    [401, 'UPSTREAM_ERROR', 'key'],
    [402, 'UPSTREAM_ERROR', 'key'],
    [403, 'UPSTREAM_ERROR', 'key'],
    [404, 'NOT_FOUND', 'deployment'],
    [408, 'UPSTREAM_TIMEOUT', 'deployment'],
    [413, 'BAD_REQUEST', 'request'],
    [429, 'RATE_LIMIT_EXCEEDED', 'deployment'],
    [500, 'UPSTREAM_ERROR', 'deployment'],
    [503, 'UPSTREAM_UNAVAILABLE', 'deployment'],
    [529, 'UPSTREAM_UNAVAILABLE', 'deployment'],
  ] as const)('with %d is %s, the fault of the %s', (status, code, fault) => {
    expect(ofStatus(status, {})).toMatchObject({ code, fault })
  })

  test('says when to come again, also when the provider is overloaded', async () => {
    for (const status of [429, 503]) {
      const response = new Response('{}', { status, headers: { 'retry-after': '4' } })
      expect((await refused(response)).retryAfter).toBe(4)
    }
    expect((await refused(new Response('{}', { status: 429 }))).retryAfter).toBeUndefined()
  })
})

test.each([
  ['7', 7],
  ['0.3', 1],
  ['0', undefined],
  ['-5', undefined],
  ['86400', 3600],
  ['Fri, 21 Nov 2026 10:00:30 GMT', 30],
  ['Fri, 21 Nov 2026 09:00:00 GMT', 1],
  ['Fri, 21 Nov 2036 10:00:30 GMT', 3600],
  ['soon', undefined],
  ['', undefined],
  [null, undefined],
])('Retry-After: %s is %p seconds', (header, seconds) => {
  setSystemTime(new Date('2026-11-21T10:00:00Z'))
  expect(secondsOf(header)).toBe(seconds as number)
})

describe('an error inside a stream', () => {
  test.each([
    [{ message: 'm', type: 'server_error', code: null }, 'UPSTREAM_ERROR'],
    [{ message: 'm', type: 'invalid_request_error', code: 'context_length_exceeded' }, 'BAD_REQUEST'],
    [{ message: 'm', type: null, code: '400' }, 'BAD_REQUEST'],
    [{ message: 'm', type: null, code: 429 }, 'RATE_LIMIT_EXCEEDED'],
    [{ message: 'm', type: 'overloaded_error' }, 'UPSTREAM_UNAVAILABLE'],
    [{ message: 'm', code: 502 }, 'UPSTREAM_ERROR'],
    [{ message: 'm', code: 'constructor', type: 'toString' }, 'UPSTREAM_ERROR'],
    ['a sentence', 'UPSTREAM_ERROR'],
  ])('%j is %s', (error, code) => {
    const found = refusedInStream(error)
    expect(found).toBeInstanceOf(AppError)
    expect(found).toMatchObject({ code })
    if (typeof error === 'object' && code === 'UPSTREAM_ERROR') expect(found.message).toBe('m')
  })
})
