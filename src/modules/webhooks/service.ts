import type { ClaimedEvent, OutboxEvent, OutboxStore, UsageRecord } from '../../store/port-money'
import { completedEvent } from './events'
import { statusJson } from './model'
import type { Attempt, Sender } from './sender'

/** Events that are sent at once. */
const AT_ONCE = 8
/** Seconds that an event is this server's alone: longer than any sending of it. */
const LEASE = 60
/** Milliseconds between two tries: from, doubled each time, to. */
const FIRST_WAIT = 10_000
const LAST_WAIT = 6 * 3_600_000
/** Milliseconds after which an event is given up, and the tries that it has had by then in any case: we may have been away. */
const LIFETIME = 3 * 86_400_000
const FEWEST_TRIES = 10
/** Events that nobody wants are done away with so many at a time. */
const UNWANTED = 500
/** Milliseconds for which a count of what waits is believed. */
const COUNT_EVERY = 15_000

export interface WebhooksDeps {
  outbox: OutboxStore
  /** Absent when nobody is to be told: then events are just done away with. */
  sender: Pick<Sender, 'send'> | undefined
  watcher: {
    webhookTried(type: OutboxEvent['type'], outcome: 'delivered' | 'failed' | 'dropped'): void
    outboxWaiting(count: number): void
  }
  log: (level: 'warn' | 'error', facts: object, message: string) => void
  now: () => Date
  /** Milliseconds between two looks into the outbox: while something may wait, when nothing did, when nobody is told. */
  pace?: { busy: number; idle: number; unwanted: number; gather: number }
}

const PACE = { busy: 1000, idle: 5000, unwanted: 60_000, gather: 50 }

/**
 * Tells the receiver what is in the outbox: at least once, a repetition under the same id, in no order that is promised. Each
 * server has one; an event is at one of them at a time.
 */
export class Webhooks {
  private running: Promise<void> | undefined
  private closed = false
  private readonly sending = new Set<Promise<void>>()
  /** Ends the pause. */
  private stir = () => {}
  /** Why there is to be no pause: something was written, or all hands were busy and one is free. */
  private written = false
  private freed = false
  private waiting: { count: number; oldest: Date | null; at: number } = { count: 0, oldest: null, at: 0 }
  private reached = true
  private lastError: { at: Date; event_id: string; type: string; tries: number; message: string } | null = null
  private lastDelivered: Date | null = null

  constructor(private readonly deps: WebhooksDeps) {}

  /** Whether anybody is told: if not, events need not be written. */
  get configured(): boolean {
    return this.deps.sender !== undefined
  }

  /** What is to be written with the settlement of an answer; undefined when nobody is told. */
  readonly eventOf = (record: UsageRecord): OutboxEvent | undefined =>
    this.configured ? completedEvent(record) : undefined

  /** Looks into the outbox from now on. */
  start(): void {
    this.running ??= this.run()
  }

  /** Something was written just now. Cheap: call it as often as you like. */
  wake(): void {
    if (!this.configured) return
    this.written = true
    if (this.sending.size < AT_ONCE) this.stir()
  }

  /** Takes nothing new; resolves when what is being sent has been sent and written down. */
  async close(): Promise<void> {
    this.closed = true
    this.stir()
    await this.running
    await Promise.all(this.sending)
  }

  /** How it goes: what waits on all servers, and what this one has seen. */
  async status() {
    const { count, oldest } = await this.deps.outbox.waiting()
    const { configured, lastDelivered, lastError } = this
    return statusJson({ configured, waiting: count, oldest, lastDelivered, lastError })
  }

  private async run(): Promise<void> {
    const { sender, pace = PACE } = this.deps
    await this.pause(sender ? pace.busy : pace.unwanted)
    while (!this.closed) {
      const found = await this.look()
      if (found && this.sending.size < AT_ONCE) await this.count()
      const busy = this.sending.size > 0 || this.waiting.count > 0
      await this.pause(sender ? (busy ? pace.busy : pace.idle) : pace.unwanted)
    }
  }

