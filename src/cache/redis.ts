import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { Patience } from '../lib/patience'
import { Debts } from './debts'
import type { CacheOptions, CacheUse } from './port'
import type { Entry, Look, Place, Shelf } from './shelf'

export interface RedisOptions {
  /** Milliseconds that anybody waits for Redis. The command itself goes on: one that is cut off could leave its answer to another. */
  waitMs?: number
  /** Milliseconds between two tries to have Redis back. */
  restMs?: number
  /** It does not serve any more (with the reason), or does again. */
  onChange?: ((serves: boolean, reason?: unknown) => void) | undefined
  onFault?: CacheOptions['onFault'] | undefined
}

/** Characters of a value that is still worth keeping. */
const LARGEST = 1_000_000
/** Seconds that marks stay: longer than what they are on. */
const MARKS_STAY = 172_800

/**
 * What is kept in Redis, for all servers. A value holds the two marks that were there before it was loaded, its owner's and its
 * use's, and is good while they are: forgetting deletes a mark, which a full Redis allows as well, and whoever needs one that is not
 * there makes it anew, at random. So no value comes back, however late it is written and whatever Redis lost meanwhile.
 *
 * After a failure Redis is left alone and nothing is kept. It is tried again once a second, by nobody's request, and serves again
 * when it lets us write and what was to be forgotten is.
 */
export class RedisShelf implements Shelf {
  private readonly debts = new Debts()
  private readonly patience: Patience
  private readonly restMs: number
  private state: 'starting' | 'serves' | 'away' = 'starting'
  private retrying: ReturnType<typeof setTimeout> | undefined
  private paying = false
  private closed = false

  /** @param redis closed by whoever opened it. */
  constructor(
    private readonly redis: Redis,
    private readonly options: RedisOptions = {},
  ) {
    this.patience = new Patience('Redis', options.waitMs ?? 50)
    this.restMs = options.restMs ?? 1000
    redis.on('ready', this.onReady)
    redis.on('close', this.onClose)
    if (redis.status === 'ready') this.state = 'serves'
  }

  async look(place: Place): Promise<Look | undefined> {
    const names = [markName(place.use), markName(place.use, place.owner)] as const
    return this.attempt(async () => {
      let [all, own, text] = await this.redis.mget(...names, nameOf(place))
      if (!all || !own) [all, own] = await this.mark(names)
      return { mark: `${all}.${own}`, entry: text ? this.entryOf(text) : undefined }
    })
  }

  put({ text, ...head }: Entry, ms: number): void {
    if (text.length > LARGEST) return
    const value = `${JSON.stringify(head)}\n${text}`
    void this.attempt(() => this.redis.set(nameOf(head), value, 'PX', ms))
  }

  async forget(use: CacheUse, owners: readonly string[] | 'everybody'): Promise<void> {
    const names = owners === 'everybody' ? [markName(use)] : owners.map((owner) => markName(use, owner))
    this.debts.add(
      names,
      USES.map((use) => markName(use)),
    )
    if (this.state === 'serves') await this.attempt(() => this.pay())
    else void this.payLater()
  }

  mode() {
    return this.state === 'serves' ? ('redis' as const) : ('local' as const)
  }

  close(): void {
    this.closed = true
    clearTimeout(this.retrying)
    this.redis.off('ready', this.onReady)
    this.redis.off('close', this.onClose)
  }

  private readonly onReady = () => void this.tryAgain()
  private readonly onClose = () => this.fail(new Error('The connection to Redis is closed'))

  /** Several servers may make them at once: the first one's are everybody's. */
  private async mark(names: readonly [string, string]): Promise<[string, string]> {
    const batch = this.redis.pipeline()
    for (const name of names) batch.set(name, randomUUID(), 'EX', MARKS_STAY, 'NX')
    const answers = (await batch.mget(...names).exec()) ?? []
    const failure = answers.find(([error]) => error)?.[0]
    if (failure) throw failure
    const [all, own] = (answers.at(-1)?.[1] ?? []) as (string | null)[]
    if (!all || !own) throw new Error('Redis does not keep what it is given')
    return [all, own]
  }

  private entryOf(written: string): Entry | undefined {
    const end = written.indexOf('\n')
    try {
      const { use, owner, key, mark, at } = JSON.parse(written.slice(0, end))
      return { use, owner, key, mark, at: Number(at), text: written.slice(end + 1) }
    } catch (err) {
      this.options.onFault?.('Redis holds an entry of the cache that cannot be read', { err })
      return undefined
    }
  }

  /** Has Redis forget what it has not forgotten yet. */
  private async pay(): Promise<void> {
    const due = this.debts.due()
    if (due.names.length === 0) return
    await this.redis.unlink(...due.names)
    this.debts.paid(due)
  }

  /** What does not serve us may still be read by others, and a full Redis forgets as well as any. */
  private async payLater(): Promise<void> {
    if (this.paying || this.redis.status !== 'ready') return
    this.paying = true
    try {
      while (this.debts.due().names.length > 0) await this.pay()
    } catch {
      // It is tried again with the rest.
    } finally {
      this.paying = false
    }
  }

  /** @returns undefined when Redis does not serve, or not in time. Never throws. */
  private async attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (this.state !== 'serves') return undefined
    try {
      return await this.patience.for(work())
    } catch (error) {
      this.fail(error)
      return undefined
    }
  }

  private fail(reason: unknown): void {
    if (this.closed) return
    if (this.state !== 'away') this.options.onChange?.(false, reason)
    this.state = 'away'
    if (this.retrying) return
    this.retrying = setTimeout(() => {
      this.retrying = undefined
      void this.tryAgain()
    }, this.restMs)
    this.retrying.unref()
  }

  private async tryAgain(): Promise<void> {
    if (this.state === 'serves' || this.closed) return
    try {
      await this.patience.for(this.redis.set('cache:probe', '1', 'PX', 1000))
      // More may have come while it was being forgotten.
      while (this.debts.due().names.length > 0) await this.patience.for(this.pay())
    } catch (error) {
      return this.fail(error)
    }
    if (this.closed) return
    if (this.state === 'away') this.options.onChange?.(true)
    this.state = 'serves'
  }
}

const USES: readonly CacheUse[] = ['models', 'profile', 'balance']

const nameOf = ({ use, owner, key }: Place) => `cache:${use}:${owner}:${key}`
const markName = (use: CacheUse, owner?: string) =>
  owner === undefined ? `cache:mark:${use}` : `cache:mark:${use}:${owner}`
