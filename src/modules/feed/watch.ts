import type { Owner } from '../../store/port'
import type { Subscriber } from './service'

/** What `GET /v1/sync` answers; only these fields matter here. */
export interface Page {
  deletions: unknown[]
  conversations: unknown[]
  messages: unknown[]
  runs: unknown[]
  cursor: string
  more: boolean
  reset: boolean
}

export interface WatchDeps {
  sync: {
    changes(owner: Owner, options: { since: string | undefined; limit: number }): Promise<Page>
    now(owner: Owner): Promise<string>
  }
  /** What a person has; undefined where there is no ledger. */
  balance: (owner: Owner) => Promise<object | undefined>
  onFault: (error: unknown) => void
}

/** Milliseconds in which several changes become one reading, and rows of one page. */
const GATHER = 50
const LIMIT = 100

/** A subscriber, and how far it is. `behind`: it does not hear what the others do before it has caught up. */
interface Member {
  cursor: string
  behind: boolean
}

/** One person's changes, read once for all who are subscribed to them on this server. */
export class Watch {
  readAt = performance.now()
  private readonly members = new Map<Subscriber, Member>()
  private cursor: string | undefined
  private balance: string | undefined
  private money = false
  private timer: ReturnType<typeof setTimeout> | undefined
  /** Readings, one after the other: so nobody hears of an older state after a newer one. */
  private queue: Promise<unknown> = Promise.resolve()

  constructor(
    private readonly owner: Owner,
    private readonly deps: WatchDeps,
  ) {}

  get size(): number {
    return this.members.size
  }

  /** Whether somebody has to catch up who could take something. */
  get hasBehind(): boolean {
    for (const [{ hasRoom }, { behind }] of this.members) if (behind && hasRoom) return true
    return false
  }

  /** @throws AppError */
  join(subscriber: Subscriber): Promise<void> {
    // At once, so that nobody takes this watch for one without members.
    const member: Member = { cursor: '', behind: true }
    this.members.set(subscriber, member)
    return this.queued(async () => {
      const { since } = subscriber
      const page = since === undefined ? undefined : await this.page(since)
      this.cursor ??= page && !page.more ? page.cursor : await this.deps.sync.now(this.owner)
      const balance = await this.deps.balance(this.owner)
      this.balance ??= JSON.stringify(balance)
      member.cursor = since ?? this.cursor
      member.behind = page?.more ?? false
      if (!this.members.has(subscriber)) return
      subscriber.joined(member.cursor, balance ?? null)
      if (page) this.give(subscriber, member, page)
    })
  }

  leave(subscriber: Subscriber): void {
    this.members.delete(subscriber)
    if (this.members.size === 0) clearTimeout(this.timer)
  }

  /** Reads soon. @param money whether the balance may have changed, too. */
  wake(money: boolean): void {
    this.money ||= money
    this.readAt = performance.now()
    this.timer ??= setTimeout(() => {
      this.timer = undefined
      void this.queued(() => this.read()).catch(this.deps.onFault)
    }, GATHER)
  }

  private async read(): Promise<void> {
    await this.catchUp()
    for (let more = true; more && this.cursor !== undefined && this.size > 0; ) {
      const page = await this.page(this.cursor)
      this.cursor = page.cursor
      more = page.more
      this.tell(page)
    }
    if (this.money) await this.readBalance()
  }

  private async readBalance(): Promise<void> {
    this.money = false
    const balance = await this.deps.balance(this.owner)
    const text = JSON.stringify(balance)
    if (text === this.balance) return
    const told = [...this.members.keys()].filter(({ hasRoom }) => hasRoom)
    for (const subscriber of told) subscriber.changed(`{"balance":${text}}`)
    // Whoever had no room is told with the next reading, and the others again.
    const all = told.length === this.size
    this.balance = all ? text : undefined
    this.money = !all
  }

  /** One page for each who is behind; the next one at the next reading, so that nobody waits for them for long. */
  private async catchUp(): Promise<void> {
    for (const [subscriber, member] of this.members) {
      if (!member.behind || !subscriber.hasRoom || member.cursor === '') continue
      const page = await this.page(member.cursor)
      member.behind = page.more
      this.give(subscriber, member, page)
    }
  }

  private give(subscriber: Subscriber, member: Member, page: Page): void {
    member.cursor = page.cursor
    if (says(page)) subscriber.changed(JSON.stringify(page))
  }

  private tell(page: Page): void {
    const text = says(page) ? JSON.stringify(page) : undefined
    for (const [subscriber, member] of this.members) {
      // Whoever has no room keeps the cursor that they have, and is read for from there.
      member.behind ||= !subscriber.hasRoom
      if (member.behind) continue
      member.cursor = page.cursor
      if (text) subscriber.changed(text)
    }
  }

  private page(since: string): Promise<Page> {
    this.readAt = performance.now()
    return this.deps.sync.changes(this.owner, { since, limit: LIMIT })
  }

  private queued<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.queue.then(work)
    this.queue = turn.catch(() => {})
    return turn
  }
}

const says = ({ deletions, conversations, messages, runs, reset }: Page): boolean =>
  reset || deletions.length + conversations.length + messages.length + runs.length > 0
