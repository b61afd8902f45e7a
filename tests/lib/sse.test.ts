import { describe, expect, test } from 'bun:test'
import { createParser, type EventSourceMessage } from 'eventsource-parser'
import fc from 'fast-check'
import { sseFrame, sseResponse } from '../../src/lib/sse'

/** Reads with a parser that is not ours, in packets of any size. */
function parse(text: string, packet = text.length) {
  const events: EventSourceMessage[] = []
  const comments: string[] = []
  const parser = createParser({ onEvent: (event) => events.push(event), onComment: (text) => comments.push(text) })
  for (let i = 0; i < text.length; i += Math.max(1, packet)) parser.feed(text.slice(i, i + Math.max(1, packet)))
  return { events, comments }
}

describe('a frame', () => {
  const nasty = fc.constantFrom(
    '\n',
    '\r',
    '\r\n',
    '\n\n',
    '\u2028',
    '\0',
    ':',
    'data: ',
    'event: error',
    'id: 9',
    '\ufeff',
    ' ',
  )
  const text = fc
    .array(fc.oneof(nasty, fc.string({ unit: 'grapheme' })), { maxLength: 12 })
    .map((parts) => parts.join(''))

  test('comes out as it went in, whatever a model says, however packets fall', () => {
    const message = fc.record({ text, id: fc.option(fc.nat()), restart: fc.boolean() })
    const property = fc.property(fc.array(message, { minLength: 1 }), fc.nat(20), (messages, packet) => {
      const frames = messages.map(({ text, id, restart }) =>
        sseFrame(JSON.stringify({ text }), id ?? undefined, restart ? 'restart' : undefined),
      )
      const { events, comments } = parse(frames.join(''), packet)
      expect(comments).toEqual([])
      expect(events.map(({ data, event }) => ({ data: JSON.parse(data), event }))).toEqual(
        messages.map(({ text, restart }) => ({ data: { text }, event: restart ? 'restart' : undefined })),
      )
      expect(events.map(({ id }) => id)).toEqual(messages.map(({ id }) => (id === null ? undefined : String(id))))
    })
    fc.assert(property, { numRuns: 300 })
  })

  test('is what the standard says', () => {
    expect(sseFrame('[DONE]')).toBe('data: [DONE]\n\n')
    expect(sseFrame('{}', 0)).toBe('id: 0\ndata: {}\n\n')
    expect(sseFrame('{}', 7, 'restart')).toBe('id: 7\nevent: restart\ndata: {}\n\n')
  })
})

describe('a response', () => {
  /** Frames that are counted as they are asked for. */
  const counted = (frames: string[]) => {
    const state = { asked: 0, returned: 0 }
    const iterator: AsyncIterator<string> = {
      async next() {
        const value = frames[state.asked++]
        return value === undefined ? { done: true, value } : { done: false, value }
      },
      async return() {
        state.returned++
        return { done: true, value: undefined }
      },
    }
    return { state, iterator }
  }

  test('opens at once with a comment, then sends every frame, then ends', async () => {
    const { iterator, state } = counted(['a', 'b'].map((text) => sseFrame(text)))
    let cancelled = 0
    const response = sseResponse(iterator, { onCancel: () => cancelled++ })
    const text = await response.text()
    expect(text).toStartWith(': open\n\n')
    expect(parse(text).events.map(({ data }) => data)).toEqual(['a', 'b'])
    expect(cancelled).toBe(0)
    expect(state.returned).toBe(0)
  })

  test('forbids caches, buffers and compression on the way', () => {
    const { headers } = sseResponse(counted([]).iterator)
    expect(headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    expect(headers.get('cache-control')).toBe('no-cache, no-transform')
    expect(headers.get('x-accel-buffering')).toBe('no')
  })

  test('asks for no more than its reader takes', async () => {
    const { iterator, state } = counted(Array.from({ length: 1000 }, () => sseFrame('x')))
    const reader = sseResponse(iterator).body?.getReader()
    for (let i = 0; i < 5; i++) await reader?.read()
    expect(state.asked).toBeLessThanOrEqual(6)
    await reader?.cancel()
  })

  test('tells once, and lets go of its source, when the client leaves', async () => {
    const { iterator, state } = counted(Array.from({ length: 10 }, () => sseFrame('x')))
    let cancelled = 0
    const reader = sseResponse(iterator, { onCancel: () => cancelled++ }).body?.getReader()
    await reader?.read()
    await reader?.cancel()
    await reader?.cancel()
    expect(cancelled).toBe(1)
    expect(state.returned).toBe(1)
  })

  test('lets go of a source that says nothing, and takes nothing from it afterwards', async () => {
    const late = Promise.withResolvers<IteratorResult<string>>()
    const left = Promise.withResolvers<boolean>()
    const silent: AsyncIterator<string> = {
      next: () => late.promise,
      async return() {
        left.resolve(true)
        return { done: true, value: undefined }
      },
    }
    const reader = sseResponse(silent).body?.getReader()
    await reader?.read()
    const pending = reader?.read()
    await reader?.cancel()
    expect(await left.promise).toBe(true)
    late.resolve({ done: false, value: sseFrame('too late') })
    expect(await pending).toMatchObject({ done: true })
  })

  test('beats like a heart while nothing is said, in comments that parsers pass over', async () => {
    const end = Promise.withResolvers<IteratorResult<string>>()
    const reader = sseResponse({ next: () => end.promise }, { heartbeatMs: 1 }).body?.getReader()
    const decoder = new TextDecoder()
    let text = ''
    while (text.split(': hb\n\n').length < 4) text += decoder.decode((await reader?.read())?.value)
    end.resolve({ done: true, value: undefined })
    for (let done = false; !done; ) done = (await reader?.read())?.done ?? true
    const { events, comments } = parse(text)
    expect(events).toEqual([])
    expect(comments.slice(0, 4)).toEqual(['open', 'hb', 'hb', 'hb'])
  })
})
