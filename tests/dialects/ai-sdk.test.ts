import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type UiLevel, type UiStreamOptions, uiFrames } from '../../src/dialects/ai-sdk'
import type { RunEvent } from '../../src/runs/port'
import { RELEASES, shownBy, uiText } from '../support/ui-chat'

const IDS = { conversation_id: 'c', branch_id: 'b', message_id: 'm-1', run_id: 'r' }
const USAGE = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }
const START: RunEvent = { type: 'start', fields: IDS }
const done = (finishReason = 'stop'): RunEvent => ({ type: 'done', finishReason, usage: USAGE, costUsd: 0.25 })
const ERROR: RunEvent = {
  type: 'error',
  error: { message: 'The provider broke off', code: 'UPSTREAM_ERROR', details: null, request_id: 'q' },
  retryAfter: 7,
}
const says = (delta: Record<string, unknown>): RunEvent => ({ type: 'delta', index: 0, delta })
const thinks = (reasoning_content: string) => says({ reasoning_content })
const calls = (index: number, piece: string, head?: { id: string; name: string }): RunEvent =>
  says({
    tool_calls: [
      {
        index,
        ...(head ? { id: head.id, type: 'function' } : {}),
        function: { ...(head ? { name: head.name } : {}), arguments: piece },
      },
    ],
  })

const encode = (events: RunEvent[], options: UiStreamOptions = { level: 5 }) => uiFrames(options)({ seq: 1, events })

/** The chunks of a stream; the ids beside them. */
function chunksOf(text: string) {
  const frames = text.split('\n\n').filter((frame) => frame.includes('data: '))
  return frames.map((frame) => {
    const data = /^data: (.*)$/m.exec(frame)?.[1] ?? ''
    return { id: /^id: (\d+)$/m.exec(frame)?.[1], chunk: data === '[DONE]' ? data : JSON.parse(data) }
  })
}
const types = (events: RunEvent[], options?: UiStreamOptions) =>
  chunksOf(encode(events, options)).map(({ chunk }) => chunk.type ?? chunk)

const OPENING = ['start', 'start-step', 'data-ids']
const CLOSING = ['finish-step', 'data-usage', 'finish', '[DONE]']

describe('an answer', () => {
  test('is one step with its text in one part, our facts beside it, and an end', () => {
    const chunks = chunksOf(encode([START, 'Hel', 'lo', done()]))
    expect(chunks).toEqual([
      { id: undefined, chunk: { type: 'start', messageId: 'm-1' } },
      { id: undefined, chunk: { type: 'start-step' } },
      { id: '1', chunk: { type: 'data-ids', data: IDS, transient: true } },
      { id: undefined, chunk: { type: 'text-start', id: 'text-1' } },
      { id: '2', chunk: { type: 'text-delta', id: 'text-1', delta: 'Hel' } },
      { id: '3', chunk: { type: 'text-delta', id: 'text-1', delta: 'lo' } },
      { id: undefined, chunk: { type: 'text-end', id: 'text-1' } },
      { id: undefined, chunk: { type: 'finish-step' } },
      {
        id: undefined,
        chunk: { type: 'data-usage', data: { usage: USAGE, cost_usd: 0.25, finish_reason: 'stop' }, transient: true },
      },
      { id: '4', chunk: { type: 'finish' } },
      { id: undefined, chunk: '[DONE]' },
    ])
  })

  test('says why it ended only to readers who can take it', () => {
    const ends = (level: UiLevel, reason: string) => chunksOf(encode([START, done(reason)], { level })).at(-2)?.chunk
    expect(ends(5, 'length')).toEqual({ type: 'finish' })
    for (const level of [6, 7] as const) {
      expect(ends(level, 'stop').finishReason).toBe('stop')
      expect(ends(level, 'length').finishReason).toBe('length')
      expect(ends(level, 'tool_calls').finishReason).toBe('tool-calls')
      expect(ends(level, 'content_filter').finishReason).toBe('content-filter')
      expect(ends(level, 'function_call').finishReason).toBe('other')
    }
  })

  test('keeps thoughts and text apart, in the order in which they came', () => {
    const events = [START, thinks('hm'), thinks('m'), 'Six', says({ reasoning: 'or' }), says({ refusal: 'No' }), done()]
    expect(types(events)).toEqual([
      ...OPENING,
      ...['reasoning-start', 'reasoning-delta', 'reasoning-delta', 'reasoning-end'],
      ...['text-start', 'text-delta', 'text-end'],
      ...['reasoning-start', 'reasoning-delta', 'reasoning-end'],
      ...['text-start', 'text-delta', 'text-end'],
      ...CLOSING,
    ])
  })

  test('goes on with the message that the page names', () => {
    const [first] = chunksOf(encode([START, done()], { level: 5, messageId: 'mine' }))
    expect(first?.chunk).toEqual({ type: 'start', messageId: 'mine' })
  })

  test('without an id yet leaves the id to the page and tells it at the end', () => {
    const late: RunEvent = {
      type: 'done',
      finishReason: 'stop',
      usage: null,
      costUsd: null,
      fields: { message_id: 'x' },
    }
    const chunks = chunksOf(encode([{ type: 'start', fields: { ...IDS, message_id: null } }, late]))
    expect(chunks[0]?.chunk).toEqual({ type: 'start' })
    expect(chunks.map(({ chunk }) => chunk)).toContainEqual({
      type: 'data-ids',
      data: { message_id: 'x' },
      transient: true,
    })
  })

  test('stopped, closes what is open and is aborted', () => {
    expect(types([START, 'Hel', done('stopped')])).toEqual([
      ...[...OPENING, 'text-start', 'text-delta', 'text-end'],
      ...['finish-step', 'data-usage', 'abort', '[DONE]'],
    ])
  })

  test('that failed, closes what is open and ends with one sentence', () => {
    const chunks = chunksOf(encode([START, 'Hel', ERROR]))
    expect(chunks.slice(5).map(({ chunk }) => chunk)).toEqual([
      { type: 'text-end', id: 'text-1' },
      { type: 'finish-step' },
      { type: 'data-error', data: { code: 'UPSTREAM_ERROR', request_id: 'q', retry_after: 7 }, transient: true },
      { type: 'error', errorText: 'The provider broke off' },
      '[DONE]',
    ])
  })

  test('leaves out other choices and what is not known', () => {
    const other: RunEvent = { type: 'delta', index: 1, delta: { content: 'x' } }
    const unknown = { type: 'later' } as unknown as RunEvent
    expect(types([START, other, unknown, says({ annotations: [] }), done()])).toEqual([...OPENING, ...CLOSING])
  })
})

