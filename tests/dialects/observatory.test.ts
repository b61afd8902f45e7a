import { describe, expect, test } from 'bun:test'
import { createParser } from 'eventsource-parser'
import { observatoryError, observatoryFrames, parseFrameId } from '../../src/dialects/observatory'
import { AppError, errorBody } from '../../src/errors'
import { validationError } from '../../src/lib/problems'
import type { RunEvent } from '../../src/runs/port'

const RUN = '0199c0de-0000-7000-8000-000000000004'

/** What an independent parser makes of the frames. */
function encode(events: RunEvent[], { seq = 1, messageId = 'm' as string | null, endOnly = false } = {}) {
  const frames: { id: string | undefined; data: unknown }[] = []
  const parser = createParser({ onEvent: ({ id, data }) => frames.push({ id, data: JSON.parse(data) }) })
  parser.feed(observatoryFrames({ runId: RUN, messageId, endOnly })({ seq, events }))
  return frames
}

const start: RunEvent = { type: 'start', fields: { message_id: 'm' } }
const done: RunEvent = { type: 'done', finishReason: 'stop', usage: null, costUsd: 0 }
const end = { content: '', done: true, message_id: 'm' }

describe('the Observatory stream', () => {
  test('has a frame for each piece of text, and the message at the end', () => {
    expect(encode([start, 'Hello', '!\n\ndata: x', done])).toEqual([
      { id: `${RUN}:2`, data: { content: 'Hello', done: false } },
      { id: `${RUN}:3`, data: { content: '!\n\ndata: x', done: false } },
      { id: `${RUN}:4`, data: end },
    ])
  })

  test('has text that comes with other things, and leaves those out', () => {
    const delta = (fields: Record<string, unknown>, index = 0): RunEvent => ({ type: 'delta', index, delta: fields })
    const events = [
      delta({ content: 'a', refusal: null }),
      delta({ reasoning_content: 'hm' }),
      delta({ content: null, tool_calls: [] }),
      delta({ content: 'other' }, 1),
      delta({ content: '' }),
      '',
      done,
    ]
    expect(encode(events, { seq: 7 })).toEqual([
      { id: `${RUN}:7`, data: { content: 'a', done: false } },
      { id: `${RUN}:13`, data: end },
    ])
  })

  test('names the message by the id that it got by being saved', () => {
    const saved: RunEvent = { ...done, fields: { message_id: 'late' } }
    expect(encode([saved], { messageId: null })).toMatchObject([{ data: { message_id: 'late' } }])
    expect(encode([done], { messageId: null })).toMatchObject([{ data: { message_id: null } }])
  })

  test('ends in an error when the answer begins anew, for nobody could take back what was shown', () => {
    const events: RunEvent[] = ['half', { type: 'restart' }, 'whole', done]
    expect(encode(events)).toEqual([
      { id: `${RUN}:1`, data: { content: 'half', done: false } },
      { id: `${RUN}:2`, data: { error: expect.stringContaining('begins the answer anew'), done: true } },
    ])
    expect(encode(events, { endOnly: true })).toEqual([{ id: `${RUN}:4`, data: end }])
  })

  test('says what went wrong, and that this was all', () => {
    const error = errorBody(new AppError('UPSTREAM_ERROR', 'The provider broke off'), 'r')
    expect(encode(['half', { type: 'error', error }])).toEqual([
      { id: `${RUN}:1`, data: { content: 'half', done: false } },
      { id: `${RUN}:2`, data: { error: 'The provider broke off', done: true } },
    ])
  })

  test('says only the end to a reader whose text cannot be continued', () => {
    expect(
      encode([start, 'Hello', { type: 'delta', index: 0, delta: { content: 'x' } }, done], { endOnly: true }),
    ).toEqual([{ id: `${RUN}:4`, data: end }])
  })
})

test('reads the ids of its frames', () => {
  expect(parseFrameId(`${RUN}:12`)).toEqual({ runId: RUN, after: 12 })
})

test.each([undefined, '', '12', RUN, `${RUN}:`, `${RUN}:-1`, `${RUN}:1234567890`, `${RUN}:1\n`, `x${RUN}:1`])(
  'takes %j for none of its frame ids',
  (id) => expect(parseFrameId(id)).toBeUndefined(),
)

describe('an error of the Observatory', () => {
  test('is a sentence', () => {
    const error = new AppError('NOT_FOUND', 'There is none', { details: { current: 1 } })
    expect(observatoryError(error)).toEqual({ detail: 'There is none' })
  })

  test('is a list of what is wrong where', () => {
    const issues = [
      { path: '/message', message: 'Expected string' },
      { path: '', message: 'Expected object' },
      { path: '/a/0/b', message: 'Wrong' },
    ]
    const wrong = (where: string) => observatoryError(validationError(where, issues)).detail
    expect(wrong('body')).toEqual([
      { loc: ['body', 'message'], msg: 'expected string', type: 'value_error' },
      { loc: ['body'], msg: 'expected object', type: 'value_error' },
      { loc: ['body', 'a', '0', 'b'], msg: 'wrong', type: 'value_error' },
    ])
    expect(wrong('params')[1]).toMatchObject({ loc: ['path'] })
    expect(wrong('query')[0]).toMatchObject({ loc: ['query', 'message'] })
  })
})
