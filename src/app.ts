import { cors } from '@elysiajs/cors'
import { Elysia } from 'elysia'
import { anthropicError, anthropicStatus } from './dialects/anthropic'
import { observatoryError } from './dialects/observatory'
import { openAiError, openAiStatus } from './dialects/openai'
import { accounts } from './modules/accounts'
import { aiSdk } from './modules/ai-sdk'
import { anthropicApi } from './modules/anthropic-api'
import { batch } from './modules/batch'
import { branches } from './modules/branches'
import { budgets } from './modules/budgets'
import { chat } from './modules/chat'
import { isOpenAi } from './modules/chat/model'
import { conversations } from './modules/conversations'
import { embeddings } from './modules/embeddings'
import { exports } from './modules/exports'
import { feedback, feedbackByModel } from './modules/feedback'
import { health } from './modules/health'
import { imports } from './modules/imports'
import { keys } from './modules/keys'
import { ledger } from './modules/ledger'
import { lettaUser } from './modules/letta-user'
import { messages } from './modules/messages'
import { models } from './modules/models'
import { observatory } from './modules/observatory'
import { people } from './modules/people'
import { prices } from './modules/prices'
import { responses } from './modules/responses'
import { runs } from './modules/runs'
import { search } from './modules/search'
import { stats } from './modules/stats'
import { sync } from './modules/sync'
import { ownTenant, tenants } from './modules/tenants'
import { adminUsage, usage } from './modules/usage'
import { user } from './modules/user'
import { webhooks } from './modules/webhooks'
import { sockets } from './modules/ws'
import { type Auth, auth } from './plugins/auth'
import { body } from './plugins/body'
import { clientAddress } from './plugins/client-address'
import { compress } from './plugins/compress'
import { docs } from './plugins/docs'
import { type ErrorsOptions, errors } from './plugins/errors'
import { idempotency, Repetitions, type RepetitionsOptions } from './plugins/idempotency'
import { ids } from './plugins/ids'
import { metrics } from './plugins/metrics'
import { RateLimit, rateLimitAddresses, rateLimited } from './plugins/rate-limit'
import { requestLog } from './plugins/request'
import { securityHeaders } from './plugins/security-headers'
import { shed } from './plugins/shed'
import type { Services } from './wire'

/** The whole server: plugins in the order in which a request meets them, then what it offers. */
export function createApp(services: Services) {
  const { config, info } = services
  const repetitions = new Repetitions({ keys: services.idempotency, own: OWN_KEYS, paid: PAID })
  const { trustProxy } = config.server
  const limit = new RateLimit({ rates: services.rates, trustProxy, words: limitWords })
  const identity = idempotency(rateLimited(auth(services.accounts), limit), repetitions)
  const address = clientAddress({ trustProxy })
  return new Elysia({
    name: 'ai-chat-orchestrator',
    websocket: {
      maxPayloadLength: config.server.maxBodyBytes,
      // Far above what a connection lets wait: beyond it, frames would be thrown away.
      backpressureLimit: 64 * 1024 * 1024,
      // Seconds; a ping goes out before it, so that no proxy takes a quiet connection for a dead one.
      idleTimeout: 48,
    },
    serve: {
      // The body plugin stops reading at the limit and says so; Bun's own refusal would be a bare 413.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      idleTimeout: 60,
    },
  })
    .use(errors({ dialect, onError: services.onError, answered: repetitions.failed }))
    .use(requestLog({ metrics: services.metrics, onDone: services.onRequest }))
    .use(securityHeaders({ https: config.production }))
    .use(cors(corsOptions(config.server.corsOrigins)))
    .use(rateLimitAddresses(limit, services))
    .use(body({ maxBytes: config.server.maxBodyBytes, unread: ['/v1/import/conversations'], onRead: repetitions.read }))
    .use(arrival(services))
    .use(docs({ ...info, withoutKey: [WITHOUT_KEY] }))
    .use(health(services.health, info))
    .use(config.metrics.enabled ? metrics(services.metrics, config.metrics) : new Elysia())
    .get('/', ({ redirect }) => redirect('/docs'), { detail: { hide: true } })
    .use(accounts({ auth: identity, address }, services.signIn))
    .use(keys(identity, services.keys))
    .use(chat(identity, services.chat))
    .use(aiSdk(identity, services.aiSdk))
    .use(anthropicApi(identity, services.chat))
    .use(responses(identity, services.responses))
    .use(embeddings(identity, services.embeddings))
    .use(runs(identity, services.runs, services.approvals))
    .use(search(identity, services.search))
    .use(stats(identity, services.stats))
    .use(devices(identity, services))
    .use(conversations(identity, services.conversations))
    .use(batch(identity, services.batch))
    .use(exports(identity, services.exports))
    .use(imports(identity, services.imports))
    .use(branches(identity, services.branches))
    .use(messages(identity, services.messages))
    .use(feedback(identity, services.feedback))
    .use(observatory(identity, services.observatory))
    .use(models(identity, services.modelList))
    .use(money(identity, services))
    .use(administration(identity, services))
}

/** What is done with every request that is understood. Parts like this one keep the chain of all short, for the compiler's sake. */
const arrival = ({ shedding }: Services) =>
  new Elysia({ name: 'arrival' })
    .use(ids())
    .use(shed({ ...shedding, background: BACKGROUND }))
    .use(compress())

