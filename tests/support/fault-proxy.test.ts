import { afterEach, beforeEach, expect, test } from 'bun:test'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { FaultProxy } from './fault-proxy'
import { until } from './servers'

let server: Server
let proxy: FaultProxy
/** What the server got, and the sockets it has. */
let got = Buffer.alloc(0)
let serverSockets: Socket[] = []
/** How the server's connections ended. */
let ends: string[] = []

beforeEach(async () => {
  got = Buffer.alloc(0)
  serverSockets = []
  ends = []
  // It repeats what it hears, and ends when it is told so.
  server = createServer({ allowHalfOpen: true }, (socket) => {
    serverSockets.push(socket)
    socket.on('data', (bytes: Buffer) => {
      got = Buffer.concat([got, bytes])
      socket.write(bytes)
    })
    socket.on('end', () => {
      ends.push('end')
      socket.end('bye')
    })
    socket.on('error', (error) => ends.push(String((error as NodeJS.ErrnoException).code)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  proxy = await FaultProxy.open(`127.0.0.1:${(server.address() as AddressInfo).port}`)
})
afterEach(async () => {
  await proxy.close()
  for (const socket of serverSockets) socket.destroy()
  await new Promise((resolve) => server.close(resolve))
})

interface Dialled {
  socket: Socket
  text: () => string
  /** Pieces in which it came. */
  pieces: string[]
  /** `end`, or the code of an error. */
  ended: Promise<string>
}

async function dial(): Promise<Dialled> {
  const socket = connect({ host: '127.0.0.1', port: proxy.port, allowHalfOpen: true, noDelay: true })
  const pieces: string[] = []
  socket.on('data', (bytes) => pieces.push(bytes.toString('latin1')))
  const ended = new Promise<string>((resolve) => {
    socket.on('end', () => resolve('end'))
    socket.on('error', (error) => resolve(String((error as NodeJS.ErrnoException).code)))
  })
  await new Promise<void>((resolve) => socket.once('connect', () => resolve()))
  return { socket, pieces, text: () => pieces.join(''), ended }
}

test('passes bytes both ways, and each end after its bytes', async () => {
  const client = await dial()
  // More than any buffer on the way.
  const much = Buffer.alloc(3_000_000, 'abcdefghij')
  client.socket.end(much)
  expect(await client.ended).toBe('end')
  expect(got.equals(much)).toBe(true)
  expect(client.text()).toBe(`${much.toString('latin1')}bye`)
  expect(ends).toEqual(['end'])
  await until(() => proxy.open === 0)
  expect(proxy.accepted).toBe(1)
})

test('gives the URL of the server through it', () => {
  expect(proxy.through('redis://127.0.0.1:6379')).toBe(`redis://127.0.0.1:${proxy.port}`)
  expect(proxy.through('postgres://me:pw@db.example:5432/chat')).toBe(`postgres://me:pw@127.0.0.1:${proxy.port}/chat`)
  expect(proxy.through('http://127.0.0.1:80/v1')).toBe(`http://127.0.0.1:${proxy.port}/v1`)
})

test('delays, and keeps the order in spite of the jitter', async () => {
  proxy.set({ latencyMs: 20, jitterMs: 20 })
  const client = await dial()
  const sent = Array.from({ length: 50 }, (_, i) => `<${i}>`)
  for (const word of sent) {
    client.socket.write(word)
    await Bun.sleep(1)
  }
  await until(() => client.text().endsWith('<49>'))
  expect(client.text()).toBe(sent.join(''))
})

test('takes at least the latency, once in each direction', async () => {
  proxy.set({ latencyMs: 60 })
  const client = await dial()
  const begun = performance.now()
  client.socket.write('x')
  await until(() => client.text() === 'x')
  expect(performance.now() - begun).toBeGreaterThanOrEqual(119)
})

test('lets no more through than the bandwidth', async () => {
  proxy.set({ bytesPerSecond: 20_000, sliceBytes: 1000 }, 'up')
  const client = await dial()
  const begun = performance.now()
  client.socket.write(Buffer.alloc(5000, 'x'))
  await until(() => got.length === 5000)
  expect(performance.now() - begun).toBeGreaterThanOrEqual(249)
})

test('slices', async () => {
  proxy.set({ sliceBytes: 2, latencyMs: 1 }, 'down')
  const client = await dial()
  client.socket.write('a rather long sentence')
  await until(() => client.text().length === 22)
  expect(client.text()).toBe('a rather long sentence')
  expect(client.pieces.length).toBeGreaterThan(1)
})

test.each([
  ['cutAfter', 'end'],
  ['resetAfter', 'ECONNRESET'],
] as const)('%s ends a connection after so many bytes', async (toxic, end) => {
  proxy.set({ [toxic]: 10 }, 'down')
  const client = await dial()
  client.socket.write('0123456789abcdef')
  expect(await client.ended).toBe(end)
  // A reset may overtake what came before it.
  expect('0123456789'.startsWith(client.text())).toBe(true)
  if (toxic === 'cutAfter') expect(client.text()).toBe('0123456789')
  await until(() => proxy.open === 0)
})

test('counts from the beginning of a connection, and each for itself', async () => {
  const [first, second] = [await dial(), await dial()]
  first.socket.write('0123456789')
  await until(() => first.text().length === 10)
  proxy.set({ cutAfter: 12 }, 'down')
  first.socket.write('abcdef')
  second.socket.write('abcdef')
  expect(await first.ended).toBe('end')
  expect(first.text()).toBe('0123456789ab')
  await until(() => second.text() === 'abcdef')
})

test('a black hole takes everything and gives nothing, until it is over', async () => {
  const before = await dial()
  before.socket.write('one.')
  await until(() => before.text() === 'one.')
  proxy.set({ blackHole: true })
  before.socket.write('two.')
  const within = await dial()
  within.socket.write('three.')
  await Bun.sleep(50)
  expect(got.toString()).toBe('one.')
  expect(within.text()).toBe('')
  proxy.clear()
  await until(() => before.text() === 'one.two.' && within.text() === 'three.')
})

test('a black hole of one direction lets the other through', async () => {
  proxy.set({ blackHole: true }, 'down')
  const client = await dial()
  client.socket.write('heard')
  await until(() => got.toString() === 'heard')
  expect(client.text()).toBe('')
  proxy.clear()
  await until(() => client.text() === 'heard')
})

test('keeps a fast sender waiting rather than piling its bytes up', async () => {
  proxy.set({ blackHole: true }, 'up')
  const client = await dial()
  const much = Buffer.alloc(64_000_000, 'x')
  client.socket.write(much)
  await Bun.sleep(100)
  expect(client.socket.writableLength).toBeGreaterThan(32_000_000)
  proxy.set({ resetAfter: 0 })
  expect(await client.ended).toBe('ECONNRESET')
})

test.each([
  ['end', 'end', 'end'],
  ['reset', 'ECONNRESET', 'ECONNRESET'],
] as const)('cuts what is open, by %s, for both sides', async (how, client, atServer) => {
  const dialled = await dial()
  dialled.socket.write('x')
  await until(() => dialled.text() === 'x')
  proxy.cut(how)
  expect(await dialled.ended).toBe(client)
  await until(() => ends.length === 1)
  expect(ends).toEqual([atServer])
  // The next one finds a working line.
  const next = await dial()
  next.socket.write('y')
  await until(() => next.text() === 'y')
})

test('passes an end on later', async () => {
  proxy.set({ slowCloseMs: 60 }, 'up')
  const client = await dial()
  const begun = performance.now()
  client.socket.end('x')
  await until(() => got.toString() === 'x')
  await until(() => ends.length === 1)
  expect(performance.now() - begun).toBeGreaterThanOrEqual(59)
})

test('a server that is not there is a reset', async () => {
  const away = await FaultProxy.open('127.0.0.1:1')
  const socket = connect({ host: '127.0.0.1', port: away.port })
  const code = await new Promise((resolve) => socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code)))
  expect(code).toBe('ECONNRESET')
  await away.close()
})
