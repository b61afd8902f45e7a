import { hkdfSync } from 'node:crypto'
import { join } from 'node:path'
import type Redis from 'ioredis'
import pkg from '../package.json'
import { type Config, ConfigError } from './config'
import { type AppError, ERRORS } from './errors'
import { newId } from './lib/ids'
import { Seal } from './lib/seal'
import { Catalog } from './llm/catalog'
import { configuredProviders } from './llm/configured'
import { DEMO_MODEL, demoModel } from './llm/demo'
import { estimated, type ToEstimate } from './llm/estimate'
import { LiteLlmPeople } from './llm/litellm-people'
import { ModelsFileError } from './llm/models-file-error'
import { Rater } from './llm/rater'
import { Router } from './llm/router'
import { Tokenizer } from './llm/tokenizer'
import { ToolLoop } from './llm/tool-loop'
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
import { Budgets } from './modules/budgets/service'
import { Chat } from './modules/chat/service'
import { conversationJson, messageJson } from './modules/conversations/model'
import { Conversations } from './modules/conversations/service'
import { Embeddings } from './modules/embeddings/service'
import { Exports } from './modules/exports/service'
import { Feedback } from './modules/feedback/service'
import { type Dependency, Health } from './modules/health/service'
import { Imports } from './modules/imports/service'
import { Keys } from './modules/keys/service'
import { Ledger } from './modules/ledger/service'
import { LettaUser } from './modules/letta-user/service'
import { Messages } from './modules/messages/service'
import { Models } from './modules/models/service'
import { Observatory } from './modules/observatory/service'
import { People } from './modules/people/service'
import { PriceList } from './modules/prices/service'
import { Responses } from './modules/responses/service'
import { Approvals } from './modules/runs/approvals'
import { runJson } from './modules/runs/model'
import { Runs } from './modules/runs/service'
import { Search } from './modules/search/service'
import { Stats } from './modules/stats/service'
import { Sync } from './modules/sync/service'
import { Tenants } from './modules/tenants/service'
import { Usage } from './modules/usage/service'
import { Profiles, type ProfilesDeps } from './modules/user/service'
import { Sender } from './modules/webhooks/sender'
import { Webhooks } from './modules/webhooks/service'
import { Idempotency } from './plugins/idempotency-keys'
import { Metrics } from './plugins/metrics'
import { MemoryRunLog } from './runs/memory'
import { GroupedLedger } from './store/ledger-groups'
import type { Owner, Store } from './store/port'
import { sqlStore } from './store/sql'

export type Services = Awaited<ReturnType<typeof wire>>

/**
 * Chooses an implementation for every port and puts the services together. The only file that does.
 * @param onFatal called when the process cannot go on: the embedded database died, and only a new process can open it.
 */
