import { AppError, ERRORS, errorBody, toAppError } from '../../errors'
import { newId } from '../../lib/ids'
import type { Identity } from '../../plugins/auth'
import { Allowance } from './allowance'
import { type ClientFrame, idOf, PROTOCOL, parseFrame, type ServerFrame } from './model'
import { Outgoing, type Pipe, READ_ON, TOO_SLOW } from './outgoing'
import type { Entrant, SocketLimits, SocketsDeps } from './service'
import { type Encoder, Streams } from './streams'
import { Subscription } from './subscription'

/** Why we close; 4000 and above are ours. https://www.iana.org/assignments/websocket */
const CLOSE = {
  unsupported: 1003,
  policy: 1008,
  crowded: 1013,
  unauthorized: 4401,
}

export interface SocketDeps extends Omit<SocketsDeps, 'limits' | 'bus' | 'identifyAnew'> {
  limits: SocketLimits
  encoder: Encoder
  /** Told when it is known whose connection it is. */
  signedIn: () => void
  gone: () => void
}

type Frame<T extends ClientFrame['type']> = Extract<ClientFrame, { type: T }>

/** A message of somebody who is signed in. */
interface Asked {
  user: Identity
  requestId: string
}

/** One connection: frames in, frames out. Every message is allowed, or not, by itself. */
export class Socket {
  private readonly out: Outgoing
  private readonly streams: Streams
  private readonly subscription: Subscription
  private readonly allowance: Allowance
  private readonly opened = performance.now()
  private user: Identity | undefined
  private credential: string | undefined
  /** When its credential was last known to hold; before it is asked about again. */
  private checkedAt = performance.now()
  private mistakes = 0
  /** Signing in, which what is sent after it waits for. */
  private signing: Promise<void> = Promise.resolve()
  /** Beginning and ending the change feed, in the order in which that was asked for. */
  private subscribing: Promise<void> = Promise.resolve()

  constructor(
    private readonly deps: SocketDeps,
    pipe: Pipe,
    { user, credential }: Entrant,
  ) {
    const { limits, encoder } = deps
    this.out = new Outgoing(pipe, limits.buffered)
    this.streams = new Streams(this.out, encoder, limits.streams)
    this.subscription = new Subscription(this.out, deps.feed)
    this.allowance = new Allowance(limits)
    this.user = user
    this.credential = credential
  }

  get userId(): string | undefined {
    return this.user?.userId
  }

  /** Answers being read. */
  get reading(): number {
    return this.streams.size
  }

  begin(): void {
    if (this.user) this.welcome(this.user, null)
  }

  /** One message. `value`: parsed JSON, or text that is none, or bytes. Never throws. */
  async receive(value: unknown): Promise<void> {
    if (this.out.closed) return
    if (!this.allowance.take()) {
      this.refuse(idOf(value), new AppError('RATE_LIMIT_EXCEEDED', 'Too many messages. Send fewer', { retryAfter: 1 }))
      return this.close(CLOSE.policy, 'Too many messages')
    }
    if (value instanceof Uint8Array) {
      this.refuse(null, new AppError('VALIDATION_ERROR', 'Send text, not bytes'))
      return this.close(CLOSE.unsupported, 'Send text, not bytes')
    }
    const requestId = newId()
    try {
      const frame = this.parsed(value)
      await this.handle(frame, requestId)
    } catch (error) {
      this.failed(error, { id: idOf(value), requestId })
    }
  }

  /** The reader took something. */
  drained(): void {
    this.out.drained()
  }

  /** The connection is gone. */
  ended(): void {
    this.out.ended()
    this.streams.end()
    this.subscription.end()
    this.deps.gone()
  }

  /** It has not signed in, and too many others have not either. */
  crowdedOut(): void {
    this.close(CLOSE.crowded, 'Many connect and do not sign in. Try again, and sign in when connecting')
  }

  /** Tells that the server is about to stop. */
  drain(): void {
    this.send({ type: 'closing', code: 'server_draining', resumable: true })
  }

  close(code: number, reason: string): void {
    this.out.close(code, reason)
  }

  /** Now and then: has it signed in, does it read? */
  look(now: number): void {
    const { limits } = this.deps
    if (!this.user && now - this.opened > limits.signIn) this.close(CLOSE.unauthorized, 'Nobody signed in')
    if (this.out.stuckFor(now) > limits.stall) this.close(TOO_SLOW, READ_ON)
  }

  /** @returns the credential, when it is time to ask whether it still holds. */
  toRecheck(now: number): string | undefined {
    return this.user && !this.out.closed && now - this.checkedAt >= this.deps.limits.recheck
      ? this.credential
      : undefined
  }

  /** It is to be asked about now. */
  doubt(): void {
    this.checkedAt = Number.NEGATIVE_INFINITY
  }

  asked(): void {
    this.checkedAt = performance.now()
  }

  /** @param credential that was asked about. One that was replaced meanwhile may have ended. */
  rechecked(credential: string, user: Identity | undefined): void {
    if (credential === this.credential && user?.userId !== this.userId) this.expire()
  }

