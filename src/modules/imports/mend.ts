import { headline, storable, storableJson } from '../../lib/text'
import type { Message } from '../../store/port'
import { count, type NormalConversation, type NormalMessage, type Repairs } from './normal'
import { byLevel, type Linked, link } from './order'
import type { Fields } from './read'

const MAX_TITLE = 200
/** Of our own: the Observatory's clients may give longer ones. */
const MAX_OWN_TITLE = 500
const MAX_PROMPT = 32_000
const MAX_TAGS = 50
const MAX_TAG = 50
const MAX_MODEL = 200

/** A message that can be stored as it is. */
export interface MendedMessage
  extends Pick<Message, 'role' | 'content' | 'extra' | 'metadata' | 'model' | 'createdAt'> {
  key: string
  /** Its place in the list, always an earlier one; -1 for a root. */
  parent: number
  own: NormalMessage['own']
}

export interface Mended {
  title: string
  systemPrompt: string | null
  tags: string[]
  createdAt: Date
  updatedAt: Date
  /** Parents before their children. */
  messages: MendedMessage[]
  /** The place of the message that the shown path goes through; -1 when nobody says. */
  active: number
  repairs: Repairs
}

/** Makes of a conversation, whatever is wrong with it, a tree that can be stored. Says what it did. */
export function mend(given: NormalConversation, now: Date): Mended {
  const repairs: Repairs = {}
  const linked = link(given.messages, repairs)
  const roles = linked.map(({ message }) => roleOf(message, given, repairs))
  const kept = keptPlaces(linked, roles)
  const messages: MendedMessage[] = []
  const places = new Map<number, number>()
  for (const { place, parent } of kept.order) {
    const role = roles[place]
    const node = linked[place]
    if (!node || !role || role === 'system') continue
    const above = messages[places.get(parent) ?? -1]
    places.set(place, messages.length)
    messages.push({
      key: node.key,
      parent: places.get(parent) ?? -1,
      role,
      content: text(node.message.content, repairs),
      extra: json(node.message.extra),
      metadata: json(node.message.metadata),
      model: modelOf(node.message, role, given),
      createdAt: timeOf(node.message.createdAt, above?.createdAt ?? given.createdAt, { given, now, repairs }),
      own: node.message.own && { ...node.message.own, usage: json(node.message.own.usage) },
    })
  }
  const system = linked.flatMap(({ message }, i) => (roles[i] === 'system' ? [message.content] : []))
  const { createdAt, updatedAt } = timesOf(given, messages, now)
  return {
    title: titleOf(given, messages, repairs),
    systemPrompt: promptOf(given, system, repairs),
    tags: tagsOf(given),
    createdAt,
    updatedAt,
    messages,
    active: places.get(kept.standIn(linked.findIndex(({ key }) => key === given.activeSourceId))) ?? -1,
    repairs,
  }
}

/** Nodes that are messages of the tree, in their order, below the next such node above them. */
function keptPlaces(linked: Linked[], roles: (string | null)[]) {
  const isKept = (place: number) => roles[place] !== null && roles[place] !== 'system'
  const parents = linked.map(({ parent }) => parent)
  const order = byLevel(parents)
  /** Of each node itself, or the next kept one above. */
  const standIns = new Array<number>(linked.length).fill(-1)
  for (const place of order) standIns[place] = isKept(place) ? place : (standIns[parents[place] ?? -1] ?? -1)
  const left = order.filter(isKept)
  const rank = new Map(left.map((place, i) => [place, i]))
  const above = left.map((place) => standIns[parents[place] ?? -1] ?? -1)
  const levels = byLevel(above.map((place) => rank.get(place) ?? -1))
  return {
    order: levels.flatMap((i) => {
      const place = left[i]
      return place === undefined ? [] : [{ place, parent: above[i] ?? -1 }]
    }),
    standIn: (place: number) => standIns[place] ?? -1,
  }
}

