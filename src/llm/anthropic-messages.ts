import { AppError } from '../errors'
import { thoughtBlocks } from '../lib/thinking'
import type { ChatMessage } from './port'

export type Block = { type: string; [key: string]: unknown }

export interface Turn {
  role: 'user' | 'assistant'
  content: Block[]
}

/** Stands where a conversation would begin with an answer: the API wants a user's turn first, and no empty one. */
const OPENING = '…'

/**
 * A conversation in the words of the Messages API: instructions apart, turns that alternate and begin with the user's,
 * results of tools first in the turn after the calls.
 * @throws AppError BAD_REQUEST for what that API has no words for.
 */
export function toTurns(messages: ChatMessage[]): { system: Block[]; turns: Turn[] } {
  const system: Block[] = []
  const turns: Turn[] = []
  let called = new Set<unknown>()
  const add = (role: Turn['role'], content: Block[]) => {
    if (content.length === 0) return
    const last = turns.at(-1)
    if (last?.role === role) last.content.push(...content)
    else turns.push({ role, content })
  }
  for (const message of messages) {
    if (message.role === 'system' || message.role === 'developer') system.push(...partsOf(message.content))
    else if (message.role === 'assistant') {
      add('assistant', answer(message))
      called = new Set(callsOf(message).map(({ id }) => id))
    } else if (message.role === 'tool' && called.has(message.tool_call_id)) add('user', [result(message)])
    // The call may have been cut off with what came before it: a result without one is refused, its text is not.
    else add('user', partsOf(message.content))
  }
  if (turns[0]?.role === 'assistant') turns.unshift({ role: 'user', content: [{ type: 'text', text: OPENING }] })
  if (turns.length === 0) throw new AppError('BAD_REQUEST', 'messages must hold something that a user says')
  return { system, turns: trimmed(turns) }
}

/** The API refuses a last assistant turn that ends with white space. */
function trimmed(turns: Turn[]): Turn[] {
  const last = turns.at(-1)
  const block = last?.content.at(-1)
  if (last?.role === 'assistant' && typeof block?.text === 'string') block.text = block.text.trimEnd()
  return turns
}

function answer(message: ChatMessage): Block[] {
  const calls = callsOf(message).map(({ id, function: { name, arguments: json } = {} }) => ({
    type: 'tool_use',
    id: toolId(id),
    name,
    input: objectOf(json),
  }))
  return [...thoughtBlocks(message), ...partsOf(message.content), ...calls]
}

function result({ tool_call_id, content, is_error, cache_control }: ChatMessage): Block {
  return {
    type: 'tool_result',
    tool_use_id: toolId(tool_call_id),
    content: typeof content === 'string' ? content : partsOf(content),
    ...(is_error === true ? { is_error } : {}),
    ...(cache_control ? { cache_control } : {}),
  }
}

interface ToolCall {
  id?: unknown
  function?: { name?: unknown; arguments?: unknown }
}

const callsOf = ({ tool_calls }: ChatMessage): ToolCall[] => (Array.isArray(tool_calls) ? tool_calls : [])

/** Other providers put characters into the ids of calls that this API refuses. */
const toolId = (id: unknown): string => String(id ?? 'call').replaceAll(/[^\w-]/g, '_')

function objectOf(json: unknown): unknown {
  try {
    const value: unknown = typeof json === 'string' ? JSON.parse(json) : json
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {}
  } catch {
    return {}
  }
}

/** Texts without a visible character are refused by the API, so they are left out. */
function partsOf(content: unknown): Block[] {
  if (typeof content === 'string') return content.trim() ? [{ type: 'text', text: content }] : []
  if (!Array.isArray(content)) return []
  return content.map(part).filter((block) => block.type !== 'text' || String(block.text ?? '').trim())
}

function part(given: Block): Block {
  const { type, cache_control } = given
  const cached = cache_control ? { cache_control } : {}
  if (type === 'text') return { type, text: given.text, ...cached }
  if (type === 'refusal') return { type: 'text', text: given.refusal }
  if (type === 'image_url') return { type: 'image', source: imageSource(given.image_url), ...cached }
  if (type === 'file') return { type: 'document', source: fileSource(given.file), ...cached }
  throw new AppError('BAD_REQUEST', `A part of type ${String(type).slice(0, 50)} cannot be sent to this model`)
}

/** What images of each kind begin with, in base64. */
const SIGNATURES: [start: string, mediaType: string][] = [
  ['/9j/', 'image/jpeg'],
  ['iVBORw0KGgo', 'image/png'],
  ['R0lGOD', 'image/gif'],
  ['UklGR', 'image/webp'],
]

/** The kind is taken from the picture itself: clients are often wrong about it, and the API checks. */
function imageSource(image: unknown): Block {
  const url = typeof image === 'object' && image !== null && 'url' in image ? image.url : image
  if (typeof url === 'string' && /^https:\/\//i.test(url)) return { type: 'url', url }
  const [, data] = typeof url === 'string' ? (/^data:[^,]*;base64,([\w+/=\s-]+)$/i.exec(url) ?? []) : []
  const mediaType = SIGNATURES.find(([start]) => data?.startsWith(start))?.[1]
  if (data && mediaType) return { type: 'base64', media_type: mediaType, data }
  throw new AppError(
    'BAD_REQUEST',
    'An image must be an https address, or a data URL of a JPEG, PNG, GIF or WebP image',
  )
}

function fileSource(file: unknown): Block {
  const url = typeof file === 'object' && file !== null && 'file_data' in file ? file.file_data : undefined
  const [, data] = typeof url === 'string' ? (/^data:application\/pdf;base64,([\w+/=\s-]+)$/i.exec(url) ?? []) : []
  if (data) return { type: 'base64', media_type: 'application/pdf', data }
  throw new AppError('BAD_REQUEST', 'A file must be a PDF in a data URL')
}
