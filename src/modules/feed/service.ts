import type { Bus } from '../../bus/port'
import type { Owner } from '../../store/port'
import { Watch, type WatchDeps } from './watch'

/** Something of a person changed. It only says that somebody should look: what changed is read from the store. */
export interface Fact {
  kind: 'run' | 'message' | 'conversation' | 'balance' | 'session'
  run_id?: string
}

/** One reader of somebody's changes. */
export interface Subscriber {
  /** The cursor of the last changes it has; without one it hears of what is coming. */
  since: string | undefined
  /** Called once, before any change: where it begins, and what there is on the account. */
  joined(cursor: string, balance: object | null): void
  /** Whether it can take more now. What it cannot take is read again for it later. */
  readonly hasRoom: boolean
  /** @param changes JSON text: the `data` of `GET /v1/sync`, with `balance` when that changed. */
  changed(changes: string): void
}

export interface FeedDeps extends Omit<WatchDeps, 'onFault'> {
  bus: Bus
  /** Milliseconds after which somebody's changes are read though nobody said that there are any. */
  pollMs: number
  /** A reading failed; it is tried again. Told once, until one succeeds. */
  onFault: (message: string, error: unknown) => void
}

/** Milliseconds between two looks at who has not been read for long, and how many are read then at most. */
const LOOK_EVERY = 250
const READ_AT_ONCE = 50

/** Tells people's devices what others of their devices did. Each person's changes are read once for all of theirs. */
export class Feed {
  private readonly watches = new Map<string, { watch: Watch; leave: () => void }>()
  private timer: ReturnType<typeof setInterval> | undefined
  private failing = false

  constructor(private readonly deps: FeedDeps) {}

  /**
   * @returns ends the subscription.
   * @throws AppError VALIDATION_ERROR for a cursor that is none, NOT_SUPPORTED where the store has no changes.
   */
  async join(owner: Owner, subscriber: Subscriber): Promise<() => void> {
    const watch = this.watchOf(owner)
    try {
      await watch.join(subscriber)
    } catch (error) {
      this.leave(owner, watch, subscriber)
      throw error
    }
    return () => this.leave(owner, watch, subscriber)
  }

  /** People whose changes are read. */
  get watched(): number {
    return this.watches.size
  }

  private watchOf(owner: Owner): Watch {
    const known = this.watches.get(owner.userId)
    if (known) return known.watch
    const watch = new Watch(owner, { ...this.deps, onFault: (error) => this.fault(error) })
    const leave = this.deps.bus.subscribe(
      topicOf(owner.userId),
      (message) => this.heard(watch, message),
      () => watch.wake(true),
    )
    this.watches.set(owner.userId, { watch, leave })
    this.timer ??= setInterval(() => this.look(), LOOK_EVERY)
    this.timer.unref()
    return watch
  }

  private leave({ userId }: Owner, watch: Watch, subscriber: Subscriber): void {
    watch.leave(subscriber)
    const known = this.watches.get(userId)
    if (watch.size > 0 || known?.watch !== watch) return
    known.leave()
    this.watches.delete(userId)
    if (this.watches.size > 0) return
    clearInterval(this.timer)
    this.timer = undefined
  }

  private heard(watch: Watch, message: string): void {
    const { kind } = JSON.parse(message) as Fact
    if (kind === 'session') return
    this.failing = false
    watch.wake(kind === 'balance')
  }

  /** The safety net, for what no message told of. A few at a time, so that many readers are no burst of queries. */
  private look(): void {
    const now = performance.now()
    let left = READ_AT_ONCE
    for (const { watch } of this.watches.values()) {
      if (left === 0) return
      const late = now - watch.readAt > this.deps.pollMs
      if (!late && !watch.hasBehind) continue
      watch.wake(late)
      left--
    }
  }

  private fault(error: unknown): void {
    if (!this.failing) this.deps.onFault('The changes of a person could not be read', error)
    this.failing = true
  }
}

const topicOf = (userId: string) => `user:${userId}`

/** Something of a person changed: all servers with connections of theirs look. Never throws. */
export const announce = (bus: Bus, userId: string, fact: Fact): void =>
  bus.publish(topicOf(userId), JSON.stringify(fact))