describe('tool calls', () => {
  const WEATHER = { id: 'call_1', name: 'get_weather' }

  test('are written piece by piece, and are whole only when nothing can void them any more', () => {
    const events = [
      START,
      'Let me see',
      calls(0, '', WEATHER),
      calls(0, '{"city":'),
      calls(0, '"Oslo"}'),
      done('tool_calls'),
    ]
    const chunks = chunksOf(encode(events)).map(({ chunk }) => chunk)
    expect(chunks.slice(5, -4)).toEqual([
      { type: 'text-end', id: 'text-1' },
      { type: 'tool-input-start', toolCallId: 'call_1', toolName: 'get_weather' },
      { type: 'tool-input-delta', toolCallId: 'call_1', inputTextDelta: '{"city":' },
      { type: 'tool-input-delta', toolCallId: 'call_1', inputTextDelta: '"Oslo"}' },
      { type: 'tool-input-available', toolCallId: 'call_1', toolName: 'get_weather', input: { city: 'Oslo' } },
    ])
  })

  test('may be mixed with each other', () => {
    const events = [
      START,
      calls(0, '{"a"', { id: 'x', name: 'f' }),
      calls(1, '{}', { id: 'y', name: 'g' }),
      calls(0, ':1}'),
      done(),
    ]
    const whole = chunksOf(encode(events)).filter(({ chunk }) => chunk.type === 'tool-input-available')
    expect(whole.map(({ chunk }) => [chunk.toolCallId, chunk.toolName, chunk.input])).toEqual([
      ['x', 'f', { a: 1 }],
      ['y', 'g', {}],
    ])
  })

  test('without arguments take none; with arguments that are not JSON they are an error', () => {
    const of = (args: string) => chunksOf(encode([START, calls(0, args, WEATHER), done()])).at(-5)?.chunk
    expect(of('')).toMatchObject({ type: 'tool-input-available', input: {} })
    expect(of('{"city":')).toMatchObject({ type: 'tool-input-error', input: '{"city":', errorText: expect.any(String) })
  })

  test('of a stopped or failed answer are never whole', () => {
    for (const end of [done('stopped'), ERROR]) {
      expect(types([START, calls(0, '{}', WEATHER), end])).not.toContain('tool-input-available')
    }
  })

  test('of a stored answer come whole and without numbers', () => {
    const tool_calls = ['x', 'y'].map((id) => ({ id, type: 'function', function: { name: id, arguments: '{}' } }))
    const events = [START, says({ content: 'Well', reasoning_content: 'hm', tool_calls }), done('tool_calls')]
    const list = types(events)
    expect(list.filter((type) => type === 'tool-input-available')).toHaveLength(2)
    expect(list.indexOf('reasoning-start')).toBeLessThan(list.indexOf('text-start'))
  })
})