  /** One look. @returns false when the database cannot be asked; that is said once. */
  private async look(): Promise<boolean> {
    try {
      await (this.deps.sender ? this.take() : this.sweep())
      this.reached = true
    } catch (err) {
      if (this.reached) this.deps.log('warn', { err }, 'the outbox cannot be read; it is tried again')
      this.reached = false
    }
    return this.reached
  }

  /** Begins to send what is due, until all hands are busy. Only what can be sent at once is taken: a lease must not run out. */
  private async take(): Promise<void> {
    const limit = AT_ONCE - this.sending.size
    this.freed = false
    if (limit <= 0) return
    this.written = false
    const events = await this.deps.outbox.claim(this.deps.now(), { leaseSeconds: LEASE, limit })
    for (const event of events) this.begin(event)
  }

  private begin(event: ClaimedEvent): void {
    const sending = this.deliver(event)
      .catch((err) => {
        // Sent or not, it comes back when the lease is over: told twice is better than never.
        this.deps.log('warn', { err, event_id: event.id }, 'what became of an event could not be written down')
      })
      .finally(() => {
        this.freed ||= this.sending.size >= AT_ONCE
        this.sending.delete(sending)
        if (this.freed) this.stir()
      })
    this.sending.add(sending)
  }

  private async deliver(event: ClaimedEvent): Promise<void> {
    const attempt = await this.deps.sender?.send(event)
    if (!attempt) return
    const { watcher, outbox } = this.deps
    if (attempt.outcome === 'delivered') {
      this.lastDelivered = this.deps.now()
      watcher.webhookTried(event.type, 'delivered')
      return outbox.done([event.id])
    }
    return this.failed(event, attempt)
  }

  private async failed(event: ClaimedEvent, attempt: Exclude<Attempt, { outcome: 'delivered' }>): Promise<void> {
    const { outbox, watcher, log, now } = this.deps
    const { id, type, createdAt } = event
    const [at, tries] = [now(), event.attempts + 1]
    this.lastError = { at, event_id: id, type, tries, message: attempt.why }
    const next = new Date(at.getTime() + Math.max(pauseAfter(event.attempts), attempt.retryAfterMs ?? 0))
    const late = next.getTime() - createdAt.getTime() > LIFETIME && tries >= FEWEST_TRIES
    if (attempt.outcome === 'gone' || late) {
      watcher.webhookTried(type, 'dropped')
      log('error', { event_id: id, type, tries, reason: attempt.why }, 'an event is given up: nobody will be told')
      return outbox.done([id])
    }
    watcher.webhookTried(type, 'failed')
    this.waiting.count = Math.max(1, this.waiting.count)
    return outbox.failed(id, next, attempt.why)
  }

  /** Nobody is told: nothing is kept. */
  private async sweep(): Promise<void> {
    const { outbox, now } = this.deps
    for (;;) {
      const events = await outbox.claim(now(), { leaseSeconds: LEASE, limit: UNWANTED })
      if (events.length > 0) await outbox.done(events.map(({ id }) => id))
      if (events.length < UNWANTED || this.closed) return
    }
  }

  private async count(): Promise<void> {
    const at = this.deps.now().getTime()
    if (Math.abs(at - this.waiting.at) < COUNT_EVERY) return
    try {
      this.waiting = { ...(await this.deps.outbox.waiting()), at }
      this.deps.watcher.outboxWaiting(this.waiting.count)
    } catch {
      // The next look says what is wrong with the database.
    }
  }

  /** Until the time is over or somebody stirs. */
  private async pause(ms: number): Promise<void> {
    const awaited = this.written && this.sending.size < AT_ONCE
    if (!(this.closed || this.freed || awaited)) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, ms)
      timer.unref()
      this.stir = resolve
      await promise
      clearTimeout(timer)
      this.stir = () => {}
    }
    // Answers that end together are taken together; but where there is much to do nobody waits.
    if (this.written && !this.freed && !this.closed) await Bun.sleep((this.deps.pace ?? PACE).gather)
  }
}

/** Equal jitter: half fixed, half random. @param before how often it was tried before. */
function pauseAfter(before: number): number {
  const longest = Math.min(LAST_WAIT, FIRST_WAIT * 2 ** Math.min(before, 30))
  return longest / 2 + (Math.random() * longest) / 2
}
