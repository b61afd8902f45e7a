import { hkdfSync, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cores } from './lib/cores'
import { type Env, envReader } from './lib/env'
import { parseRate, type Rate } from './lib/rate'
import { type UnknownPrice, unknownPriceOf } from './lib/unknown-price'
import { readMcpFile } from './tools/file'

/** Every setting, typed and grouped by the part that receives it. Made once, by `loadConfig`, in `index.ts`. */
export type Config = ReturnType<typeof loadConfig>

/** All problems of the environment in one message, so that the operator mends them in one go. */
export class ConfigError extends Error {
  override name = 'ConfigError'
  constructor(readonly problems: string[]) {
    super(`Cannot start, ${problems.length} setting(s) need attention:\n${problems.map((p) => `  - ${p}`).join('\n')}`)
  }
}

/**
 * Reads the environment. The only place that knows variable names; `.env.example` lists the same ones.
 * @throws ConfigError naming every bad variable and what it accepts.
 */
export function loadConfig(env: Env) {
  const read = envReader(env)
  const production = read.oneOf('NODE_ENV', ['development', 'test', 'production'], 'development') === 'production'
  const dataDir = read.text('DATA_DIR', '.data')
  const supabaseUrl = read.url('SUPABASE_URL')
  const edgeUrl = read.url('EDGE_FUNCTION_URL')
  const databaseUrl = read.url('DATABASE_URL', ['postgres:', 'postgresql:'])
  const kind = read.oneOf(
    'STORE',
    ['pglite', 'postgres', 'edge'],
    edgeUrl ? 'edge' : databaseUrl ? 'postgres' : 'pglite',
  )
  const secret = read.secret('JWT_SECRET_KEY')
  const encryption = read.secret('ENCRYPTION_KEY')
  const algorithm = read.oneOf('JWT_ALGORITHM', ['HS256', 'ES256', 'RS256'], 'HS256')
  const jwksUrl = read.url('JWT_JWKS_URL') ?? (supabaseUrl && `${supabaseUrl}/auth/v1/.well-known/jwks.json`)
  if (algorithm !== 'HS256' && !jwksUrl) {
    read.problem(`JWT_ALGORITHM=${algorithm} needs JWT_JWKS_URL or SUPABASE_URL, where the public keys are`)
  }
  if (algorithm === 'HS256' && supabaseUrl && !secret.given) {
    read.problem(
      "SUPABASE_URL needs JWT_SECRET_KEY, the project's JWT secret; if the project signs with keys, set JWT_ALGORITHM to ES256 or RS256",
    )
  }
  if (production && !secret.given) {
    read.problem(
      'JWT_SECRET_KEY is required when NODE_ENV=production: at least 32 characters, e.g. `openssl rand -hex 32`',
    )
  }
  const config = {
    production,
    server: {
      host: read.text('HOST', '0.0.0.0'),
      port: read.int('PORT', 8000, { min: 0, max: 65535 }),
      /** Bytes a request body may have. */
      maxBodyBytes: read.int('MAX_BODY_BYTES', 10_485_760, {
        min: 1024,
        max: 1_073_741_824,
      }),
      /** Bytes that conversations from elsewhere may have. They are read piece by piece. */
      maxImportBytes: read.int('MAX_IMPORT_BYTES', 209_715_200, { min: 1024, max: 10_737_418_240 }),
      /** Exact origins, or `*` for any (never with credentials). */
      corsOrigins: read.list('CORS_ORIGINS', ['*']),
      /** Take the client address from `X-Real-IP` / `X-Forwarded-For`. Only behind a proxy that sets them. */
      trustProxy: read.bool('TRUST_PROXY', false),
      /** Seconds between SIGTERM and the end, most of which running answers get to finish. */
      drainTimeout: read.int('DRAIN_TIMEOUT', 30, { min: 0, max: 3600 }),
      /** Seconds of these in which answers are still begun, while load balancers hear that this server ends. */
      drainDelay: read.int('DRAIN_DELAY', 0, { min: 0, max: 300 }),
      /** Processes on the one port. */
      workers: workers(),
    },
    load: {
      /** Answers that one process makes at once. */
      most: read.int('MAX_CONCURRENT_ANSWERS', 2000, { min: 1, max: 1_000_000 }),
      /** Requests that may wait for one of them to end. */
      queue: read.int('MAX_QUEUED_ANSWERS', 200, { min: 0, max: 1_000_000 }),
    },
    /** What becomes of stored answers whose server died. */
    orphanedAnswers: read.oneOf('ORPHANED_ANSWERS', ['interrupt', 'continue'], 'interrupt'),
    logLevel: read.oneOf('LOG_LEVEL', LOG_LEVELS, 'info'),
    metrics: {
      enabled: read.bool('ENABLE_METRICS', true),
      token: read.secret('METRICS_TOKEN', 16).value,
    },
    store: {
      kind,
      databaseUrl,
      dataDir,
      /** Connections this process may hold to Postgres, or calls it may have under way to Supabase. */
      poolSize: read.int('CONNECTION_POOL_SIZE', kind === 'edge' ? 100 : 10, { min: 1, max: 1000 }),
      edge: kind === 'edge' ? edgeFunction() : undefined,
    },
    /** Nano-dollars that must be left, and more, for an answer to be begun. */
    minBalance: read.usd('MIN_BALANCE', 0n),
    billing: {
      /** Whether people pay in advance, or are only counted. */
      mode: read.oneOf('BILLING', ['metered', 'prepaid'], 'metered'),
      /** Nano-dollars that who pays in advance is given once. */
      signupCredit: amount('SIGNUP_CREDIT', 0n),
      /** Nano-dollars below which `balance.low` is told. */
      lowAt: amount('BALANCE_LOW', 1_000_000_000n),
      unknownPrice: unknownPrice(),
      /** What becomes of a stream whose reader left. */
      cancelledStreams: read.oneOf('CANCELLED_STREAMS', ['cancel', 'drain'], 'cancel'),
    },
    /** How often everybody may ask; what is absent is not limited. */
    rates: {
      /** Requests of each person. */
      requests: rate('RATE_LIMIT_REQUESTS'),
      /** Tokens of each person. */
      tokens: rate('RATE_LIMIT_TOKENS'),
      /** Answers made for one person at once; 0 is no limit. */
      streams: read.int('RATE_LIMIT_STREAMS', 0, { min: 0, max: 1_000_000 }) || undefined,
      /** Requests with each API key. */
      key: rate('RATE_LIMIT_KEY'),
      /** Requests from each address. */
      address: rate('RATE_LIMIT_ADDRESS'),
      /** Requests of each person to an operation, by method and path template. */
      routes: routeRates(),
    },
    redisUrl: read.url('REDIS_URL', ['redis:', 'rediss:']),
    /** Who is told of what happens; absent when nobody is. */
    webhook: webhook(),
    /** The MCP servers whose tools models may use; absent when there are none. */
    tools: mcpFile(),
    /** Where people register and sign in by password; present when that is Supabase Auth. */
    supabaseAuth: supabaseAuth(),
    /** What tenants' keys at providers are encrypted with is made of it; filled in below. Secret. */
    encryptionSecret: '',
    /** Who owns the installation: an account that is made at the start. */
    admin: admin(),
    auth: {
      /** Signs our own access tokens; filled in below. */
      signingKey: new Uint8Array() as Uint8Array,
      accessTokenMinutes: read.int('JWT_EXPIRE_MINUTES', 15, {
        min: 1,
        max: 1440,
      }),
      /** Tokens of another issuer (Supabase Auth or your own); absent when none is configured. */
      external: externalIssuer(),
    },
    llm: {
      litellm: provider(read.url('LITELLM_URL'), read.text('LITELLM_MASTER_KEY')),
      /** Whether people get keys of their own at the proxy, where the server's key can make them. */
      litellmUserKeys: read.bool('LITELLM_USER_KEYS', true),
      openai: openAiProvider(read.url('OPENAI_BASE_URL'), read.text('OPENAI_API_KEY')),
      anthropic: anthropicProvider(read.url('ANTHROPIC_BASE_URL'), read.text('ANTHROPIC_API_KEY')),
      azure: azure(),
      /** Keys of services whose address is known, by the name of their variable. */
      serviceKeys: serviceKeys(),
      defaultModel: read.text('DEFAULT_MODEL'),
      /** Who is asked first for a model that several have. */
      defaultProvider: read.oneOf('DEFAULT_PROVIDER', PROVIDERS, undefined),
      /** Where models and their providers are written down; `variable` gives what stands for `${NAME}` in it. */
      modelsFile: modelsFile(read.text('MODELS_FILE')),
      /** What is done with a conversation that is too long for its model. */
      contextPolicy: read.oneOf('CONTEXT_POLICY', ['trim', 'refuse'], 'trim'),
      maxContextMessages: read.int('MAX_CONTEXT_MESSAGES', 100, {
        min: 1,
        max: 10_000,
      }),
      /** Milliseconds. */
      timeouts: {
        connect: 1000 * read.int('CONNECT_TIMEOUT', 30, { min: 1, max: 3600 }),
        firstToken: 1000 * read.int('FIRST_TOKEN_TIMEOUT', 120, { min: 1, max: 3600 }),
        idle: 1000 * read.int('IDLE_TIMEOUT', 60, { min: 1, max: 3600 }),
        total: 1000 * read.int('STREAM_TIMEOUT', 600, { min: 1, max: 86_400 }),
      },
    },
  }
  if (kind === 'postgres' && !databaseUrl) read.problem('STORE=postgres needs DATABASE_URL')
  if (read.problems.length > 0) throw new ConfigError(read.problems)
  const signed = secret.value ?? keptSecret(dataDir)
  config.auth.signingKey = signingKey(signed)
  config.encryptionSecret = encryption.value ?? signed
  return config

  /** US dollars from 0 to a million. */
  function amount(name: string, fallback: bigint): bigint {
    const nanos = read.usd(name, fallback)
    if (nanos >= 0n && nanos <= 1_000_000_000_000_000n) return nanos
    read.problem(`${name} must be an amount in US dollars from 0 to 1000000`)
    return fallback
  }

  function workers(): number {
    const auto = read.text('WORKERS')?.toLowerCase() === 'auto'
    const count = auto ? cores() : read.int('WORKERS', 1, { min: 1, max: 256 })
    if (count > 1 && kind !== 'postgres') {
      read.problem('WORKERS needs DATABASE_URL: only Postgres takes several processes at once')
    }
    if (count > 1 && read.text('PORT') === '0') read.problem('WORKERS needs a PORT that all of them can share, not 0')
    return count
  }

  function rate(name: string): Rate | undefined {
    const text = read.text(name)
    const parsed = text === undefined ? undefined : parseRate(text)
    if (text !== undefined && !parsed)
      read.problem(
        `${name} must be requests or tokens a minute such as 600, or 600:100 where at most 100 may come at once, not "${text}"`,
      )
    return parsed
  }

  function routeRates(): Map<string, Rate> {
    const entries = read.list('RATE_LIMIT_ROUTES', []).flatMap((entry): [string, Rate][] => {
      const [, method = '', path = '', text = ''] = /^(\w+) +(\/\S*)=(\S+)$/.exec(entry) ?? []
      const parsed = parseRate(text)
      if (parsed) return [[`${method.toUpperCase()} ${path}`, parsed]]
      read.problem(
        `RATE_LIMIT_ROUTES must be entries such as POST /v1/embeddings=60, separated by commas, not "${entry}"`,
      )
      return []
    })
    return new Map(entries)
  }

  function unknownPrice(): UnknownPrice {
    const word = read.text('UNKNOWN_PRICE', 'refuse').toLowerCase()
    const policy = unknownPriceOf(word)
    if (policy) return policy
    read.problem(
      `UNKNOWN_PRICE must be refuse, free or at: with US dollars per million tokens, such as at:5, not "${word}"`,
    )
    return 'refuse'
  }

  function modelsFile(path: string | undefined) {
    return path ? { path, variable: (name: string) => env[name] } : undefined
  }

  /** What calls Supabase needs. The names of the new kind of keys and of the old are both known. */
  function project(what: string) {
    const anonKey = read.text('SUPABASE_PUBLISHABLE_KEY') ?? read.text('SUPABASE_ANON_KEY')
    if (supabaseUrl && anonKey) return { url: supabaseUrl, anonKey }
    read.problem(`${what} needs SUPABASE_URL and SUPABASE_ANON_KEY (or SUPABASE_PUBLISHABLE_KEY)`)
    return undefined
  }

  function edgeFunction() {
    const supabase = project('The Edge Function store')
    const base = edgeUrl ?? (supabase && `${supabase.url}/functions/v1`)
    if (!supabase || !base) return undefined
    return {
      supabase,
      functionUrl: base.endsWith('/conversation-manager') ? base : `${base}/conversation-manager`,
      /** Milliseconds a call to Supabase may take. */
      timeout: 1000 * read.int('EDGE_FUNCTION_TIMEOUT', 10, { min: 1, max: 150 }),
    }
  }

  function admin() {
    const email = read.text('ADMIN_EMAIL')
    const password = read.secret('ADMIN_PASSWORD', 12)
    if (!email && !password.given) return undefined
    if (!email || !password.given) read.problem('ADMIN_EMAIL and ADMIN_PASSWORD need each other')
    if (email && !/^[^@\s]+@[^@\s]+$/.test(email)) read.problem('ADMIN_EMAIL must be an e-mail address')
    if (kind === 'edge' || read.text('ACCOUNTS') === 'supabase') {
      read.problem('ADMIN_EMAIL needs accounts of this server, and these are kept by Supabase')
    }
    return email && password.value ? { email, password: password.value } : undefined
  }

  function supabaseAuth() {
    if (read.oneOf('ACCOUNTS', ['local', 'supabase'], 'local') === 'local') return undefined
    const supabase = project('ACCOUNTS=supabase')
    const names = ['SUPABASE_SECRET_KEY', 'SUPABASE_SERVICE_KEY', 'SUPABASE_SERVICE_ROLE_KEY']
    const serviceKey = names.map((name) => read.text(name)).find(Boolean)
    return supabase && { ...supabase, serviceKey }
  }

  function webhook() {
    const url = read.url('WEBHOOK_URL')
    // As it was written: with a slash at its end it may be another address.
    const written = read.text('WEBHOOK_URL')
    const secret = read.secret('WEBHOOK_SECRET')
    if (!written && !secret.given) return undefined
    if (!written || !secret.given) read.problem('WEBHOOK_URL and WEBHOOK_SECRET need each other')
    if (kind === 'edge') read.problem('WEBHOOK_URL needs a database of this server, and STORE=edge has none')
    if (secret.value && !isWebhookSecret(secret.value)) {
      read.problem('WEBHOOK_SECRET must be base64 of 24 bytes or more, with or without whsec_ before it')
    }
    if (url && new URL(url).username)
      read.problem('WEBHOOK_URL must not hold a user name: what is sent is signed instead')
    return written && secret.value ? { url: written, secret: secret.value } : undefined
  }

  function mcpFile() {
    const path = read.text('MCP_FILE')
    if (!path) return undefined
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
      read.problem('MCP_FILE names a file that is not there')
      return undefined
    }
    const { settings, problems } = readMcpFile(readFileSync(path, 'utf8'), (name) => env[name])
    for (const problem of problems) read.problem(`MCP_FILE: ${problem}`)
    return settings
  }

  function azure() {
    const endpoint = read.url('AZURE_OPENAI_ENDPOINT')
    const apiKey = read.text('AZURE_OPENAI_API_KEY')
    const apiVersion = read.text('AZURE_OPENAI_API_VERSION')
    const deployments = read.list('AZURE_OPENAI_DEPLOYMENTS', [])
    if (!endpoint && !apiKey && deployments.length === 0) return undefined
    if (endpoint && apiKey && deployments.length > 0) return { endpoint, apiKey, apiVersion, deployments }
    read.problem('Azure OpenAI needs AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY and AZURE_OPENAI_DEPLOYMENTS together')
    return undefined
  }

  function serviceKeys() {
    const keys: Record<string, string> = {}
    for (const name of SERVICE_KEYS) {
      const key = read.text(name)
      if (key) keys[name] = key
    }
    return keys
  }

  function externalIssuer() {
    const issuer = read.text('JWT_ISSUER') ?? (supabaseUrl && `${supabaseUrl}/auth/v1`)
    const audience = read.text('JWT_AUDIENCE') ?? (supabaseUrl && 'authenticated')
    const claim = read.text('JWT_TENANT_CLAIM', 'tenant_id')
    // Tenants are kept in a database of this server; beside the Edge Function there is none.
    const says = { issuer, audience, tenantClaim: kind === 'edge' ? undefined : claim }
    if (algorithm === 'HS256') return secret.value ? { algorithm, secret: secret.value, ...says } : undefined
    return jwksUrl ? { algorithm, jwksUrl, ...says } : undefined
  }
}

