import { AppError } from '../../errors'
import type { Owner } from '../../store/port'
import type { Feed, Subscriber } from '../feed/service'
import type { Outgoing } from './outgoing'

/** The change feed of one connection; at most one at a time. */
export class Subscription {
  private leave: (() => void) | undefined

  constructor(
    private readonly out: Outgoing,
    private readonly feed: Pick<Feed, 'join'>,
  ) {}

  /** One at a time. @throws AppError CONFLICT when there is one already, and what `Feed.join` throws. */
  async begin(owner: Owner, { since, joined }: Pick<Subscriber, 'since' | 'joined'>): Promise<void> {
    if (this.leave) throw new AppError('CONFLICT', 'This connection is subscribed already')
    const { out } = this
    const subscriber: Subscriber = {
      since,
      joined,
      get hasRoom() {
        return out.hasRoom
      },
      changed: (changes) => out.send(`{"type":"change","data":${changes}}`),
    }
    const leave = await this.feed.join(owner, subscriber)
    if (out.closed) leave()
    else this.leave = leave
  }

  end(): void {
    this.leave?.()
    this.leave = undefined
  }
}
