import { isUuid } from '../../lib/ids'
import { checkedSettings } from '../../lib/parameters'
import { storable } from '../../lib/text'
import type { ArchivedTree } from '../../store/port'
import { type Ends, endsOf } from './branches'
import { DerivedIds, derivedId } from './ids'
import { json, type Mended } from './mend'
import type { NormalConversation } from './normal'
import type { Fields } from './read'

/** The id that this person's import of a conversation has, however often it is imported. */
export function idOf(userId: string, { source, sourceId, title, messages }: NormalConversation): string {
  if (sourceId !== null) return derivedId(userId, source, 'id', sourceId)
  const said = messages.flatMap(({ role, content }) => [role ?? '', content])
  return derivedId(userId, source, 'content', title ?? '', ...said)
}

/** Whether everything in a file of our own has an id that could be kept. */
export function hasOwnIds({ own, sourceId }: NormalConversation, { messages }: Mended): boolean {
  const ids = [sourceId ?? '', ...messages.map(({ key }) => key), ...(own?.branches.map(({ id }) => id) ?? [])]
  return own !== undefined && ids.every(isUuid)
}

/** What is written. With `keep` the ids of the file are, otherwise others that follow from the conversation's. */
export function build(
  given: NormalConversation,
  mended: Mended,
  { id, keep }: { id: string; keep: boolean },
): ArchivedTree {
  const ends = endsOf(mended, given.own?.branches)
  const ids = keep ? KEPT : new DerivedIds(id)
  const messageIds = mended.messages.map(({ key, createdAt }) => ids.next('message', key, createdAt))
  // Branches count their ids for themselves: those of messages are as late as the last of them.
  const others = keep ? KEPT : new DerivedIds(id)
  const branchIds = new Map(ends.branches.map(({ key, createdAt }) => [key, others.next('branch', key, createdAt)]))
  const at = (place: number) => messageIds[place] ?? null
  return {
    conversation: { ...headOf(given, mended, ends.active === -1 ? null : at(ends.active)), id },
    branches: ends.branches.map(({ key, parent, leaf, ...branch }) => ({
      ...branch,
      id: branchIds.get(key) ?? '',
      parentMessageId: at(parent),
      leafId: at(leaf),
    })),
    messages: messagesOf(mended, ends, { at, branchIds, keep, id }),
  }
}

/** Ids of our own files are taken as they are; what is new among them follows from what it belongs to. */
const KEPT = {
  next: (kind: string, key: string) => (isUuid(key) ? key.toLowerCase() : derivedId(kind, key)),
}

function headOf(given: NormalConversation, mended: Mended, activeLeafId: string | null) {
  const { own, archived, pinned } = given
  const { title, systemPrompt, tags, createdAt, updatedAt } = mended
  return {
    title,
    titleSource: own?.titleSource ?? ('user' as const),
    // The models of elsewhere are not ours: a conversation goes on with the default.
    model: own?.model ? storable(own.model).slice(0, 200) : null,
    systemPrompt,
    settings: settingsOf(json(own?.settings)),
    metadata: own ? json(own.metadata) : { imported_from: given.source },
    tags,
    pinnedAt: own ? own.pinnedAt : pinned ? updatedAt : null,
    archivedAt: own ? own.archivedAt : archived ? updatedAt : null,
    activeLeafId,
    createdAt,
    updatedAt,
  }
}

/** Those that a person could have set here; others would never have been used. */
function settingsOf(settings: Fields | null): Fields | null {
  try {
    if (settings) checkedSettings(settings)
    return settings
  } catch {
    return null
  }
}

interface Naming {
  at: (place: number) => string | null
  branchIds: Map<string, string>
  keep: boolean
  id: string
}

function messagesOf({ messages }: Mended, { branchOf }: Ends, { at, branchIds, keep, id }: Naming) {
  const depths: number[] = []
  /** A branch may be gone while its messages still say that they were written in it. */
  const branchId = (name: string | null) => {
    if (name === null) return null
    return branchIds.get(name) ?? (keep && isUuid(name) ? name.toLowerCase() : derivedId(id, 'branch', name))
  }
  return messages.map(({ key: _key, parent, own, ...message }, place) => {
    const depth = parent < 0 ? 0 : (depths[parent] ?? 0) + 1
    depths.push(depth)
    return {
      ...message,
      id: at(place) ?? '',
      parentId: at(parent),
      depth,
      branchId: branchId(own ? (own.branchId ?? null) : (branchOf[place] ?? null)),
      status: own?.status ?? ('complete' as const),
      finishReason: own?.finishReason ? storable(own.finishReason) : null,
      usage: own?.usage ?? null,
      costNanos: own?.costNanos ?? null,
      completedAt: own ? (own.completedAt ?? null) : message.createdAt,
    }
  })
}