  private parsed(value: unknown): ClientFrame {
    try {
      // What begins with white space was not read yet.
      const frame = parseFrame(typeof value === 'string' && /^\s+\{/.test(value) ? JSON.parse(value) : value)
      this.mistakes = 0
      return frame
    } catch (error) {
      this.mistakes++
      throw error instanceof SyntaxError ? new AppError('VALIDATION_ERROR', 'This is not JSON') : error
    }
  }

  private async handle(frame: ClientFrame, requestId: string): Promise<void> {
    if (frame.type === 'ping') return this.send({ type: 'pong', id: frame.id ?? null })
    if (frame.type === 'auth') {
      const signing = this.signing.then(() => this.signIn(frame, requestId))
      this.signing = signing.catch(() => {})
      return signing
    }
    if (frame.type !== 'subscribe' && frame.type !== 'unsubscribe') return this.serve(frame, requestId)
    const subscribing = this.subscribing.then(() => this.serve(frame, requestId))
    this.subscribing = subscribing.catch(() => {})
    return subscribing
  }

  private async serve(frame: Exclude<ClientFrame, Frame<'ping' | 'auth'>>, requestId: string): Promise<void> {
    await this.signing
    const user = await this.current(requestId)
    if (!user) return
    switch (frame.type) {
      case 'chat':
        return this.chat(frame, { user, requestId })
      case 'resume':
        return this.resume(frame, user)
      case 'stop':
        return this.stop(frame, user)
      case 'subscribe':
        return this.subscribe(frame, user)
      case 'unsubscribe':
        this.subscription.end()
        return this.send({ type: 'unsubscribed', id: frame.id ?? null })
    }
  }

  /** Who asks, now. */
  private async current(requestId: string): Promise<Identity | undefined> {
    if (!this.credential || !this.user) throw new AppError('UNAUTHORIZED', 'Sign in first, with a frame of type auth')
    const { credential } = this
    const user = await this.deps.identify(credential, requestId)
    if (user?.userId === this.userId) return user
    if (credential !== this.credential) return this.current(requestId)
    this.expire()
    return undefined
  }

  private async signIn({ id, token }: Frame<'auth'>, requestId: string): Promise<void> {
    const user = await this.deps.identify(token, requestId)
    if (!user) throw new AppError('UNAUTHORIZED', 'This token does not hold. Sign in again and send the new one')
    if (this.user && this.user.userId !== user.userId) {
      throw new AppError('FORBIDDEN', 'This connection belongs to somebody else. Open another one')
    }
    const first = this.user === undefined
    Object.assign(this, { user, credential: token, checkedAt: performance.now() })
    this.welcome(user, id ?? null, first)
  }

  private welcome(user: Identity, id: string | null, first = true): void {
    if (first) this.deps.signedIn()
    const { userId, tenantId, role } = user
    this.send({ type: 'ready', id, protocol: PROTOCOL, user: { id: userId, tenant_id: tenantId, role } })
  }

  private chat({ type, id = undefined, idempotency_key, ...body }: Frame<'chat'>, { user, requestId }: Asked) {
    return this.streams.tell(id ?? null, async () => {
      await this.deps.admit?.(user, 'POST /v1/chat/completions')
      const answer = await this.deps.chat.send(user, body, { idempotencyKey: idempotency_key, requestId })
      return { ...answer, restart: false }
    })
  }

  private resume({ id, run_id, after = 0 }: Frame<'resume'>, user: Identity): Promise<void> {
    return this.streams.tell(id ?? null, async () => {
      await this.deps.admit?.(user, 'GET /v1/runs/:id/stream')
      return { ...(await this.deps.runs.read(user, run_id, after)), replayed: false }
    })
  }

  private async stop({ id, run_id }: Frame<'stop'>, user: Identity): Promise<void> {
    await this.deps.admit?.(user, 'POST /v1/runs/:id/stop')
    const { status } = await this.deps.runs.stop(user, run_id)
    this.send({ type: 'stopped', id: id ?? null, run_id, status })
  }

  private async subscribe({ id = undefined, since }: Frame<'subscribe'>, user: Identity): Promise<void> {
    await this.deps.admit?.(user, 'GET /v1/sync')
    const joined = (cursor: string, balance: object | null) =>
      this.send({ type: 'subscribed', id: id ?? null, cursor, balance: balance as Record<string, never> | null })
    return this.subscription.begin(user, { since, joined })
  }

  private expire(): void {
    const message = 'The session ended. Sign in and connect again'
    if (!this.out.closed) this.refuse(null, new AppError('UNAUTHORIZED', message))
    this.close(CLOSE.unauthorized, message)
  }

  private failed(thrown: unknown, { id, requestId }: { id: string | null; requestId: string }): void {
    const error = toAppError(thrown)
    if (ERRORS[error.code].log === 'error') this.deps.onFault('A message of a WebSocket failed', thrown, requestId)
    this.refuse(id, error, requestId)
    if (this.mistakes > this.deps.limits.mistakes) this.close(CLOSE.policy, 'Too many messages that are no frames')
  }

  private refuse(id: string | null, error: AppError, requestId: string | null = null): void {
    const { retryAfter } = error
    const body = { ...errorBody(error, requestId), ...(retryAfter === undefined ? {} : { retry_after: retryAfter }) }
    this.send({ type: 'error', id, error: body })
  }

  private send(frame: ServerFrame): void {
    this.out.reply(JSON.stringify(frame))
  }
}
