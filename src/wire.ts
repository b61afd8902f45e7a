import { hkdfSync } from 'node:crypto'
import pkg from '../package.json'
import { forgetful } from './cache/changes'
import type { Config } from './config'
import { type AppError, ERRORS } from './errors'
import { newId } from './lib/ids'
import { Seal } from './lib/seal'
import { hashToken } from './lib/tokens'
import { Rates } from './limits/rates'
import { Lag } from './load/lag'
import { overloaded, Places } from './load/places'
import type { Log } from './log'
import { AccessTokens, ExternalTokens } from './modules/accounts/access-tokens'
import { LitellmKeys, signInWithKeys, walletsWithKeys } from './modules/accounts/litellm-keys'
import { LoginLimiter } from './modules/accounts/login-limiter'
import { Passwords } from './modules/accounts/passwords'
import { Accounts } from './modules/accounts/service'
import { SupabaseSignIn } from './modules/accounts/supabase'
import { AiSdk } from './modules/ai-sdk/service'
import { Batch } from './modules/batch/service'
import { Journal } from './modules/billing/journal'
import { Billing } from './modules/billing/service'
import { Branches } from './modules/branches/service'
import { Chat } from './modules/chat/service'
import { conversationJson, messageJson } from './modules/conversations/model'
import { Conversations } from './modules/conversations/service'
import { Embeddings } from './modules/embeddings/service'
import { Exports } from './modules/exports/service'
import { announcing } from './modules/feed/announced'
import { announce, type Fact, Feed } from './modules/feed/service'
import { Feedback } from './modules/feedback/service'
import { Health, type RedisUse } from './modules/health/service'
import { Imports } from './modules/imports/service'
import { Keys } from './modules/keys/service'
import { Messages } from './modules/messages/service'
import { Models } from './modules/models/service'
import { Observatory } from './modules/observatory/service'
import { People } from './modules/people/service'
import { Responses } from './modules/responses/service'
import { Approvals } from './modules/runs/approvals'
import { runJson } from './modules/runs/model'
import { Runs } from './modules/runs/service'
import { Search } from './modules/search/service'
import { Stats } from './modules/stats/service'
import { Sync } from './modules/sync/service'
import { Tenants } from './modules/tenants/service'
import { accountJson } from './modules/user/model'
import { Sender } from './modules/webhooks/sender'
import { Webhooks } from './modules/webhooks/service'
import { Sockets } from './modules/ws/service'
import { inName } from './plugins/auth'
import { Idempotency } from './plugins/idempotency-keys'
import { Metrics } from './plugins/metrics'
import { GroupedLedger } from './store/ledger-groups'
import { QuotaLedger } from './store/ledger-quotas'
import type { Store } from './store/port'
import { dependencies } from './wiring/dependencies'
import { litellmPeople, openModels } from './wiring/models'
import { moneyServices } from './wiring/money'
import { openBetween, openCache, openLimiter, openRedis } from './wiring/redis'
import { type EmbeddedOptions, openStore, writersOf } from './wiring/store'
import { openTools } from './wiring/tools'

const HOUR = 3_600_000

export type Services = Awaited<ReturnType<typeof wire>>

