import { ifSaid, isUuid, maybe, moment, oneOf, type Read, shape, text, uuid, whole } from './fields.ts'
import { Failure } from './http.ts'
import { answerTurn, MAX_CONTEXT, newConversation, newId, plainTurn, said, turn } from './turn.ts'

type Values = Record<string, unknown>

interface Input {
  /** Ids in the path, UUIDs all of them. */
  params: Record<string, string>
  query: Values
  body: Values
}

interface Route {
  method: string
  /** `:` begins the name of an id. */
  path: string
  /** The call of `conversation_manager` in the database, and what it is given. */
  call: string
  read: (input: Input) => unknown
}

const get = (path: string, call: string, read: Route['read']): Route => ({ method: 'GET', path, call, read })
const post = (path: string, call: string, read: Route['read']): Route => ({ method: 'POST', path, call, read })
const patch = (path: string, call: string, read: Route['read']): Route => ({ method: 'PATCH', path, call, read })

const from =
  <T>(read: Read<T>): ((values: Values) => T) =>
  (values) =>
    read(values, '')

const params: Route['read'] = (input) => input.params

const init = from(shape({ title: maybe(text), model: maybe(text) }))
const message = from(
  shape({
    conversation_id: maybe(uuid),
    parent_id: maybe(uuid),
    role: maybe(oneOf('user')),
    content: text,
    model: maybe(text),
  }),
)
const response = from(
  shape({
    conversation_id: uuid,
    branch_id: maybe(uuid),
    parent_id: maybe(uuid),
    content: text,
    model: maybe(text),
    tokens_count: maybe(whole(0, 2 ** 31 - 1)),
  }),
)
const branch = from(shape({ conversation_id: uuid, from_message_id: uuid, name: maybe(text) }))
const branchBelow = from(shape({ parent_message_id: uuid, name: maybe(text) }))
const context = from(shape({ conversation_id: uuid, branch_id: maybe(uuid), max_messages: whole(1, MAX_CONTEXT, 100) }))
const page = from(shape({ page: whole(1, 1_000_000, 1), limit: whole(1, 100, 20) }))
const change = from(
  shape({
    title: (value, name) => maybe(text)(value, name) ?? undefined,
    model: ifSaid(maybe(text)),
    system_prompt: ifSaid(maybe(text)),
  }),
)
const terms = from(shape({ at: maybe(moment), rev: maybe(whole(0, Number.MAX_SAFE_INTEGER)) }))

const now = () => new Date().toISOString()

const openBranch = (id: string, parent_id: string, branch_name: string | null) => ({
  turn: plainTurn({ conversation: { id, parent_id }, branch_name }),
})

const ROUTES: Route[] = [
  post('/init-conversation', 'init_conversation', ({ body }) => {
    const { title, model } = init(body)
    return { turn: plainTurn({ ...newConversation(title), model }) }
  }),
  post('/add-message', 'add_message', ({ body }) => {
    if (body.turn) return addTurn(body)
    const { conversation_id: id, parent_id, content, model } = message(body)
    const place = id ? { conversation: { id, ...(parent_id && { parent_id }) } } : newConversation(null)
    return { turn: plainTurn({ ...place, messages: said('user', content), model }), legacy: true }
  }),
  post('/save-response', 'save_response', ({ body }) => {
    const { tokens_count, ...given } = response(body)
    if (body.turn) return { answer: { ...given, ...answerTurn(body.turn, 'turn') } }
    const at = now()
    const usage = tokens_count === null ? null : { completion_tokens: tokens_count }
    const made = { message_id: newId(), status: 'complete', usage, created_at: at, completed_at: at }
    return { answer: { ...given, ...made }, legacy: true }
  }),
  post('/create-branch', 'create_branch', ({ body }) => {
    if (body.turn) return { turn: { ...turn(body.turn, 'turn'), messages: [] } }
    const { conversation_id, from_message_id, name } = branch(body)
    return { ...openBranch(conversation_id, from_message_id, name), legacy: true }
  }),
  post('/switch-branch', 'switch_branch', ({ body }) => ({
    ...from(shape({ conversation_id: uuid, branch_id: uuid }))(body),
    at: now(),
  })),
  get('/build-context', 'build_context', ({ query }) => context(query)),
  post('/build-context', 'build_context', ({ body }) => context(body)),

  get('/conversations', 'conversations', ({ query }) => page(query)),
  get('/conversations/:conversation_id', 'conversation', params),
  get('/conversations/:conversation_id/full', 'full_conversation', params),
  patch('/conversations/:conversation_id', 'change_conversation', ({ params, body }) => {
    const { at, rev } = terms(body)
    return { ...params, patch: change(body), at: at ?? now(), rev }
  }),
  get('/conversations/:conversation_id/branches', 'branches', params),
  post('/conversations/:conversation_id/branches', 'create_branch', ({ params, body }) => {
    const { parent_message_id, name } = branchBelow(body)
    return { ...openBranch(params.conversation_id ?? '', parent_message_id, name), legacy: true }
  }),
  post('/conversations/:conversation_id/branches/:branch_id/activate', 'switch_branch', ({ params }) => ({
    ...params,
    at: now(),
  })),
  get('/messages/:message_id', 'message', params),
  // Where these two belong is found in the database, from the message.
  patch('/messages/:message_id', 'edit_message', ({ params, body }) => {
    const { content } = from(shape({ content: text }))(body)
    return { ...params, turn: plainTurn({ conversation: { id: '' }, messages: said('user', content) }) }
  }),
  post('/messages/:message_id/regenerate', 'regenerate', ({ params, body }) => {
    const { branch_name } = from(shape({ branch_name: maybe(text) }))(body)
    return { ...params, turn: plainTurn({ conversation: { id: '' }, branch_name }), legacy: true }
  }),
]

function addTurn(body: Values) {
  const taken = turn(body.turn, 'turn')
  if (taken.messages.length === 0) throw new Failure(400, 'turn.messages must not be empty')
  return { turn: taken }
}

/** @throws Failure 404 for a path that is unknown, 405 for one that is known by other methods. */
export function find(method: string, path: string): { route: Route; params: Record<string, string> } {
  const matches = ROUTES.flatMap((route) => {
    const params = match(route.path, path)
    return params ? [{ route, params }] : []
  })
  const [first] = matches
  if (!first) throw new Failure(404, 'Not found')
  const found = matches.find(({ route }) => route.method === method)
  if (!found)
    throw new Failure(405, 'Method not allowed', { allow: matches.map(({ route }) => route.method).join(', ') })
  return found
}

/** The ids in a path; undefined when it is another one. What is no UUID names nothing that exists. */
function match(pattern: string, path: string): Record<string, string> | undefined {
  const wanted = pattern.split('/')
  const given = path.split('/')
  if (wanted.length !== given.length) return undefined
  const params: Record<string, string> = {}
  for (const [i, part] of wanted.entries()) {
    const value = given[i] ?? ''
    if (!part.startsWith(':')) {
      if (part !== value) return undefined
    } else if (isUuid(value)) params[part.slice(1)] = value.toLowerCase()
    else return undefined
  }
  return params
}
