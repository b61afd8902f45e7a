import { connect, type Socket } from 'node:net'
import type { FrameData } from './read-sse'
import { until } from './servers'

// A test looks into these with `?.`; what is not there makes its expectation fail.
export interface WsFrame {
  type: string
  id?: string | null
  run_id?: string
  seq?: number
  data?: FrameData
  error?: { code: string; message: string; details: unknown; request_id: string | null; retry_after?: number }
  [key: string]: unknown
}

export interface WsClient {
  frames: WsFrame[]
  raw: WebSocket
  send: (frame: unknown) => void
  /** Waits for a frame that fits, among those there are and those to come. */
  next: (fits: (frame: WsFrame) => boolean, ms?: number) => Promise<WsFrame>
  /** The text of one answer so far. */
  text: (id: string) => string
  closed: Promise<{ code: number; reason: string }>
  close: () => Promise<void>
}

export interface Opening {
  token?: string
  protocols?: string[]
  headers?: Record<string, string>
  path?: string
}

const opened: WsClient[] = []

/** Closes all connections that were opened here. */
export const closeAll = () => Promise.all(opened.splice(0).map((client) => client.close()))

export const addressOf = (base: string, path = '/v1/ws') => base.replace(/^http/, 'ws') + path

/** A WebSocket as Bun's own client opens it. Resolves when it is open. */
export async function openSocket(base: string, { token, protocols, headers, path }: Opening = {}): Promise<WsClient> {
  const options: Bun.WebSocketOptions = {
    headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
    ...(protocols ? { protocols } : {}),
  }
  // Browsers' types know nothing of headers.
  const raw = new WebSocket(addressOf(base, path), options as unknown as string[])
  const client = clientOf(raw)
  await new Promise<void>((resolve, reject) => {
    raw.onopen = () => resolve()
    raw.onerror = () => reject(new Error('The connection was refused'))
  })
  opened.push(client)
  return client
}

function clientOf(raw: WebSocket): WsClient {
  const frames: WsFrame[] = []
  const ended = Promise.withResolvers<{ code: number; reason: string }>()
  raw.onmessage = ({ data }) => void frames.push(JSON.parse(String(data)))
  raw.onclose = ({ code, reason }) => ended.resolve({ code, reason })
  return {
    frames,
    raw,
    send: (frame) => raw.send(typeof frame === 'string' ? frame : JSON.stringify(frame)),
    async next(fits, ms = 20_000) {
      await until(() => frames.some(fits), ms).catch(() => {
        throw new Error(`No frame fits ${fits}: ${JSON.stringify(frames.slice(-5))}`)
      })
      return frames.find(fits) as WsFrame
    },
    text: (id) => textOf(frames.filter((frame) => frame.id === id)),
    closed: ended.promise,
    async close() {
      raw.close()
      await ended.promise
    },
  }
}

/** What a client shows: the text of choice 0, without what was taken back. */
export function textOf(frames: WsFrame[]): string {
  let text = ''
  for (const { type, data } of frames) {
    if (type === 'restart') text = ''
    const piece = data?.choices?.find(({ index }) => index === 0)?.delta.content
    if (typeof piece === 'string') text += piece
  }
  return text
}

export interface Knock {
  status: number
  headers: Record<string, string>
  body: string
  socket: Socket
}

/** Asks for a WebSocket byte by byte, and shows what is answered. The connection stays open and is not read after that. */
export async function knock(base: string, path: string, headers: Record<string, string>): Promise<Knock> {
  const { hostname, port } = new URL(base)
  const socket = connect(Number(port), hostname)
  const asked = {
    host: `${hostname}:${port}`,
    upgrade: 'websocket',
    connection: 'Upgrade',
    'sec-websocket-version': '13',
    'sec-websocket-key': btoa('0123456789abcdef'),
    ...headers,
  }
  const lines = Object.entries(asked).map(([name, value]) => `${name}: ${value}`)
  socket.on('error', () => {})
  socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
  let text = ''
  const whole = Promise.withResolvers<void>()
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1')
    const [head = '', body] = text.split('\r\n\r\n')
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0)
    if (body !== undefined && body.length >= length) whole.resolve()
  })
  socket.on('close', () => whole.resolve())
  await whole.promise
  socket.removeAllListeners('data')
  socket.pause()
  const [head = '', body = ''] = text.split('\r\n\r\n')
  const answered = head.split('\r\n').slice(1)
  return {
    status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0),
    headers: Object.fromEntries(
      answered.map((line) => [line.split(':')[0]?.toLowerCase(), line.replace(/^[^:]*: /, '')]),
    ),
    body,
    socket,
  }
}

/** One text message as clients send it: masked, here with zeros. */
export function textMessage(text: string): Uint8Array {
  const payload = Buffer.from(text)
  const long = payload.length > 125
  const head = long ? [0x81, 0x80 | 126, payload.length >> 8, payload.length & 255] : [0x81, 0x80 | payload.length]
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), payload])
}