/** Chooses an implementation for every port, with the files of `wiring/`, and puts the services together. */
export async function wire(config: Config, log: Log, opening: EmbeddedOptions) {
  const now = () => new Date()
  const instanceId = newId()
  const seal = new Seal(config.encryptionSecret)
  const metrics = new Metrics()
  // First: a mistake in the models file shall not cost an opened database.
  const { models, catalog, rater, reloadModels } = await openModels(config, metrics, log).catch(async (error) => {
    await (await opening.embedded)?.close()
    throw error
  })
  const opened = await openStore(config, { log, metrics, ...opening })
  const litellmKeys = new LitellmKeys({
    proxy: litellmPeople(config),
    store: opened,
    now,
    onFault: (message, err) => log.warn({ err }, message),
  })
  const redis = config.redisUrl ? await openRedis(config.redisUrl, log) : undefined
  const cache = await openCache(redis, metrics, log)
  models.shareLists(({ provider, baseUrl, theirs }, load) => {
    const owner = theirs ? hashToken(theirs) : 'everybody'
    const key = hashToken(`${provider} ${baseUrl}`)
    return cache.get({ use: 'models', owner, key, ttlMs: HOUR, staleMs: 23 * HOUR }, load)
  })
  const tell = (userId: string, fact: Fact) => announce(bus, userId, fact)
  const store: Store = announcing(
    { ...forgetful(opened, cache), wallets: walletsWithKeys(opened.wallets, litellmKeys) },
    tell,
  )
  const { bus, runLog, ...between } = await openBetween(redis)
  const limiter = openLimiter(redis, instanceId, log)
  /** What Redis is for; `/health` shows how each is done now. */
  const redisUses: RedisUse[] = redis
    ? [
        { name: 'cache', mode: () => cache.mode() },
        ...between.uses,
        { name: 'rate_limits', mode: () => (limiter.mode === 'redis' ? 'redis' : 'local') },
      ]
    : []

  const { signingKey, accessTokenMinutes, external } = config.auth
  const logins = new LoginLimiter(limiter)
  const accounts = new Accounts({
    store,
    tokens: new AccessTokens(signingKey, accessTokenMinutes * 60),
    external: external && new ExternalTokens(external),
    passwords: new Passwords(),
    limiter: logins,
    refreshKey: new Uint8Array(hkdfSync('sha256', signingKey, '', 'refresh-token/v1', 32)),
    now,
    onRefused: ({ why, ...facts }) => {
      // The first two are what issuers and administrators do; the last one is a mistake that somebody has to mend.
      const level = why === 'the person is in another tenant' ? 'warn' : 'debug'
      log[level](facts, `a token of the outside issuer is refused: ${why}`)
    },
    onEnded: (userId) => tell(userId, { kind: 'session' }),
  })
  // Before anything runs in the background: a start that is refused shall leave nothing behind.
  try {
    if (config.admin && !(await accounts.ensureOwner(config.admin))) {
      log.warn('The account of ADMIN_EMAIL is disabled. Another owner can enable it')
    }
  } catch (error) {
    await limiter.close()
    await between.close()
    cache.close()
    redis?.disconnect()
    await opened.close()
    throw error
  }

  const onFault = (message: string, err: unknown) => log.error({ err }, message)
  /** Whether answers of servers that died are made again: only one database knows the answers of all of them. */
  const continues = config.orphanedAnswers === 'continue' && store.kind === 'postgres'
  const runs = new Runs({
    store,
    continues,
    log: runLog,
    bus,
    instanceId,
    now,
    onFault,
  })
  await runs.open()

  const tenants = new Tenants({
    store,
    accounts,
    seal,
    providers: () => models.everybody().map(({ name }) => name),
    now,
    onFault: (message, facts) => log.error(facts, message),
  })

  const webhooks = new Webhooks({
    outbox: store.outbox,
    sender: config.webhook && new Sender({ ...config.webhook, now }),
    watcher: metrics,
    log: (level, facts, message) => log[level](facts, message),
    now,
  })
  if (store.kind !== 'edge') webhooks.start()

  // What the embedded database was sent dies with this process: it is waited for.
  const quotas = store.kind === 'postgres' ? new QuotaLedger(store.ledger, { now, onFault }) : undefined
  const billing = new Billing({
    ledger: store.kind === 'edge' ? undefined : (quotas ?? new GroupedLedger(store.ledger)),
    rater,
    journal: new Journal(config.store.dataDir, instanceId),
    answers: store.turns,
    tenants: async (tenantId) => (await tenants.of(tenantId)).tenant ?? { marginBp: 0, billing: null },
    ...config.billing,
    totalMs: config.llm.timeouts.total,
    eventOf: webhooks.eventOf,
    onEvent: () => webhooks.wake(),
    onRefused: (reason) => metrics.reservationRefused(reason),
    onWaiting: (count) => metrics.settlementsWaiting(count),
    onFault,
    now,
  })
  await billing.open()

  const tools = await openTools(config, log)
  const places = new Places({ ...config.load, onShed: (standing) => metrics.shed(standing) })
  const lag = new Lag()
  metrics.watchLoad(() => ({ taken: places.taken, waiting: places.waiting }))
  const rates = new Rates({
    limiter,
    settings: config.rates,
    newId,
    onRefused: (limit) => metrics.rateLimited(limit),
  })
  const chat = new Chat({
    store,
    runs,
    places,
    rates,
    models,
    tenants,
    billing,
    tools: tools?.loop,
    catalog,
    contextPolicy: config.llm.contextPolicy,
    instanceId,
    continues,
    maxContextMessages: config.llm.maxContextMessages,
    minBalance: config.minBalance,
    now,
  })
  runs.inherit({ room: () => places.free, goOn: (orphan) => chat.goOn(orphan) })
  const conversations = new Conversations(store, runs, now)
  const feedback = new Feedback(store, now)
  const stats = new Stats(store, now)
  // Without Redis only the server of an embedded database hears of every change: it is alone.
  const keepMs = redis || store.kind === 'pglite' ? 900_000 : 0
  const kept = { cache, keepMs }
  const sync = new Sync(store, { conversation: conversationJson, message: messageJson, run: runJson })
  const feed = new Feed({
    bus,
    sync,
    balance: async (owner) => (store.kind === 'edge' ? undefined : accountJson(await billing.account(owner))),
    // Other processes that share the database may be out of the bus's reach.
    pollMs: store.kind === 'postgres' ? 5000 : 30_000,
    onFault: (message, err) => log.warn({ err }, message),
  })
  const sockets = new Sockets({
    async identify(credential, requestId) {
      const user = await accounts.identify(credential)
      return user && inName(user, credential, requestId)
    },
    identifyAnew: (credential) => accounts.identifyAnew(credential),
    chat,
    runs,
    feed,
    bus,
    async admit(user, operation) {
      const { refused } = (await rates.request(user, operation)) ?? {}
      if (refused) throw refused
    },
    onFault: (message, err, requestId) => log.error({ err, request_id: requestId }, message),
  })
  metrics.watchSockets(() => sockets.connections)
  const money = moneyServices({ store, models, catalog, billing, litellmKeys, kept, stats, log, now })

  return {
    config,
    store,
    metrics,
    models,
    catalog,
    modelList: new Models(models, catalog, store.wallets, tenants),
    /** Reads MODELS_FILE again; a bad one changes nothing. Answers being made keep the deployments they have. */
    reloadModels,
    runs,
    approvals: new Approvals(store, runs, chat),
    accounts,
    /** Where people register and sign in by password. */
    signIn: config.supabaseAuth
      ? new SupabaseSignIn({ ...config.supabaseAuth, limiter: logins, forget: (hash) => accounts.forget(hash) })
      : signInWithKeys(accounts, litellmKeys),
    litellmKeys,
    keys: new Keys(store, accounts, now),
    tenants,
    people: new People(store, accounts, now),
    chat,
    conversations,
    branches: new Branches({ store, conversations, runs, now }),
    messages: new Messages({ store, conversations, chat, runs, now }),
    batch: new Batch({
      store,
      runs,
      key: new Uint8Array(hkdfSync('sha256', signingKey, '', 'batch-confirmation/v1', 32)),
      now,
    }),
    exports: new Exports({ store, now, onFault }),
    imports: new Imports({ store, now, maxBytes: config.server.maxImportBytes, atOnce: writersOf(config) }),
    feedback,
    observatory: new Observatory({ store, conversations, chat, runs, feedback, models, tenants, now }),
    search: new Search(store),
    stats,
    ...money,
    /** Tells who wants to know. Whoever writes an event wakes it. */
    webhooks,
    sync,
    feed,
    sockets,
    aiSdk: new AiSdk(store, chat, runs),
    responses: new Responses(store, chat, runs),
    embeddings: new Embeddings({ chat, models, billing, places, rates }),
    places,
    /** How often everybody may ask. */
    rates,
    /** When what can wait is refused. */
    shedding: {
      busy: () => places.waiting > 0 || lag.tooMuch,
      refusal: overloaded,
      onShed: () => metrics.shed('background'),
    },
    billing,
    idempotency: new Idempotency({
      store,
      seal,
      instanceId,
      now,
      onFault,
    }),
    redisUses,
    health: new Health(
      () => [...dependencies({ store, redis, redisUses, models }), ...(tools?.dependencies ?? [])],
      redisUses,
    ),
    info: {
      name: pkg.name,
      version: pkg.version,
      environment: config.production ? 'production' : 'development',
      store: store.kind,
      runtime: `bun ${Bun.version}`,
    },
    onRequest: (line: object) => log.info(line, 'request'),
    onError: (error: AppError, request: Request, requestId: string | null) => {
      const level = ERRORS[error.code].log
      if (level !== 'none') log[level]({ err: error, method: request.method, request_id: requestId }, error.message)
    },
    /** Closes what is open, in about `ms`. Runs must have been closed before. */
    async close(ms = config.server.drainTimeout * 1000) {
      lag.close()
      await billing.close(ms)
      await quotas?.close()
      await rates.close()
      await between.close()
      cache.close()
      redis?.disconnect()
      await tools?.close()
      await webhooks.close()
      await store.close()
    },
  }
}
