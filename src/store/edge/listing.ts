import { AppError } from '../../errors'
import type { Conversation, ConversationFilter, ListedConversation, Owner } from '../port'
import { type EdgeApi, list, record } from './api'
import { toConversation } from './rows'
import type { Wholes } from './whole'

interface Page {
  page: number
  limit: number
}

/** What the function gives in one page, how many pages are read to search through, and how many calls are made at once. */
const PAGE = 100
const PAGES = 5
const AT_ONCE = 4
/** Conversations that are read as wholes to count what is in them. */
const COUNTED = 100

/**
 * The function lists in pages and knows neither filters nor other orders: these are worked out here, from at most five of its
 * largest pages. Counting means reading conversations as wholes, so it is done only when a filter asks for it.
 */
export class Listing {
  constructor(private readonly deps: { api: EdgeApi; wholes: Wholes }) {}

  async read(owner: Owner, { page, limit, ...filter }: Page & ConversationFilter) {
    if (isPlain(filter)) return this.page(owner, { page, limit })
    const candidates = (await this.everything(owner)).filter(fits(filter))
    const counted = needsCounts(filter) ? await this.counted(owner, candidates) : candidates.map(uncounted)
    const found = counted.filter(countsFit(filter)).sort(inOrder(filter.sort))
    return { items: found.slice((page - 1) * limit, page * limit), total: found.length }
  }

  private async page(owner: Owner, query: Page): Promise<{ items: ListedConversation[]; total: number }> {
    const { data } = await this.deps.api.call(owner, { method: 'GET', path: '/conversations', query: { ...query } })
    if (data === undefined) return { items: [], total: 0 }
    const { conversations, total } = record(data)
    const items = list(conversations).map((row) => uncounted(toConversation(row)))
    return { items, total: Number(total) || 0 }
  }

  private async everything(owner: Owner): Promise<Conversation[]> {
    const first = await this.page(owner, { page: 1, limit: PAGE })
    if (first.total > PAGE * PAGES) {
      throw tooMany(`Filters and sorting work among ${PAGE * PAGES} conversations here, and there are more`)
    }
    const others = Array.from({ length: Math.ceil(first.total / PAGE) - 1 }, (_, i) => i + 2)
    const rest = await inTurns(others, (page) => this.page(owner, { page, limit: PAGE }))
    const all = [first, ...rest].flatMap(({ items }) => items)
    // Something may have moved to another page between two calls.
    return [...new Map(all.map((conversation) => [conversation.id, conversation])).values()]
  }

  private async counted(owner: Owner, conversations: Conversation[]): Promise<ListedConversation[]> {
    if (conversations.length > COUNTED) {
      throw tooMany(
        `Messages and branches are counted in at most ${COUNTED} conversations here: narrow the other filters`,
      )
    }
    const all = await inTurns(conversations, async (conversation) => {
      const whole = await this.deps.wholes.read(owner, conversation.id)
      const counts = { messageCount: whole?.tree.size ?? 0, branchCount: whole?.branches.length ?? 0 }
      return whole ? [{ ...conversation, ...counts }] : []
    })
    return all.flat()
  }
}

const tooMany = (sentence: string) =>
  new AppError('NOT_SUPPORTED', `${sentence}. To have no such limit, set DATABASE_URL and STORE=postgres`)

/** What the function does itself. Nothing is archived there. */
const isPlain = ({ archived, sort, ...others }: ConversationFilter): boolean =>
  !archived &&
  (!sort || (sort.by === 'updatedAt' && sort.descending)) &&
  Object.values(others).every((value) => value === undefined)

const needsCounts = ({ hasBranches, minMessages, maxMessages }: ConversationFilter): boolean =>
  hasBranches !== undefined || minMessages !== undefined || maxMessages !== undefined

const uncounted = (conversation: Conversation): ListedConversation => ({
  ...conversation,
  messageCount: null,
  branchCount: null,
})

const fits = (f: ConversationFilter) => (c: Conversation) =>
  (f.model === undefined || c.model === f.model) &&
  Object.entries(f.metadata ?? {}).every(([key, value]) => c.metadata?.[key] === value) &&
  (!f.createdAfter || c.createdAt >= f.createdAfter) &&
  (!f.createdBefore || c.createdAt < f.createdBefore) &&
  (f.pinned === undefined || f.pinned === (c.pinnedAt !== null)) &&
  (f.archived === undefined || f.archived === (c.archivedAt !== null)) &&
  (f.tag === undefined || c.tags.includes(f.tag)) &&
  Object.entries(f.metadata ?? {}).every(([key, value]) => c.metadata?.[key] === value) &&
  (!f.q || c.title.toLowerCase().includes(f.q.toLowerCase()))

const countsFit =
  ({ hasBranches, minMessages = 0, maxMessages = Number.POSITIVE_INFINITY }: ConversationFilter) =>
  ({ messageCount, branchCount }: ListedConversation) =>
    (hasBranches === undefined || hasBranches === Number(branchCount) > 1) &&
    (messageCount === null || (messageCount >= minMessages && messageCount <= maxMessages))

/** By id among equals, as the function does. */
function inOrder(sort: ConversationFilter['sort']) {
  const { by, descending } = sort ?? { by: 'updatedAt' as const, descending: true }
  const key = (c: Conversation) => (by === 'title' ? c.title.toLowerCase() : c[by].getTime())
  const sign = descending ? -1 : 1
  return (a: Conversation, b: Conversation): number => {
    const [one, other] = key(a) === key(b) ? [a.id, b.id] : [key(a), key(b)]
    return one < other ? -sign : sign
  }
}

/** Calls it for each, a few at once. */
async function inTurns<T, R>(items: T[], call: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(items.length)
  let next = 0
  const worker = async () => {
    for (let i = next++; i < items.length; i = next++) results[i] = await call(items[i] as T)
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker))
  return results
}
