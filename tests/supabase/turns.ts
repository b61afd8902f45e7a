import { randomUUID } from 'node:crypto'

/** The extension's `turn` as this server writes it. */
export const AT = '2026-11-21T10:00:00.000Z'
export const SAVED_AT = '2026-11-21T10:00:09.000Z'

export const said = (content: string, role = 'user', extra: object | null = null) => ({
  id: randomUUID(),
  role,
  content,
  extra,
})

export const newTurn = (fields: object = {}) => ({
  is_new: true,
  conversation: { id: randomUUID(), title: 'Title', system_prompt: 'Be brief' },
  messages: [said('hello')],
  branch_id: randomUUID(),
  branch_name: null as string | null,
  model: null as string | null,
  default_model: 'default-model',
  max_context: 100,
  at: AT,
  ...fields,
})
export const turnIn = (id: string, fields: object = {}) => newTurn({ is_new: false, conversation: { id }, ...fields })
export const parentIn = (id: string, parent_id: string | null, fields: object = {}) =>
  turnIn(id, { conversation: { id, parent_id }, ...fields })

export const newAnswer = (fields: object = {}) => ({
  message_id: randomUUID(),
  branch_id: randomUUID(),
  parent_id: null as string | null,
  extra: null as object | null,
  status: 'complete',
  finish_reason: 'stop',
  usage: { prompt_tokens: 3, completion_tokens: 5 },
  cost_nanos: '9007199254740993' as string | null,
  created_at: AT,
  completed_at: SAVED_AT,
  ...fields,
})
