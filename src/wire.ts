import { hkdfSync } from 'node:crypto'
import { join } from 'node:path'
import Redis from 'ioredis'
import pkg from '../package.json'
import { type Config, ConfigError } from './config'
import { type AppError, ERRORS } from './errors'
import { newId } from './lib/ids'
import { Catalog } from './llm/catalog'
import { configuredProviders } from './llm/configured'
import { DEMO_MODEL, demoModel } from './llm/demo'
import { ModelsFileError } from './llm/models-file-error'
import { Router } from './llm/router'
import { ToolLoop } from './llm/tool-loop'
import type { Log } from './log'
import { AccessTokens, ExternalTokens } from './modules/accounts/access-tokens'
import { LoginLimiter } from './modules/accounts/login-limiter'
import { Passwords } from './modules/accounts/passwords'
import { Accounts } from './modules/accounts/service'
import { SupabaseSignIn } from './modules/accounts/supabase'
import { AiSdk } from './modules/ai-sdk/service'
import { Batch } from './modules/batch/service'
import { Branches } from './modules/branches/service'
import { Chat } from './modules/chat/service'
import { conversationJson, messageJson } from './modules/conversations/model'
import { Conversations } from './modules/conversations/service'
import { Embeddings } from './modules/embeddings/service'
import { Exports } from './modules/exports/service'
import { Feedback } from './modules/feedback/service'
import { type Dependency, Health } from './modules/health/service'
import { Imports } from './modules/imports/service'
import { Keys } from './modules/keys/service'
import { Messages } from './modules/messages/service'
import { Models } from './modules/models/service'
import { Observatory } from './modules/observatory/service'
import { Responses } from './modules/responses/service'
import { Approvals } from './modules/runs/approvals'
import { runJson } from './modules/runs/model'
import { Runs } from './modules/runs/service'
import { Search } from './modules/search/service'
import { Stats } from './modules/stats/service'
import { Sync } from './modules/sync/service'
import { Idempotency } from './plugins/idempotency-keys'
import { Metrics } from './plugins/metrics'
import { MemoryRunLog } from './runs/memory'
import type { Store } from './store/port'
import { sqlStore } from './store/sql'

export type Services = Awaited<ReturnType<typeof wire>>

/**
 * Chooses an implementation for every port and puts the services together. The only file that does.
 * @param onFatal called when the process cannot go on: the embedded database died, and only a new process can open it.
 */
export async function wire(config: Config, log: Log, onFatal: (error: Error) => void) {
  const now = () => new Date()
  const instanceId = newId()
  const metrics = new Metrics()
  // First: a mistake in the models file shall not cost an opened database.
  const { models, catalog, reloadModels } = await openModels(config, metrics, log)
  const store = await openStore(config, { log, metrics, onFatal })
  const redis = config.redisUrl ? openRedis(config.redisUrl, log) : undefined

  const runs = new Runs({
    store,
    log: new MemoryRunLog(),
    instanceId,
    now,
    onFault: (message, err) => log.error({ err }, message),
  })
  await runs.open()

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
  })

  const tools = await openTools(config, log)
  const chat = new Chat({
    store,
    runs,
    models,
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

  if (config.admin) await accounts.ensureOwner(config.admin)

  return {
    config,
    store,
    metrics,
    models,
    catalog,
    modelList: new Models(models, catalog, store.wallets),
    /** Reads MODELS_FILE again; a bad one changes nothing. Answers being made keep the deployments they have. */
    reloadModels,
    runs,
    approvals: new Approvals(store, runs, chat),
    accounts,
    /** Where people register and sign in by password. */
    signIn: config.supabaseAuth
      ? new SupabaseSignIn({ ...config.supabaseAuth, limiter, forget: (hash) => accounts.forget(hash) })
      : accounts,
    keys: new Keys(store, accounts, now),
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
    observatory: new Observatory({ store, conversations, chat, runs, feedback, models, now }),
    search: new Search(store),
    stats: new Stats(store, now),
    sync: new Sync(store, { conversation: conversationJson, message: messageJson, run: runJson }),
    aiSdk: new AiSdk(store, chat, runs),
    responses: new Responses(store, chat, runs),
    embeddings: new Embeddings(chat, models),
    idempotency: new Idempotency({
      store,
      key: new Uint8Array(hkdfSync('sha256', signingKey, '', 'idempotency/v1', 32)),
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
      redis?.disconnect()
      await tools?.close()
      await store.close()
    },
  }
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

function openRedis(url: string, log: Log): Redis {
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

async function openModels({ llm }: Config, metrics: Metrics, log: Log) {
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
  const models: Router = new Router({
    providers: demo ? [demoModel()] : configured,
    defaultModel: demo ? DEMO_MODEL : llm.defaultModel,
    observer: metrics,
    totalMs: timeouts.total,
    onOpen: (provider, model) => log.warn({ provider, model }, 'a model is left alone after failures'),
    costOf: (deployment, usage) => catalog.costOf(deployment, usage),
  })
  const catalog: Catalog = new Catalog((provider, model) => models.listed(provider, model))
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
  return { models, catalog, reloadModels }
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
