import { expect, test } from 'bun:test'
import { endedWell, isFinal, keptHeaders, MAX_KEPT, overheard } from '../../src/lib/kept-answer'

const SSE = 'text/event-stream; charset=utf-8'
const bytes = (text: string) => new TextEncoder().encode(text)

/** Hears a stream of these pieces; an error is thrown where it stands. */
function hearing(pieces: (string | Uint8Array | Error)[]) {
  const heard: (Uint8Array | undefined)[] = []
  const left = [...pieces]
  const source = new ReadableStream<Uint8Array>({
    pull(controller) {
      const piece = left.shift()
      if (piece === undefined) controller.close()
      else if (piece instanceof Error) controller.error(piece)
      else controller.enqueue(typeof piece === 'string' ? bytes(piece) : piece)
    },
  })
  const stream = overheard(source, async (all) => void heard.push(all))
  return { stream, heard }
}

test('passes a stream on and has it whole at the end', async () => {
  const { stream, heard } = hearing(['one ', 'two'])
  expect(await new Response(stream).text()).toBe('one two')
  expect(heard).toEqual([Buffer.from('one two')])
})

test('has nothing of a stream that its reader left', async () => {
  const { stream, heard } = hearing(['one ', 'two'])
  const reader = stream.getReader()
  await reader.read()
  await reader.cancel()
  expect(heard).toEqual([undefined])
})

test('has nothing of a stream that failed', async () => {
  const { stream, heard } = hearing(['one ', new Error('cut')])
  const failure = await new Response(stream).text().catch((error: Error) => error.message)
  expect(failure).toBe('cut')
  expect(heard).toEqual([undefined])
})

test('passes on what is too large to keep', async () => {
  const { stream, heard } = hearing([new Uint8Array(MAX_KEPT), 'x', 'y'])
  expect((await new Response(stream).bytes()).length).toBe(MAX_KEPT + 2)
  expect(heard).toEqual([undefined])
})

test('sees that a stream ended in a failure, and is not fooled by what a model says', () => {
  const good = 'data: {"choices":[{"delta":{"content":"\\nevent: error\\ndata: {\\"error\\":1}"}}]}\n\ndata: [DONE]\n\n'
  expect(endedWell(SSE, bytes(good))).toBe(true)
  for (const frame of ['data: {"error":{}}', 'event: error\ndata: {}', 'event: response.failed\ndata: {}']) {
    expect(endedWell(SSE, bytes(`${good}${frame}\n\n`))).toBe(false)
  }
  expect(endedWell('application/x-ndjson', bytes('event: error'))).toBe(true)
})

test('counts as final what asking again does not change', () => {
  expect([200, 201, 204, 400, 402, 404, 422].filter((status) => !isFinal(status))).toEqual([])
  expect([409, 429, 500, 501, 503].filter(isFinal)).toEqual([])
})

test('keeps the headers of the answer and none of the connection', () => {
  const headers = new Headers({ etag: '"1"', 'content-type': 'text/plain', 'x-request-id': 'r', date: 'now' })
  expect(keptHeaders(headers, new Headers({ location: '/there' }))).toEqual({
    'content-type': 'text/plain',
    etag: '"1"',
    location: '/there',
  })
})