describe('an answer that begins anew', () => {
  const EVENTS = [START, 'Hel', calls(0, '{"a', { id: 'x', name: 'f' }), { type: 'restart' } as const, 'Hello', done()]

  test('drops the step where the reader can', () => {
    expect(types(EVENTS, { level: 7 }).slice(3)).toEqual([
      ...['text-start', 'text-delta', 'text-end', 'tool-input-start', 'tool-input-delta', 'reset-step'],
      ...['text-start', 'text-delta', 'text-end', ...CLOSING],
    ])
  })

  test('otherwise closes it, marks it, and begins another', () => {
    const chunks = chunksOf(encode(EVENTS)).map(({ chunk }) => chunk)
    expect(chunks.slice(6, -5)).toEqual([
      { type: 'tool-input-start', toolCallId: 'x', toolName: 'f' },
      { type: 'tool-input-delta', toolCallId: 'x', inputTextDelta: '{"a' },
      { type: 'tool-input-error', toolCallId: 'x', toolName: 'f', input: '{"a', errorText: 'The answer began anew' },
      { type: 'finish-step' },
      { type: 'data-restart', data: {} },
      { type: 'start-step' },
      { type: 'text-start', id: 'text-2' },
      { type: 'text-delta', id: 'text-2', delta: 'Hello' },
    ])
  })
})

describe('a reader that comes back', () => {
  test('gets what follows, with the parts as they are', () => {
    const events = [START, 'Hel', 'lo', thinks('hm'), done()]
    const whole = encode(events)
    for (let after = 0; after <= events.length; after++) {
      const rest = encode(events, { level: 5, after })
      const cut = after === 0 ? 0 : whole.indexOf('\n\n', whole.indexOf(`id: ${after}\n`)) + 2
      const expected = after === events.length ? '' : whole.slice(cut)
      expect([after, rest.replace(': -\n\n', '')]).toEqual([after, expected])
    }
  })

  test('in batches of any size gets the same', () => {
    const events = [START, 'a', thinks('b'), calls(0, '{}', { id: 'x', name: 'f' }), done()]
    const one = uiFrames({ level: 5 })
    const pieces = events.map((event, i) => one({ seq: i + 1, events: [event] })).join('')
    expect(pieces).toBe(encode(events))
  })
})

describe.each(RELEASES)('the reader of release %s', (release) => {
  const own = Number(release) as UiLevel
  const text = (events: RunEvent[], level: UiLevel) => shownBy(release, encode(events, { level }))

  test('shows text, thoughts and calls at every level up to its own', async () => {
    for (const level of [5, 6, 7].filter((each) => each <= own) as UiLevel[]) {
      const events = [START, thinks('hm'), 'Hello', calls(0, '{"a":1}', { id: 'x', name: 'f' }), done('tool_calls')]
      const { message, data } = await text(events, level)
      expect(message.id).toBe('m-1')
      expect(message.parts).toMatchObject([
        { type: 'step-start' },
        { type: 'reasoning', text: 'hm', state: 'done' },
        { type: 'text', text: 'Hello', state: 'done' },
        { type: 'tool-f', toolCallId: 'x', state: 'input-available', input: { a: 1 } },
      ])
      expect(data).toMatchObject([{ type: 'data-ids' }, { type: 'data-usage' }])
    }
  })

  test('keeps what was said before a stop, and throws the sentence of an error', async () => {
    const { message } = await text([START, 'Hel', done('stopped')], own)
    expect(message.parts.at(-1)).toMatchObject({ type: 'text', text: 'Hel', state: 'done' })
    await expect(text([START, 'Hel', ERROR], own)).rejects.toThrow('The provider broke off')
  })

  test('shows an answer that began anew', async () => {
    const { message } = await text([START, 'Hel', { type: 'restart' }, 'Hello', done()], own)
    const shown = message.parts.map((part) => (part.type === 'text' ? part.text : part.type))
    expect(shown).toEqual(
      own === 7 ? ['step-start', 'Hello'] : ['step-start', 'Hel', 'data-restart', 'step-start', 'Hello'],
    )
  })

  test('takes whatever a model can say', async () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary', minLength: 1 }),
      fc.string({ unit: 'binary' }).map(thinks),
      fc.tuple(fc.nat(2), fc.string()).map(([i, args]) => calls(i, args, { id: `call-${i}`, name: 'f' })),
      fc.constant<RunEvent>({ type: 'restart' }),
    )
    const end = fc.constantFrom(done(), done('stopped'), done('tool_calls'))
    const answers = fc.tuple(fc.array(piece, { maxLength: 12 }), end)
    await fc.assert(
      fc.asyncProperty(answers, async ([pieces, last]) => {
        const { message } = await text([START, ...pieces, last], own)
        const begun = pieces.findLastIndex((event) => typeof event === 'object' && event.type === 'restart')
        const said = pieces.slice(begun + 1).filter((event) => typeof event === 'string')
        expect(uiText(message)).toBe(said.join(''))
      }),
      { numRuns: 60 },
    )
  })
})
