import { expect } from 'bun:test'
import type { Conversation, Message, Owner, Run, Store, SyncCursor } from '../../src/store/port'
import type { Given } from './contract/given'

/** A person's second device: knows only what the feed of changes told it. */
export class Device {
  readonly conversations = new Map<string, Conversation>()
  readonly messages = new Map<string, Message>()
  readonly runs = new Map<string, Run>()
  private cursor: SyncCursor | undefined

  constructor(
    private readonly store: Store,
    private readonly owner: Owner,
  ) {}

  /** One page. @returns whether there is more. */
  async pull(limit: number): Promise<boolean> {
    const changes = await this.store.sync.changes(this.owner, { cursor: this.cursor, limit })
    if (changes === 'reset') throw new Error('The feed began anew')
    expect(changes.deletions.length + changes.conversations.length + changes.messages.length).toBeLessThanOrEqual(limit)
    for (const { kind, id } of changes.deletions) this.drop(kind, id)
    for (const row of changes.conversations) this.conversations.set(row.id, row)
    for (const row of changes.messages) this.messages.set(row.id, row)
    for (const row of changes.runs) this.runs.set(row.id, row)
    this.cursor = changes.cursor
    return changes.more
  }

  /** Until there is nothing more. @returns how many pages that took. */
  async catchUp(limit: number): Promise<number> {
    let pages = 1
    while (await this.pull(limit)) pages += 1
    return pages
  }

  private drop(kind: 'conversation' | 'message', id: string): void {
    const gone = (row: { id: string; conversationId: string }) =>
      kind === 'conversation' ? row.conversationId === id : row.id === id
    this.conversations.delete(id)
    for (const row of this.messages.values()) if (gone(row)) this.messages.delete(row.id)
    for (const row of this.runs.values())
      if (kind === 'conversation' && row.conversationId === id) this.runs.delete(row.id)
  }

  /** What it knows, in the words of `truth`. */
  state() {
    const sorted = (texts: Iterable<string>) => [...texts].sort()
    return {
      conversations: sorted(
        [...this.conversations.values()].map(
          ({ id, title, rev, activeLeafId }) => `${id} ${title} ${rev} ${activeLeafId}`,
        ),
      ),
      messages: sorted([...this.messages.values()].map(({ id, status, content }) => `${id} ${status} ${content}`)),
      runs: sorted(
        [...this.runs.values()]
          .filter(({ messageId }) => this.messages.has(String(messageId)))
          .map((r) => `${r.id} ${r.status}`),
      ),
    }
  }
}

/** What is in the database. */
export async function truth(given: Given, { userId }: Owner) {
  const texts = async (query: string) =>
    (await given.sql<{ text: string }>(query, [userId])).map(({ text }) => text).sort()
  return {
    conversations: await texts(
      `select concat_ws(' ', id, title, rev, coalesce(active_leaf_id::text, 'null')) as text from conversations where user_id = $1`,
    ),
    messages: await texts(`select concat_ws(' ', id, status, content) as text from messages where user_id = $1`),
    runs: await texts(`select concat_ws(' ', id, status) as text from runs where user_id = $1`),
  }
}
