import type { Changes, Conversation, Message, Owner, PlacedMessage, Run, Store } from '../../store/port'
import { readCursor, writeCursor } from './cursor'
import { deletionJson } from './model'

/** How the features that own these rows show them. */
export interface Shown<C, M extends { siblings: unknown }, R> {
  conversation: (conversation: Conversation) => C
  message: (message: PlacedMessage) => M
  run: (run: Run) => R
}

/** What a device needs to catch up with what others did. */
export class Sync<C, M extends { siblings: unknown }, R> {
  constructor(
    private readonly store: Pick<Store, 'sync'>,
    private readonly shown: Shown<C, M, R>,
  ) {}

  /** @param since the cursor of the last answer; without one it begins with everything there is. */
  async changes(owner: Owner, { since, limit }: { since: string | undefined; limit: number }) {
    const cursor = since === undefined ? undefined : readCursor(since)
    const changes = await this.store.sync.changes(owner, { cursor, limit })
    if (changes !== 'reset') return this.json(changes, false)
    const anew = await this.store.sync.changes(owner, { cursor: undefined, limit })
    if (anew === 'reset') throw new Error('The store refused a reading without a cursor')
    return this.json(anew, true)
  }

  /** A cursor for whoever only wants to hear of what is coming. */
  async now(owner: Owner): Promise<string> {
    const changes = await this.store.sync.changes(owner, { cursor: undefined, limit: 1 })
    if (changes === 'reset') throw new Error('The store refused a reading without a cursor')
    const { next } = changes.cursor
    return writeCursor({ from: next, next, after: null })
  }

  private json({ deletions, conversations, messages, runs, cursor, more }: Changes, reset: boolean) {
    return {
      deletions: deletions.map(deletionJson),
      conversations: conversations.map(this.shown.conversation),
      messages: messages.map((message) => this.message(message)),
      runs: runs.map(this.shown.run),
      cursor: writeCursor(cursor),
      more,
      reset,
    }
  }

  /** Without its place among the alternatives: a new one beside it does not change the message, and would leave that wrong. */
  private message(message: Message): Omit<M, 'siblings'> {
    const { siblings, ...json } = this.shown.message({
      ...message,
      siblings: { index: 1, count: 1, prev: null, next: null },
    })
    return json
  }
}
