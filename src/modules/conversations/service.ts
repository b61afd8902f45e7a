import { AppError } from '../../errors'
import { type Page, type Paged, paged } from '../../lib/page'
import type { Conversation, Owner, Store } from '../../store/port'
import type { Runs } from '../runs/service'
import { conversationJson, messageJson, type Patch } from './model'

export class Conversations {
  constructor(
    private readonly store: Pick<Store, 'conversations'>,
    private readonly runs: Pick<Runs, 'stopIn'>,
    private readonly now: () => Date,
  ) {}

  async list(owner: Owner, page: Page): Promise<Paged<ReturnType<typeof conversationJson>>> {
    const { items, total } = await this.store.conversations.list(owner, page)
    return paged(items.map(conversationJson), page, total)
  }

  async get(owner: Owner, id: string) {
    return conversationJson(found(await this.store.conversations.find(owner, id)))
  }

  /** The path that is shown, with each message's place among its alternatives. */
  async messages(owner: Owner, id: string, { leaf, ...page }: Page & { leaf: string | undefined }) {
    const { items, total } = found(await this.store.conversations.path(owner, id, { leafId: leaf, ...page }))
    return paged(items.map(messageJson), page, total)
  }

  /** @param ifMatch the ETag the client has seen; with an older one nothing is changed. */
  async update(owner: Owner, id: string, patch: Patch, ifMatch: string | undefined) {
    const { title, model, system_prompt: systemPrompt } = patch
    const changes = {
      ...(title === undefined ? {} : { title: title.trim() }),
      ...(model === undefined ? {} : { model }),
      ...(systemPrompt === undefined ? {} : { systemPrompt }),
    }
    const options = { rev: revOf(ifMatch), at: this.now() }
    const { outcome, conversation } = found(await this.store.conversations.update(owner, id, changes, options))
    if (outcome === 'stale') {
      throw new AppError(
        'CONFLICT',
        'The conversation has changed since you read it. Look at `details.current`, then try again',
        {
          details: { current: conversationJson(conversation) },
        },
      )
    }
    return conversationJson(conversation)
  }

  async remove(owner: Owner, id: string) {
    found(await this.store.conversations.find(owner, id))
    // An answer still being written would otherwise be paid for and have nowhere to go.
    await this.runs.stopIn(id)
    await this.store.conversations.remove(owner, id)
    // A turn may have begun in between.
    await this.runs.stopIn(id)
    return { id, deleted: true }
  }
}

function found<T>(row: T | undefined): T {
  if (row === undefined) throw new AppError('NOT_FOUND', 'There is no such conversation or message')
  return row
}

export const etagOf = ({ rev }: Pick<Conversation, 'rev'>): string => `"${rev}"`

function revOf(ifMatch: string | undefined): number | undefined {
  if (ifMatch === undefined || ifMatch === '*') return undefined
  const rev = /^(?:W\/)?"(\d{1,15})"$/.exec(ifMatch)?.[1]
  if (rev === undefined)
    throw new AppError('VALIDATION_ERROR', 'If-Match must be an ETag of this conversation, such as "3"')
  return Number(rev)
}