const ROLES: Record<string, Message['role'] | 'system'> = {
  user: 'user',
  human: 'user',
  assistant: 'assistant',
  ai: 'assistant',
  bot: 'assistant',
  model: 'assistant',
  tool: 'tool',
  function: 'tool',
  system: 'system',
  developer: 'system',
}

function roleOf({ role, extra }: NormalMessage, { own }: NormalConversation, repairs: Repairs) {
  if (role === null) return null
  const name = role.toLowerCase()
  const known = Object.hasOwn(ROLES, name) ? ROLES[name] : undefined
  if (known === 'system') count(repairs, 'system_messages')
  // A provider refuses the result of a call that nobody made.
  if (known && (known !== 'tool' || own || extra?.tool_call_id !== undefined)) return known
  count(repairs, 'roles')
  return 'assistant'
}

function modelOf({ model, own }: NormalMessage, role: Message['role'], given: NormalConversation): string | null {
  const name = model ?? (role === 'assistant' && !own ? given.model : null)
  return name === null ? null : storable(name).slice(0, MAX_MODEL)
}

/** Times that run backwards are those of the message above; our own are taken as they are. */
function timeOf(
  at: Date | null,
  above: Date | null,
  { given, now, repairs }: { given: NormalConversation; now: Date; repairs: Repairs },
): Date {
  const time = at ?? above ?? now
  if (given.own) return time
  const right = new Date(Math.min(Math.max(time.getTime(), above?.getTime() ?? 0), now.getTime()))
  if (right.getTime() !== time.getTime()) count(repairs, 'times')
  return right
}

function timesOf(given: NormalConversation, messages: MendedMessage[], now: Date) {
  let [first, last] = [Number.POSITIVE_INFINITY, 0]
  for (const { createdAt } of messages) {
    first = Math.min(first, createdAt.getTime())
    last = Math.max(last, createdAt.getTime())
  }
  const begun = given.createdAt?.getTime() ?? (messages.length > 0 ? first : now.getTime())
  if (given.own) return { createdAt: new Date(begun), updatedAt: given.updatedAt ?? new Date(Math.max(begun, last)) }
  const createdAt = Math.min(begun, now.getTime())
  return { createdAt: new Date(createdAt), updatedAt: new Date(Math.max(createdAt, last)) }
}

function text(given: string, repairs: Repairs): string {
  const right = storable(given)
  if (right !== given) count(repairs, 'texts')
  return right
}

/** Keys as well as values; a copy, so that nothing of the document is kept alive. */
export const json = (value: Fields | null | undefined): Fields | null =>
  value ? (JSON.parse(storableJson(value)) as Fields) : null

function titleOf({ title, own }: NormalConversation, messages: MendedMessage[], repairs: Repairs): string {
  const most = own ? MAX_OWN_TITLE : MAX_TITLE
  if (title?.trim()) {
    if (title.length <= most) return text(title, repairs)
    count(repairs, 'titles')
    return storable(headline(title, most))
  }
  if (title !== null) count(repairs, 'titles')
  const question = messages.find(({ role, content }) => role === 'user' && content.trim())?.content ?? ''
  return headline(question, 60) || 'Imported conversation'
}

function promptOf({ systemPrompt }: NormalConversation, system: string[], repairs: Repairs): string | null {
  const said = [systemPrompt ?? '', ...system].filter((one) => one.trim())
  const whole = text([...new Set(said)].join('\n\n'), repairs)
  if (whole.length <= MAX_PROMPT) return whole || null
  count(repairs, 'texts')
  return whole.slice(0, MAX_PROMPT).toWellFormed()
}

const tagsOf = ({ tags }: NormalConversation): string[] =>
  [...new Set(tags.map((tag) => storable(tag).trim().slice(0, MAX_TAG).toWellFormed()).filter(Boolean))].slice(
    0,
    MAX_TAGS,
  )