const SERVICES = ['openrouter', 'groq', 'mistral', 'deepseek', 'together', 'fireworks', 'xai', 'cerebras'] as const
const SERVICE_KEYS = SERVICES.map((name) => `${name.toUpperCase()}_API_KEY`)
const PROVIDERS = ['litellm', 'openai', 'anthropic', 'azure', ...SERVICES] as const
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/** What any library for Standard Webhooks takes for a secret. */
function isWebhookSecret(secret: string): boolean {
  const [, digits = ''] = /^(?:whsec_)?([A-Za-z0-9+/]+={0,2})$/.exec(secret) ?? []
  return digits.length % 4 === 0 && Buffer.from(digits, 'base64').length >= 24
}

function provider(url: string | undefined, apiKey: string | undefined) {
  return url ? { baseUrl: url, apiKey } : undefined
}

function openAiProvider(url: string | undefined, apiKey: string | undefined) {
  return provider(url ?? (apiKey && 'https://api.openai.com/v1'), apiKey)
}

function anthropicProvider(url: string | undefined, apiKey: string | undefined) {
  return provider(url ?? (apiKey && 'https://api.anthropic.com'), apiKey)
}

/** Our tokens are signed with a key derived for that one purpose, so a token of the outside issuer is never one of ours. */
function signingKey(secret: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, '', 'ai-chat-orchestrator/access-token/v1', 32))
}

/** Development without a secret: one is made and kept, so that a restart does not sign everybody out. */
function keptSecret(dataDir: string): string {
  const file = join(dataDir, 'jwt-secret')
  if (existsSync(file)) {
    const kept = readFileSync(file, 'utf8').trim()
    // Cut short, e.g. by a full disk: anybody could sign with it.
    if (kept.length < 32) throw new ConfigError([`${file} holds no secret. Delete it, and a new one is made`])
    return kept
  }
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const secret = randomBytes(32).toString('hex')
  writeFileSync(file, `${secret}\n`, { mode: 0o600, flag: 'wx' })
  return secret
}
