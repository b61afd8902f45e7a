import type { Bus } from '../../bus/port'
import { AppError } from '../../errors'
import type { Identity } from '../../plugins/auth'
import type { Chat } from '../chat/service'
import type { Fact, Feed } from '../feed/service'
import type { Runs } from '../runs/service'
import type { Pipe } from './outgoing'
import { Socket } from './socket'
import type { Encoder } from './streams'

/** What one connection may do. Times are milliseconds, sizes bytes. */
export interface SocketLimits {
  /** To sign in after opening. */
  signIn: number
  /** Between two looks whether a credential still holds. With what the look takes, below five seconds. */
  recheck: number
  /** For which a reader may take nothing of what waits for them. */
  stall: number
  /** That may wait for a reader in memory. */
  buffered: number
  /** Answers read at once. */
  streams: number
  /** Messages: in the long run, and at once. */
  perSecond: number
  burst: number
  /** Messages one after the other that are no frames. */
  mistakes: number
  /** Connections of this process that have not signed in yet. Beyond it the first of them makes room. */
  strangers: number
}

export const SOCKET_LIMITS: SocketLimits = {
  signIn: 10_000,
  recheck: 4000,
  stall: 30_000,
  buffered: 256 * 1024,
  streams: 64,
  perSecond: 100,
  burst: 200,
  mistakes: 20,
  strangers: 1000,
}

export interface SocketsDeps {
  /** Whoever a credential belongs to, believed for at most five seconds. */
  identify: (credential: string, requestId: string) => Promise<Identity | undefined>
  /** The same, asking the database. */
  identifyAnew: (credential: string) => Promise<Identity | undefined>
  chat: Pick<Chat, 'send'>
  runs: Pick<Runs, 'read' | 'stop'>
  feed: Pick<Feed, 'join'>
  bus: Bus
  /** Counts what is asked as the same operation of the API is counted. @throws AppError RATE_LIMIT_EXCEEDED */
  admit?: ((user: Identity, operation: string) => Promise<void>) | undefined
  limits?: Partial<SocketLimits>
  /** Failures that are ours. */
  onFault: (message: string, error: unknown, requestId: string) => void
}

/** Who opens a connection, if they have said so. */
export interface Entrant {
  user: Identity | undefined
  credential: string | undefined
}

/** Milliseconds between two looks at all connections. */
const TICK = 250
/** Credentials asked about at once. */
const ASKED_AT_ONCE = 32

/** All connections of this process. */
export class Sockets {
  private readonly open = new Set<Socket>()
  /** Those that have not signed in yet; the first to come first. */
  private readonly strangers = new Set<Socket>()
  /** By person: their connections, and what ends listening for them. */
  private readonly people = new Map<string, { sockets: Set<Socket>; leave: () => void }>()
  private timer: ReturnType<typeof setInterval> | undefined
  /** Credentials to be asked about, with the connections that live by them. */
  private readonly due = new Map<string, Socket[]>()
  private asking = 0
  private closing = false
  readonly limits: SocketLimits

  constructor(private readonly deps: SocketsDeps) {
    this.limits = { ...SOCKET_LIMITS, ...deps.limits }
  }

  get connections(): number {
    return this.open.size
  }

  /** Who comes with this credential. @throws AppError UNAUTHORIZED; UPSTREAM_UNAVAILABLE while this process is about to stop. */
  async enter(credential: string | undefined, requestId: string): Promise<Entrant> {
    if (this.closing) {
      throw new AppError('UPSTREAM_UNAVAILABLE', 'This server is restarting. Try again in a moment', { retryAfter: 2 })
    }
    if (credential === undefined) return { user: undefined, credential }
    const user = await this.deps.identify(credential, requestId)
    if (!user) throw new AppError('UNAUTHORIZED', 'Sign in, then connect with your access token or API key')
    return { user, credential }
  }

  /** A connection has been opened. Whoever opened it tells the socket what comes and that it is gone. */
  connect(pipe: Pipe, entrant: Entrant, encoder: Encoder): Socket {
    const socket: Socket = new Socket(
      {
        ...this.deps,
        limits: this.limits,
        encoder,
        signedIn: () => this.signedIn(socket),
        gone: () => this.gone(socket),
      },
      pipe,
      entrant,
    )
    this.open.add(socket)
    if (!entrant.user) this.strangers.add(socket)
    socket.begin()
    if (this.strangers.size > this.limits.strangers) this.strangers.values().next().value?.crowdedOut()
    this.timer ??= setInterval(() => this.look(), TICK)
    this.timer.unref()
    if (this.closing) socket.drain()
    return socket
  }

  /**
   * No more connections; those there are hear that the server stops, may read on for `ms`, and are closed with 1012. What they
   * read goes on, and can be resumed elsewhere.
   */
  async close(ms = 0): Promise<void> {
    this.closing = true
    const until = performance.now() + ms
    for (const socket of this.open) socket.drain()
    while (performance.now() < until && [...this.open].some(({ reading }) => reading > 0)) await Bun.sleep(20)
    for (const socket of this.open) socket.close(1012, 'The server is restarting')
    clearInterval(this.timer)
    this.timer = undefined
  }

  private signedIn(socket: Socket): void {
    const { userId } = socket
    this.strangers.delete(socket)
    if (!userId || !this.open.has(socket)) return
    const known = this.people.get(userId)
    if (known) return void known.sockets.add(socket)
    const leave = this.deps.bus.subscribe(
      `user:${userId}`,
      (message) => this.heard(userId, message),
      () => this.doubt(userId),
    )
    this.people.set(userId, { sockets: new Set([socket]), leave })
  }

  private gone(socket: Socket): void {
    this.open.delete(socket)
    this.strangers.delete(socket)
    const person = this.people.get(socket.userId ?? '')
    person?.sockets.delete(socket)
    if (person?.sockets.size === 0) {
      person.leave()
      this.people.delete(socket.userId ?? '')
    }
    if (this.open.size > 0) return
    clearInterval(this.timer)
    this.timer = undefined
  }

  private heard(userId: string, message: string): void {
    if ((JSON.parse(message) as Fact).kind === 'session') this.doubt(userId)
  }

  /** Their credentials may have ended: they are asked about now. */
  private doubt(userId: string): void {
    for (const socket of this.people.get(userId)?.sockets ?? []) socket.doubt()
    this.look()
  }

  private look(): void {
    const now = performance.now()
    for (const socket of this.open) {
      socket.look(now)
      const credential = socket.toRecheck(now)
      if (credential === undefined) continue
      socket.asked()
      const same = this.due.get(credential)
      if (same) same.push(socket)
      else this.due.set(credential, [socket])
    }
    this.ask()
  }

  private ask(): void {
    for (const [credential, sockets] of this.due) {
      if (this.asking >= ASKED_AT_ONCE) return
      this.due.delete(credential)
      void this.recheck(credential, sockets)
    }
  }

  private async recheck(credential: string, sockets: Socket[]): Promise<void> {
    this.asking++
    try {
      const user = await this.deps.identifyAnew(credential)
      for (const socket of sockets) socket.rechecked(credential, user)
    } catch {
      // A database that is away ends nobody's session; what they ask for meanwhile fails by itself.
    } finally {
      this.asking--
      this.ask()
    }
  }
}
