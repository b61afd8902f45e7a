import { flag, ifSaid, list, maybe, moment, object, oneOf, type Read, shape, text, uuid, whole } from './fields.ts'

/** What `append_messages` takes; the tree's rules are there. */
export interface Turn {
  is_new: boolean
  conversation:
    | { id: string; title?: string; system_prompt?: string | null }
    | { id: string; parent_id?: string | null }
  messages: { id: string; role: string; content: string; extra: Record<string, unknown> | null }[]
  branch_id: string
  branch_name: string | null
  model: string | null
  default_model: string | null
  max_context: number
  at: string
}

export const MAX_CONTEXT = 10_000

const fields = shape({
  is_new: flag,
  conversation: object,
  messages: list(shape({ id: uuid, role: oneOf('user', 'assistant', 'tool'), content: text, extra: maybe(object) })),
  branch_id: uuid,
  branch_name: maybe(text),
  model: maybe(text),
  default_model: maybe(text),
  max_context: whole(1, MAX_CONTEXT),
  at: moment,
})
const fresh = shape({ id: uuid, title: text, system_prompt: maybe(text) })
const known = shape({ id: uuid, parent_id: ifSaid(maybe(uuid)) })

/** The extension's `turn` in the bodies of /add-message and /create-branch. */
export const turn: Read<Turn> = (value, name) => {
  const taken = fields(value, name)
  const conversation = (taken.is_new ? fresh : known)(taken.conversation, `${name}.conversation`)
  return { ...taken, conversation }
}

/** The extension's `turn` in the body of /save-response. */
export const answerTurn = shape({
  message_id: uuid,
  branch_id: maybe(uuid),
  parent_id: maybe(uuid),
  extra: maybe(object),
  status: oneOf('complete', 'stopped', 'error', 'interrupted'),
  finish_reason: maybe(text),
  usage: maybe(object),
  cost_nanos: maybe(text),
  created_at: moment,
  completed_at: maybe(moment),
})

/** A turn of the documented contract, where ids and times are made here. */
export function plainTurn(given: Partial<Turn> & Pick<Turn, 'conversation'>): Turn {
  return {
    is_new: false,
    messages: [],
    branch_id: newId(),
    branch_name: null,
    model: null,
    default_model: null,
    max_context: 1,
    at: new Date().toISOString(),
    ...given,
  }
}

export const newConversation = (title: string | null) => ({
  is_new: true,
  conversation: { id: newId(), title: title ?? 'New conversation', system_prompt: null },
})

export const said = (role: string, content: string) => [{ id: newId(), role, content, extra: null }]

/** A UUIDv7, like the server's: ids sort by age. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  new DataView(bytes.buffer).setBigUint64(
    0,
    (BigInt(Date.now()) << 16n) | BigInt(((bytes[6] ?? 0) << 8) | (bytes[7] ?? 0)),
  )
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'))
    .join('')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