/** What keeps somebody's devices together. */
const devices = (identity: Auth, { sync: changes, sockets: connections, config }: Services) =>
  new Elysia({ name: 'devices' })
    .use(sync(identity, changes))
    .use(sockets(connections, { origins: config.server.corsOrigins }))

/** What people see of their usage and money. */
const money = (identity: Auth, services: Services) =>
  new Elysia({ name: 'money' })
    .use(user(identity, services.profiles))
    .use(usage(identity, services.usage))
    .use(lettaUser(identity, services.lettaUser))

/** What is for administrators. A part of its own: the types of one chain of all would be too deep for the compiler. */
const administration = (identity: Auth, services: Services) =>
  new Elysia({ name: 'administration' })
    .use(tenants(identity, services.tenants))
    .use(ownTenant(identity, services.tenants))
    .use(people(identity, services.people))
    .use(webhooks(identity, services.webhooks))
    .use(feedbackByModel(identity, services.feedback))
    .use(adminUsage(identity, services.usage))
    .use(ledger(identity, services.ledger))
    .use(budgets(identity, services.budgets))
    .use(prices(identity, services.prices))

/** The type that Eden clients are made from. */
export type App = ReturnType<typeof createApp>

/** What nobody waits for on a page: refused first when there is too much to do. */
const BACKGROUND = [
  'POST /v1/import/conversations',
  'POST /v1/export/conversations',
  'POST /v1/conversations/batch',
  'DELETE /v1/conversations/batch',
  'GET /v1/admin/usage/export',
]

/** Ends the very session that a repetition would have to come with. */
const WITHOUT_KEY = 'POST /api/v1/auth/logout'

/**
 * Every write that knows its caller honours `Idempotency-Key`. These do so themselves: what they make has ids that follow from
 * the key, or a run that holds it. Answers that nobody keeps have neither.
 */
const OWN_KEYS: RepetitionsOptions['own'] = {
  'POST /v1/chat/completions': ({ body, headers }) =>
    !isOpenAi(body) || Boolean(has(body, 'conversation_id') || headers.get('x-conversation-id')),
  'POST /v1/messages': ({ body, headers }) =>
    Boolean(headers.get('x-conversation-id') ?? has(has(body, 'metadata'), 'conversation_id')),
  'POST /v1/responses': ({ body }) => has(body, 'store') !== false,
  'POST /api/chat': true,
  'POST /v1/chat/regenerate': true,
  'POST /v1/messages/:id/regenerate': true,
  'POST /v1/conversations': true,
  'POST /v1/conversations/:id/branches': true,
  'POST /v1/conversations/:id/branches/:branch_id/merge': true,
  'POST /api/v1/conversations': true,
  // The books remember their keys for ever.
  'POST /v1/admin/ledger/credits': true,
  'POST /api/v1/conversations/:id/messages': true,
  [WITHOUT_KEY]: true,
}

/** Where models are asked for answers that nobody keeps. */
const PAID: RepetitionsOptions['paid'] = [
  'POST /v1/chat/completions',
  'POST /v1/messages',
  'POST /v1/responses',
  'POST /v1/embeddings',
]

const has = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined

const OPENAI = /^\/v1\/(?:models(?:$|\/(?!.*\/info$))|embeddings$|responses(?:\/|$))/

/** Surfaces that clients of others talk to answer failures in their words; pages of the AI SDK show them as they are. */
const dialect: ErrorsOptions['dialect'] = ({ path, body: sent }, error, requestId) => {
  if (/^\/api\/chat(?:\/|$)/.test(path)) return { status: error.status, body: error.message }
  if (/^\/api\/v1\/(?:conversations|user)(?:\/|$)/.test(path))
    return { status: error.status, body: observatoryError(error) }
  if (path === '/v1/messages' || path === '/v1/messages/count_tokens') {
    return { status: anthropicStatus(error), body: anthropicError(error, requestId) }
  }
  const openAi = OPENAI.test(path) || (path === '/v1/chat/completions' && isOpenAi(sent))
  return openAi ? { status: openAiStatus(error), body: openAiError(error, requestId) } : undefined
}

/** Whose clients look for headers of their own about what is left. */
const limitWords = (path: string) => {
  if (path.startsWith('/v1/messages')) return 'anthropic'
  return OPENAI.test(path) || path === '/v1/chat/completions' ? 'openai' : undefined
}

/** Tokens travel in headers and never in cookies, so `*` lets any page talk to us but lend us nobody's session. */
const corsOptions = (origins: string[]) => ({
  origin: origins.includes('*') ? ('*' as const) : origins,
  credentials: false,
  allowedHeaders: [
    'authorization',
    'content-type',
    'x-api-key',
    'anthropic-version',
    'anthropic-beta',
    'x-request-id',
    'x-conversation-id',
    'x-stream-restart',
    'idempotency-key',
    'if-match',
    'last-event-id',
    'traceparent',
    'tracestate',
    'ui-stream',
  ],
  exposeHeaders: [
    'x-request-id',
    'request-id',
    'etag',
    'retry-after',
    'ratelimit',
    'ratelimit-policy',
    'x-ratelimit-limit-requests',
    'x-ratelimit-remaining-requests',
    'x-ratelimit-reset-requests',
    'idempotency-replayed',
    'x-export-id',
    'content-disposition',
    'x-error-code',
    'x-vercel-ai-ui-message-stream',
  ],
  maxAge: 600,
})
