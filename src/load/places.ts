import { AppError } from '../errors'
import type { ChatEvent, ChatModel } from '../llm/port'
import { Placed, type Release } from './placed'

/**
 * Whose work may wait and whose is refused first. `paid`: an answer for somebody with a balance. `metered`: any other answer.
 * `background`: what nobody watches, such as vectors for an index.
 */
export type Standing = 'background' | 'metered' | 'paid'

const RANK: Record<Standing, number> = { background: 0, metered: 1, paid: 2 }

/** Milliseconds somebody waits for a place, unless told otherwise. */
const PATIENCE = 2000

export interface PlacesOptions {
  /** Answers that are made at once. */
  most: number
  /** Those that may wait for one of them to end. */
  queue: number
  patienceMs?: number
  /** Somebody was refused. */
  onShed?: (standing: Standing) => void
}

interface Borrowing {
  standing: Standing
  signal: AbortSignal
}

interface Waiter {
  standing: Standing
  admit: () => void
  refuse: (error: unknown) => void
}

/**
 * The answers that this process makes at once: so many, and a short queue for the rest, in which whoever has paid stands before
 * others and, when it is full, the last of the lowest standing makes room. What ends an answer never asks for a place: settling,
 * stopping and reading are done however full it is.
 */
export class Places {
  private inWork = 0
  /** The next one first. */
  private readonly queue: Waiter[] = []
  private readonly lent = new Map<object, (error: AppError) => void>()
  private empty: (() => void) | undefined
  private closed = false

  constructor(private readonly options: PlacesOptions) {}

  /** Answers that have a place. */
  get taken(): number {
    return this.inWork
  }

  /** How many more answers can have one now. */
  get free(): number {
    return this.closed ? 0 : Math.max(0, this.options.most - this.inWork)
  }

  get waiting(): number {
    return this.queue.length
  }

  /** Whether somebody would have to wait. */
  get full(): boolean {
    return this.inWork >= this.options.most
  }

  /**
   * A place, at once or after a short wait. Whoever gets one has to give it back.
   * @param signal aborts when whoever waits has left; its reason is thrown.
   * @throws AppError UPSTREAM_UNAVAILABLE when there is none: the queue is full, or the wait was in vain.
   */
  take(standing: Standing, signal?: AbortSignal): Promise<Release> {
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (this.closed) return Promise.reject(draining())
    if (!this.full) {
      this.inWork++
      return Promise.resolve(this.release())
    }
    if (this.queue.length >= this.options.queue && !this.makeRoom(standing)) {
      this.options.onShed?.(standing)
      return Promise.reject(overloaded())
    }
    return this.wait(standing, signal)
  }

  /** The same model; the place of its one answer is given back when that has ended, however it came about. */
  keep(model: ChatModel, release: Release): ChatModel {
    return { stream: (request, signal) => new Placed(() => model.stream(request, signal), { release }) }
  }

  /**
   * The events of an answer that nobody keeps. It takes its place when its reader begins, so one that is never read holds none;
   * and when this process ends before it does, it fails with an error that says so.
   * @param open begins the answer, which ends when the signal aborts.
   * @param signal aborts when the reader leaves.
   */
  borrow(open: (signal: AbortSignal) => AsyncIterable<ChatEvent>, { standing, signal }: Borrowing) {
    const abort = new AbortController()
    const answer: Placed = new Placed(() => open(abort.signal), {
      before: async () => {
        const release = await this.take(standing, abort.signal)
        this.lent.set(answer, (error) => {
          answer.cut(error)
          abort.abort(error)
        })
        return () => {
          signal.removeEventListener('abort', left)
          this.lent.delete(answer)
          if (this.lent.size === 0) this.empty?.()
          release()
        }
      },
    })
    const left = () => {
      abort.abort(signal.reason)
      // Whoever has left may not even take what comes of that.
      void answer.return().catch(() => {})
    }
    if (signal.aborted) abort.abort(signal.reason)
    else signal.addEventListener('abort', left, { once: true })
    return answer
  }

  /** Nobody gets a place any more. Waits for answers that belong to their readers, at most `ms`; then ends the rest. */
  async close(ms: number): Promise<void> {
    this.closed = true
    for (const { refuse } of this.queue.splice(0)) refuse(draining())
    if (this.lent.size > 0) {
      const empty = new Promise<void>((resolve) => {
        this.empty = resolve
      })
      await Promise.race([empty, Bun.sleep(Math.max(0, ms))])
    }
    for (const end of [...this.lent.values()]) end(draining())
  }

  private wait(standing: Standing, signal: AbortSignal | undefined): Promise<Release> {
    return new Promise((resolve, reject) => {
      const over = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', left)
      }
      const waiter: Waiter = {
        standing,
        admit: () => {
          over()
          resolve(this.release())
        },
        refuse: (error) => {
          over()
          reject(error)
        },
      }
      const leave = (error: unknown) => {
        this.queue.splice(this.queue.indexOf(waiter), 1)
        waiter.refuse(error)
      }
      const left = () => leave(signal?.reason)
      const timer = setTimeout(() => {
        this.options.onShed?.(standing)
        leave(overloaded())
      }, this.options.patienceMs ?? PATIENCE)
      signal?.addEventListener('abort', left, { once: true })
      const behind = this.queue.findIndex((other) => RANK[other.standing] < RANK[standing])
      this.queue.splice(behind < 0 ? this.queue.length : behind, 0, waiter)
    })
  }

  /** The last in the queue goes, if it is of a lower standing. */
  private makeRoom(standing: Standing): boolean {
    const last = this.queue.at(-1)
    if (!last || RANK[last.standing] >= RANK[standing]) return false
    this.queue.pop()
    this.options.onShed?.(last.standing)
    last.refuse(overloaded())
    return true
  }

  private release(): Release {
    let given = false
    return () => {
      if (given) return
      given = true
      const next = this.queue.shift()
      // The place goes on to the next one: the number stays.
      if (next) next.admit()
      else this.inWork--
    }
  }
}

/** `UPSTREAM_UNAVAILABLE`, as for a provider that is away: clients know it, and what they shall do is the same. */
export const overloaded = () =>
  new AppError('UPSTREAM_UNAVAILABLE', 'This server has more to do than it can. Try again in a moment', {
    retryAfter: 1 + Math.floor(Math.random() * 3),
    details: { reason: 'overloaded' },
  })

/** For whoever asks, or is answered, while the process ends. What nobody keeps cannot be taken up again. */
const draining = () =>
  new AppError('UPSTREAM_UNAVAILABLE', 'This server is restarting. Try again in a moment', {
    retryAfter: 2,
    details: { reason: 'server_draining', resumable: false },
  })
