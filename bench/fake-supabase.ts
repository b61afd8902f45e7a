/**
 * A fake Supabase project, with what one chat turn needs of it: the Edge Function `conversation-manager` as an older one
 * is (no header that announces the extension, so a turn takes both calls) and the profiles of PostgREST.
 *
 *   PORT=9003 bun bench/fake-supabase.ts
 *
 * Every answer comes from memory after `DELAY_MS`: long enough that two calls made one after the other, or one made twice,
 * cannot hide, and short enough that the noise of a real network does not cover what a server adds.
 */
import { exitWithParent } from './lib/process'

/** By timer, so that waiting calls cost no CPU. */
const DELAY_MS = 2
/** Conversations remembered; the oldest goes first. */
const MAX_CONVERSATIONS = 10_000
const FUNCTION = '/functions/v1/conversation-manager'

interface Conversation {
  readonly branchId: string
  /** The latest message. The context told is always as short, so that late turns cost what early ones do. */
  content: string
  messageId: string
}

interface Call {
  readonly query: URLSearchParams
  readonly body: Readonly<Record<string, unknown>>
}

const conversations = new Map<string, Conversation>()
/** Calls since the last time this was asked, by path. */
let calls: Record<string, number> = {}

function open(): string {
  const [oldest] = conversations.keys()
  if (conversations.size >= MAX_CONVERSATIONS && oldest !== undefined) conversations.delete(oldest)
  const id = crypto.randomUUID()
  conversations.set(id, { branchId: crypto.randomUUID(), content: '', messageId: crypto.randomUUID() })
  return id
}

const done = (data: object) => Response.json({ success: true, data })
const failed = (status: number, error: string) => Response.json({ success: false, error }, { status })
const absent = () => failed(404, 'Conversation not found')

function addMessage({ body }: Call): Response {
  const isNew = body.conversation_id === undefined
  const id = isNew ? open() : String(body.conversation_id)
  const conversation = conversations.get(id)
  if (conversation === undefined) return absent()
  const before = isNew ? null : conversation.messageId
  conversation.messageId = crypto.randomUUID()
  conversation.content = String(body.content)
  return done({
    message_id: conversation.messageId,
    conversation_id: id,
    branch_id: conversation.branchId,
    parent_id: body.parent_id ?? before,
    is_new_conversation: isNew,
  })
}

function buildContext({ query }: Call): Response {
  const conversation = conversations.get(query.get('conversation_id') ?? '')
  if (conversation === undefined) return absent()
  const messages = [
    { role: 'user', content: 'hi' },
    { role: 'assistant', content: 'hello' },
    { role: 'user', content: conversation.content },
  ]
  return done({ messages, model: null })
}

function saveResponse({ body }: Call): Response {
  const conversation = conversations.get(String(body.conversation_id))
  if (conversation === undefined) return absent()
  conversation.messageId = crypto.randomUUID()
  return done({ message_id: conversation.messageId, tokens_count: body.tokens_count ?? 0 })
}

function createBranch({ body }: Call): Response {
  return conversations.has(String(body.conversation_id)) ? done({ branch_id: crypto.randomUUID() }) : absent()
}

function profile({ query }: Call): Response {
  const id = query.get('id')?.replace(/^eq\./, '') ?? ''
  const money = { spend: 0, max_budget: 100, available_balance: 100 }
  return Response.json([{ id, email: 'bench@example.com', litellm_key: 'sk-bench', ...money }])
}

const routes: Readonly<Record<string, (call: Call) => Response>> = {
  [`POST ${FUNCTION}/add-message`]: addMessage,
  [`GET ${FUNCTION}/build-context`]: buildContext,
  [`POST ${FUNCTION}/save-response`]: saveResponse,
  [`POST ${FUNCTION}/create-branch`]: createBranch,
  'GET /rest/v1/user_profiles': profile,
}

function takeCalls(): Response {
  const taken = calls
  calls = {}
  return Response.json(taken)
}

/** Both are demanded of every call: whose token it is, and the key of the project. */
function isSigned({ headers }: Request): boolean {
  return /^Bearer \S+$/.test(headers.get('authorization') ?? '') && Boolean(headers.get('apikey'))
}

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: Number(process.env.PORT ?? 0),
  idleTimeout: 0,
  async fetch(request) {
    const { pathname, searchParams: query } = new URL(request.url)
    if (pathname === '/ready') return new Response('{"ready":true}')
    if (pathname === '/take-calls') return takeCalls()
    const handle = routes[`${request.method} ${pathname}`]
    const body = request.method === 'POST' ? ((await request.json()) as Call['body']) : {}
    await Bun.sleep(DELAY_MS)
    if (!isSigned(request)) return failed(401, 'Missing authorization or apikey')
    if (handle === undefined) return failed(404, 'Not found')
    const name = pathname.slice(pathname.lastIndexOf('/') + 1)
    calls[name] = (calls[name] ?? 0) + 1
    return handle({ query, body })
  },
})

process.stderr.write(`fake Supabase on ${server.url}\n`)
exitWithParent()