export async function wire(config: Config, log: Log, onFatal: (error: Error) => void) {
  const now = () => new Date()
  const instanceId = newId()
  const seal = new Seal(config.encryptionSecret)
  const metrics = new Metrics()
  // First: a mistake in the models file shall not cost an opened database.
  const { models, catalog, rater, reloadModels } = await openModels(config, metrics, log)
  const opened = await openStore(config, { log, metrics, onFatal })
  const litellmKeys = new LitellmKeys({
    proxy: litellmPeople(config),
    store: opened,
    now,
    onFault: (message, err) => log.warn({ err }, message),
  })
  const store: Store = { ...opened, wallets: walletsWithKeys(opened.wallets, litellmKeys) }
  const redis = config.redisUrl ? await openRedis(config.redisUrl, log) : undefined

  const { signingKey, accessTokenMinutes, external } = config.auth
  const limiter = new LoginLimiter(redis)
  const accounts = new Accounts({
    store,
    tokens: new AccessTokens(signingKey, accessTokenMinutes * 60),
    external: external && new ExternalTokens(external),
    passwords: new Passwords(),
    limiter,
    refreshKey: new Uint8Array(hkdfSync('sha256', signingKey, '', 'refresh-token/v1', 32)),
    now,
    onRefused: ({ why, ...facts }) => {
      // The first two are what issuers and administrators do; the last one is a mistake that somebody has to mend.
      const level = why === 'the person is in another tenant' ? 'warn' : 'debug'
      log[level](facts, `a token of the outside issuer is refused: ${why}`)
    },
  })
  // Before anything runs in the background: a start that is refused shall leave nothing behind.
  try {
    if (config.admin && !(await accounts.ensureOwner(config.admin))) {
      log.warn('The account of ADMIN_EMAIL is disabled. Another owner can enable it')
    }
  } catch (error) {
    redis?.disconnect()
    await opened.close()
    throw error
  }

  const runs = new Runs({
    store,
    log: new MemoryRunLog(),
    instanceId,
    now,
    onFault: (message, err) => log.error({ err }, message),
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

  const billing = new Billing({
    ledger: store.kind === 'edge' ? undefined : new GroupedLedger(store.ledger),
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
    onFault: (message, err) => log.error({ err }, message),
    now,
  })
  await billing.open()

  const tools = await openTools(config, log)
  const chat = new Chat({
    store,
    runs,
    models,
    tenants,
    billing,
    tools: tools?.loop,
    catalog,
    contextPolicy: config.llm.contextPolicy,
    instanceId,
    maxContextMessages: config.llm.maxContextMessages,
    minBalance: config.minBalance,
    now,
  })
  const conversations = new Conversations(store, runs, now)
  const feedback = new Feedback(store, now)
  const stats = new Stats(store, now)
  const money = moneyServices({ store, models, catalog, billing, litellmKeys, stats, log, now })

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
      ? new SupabaseSignIn({ ...config.supabaseAuth, limiter, forget: (hash) => accounts.forget(hash) })
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
    exports: new Exports({ store, now, onFault: (message, err) => log.error({ err }, message) }),
    imports: new Imports({ store, now, maxBytes: config.server.maxImportBytes, atOnce: writersOf(config) }),
    feedback,
    observatory: new Observatory({ store, conversations, chat, runs, feedback, models, tenants, now }),
    search: new Search(store),
    stats,
    ...money,
    /** Tells who wants to know. Whoever writes an event wakes it. */
    webhooks,
    sync: new Sync(store, { conversation: conversationJson, message: messageJson, run: runJson }),
    aiSdk: new AiSdk(store, chat, runs),
    responses: new Responses(store, chat, runs),
    embeddings: new Embeddings(chat, models, billing),
    billing,
    idempotency: new Idempotency({
      store,
      seal,
      instanceId,
      now,
      onFault: (message, err) => log.error({ err }, message),
    }),
    health: new Health(() => [...dependencies({ store, redis, models }), ...(tools?.dependencies ?? [])]),
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
    /** Closes what is open. Runs must have been closed before. */
    async close() {
      await billing.close(config.server.drainTimeout * 1000)
      redis?.disconnect()
      await tools?.close()
      await webhooks.close()
      await store.close()
    },
  }
}

/** What people and administrators see of usage and money. */
function moneyServices({ store, models, catalog, billing, litellmKeys, stats, log, now }: MoneyDeps) {
  const account = (owner: Owner) => billing.account(owner)
  const profiles = new Profiles({ store, account, proxySpend: (user) => litellmKeys.spend(user), now })
  const usage = new Usage({ store, now, onFault: (message, err) => log.error({ err }, message) })
  const ledger = new Ledger({ store, account, now })
  return {
    profiles,
    usage,
    ledger,
    budgets: new Budgets({ store, ledger, now }),
    prices: new PriceList({ store, models, catalog, now }),
    lettaUser: new LettaUser({ store, profiles, usage, stats, account, now }),
  }
}

interface MoneyDeps {
  store: Store
  models: Router
  catalog: Catalog
  billing: Billing
  litellmKeys: { spend: ProfilesDeps['proxySpend'] }
  stats: Stats
  log: Log
  now: () => Date
}

async function openStore(
  { store, minBalance }: Config,
  { log, metrics, onFatal }: { log: Log; metrics: Metrics; onFatal: (error: Error) => void },
): Promise<Store> {
  if (store.edge) {
    const { edgeStore } = await import('./store/edge-function')
    const { supabase, functionUrl, timeout } = store.edge
    return edgeStore({
      functionUrl,
      supabaseUrl: supabase.url,
      anonKey: supabase.anonKey,
      dataDir: store.dataDir,
      timeoutMs: timeout,
      concurrency: store.poolSize,
      minBalance,
      onCall: (line) => {
        metrics.upstreamCall(line)
        log.debug(line, 'call')
      },
      onWaiting: (count) => metrics.answersWaiting(count),
      onFault: (message, err) => log.warn({ err }, message),
    })
  }
  if (store.kind === 'postgres' && store.databaseUrl) {
    const { openPostgres } = await import('./store/postgres')
    const onError = (err: Error) => log.warn({ err }, 'a database connection broke')
    return sqlStore(
      'postgres',
      openPostgres({
        url: store.databaseUrl,
        poolSize: store.poolSize,
        onError,
      }),
    )
  }
  // Not loaded at all when it is not used: the embedded database is 200 MB of memory.
  const { openPglite } = await import('./store/pglite')
  return sqlStore('pglite', await openPglite({ dataDir: join(store.dataDir, 'postgres'), onError: onFatal }))
}

/** Imported conversations that are written at once: the embedded database has one connection, a server others to serve. */
const writersOf = ({ store: { kind, poolSize } }: Config) =>
  kind === 'pglite' ? 1 : Math.max(1, Math.min(4, Math.floor(poolSize / 3)))

async function openRedis(url: string, log: Log): Promise<Redis> {
  // Not loaded without one.
  const { default: Redis } = await import('ioredis')
  // Fail fast: a request must never wait for a Redis that is away.
  const redis = new Redis(url, {
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    connectTimeout: 1000,
    commandTimeout: 500,
  })
  redis.on('error', (err) => log.warn({ err }, 'redis'))
  return redis
}

async function openModels({ llm, billing }: Config, metrics: Metrics, log: Log) {
  const { timeouts, modelsFile } = llm
  // Not loaded without a file: the reader of YAML takes a while.
  const { ModelsFileOnDisk } = modelsFile ? await import('./llm/models-reload') : {}
  const file = modelsFile && ModelsFileOnDisk && new ModelsFileOnDisk({ ...modelsFile, timeouts })
  const configured = file ? [] : configuredProviders(llm)
  const { defaultProvider } = llm
  if (defaultProvider && !file && !configured.some(({ name }) => name === defaultProvider)) {
    log.warn(`DEFAULT_PROVIDER is ${defaultProvider}, which is not configured`)
  }
  const demo = !file && configured.length === 0
  const tokenizer = new Tokenizer()
  const estimate = (asked: ToEstimate) => estimated(asked, tokenizer)
  const models: Router = new Router({
    providers: demo ? [demoModel()] : configured,
    defaultModel: demo ? DEMO_MODEL : llm.defaultModel,
    observer: metrics,
    totalMs: timeouts.total,
    onOpen: (provider, model) => log.warn({ provider, model }, 'a model is left alone after failures'),
    rate: (deployment, usage) => rater.rate(deployment, usage),
    estimate,
  })
  const catalog: Catalog = new Catalog((provider, model) => models.listed(provider, model))
  const { unknownPrice: policy, cancelledStreams: cancelled } = billing
  const rater: Rater = new Rater({ catalog, estimate, policy, cancelled })
  metrics.watchBreakers(() => models.open())

  /** @throws ModelsFileError */
  const read = () => {
    if (!file) return
    const { routes, listing, warnings } = file.read()
    for (const warning of warnings) log.warn(`MODELS_FILE, ${warning}`)
    models.use(routes, listing)
  }
  const reloadModels = () => {
    try {
      read()
      void catalog.open(models.everybody())
      log.info({ models: models.routed }, 'MODELS_FILE was read again')
    } catch (err) {
      if (!(err instanceof ModelsFileError)) throw err
      log.error({ problems: err.problems }, 'MODELS_FILE cannot be used; the models stay as they are')
    }
  }
  try {
    read()
  } catch (error) {
    if (!(error instanceof ModelsFileError)) throw error
    throw new ConfigError(error.problems.map((problem) => `MODELS_FILE: ${problem}`))
  }
  return { models, catalog, rater, reloadModels }
}

/** Who makes keys for people at the proxy; only where this server keeps their accounts and asks the proxy with its own key. */
function litellmPeople({ llm, store, supabaseAuth }: Config): LiteLlmPeople | undefined {
  const { litellm, litellmUserKeys, modelsFile } = llm
  if (!litellm?.apiKey || !litellmUserKeys || modelsFile || supabaseAuth || store.kind === 'edge') return undefined
  return new LiteLlmPeople({ baseUrl: litellm.baseUrl, masterKey: litellm.apiKey })
}

/** The MCP servers of MCP_FILE. Not loaded at all, and nothing is connected to, without that. */
async function openTools({ tools }: Config, log: Log) {
  if (!tools) return undefined
  const { McpTools } = await import('./tools/mcp')
  const box = new McpTools({
    ...tools,
    version: pkg.version,
    log: (level, facts, message) => log[level](facts, message),
  })
  const { steps, result_kb } = tools.limits
  return {
    loop: new ToolLoop(box, { steps, resultBytes: result_kb * 1024 }),
    dependencies: box
      .checks()
      .map(({ name, check }): Dependency => ({ name: `tools:${name}`, required: false, check })),
    close: () => box.close(),
  }
}

function dependencies({ store, redis, models }: { store: Store; redis: Redis | undefined; models: Router }) {
  const list: Dependency[] = [
    { name: store.kind === 'edge' ? 'edge_function' : 'database', required: true, check: () => store.ping() },
  ]
  if (redis) list.push({ name: 'redis', required: false, check: () => redis.ping() })
  for (const { name, check } of models.checks()) list.push({ name: `llm:${name}`, required: false, check })
  return list
}
