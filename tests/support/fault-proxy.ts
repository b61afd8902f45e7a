/** A TCP proxy that does to connections what networks do, for a client or a server that must stand it. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** What happens to the bytes of one direction; changed at any time, for open connections too. */
export interface Toxics {
  /** Milliseconds that all bytes come later, and by how much more or less than that. Their order stays. */
  latencyMs?: number
  jitterMs?: number
  bytesPerSecond?: number
  /** Pieces of at most so many bytes, each written by itself. */
  sliceBytes?: number
  /** Bytes that a connection carries (counted from its beginning); then it ends in the middle of whatever it was. */
  cutAfter?: number
  /** The same, with a reset instead of an end. */
  resetAfter?: number
  /** Bytes are taken and go nowhere; what was held back comes when it is over, as after a broken line. */
  blackHole?: boolean
  /** Milliseconds that the end of a connection comes later. */
  slowCloseMs?: number
}

/** `up` is towards the server. */
export type Direction = 'up' | 'down'

/** Bytes that one direction of a connection holds back at most: beyond that the sender waits. */
const MAX_HELD = 256 * 1024

export class FaultProxy {
  private readonly toxics: Record<Direction, Toxics> = { up: {}, down: {} }
  private readonly links = new Set<Link>()
  private readonly server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.accept(client))
  /** Connections so far. */
  accepted = 0

  private constructor(private readonly target: { host: string; port: number }) {}

  /** @param target where the server is, as `host:port` or as its URL. */
  static async open(target: string): Promise<FaultProxy> {
    const { hostname, port } = new URL(target.includes('://') ? target : `tcp://${target}`)
    const proxy = new FaultProxy({ host: hostname, port: Number(port) })
    await new Promise<void>((resolve) => proxy.server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  /** Connections that are open. */
  get open(): number {
    return this.links.size
  }

  /** The same URL, through this proxy. */
  through(url: string): string {
    const through = new URL(url)
    through.hostname = '127.0.0.1'
    through.port = String(this.port)
    return through.href.replace(/\/$/, url.endsWith('/') ? '/' : '')
  }

  /** From now on; in both directions unless one is named. What is not named stops. */
  set(toxics: Toxics, ...directions: Direction[]): void {
    for (const direction of directions.length > 0 ? directions : DIRECTIONS) this.toxics[direction] = { ...toxics }
    for (const link of this.links) link.wake()
  }

  /** A clean line again. */
  clear(): void {
    this.set({})
  }

  /** Ends every open connection: in the middle of what it carries, or by a reset. */
  cut(how: 'end' | 'reset' = 'end'): void {
    for (const link of this.links) link.close(how)
  }

  async close(): Promise<void> {
    this.cut('reset')
    await new Promise<void>((resolve) => this.server.close(() => resolve()))
  }

  private accept(client: Socket): void {
    this.accepted++
    const link = new Link(client, connect({ ...this.target, allowHalfOpen: true, noDelay: true }), this.toxics)
    this.links.add(link)
    void link.closed.then(() => this.links.delete(link))
  }
}

const DIRECTIONS = ['up', 'down'] as const

/** One connection: a lane in each direction. */
class Link {
  private readonly over = Promise.withResolvers<void>()
  readonly closed = this.over.promise
  private readonly lanes: Lane[]

  constructor(
    private readonly client: Socket,
    private readonly server: Socket,
    toxics: Record<Direction, Toxics>,
  ) {
    const close = (how: 'end' | 'reset') => this.close(how)
    this.lanes = [
      new Lane({ from: client, to: server, toxics: () => toxics.up, close }),
      new Lane({ from: server, to: client, toxics: () => toxics.down, close }),
    ]
    for (const socket of [client, server]) socket.on('error', () => this.close('reset'))
    // Both ends were passed on, each after all of its bytes.
    void Promise.all(this.lanes.map((lane) => lane.run())).then(() => this.close('end'))
  }

  wake(): void {
    for (const lane of this.lanes) lane.wake()
  }

  close(how: 'end' | 'reset'): void {
    for (const lane of this.lanes) lane.stop()
    for (const socket of [this.client, this.server]) {
      if (how === 'reset' && !socket.destroyed) socket.resetAndDestroy()
      else socket.destroySoon()
    }
    this.over.resolve()
  }
}

interface Ends {
  from: Socket
  to: Socket
  toxics: () => Toxics
  close: (how: 'end' | 'reset') => void
}

/** One direction. Bytes wait here from when they came to when they are due. */
class Lane {
  private readonly held: { bytes: Buffer; came: number }[] = []
  private size = 0
  private passed = 0
  private ended = false
  private stopped = false
  private onWake: () => void = () => {}

  constructor(private readonly ends: Ends) {
    const { from, to } = ends
    from.on('data', (bytes: Buffer) => {
      this.held.push({ bytes, came: performance.now() })
      this.size += bytes.length
      if (this.size > MAX_HELD) from.pause()
      this.wake()
    })
    from.on('end', () => {
      this.ended = true
      this.wake()
    })
    to.on('drain', () => this.wake())
    to.on('close', () => this.stop())
  }

  wake(): void {
    this.onWake()
  }

  stop(): void {
    this.stopped = true
    this.wake()
  }

  /** Resolves when the end was passed on, or nothing is passed on any more. */
  async run(): Promise<void> {
    const { from, to, toxics } = this.ends
    while (!this.stopped) {
      const first = this.held[0]
      if (toxics().blackHole || to.writableNeedDrain || (!first && !this.ended)) await this.woken()
      else if (!first) break
      else if (await this.due(first.came)) {
        this.held.shift()
        this.size -= first.bytes.length
        if (this.size <= MAX_HELD) from.resume()
        await this.pass(first.bytes)
      }
    }
    await Bun.sleep(toxics().slowCloseMs ?? 0)
    if (!this.stopped) to.end()
  }

  /** Waits for what came then to be due. @returns false when something changed meanwhile: look again. */
  private async due(came: number): Promise<boolean> {
    const { latencyMs = 0, jitterMs = 0 } = this.ends.toxics()
    const wait = came + latencyMs + (Math.random() * 2 - 1) * jitterMs - performance.now()
    if (wait <= 0) return true
    await Bun.sleep(wait)
    return !this.stopped && !this.ends.toxics().blackHole
  }

  private async pass(bytes: Buffer): Promise<void> {
    const { to, toxics, close } = this.ends
    for (let at = 0; at < bytes.length && !this.stopped; ) {
      const { sliceBytes = bytes.length, bytesPerSecond, cutAfter, resetAfter } = toxics()
      const left = Math.min(cutAfter ?? Infinity, resetAfter ?? Infinity) - this.passed
      const piece = bytes.subarray(at, Math.max(at, Math.min(at + sliceBytes, at + left)))
      if (bytesPerSecond) await Bun.sleep((piece.length / bytesPerSecond) * 1000)
      if (piece.length > 0 && !this.stopped) to.write(piece)
      at += piece.length
      this.passed += piece.length
      if (piece.length >= left) return close(resetAfter !== undefined && resetAfter <= this.passed ? 'reset' : 'end')
      // A piece for itself: what is written in one turn may travel together.
      if (at < bytes.length) await Bun.sleep(0)
    }
  }

  /** Until something changed. */
  private woken(): Promise<void> {
    return new Promise((resolve) => {
      this.onWake = resolve
    })
  }
}
