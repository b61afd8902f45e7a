import { describe, expect, test } from 'bun:test'
import { clientFrame, type Frame, FrameReader, PING, TEXT } from '../../bench/lib/ws-frames'

const serverFrame = (opcode: number, payload: string): Buffer => {
  const { length } = payload
  const head = length < 126 ? [length] : length < 65_536 ? [126, length >> 8, length & 255] : undefined
  const long = Buffer.alloc(10)
  long[1] = 127
  long.writeUInt32BE(length, 6)
  const bytes = head ? Buffer.from([0, ...head]) : long
  bytes[0] = 0x80 | opcode
  return Buffer.concat([bytes, Buffer.from(payload, 'latin1')])
}

const sent: Frame[] = [
  { opcode: TEXT, payload: '{"type":"ready"}' },
  { opcode: TEXT, payload: 'x'.repeat(125) },
  { opcode: TEXT, payload: 'y'.repeat(126) },
  { opcode: PING, payload: '' },
  { opcode: TEXT, payload: 'z'.repeat(70_000) },
]

describe("the benchmark's WebSocket", () => {
  test.each([1, 2, 3, 7, 1000, 100_000])('reads frames from pieces of %d bytes', (size) => {
    const bytes = Buffer.concat(sent.map(({ opcode, payload }) => serverFrame(opcode, payload)))
    const [reader, seen] = [new FrameReader(), [] as Frame[]]
    // The same memory for every piece, as a socket may do.
    const piece = Buffer.alloc(size)
    for (let at = 0; at < bytes.length; at += size) {
      const length = bytes.copy(piece, 0, at, at + size)
      reader.feed(piece.subarray(0, length), (frame) => seen.push(frame))
    }
    expect(seen).toEqual(sent)
  })

  test('writes frames that a server understands', async () => {
    const heard = Promise.withResolvers<string>()
    const server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: (request, server) => (server.upgrade(request) ? undefined : new Response('no', { status: 400 })),
      websocket: { message: (_socket, text) => heard.resolve(String(text)) },
    })
    const upgrade = 'GET / HTTP/1.1\r\nhost: x.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n'
    const key = 'sec-websocket-version: 13\r\nsec-websocket-key: YSBrZXkgZm9yIGJlbmNoLg==\r\n\r\n'
    const text = JSON.stringify({ type: 'chat', message: 'm'.repeat(300) })
    const socket = await Bun.connect({
      hostname: '127.0.0.1',
      port: server.port ?? 0,
      socket: {
        open: (opened) => void opened.write(upgrade + key),
        data: (opened) => void opened.write(clientFrame(TEXT, text)),
      },
    })
    expect(await heard.promise).toBe(text)
    socket.end()
    await server.stop(true)
  })
})
