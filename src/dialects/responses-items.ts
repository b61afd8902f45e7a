import { AppError } from '../errors'
import type { Message } from '../store/port'
import type { Item } from './responses-in'

type Stored = Pick<Message, 'id' | 'role' | 'content' | 'extra'>

/** A stored message as the items of this API: an answer may be several, a thought, a text and calls. */
export function itemsOf({ id, role, content, extra }: Stored): Item[] {
  if (role === 'tool') {
    return [{ id: `fco_${id}`, type: 'function_call_output', call_id: extra?.tool_call_id, output: content }]
  }
  const parts = extra?.content ?? content
  if (role === 'user') return [message(id, role, contentOf(parts))]
  const thought = extra?.reasoning_content
  const calls = Array.isArray(extra?.tool_calls) ? (extra.tool_calls as Call[]) : []
  return [
    ...(typeof thought === 'string' ? [reasoning(id, thought)] : []),
    ...(content ? [message(id, role, [{ type: 'output_text', annotations: [], logprobs: [], text: content }])] : []),
    ...calls.map((call, i) => functionCall(`fc_${id}_${i}`, call)),
  ]
}

/** Which stored message an item was made of, by the item's id. */
const messageIdOf = (id: unknown): string | undefined =>
  /^(?:msg|rs|fc|fco)_([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})(?:_|$)/i.exec(String(id))?.[1]

const isReference = (item: Item): boolean => item.type === 'item_reference'

/** The stored messages that an input refers to by the ids of their items. */
export function referredIn(input: string | Item[]): string[] {
  const ids = typeof input === 'string' ? [] : input.filter(isReference).map(({ id }) => messageIdOf(id))
  return [...new Set(ids)].filter((id) => id !== undefined)
}

/**
 * The request with what it refers to in place of the references.
 * @throws AppError NOT_FOUND for an item that is none of these messages'.
 */
export function withReferred<T extends { input: string | Item[] }>(body: T, messages: Stored[]): T {
  if (typeof body.input === 'string' || !body.input.some(isReference)) return body
  const known = new Map(messages.map((message) => [message.id, itemsOf(message)]))
  const input = body.input.flatMap((item) => {
    if (!isReference(item)) return [item]
    const items = known.get(messageIdOf(item.id) ?? '')
    if (!items) throw new AppError('NOT_FOUND', `There is no item ${String(item.id).slice(0, 100)}. Send it whole`)
    // Names that a stream gave after a restart, or to a second text, lead to the one that is stored.
    const id = String(item.id).replace(/_r\d+$/, '')
    return items.filter((stored) => stored.id === id)
  })
  return { ...body, input }
}

/** One page of items. @param order `desc` unless said: the latest first. */
export function itemPage(items: Item[], { after, limit = 20, order = 'desc' }: PageQuery) {
  const sorted = order === 'asc' ? items : items.toReversed()
  const from = after === undefined ? 0 : sorted.findIndex(({ id }) => id === after) + 1
  const data = sorted.slice(from, from + limit)
  const ids = { first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null }
  return { object: 'list', data, ...ids, has_more: sorted.length > from + limit }
}

interface PageQuery {
  after?: string | undefined
  limit?: number | undefined
  order?: 'asc' | 'desc' | undefined
}

interface Call {
  id?: string
  function?: { name?: string; arguments?: string }
}

const message = (id: string, role: string, content: object[]): Item => ({
  id: `msg_${id}`,
  type: 'message',
  status: 'completed',
  role,
  content,
})

const reasoning = (id: string, text: string): Item => ({
  id: `rs_${id}`,
  type: 'reasoning',
  summary: [{ type: 'summary_text', text }],
})

const functionCall = (id: string, call: Call): Item => ({
  id,
  type: 'function_call',
  status: 'completed',
  call_id: call.id,
  name: call.function?.name,
  arguments: call.function?.arguments ?? '',
})

function contentOf(content: unknown): object[] {
  if (typeof content === 'string') return [{ type: 'input_text', text: content }]
  return Array.isArray(content) ? content.map(partOf) : []
}

interface Part {
  text?: string
  image_url?: { url?: string; detail?: string }
  file?: { filename?: string; file_data?: string }
}

function partOf({ text, image_url, file }: Part): object {
  if (image_url) return { type: 'input_image', image_url: image_url.url, detail: image_url.detail ?? 'auto' }
  if (file) return { type: 'input_file', ...file }
  return { type: 'input_text', text: text ?? '' }
}
