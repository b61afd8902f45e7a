import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Config, ConfigError, loadConfig } from '../src/config'
import { cores } from '../src/lib/cores'

const root = mkdtempSync(join(tmpdir(), 'config-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const newDir = () => mkdtempSync(join(root, 'data-'))

type Env = Record<string, string>
const SECRET = 'a secret of at least thirty-two characters'
const load = (env: Env = {}) => loadConfig({ DATA_DIR: newDir(), ...env })

/** Why an environment is refused. */
function problems(env: Env): string[] {
  try {
    load(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

test('starts with no settings at all', () => {
  const { auth, store, encryptionSecret, ...config } = load()
  expect(config).toEqual({
    production: false,
    server: {
      host: '0.0.0.0',
      port: 8000,
      maxBodyBytes: 10_485_760,
      maxImportBytes: 209_715_200,
      corsOrigins: ['*'],
      trustProxy: false,
      drainTimeout: 30,
      drainDelay: 0,
      workers: 1,
    },
    load: { most: 2000, queue: 200 },
    orphanedAnswers: 'interrupt',
    logLevel: 'info',
    metrics: { enabled: true, token: undefined },
    admin: undefined,
    minBalance: 0n,
    billing: {
      mode: 'metered',
      signupCredit: 0n,
      lowAt: 1_000_000_000n,
      unknownPrice: 'refuse',
      cancelledStreams: 'cancel',
    },
    rates: {
      requests: undefined,
      tokens: undefined,
      streams: undefined,
      key: undefined,
      address: undefined,
      routes: new Map(),
    },
    redisUrl: undefined,
    webhook: undefined,
    tools: undefined,
    supabaseAuth: undefined,
    llm: {
      litellm: undefined,
      litellmUserKeys: true,
      openai: undefined,
      anthropic: undefined,
      azure: undefined,
      serviceKeys: {},
      defaultModel: undefined,
      defaultProvider: undefined,
      modelsFile: undefined,
      contextPolicy: 'trim',
      maxContextMessages: 100,
      timeouts: { connect: 30_000, firstToken: 120_000, idle: 60_000, total: 600_000 },
    },
  })
  expect(auth).toMatchObject({ accessTokenMinutes: 15, external: undefined })
  expect(auth.signingKey).toHaveLength(32)
  expect(encryptionSecret).toHaveLength(64)
  expect(store).toMatchObject({ kind: 'pglite', databaseUrl: undefined, poolSize: 10, edge: undefined })
  expect(loadConfig({ DATA_DIR: store.dataDir }).store.dataDir).toBe(store.dataDir)
})

const READ: [string, string, (config: Config) => unknown, unknown][] = [
  ['NODE_ENV', 'test', (c) => c.production, false],
  ['HOST', '127.0.0.1', (c) => c.server.host, '127.0.0.1'],
  ['PORT', '0', (c) => c.server.port, 0],
  ['PORT', ' 65535 ', (c) => c.server.port, 65535],
  ['PORT', '', (c) => c.server.port, 8000],
  ['MAX_BODY_BYTES', '1024', (c) => c.server.maxBodyBytes, 1024],
  ['MAX_IMPORT_BYTES', '1073741824', (c) => c.server.maxImportBytes, 1_073_741_824],
  [
    'CORS_ORIGINS',
    'https://a.example, https://b.example,',
    (c) => c.server.corsOrigins,
    ['https://a.example', 'https://b.example'],
  ],
  ['CORS_ORIGINS', ' , ', (c) => c.server.corsOrigins, ['*']],
  ['TRUST_PROXY', 'TRUE', (c) => c.server.trustProxy, true],
  ['TRUST_PROXY', 'off', (c) => c.server.trustProxy, false],
  ['DRAIN_TIMEOUT', '0', (c) => c.server.drainTimeout, 0],
  ['LOG_LEVEL', 'WARNING', (c) => c.logLevel, 'warn'],
  ['LOG_LEVEL', 'Debug', (c) => c.logLevel, 'debug'],
  ['ENABLE_METRICS', 'no', (c) => c.metrics.enabled, false],
  ['METRICS_TOKEN', 'sixteen letters!', (c) => c.metrics.token, 'sixteen letters!'],
  ['DATABASE_URL', 'postgres://u:p@db/x', (c) => c.store.databaseUrl, 'postgres://u:p@db/x'],
  [
    'DATABASE_URL',
    'postgresql://db/x?sslmode=require',
    (c) => c.store.databaseUrl,
    'postgresql://db/x?sslmode=require',
  ],
  ['DATABASE_URL', 'postgres://db/x', (c) => c.store.kind, 'postgres'],
  ['STORE', 'PGlite', (c) => c.store.kind, 'pglite'],
  ['CONNECTION_POOL_SIZE', '20', (c) => c.store.poolSize, 20],
  ['MIN_BALANCE', '0.05', (c) => c.minBalance, 50_000_000n],
  ['BILLING', 'prepaid', (c) => c.billing.mode, 'prepaid'],
  ['SIGNUP_CREDIT', '0.5', (c) => c.billing.signupCredit, 500_000_000n],
  ['BALANCE_LOW', '0', (c) => c.billing.lowAt, 0n],
  ['UNKNOWN_PRICE', 'at:2.5', (c) => c.billing.unknownPrice, { at: 2_500_000_000n }],
  ['CANCELLED_STREAMS', 'drain', (c) => c.billing.cancelledStreams, 'drain'],
  ['ACCOUNTS', 'local', (c) => c.supabaseAuth, undefined],
  ['RATE_LIMIT_REQUESTS', '600', (c) => c.rates.requests, { perMinute: 600, burst: 600 }],
  ['RATE_LIMIT_TOKENS', '40000:10000', (c) => c.rates.tokens, { perMinute: 40_000, burst: 10_000 }],
  ['RATE_LIMIT_STREAMS', '3', (c) => c.rates.streams, 3],
  ['RATE_LIMIT_STREAMS', '0', (c) => c.rates.streams, undefined],
  ['RATE_LIMIT_KEY', '60', (c) => c.rates.key, { perMinute: 60, burst: 60 }],
  ['RATE_LIMIT_ADDRESS', '1000', (c) => c.rates.address, { perMinute: 1000, burst: 1000 }],
  [
    'RATE_LIMIT_ROUTES',
    'post /v1/embeddings=60, GET /v1/conversations/:id=30:10',
    (c) => [...c.rates.routes],
    [
      ['POST /v1/embeddings', { perMinute: 60, burst: 60 }],
      ['GET /v1/conversations/:id', { perMinute: 30, burst: 10 }],
    ],
  ],
  ['REDIS_URL', 'rediss://cache:6380', (c) => c.redisUrl, 'rediss://cache:6380'],
  ['JWT_EXPIRE_MINUTES', '60', (c) => c.auth.accessTokenMinutes, 60],
  ['JWT_SECRET_KEY', SECRET, (c) => c.auth.external, { algorithm: 'HS256', secret: SECRET, tenantClaim: 'tenant_id' }],
  ['ENCRYPTION_KEY', SECRET, (c) => c.encryptionSecret, SECRET],
  ['LITELLM_URL', 'http://proxy:4000/', (c) => c.llm.litellm, { baseUrl: 'http://proxy:4000' }],
  ['LITELLM_MASTER_KEY', 'sk-1', (c) => c.llm.litellm, undefined],
  ['LITELLM_USER_KEYS', 'false', (c) => c.llm.litellmUserKeys, false],
  ['OPENAI_BASE_URL', 'http://localhost:1234/v1', (c) => c.llm.openai, { baseUrl: 'http://localhost:1234/v1' }],
  ['ANTHROPIC_API_KEY', 'sk-3', (c) => c.llm.anthropic, { baseUrl: 'https://api.anthropic.com', apiKey: 'sk-3' }],
  ['ANTHROPIC_BASE_URL', 'http://proxy:1/', (c) => c.llm.anthropic, { baseUrl: 'http://proxy:1', apiKey: undefined }],
  ['GROQ_API_KEY', 'gsk', (c) => c.llm.serviceKeys, { GROQ_API_KEY: 'gsk' }],
  ['OPENAI_API_KEY', 'sk-2', (c) => c.llm.openai, { baseUrl: 'https://api.openai.com/v1', apiKey: 'sk-2' }],
  ['DEFAULT_MODEL', 'gpt', (c) => c.llm.defaultModel, 'gpt'],
  ['MAX_CONTEXT_MESSAGES', '7', (c) => c.llm.maxContextMessages, 7],
  ['CONNECT_TIMEOUT', '1', (c) => c.llm.timeouts.connect, 1000],
  ['FIRST_TOKEN_TIMEOUT', '2', (c) => c.llm.timeouts.firstToken, 2000],
  ['IDLE_TIMEOUT', '3', (c) => c.llm.timeouts.idle, 3000],
  ['STREAM_TIMEOUT', '86400', (c) => c.llm.timeouts.total, 86_400_000],
]
test.each(READ)('reads %s=%s', (name, value, of, expected) => {
  expect(of(load({ [name]: value }))).toEqual(expected)
})

test.each([
  ['NODE_ENV', 'staging', 'development, test, production'],
  ['PORT', '65536', 'a whole number from 0 to 65535'],
  ['PORT', '80.5', 'a whole number'],
  ['PORT', '-1', 'a whole number'],
  ['PORT', '1e3', 'a whole number'],
  ['MAX_BODY_BYTES', '10MB', 'a whole number from 1024'],
  ['MAX_IMPORT_BYTES', '200MB', 'a whole number from 1024'],
  ['TRUST_PROXY', 'maybe', 'true or false'],
  ['RATE_LIMIT_REQUESTS', '0', 'requests or tokens a minute such as 600'],
  ['RATE_LIMIT_TOKENS', '10:0', 'requests or tokens a minute such as 600'],
  ['RATE_LIMIT_STREAMS', '-1', 'a whole number from 0 to 1000000'],
  ['RATE_LIMIT_ROUTES', '/v1/embeddings=60', 'entries such as POST /v1/embeddings=60'],
  ['DRAIN_TIMEOUT', '3601', 'from 0 to 3600'],
  ['LOG_LEVEL', 'loud', 'trace, debug, info, warn'],
  ['ENABLE_METRICS', '2', 'true or false'],
  ['METRICS_TOKEN', 'short', 'at least 16 characters'],
  ['METRICS_TOKEN', '', 'at least 16 characters'],
  ['DATABASE_URL', 'mysql://db/x', 'postgres:// or postgresql://'],
  ['DATABASE_URL', 'db', 'postgres:// or postgresql://'],
  ['STORE', 'mysql', 'pglite, postgres, edge'],
  ['STORE', 'postgres', 'needs DATABASE_URL'],
  ['CONNECTION_POOL_SIZE', '0', 'from 1 to 1000'],
  ['MIN_BALANCE', '5 cents', 'an amount in US dollars'],
  ['BILLING', 'free', 'metered, prepaid'],
  ['SIGNUP_CREDIT', '-1', 'from 0 to 1000000'],
  ['SIGNUP_CREDIT', '1e309', 'an amount in US dollars'],
  ['BALANCE_LOW', '١٢', 'an amount in US dollars'],
  ['UNKNOWN_PRICE', 'at:cheap', 'must be refuse, free or at:'],
  ['CANCELLED_STREAMS', 'no', 'cancel, drain'],
  ['ADMIN_EMAIL', 'a@example.com', 'need each other'],
  ['ACCOUNTS', 'ldap', 'local, supabase'],
  ['ACCOUNTS', 'supabase', 'needs SUPABASE_URL and SUPABASE_ANON_KEY'],
  ['REDIS_URL', 'localhost:6379', 'redis:// or rediss://'],
  ['JWT_SECRET_KEY', 'a'.repeat(31), 'at least 32 characters (it has 31)'],
  ['JWT_SECRET_KEY', '', 'at least 32 characters (it has 0)'],
  ['JWT_SECRET_KEY', ' '.repeat(40), 'at least 32 characters (it has 0)'],
  ['ENCRYPTION_KEY', '', 'at least 32 characters (it has 0)'],
  ['ENCRYPTION_KEY', 'a'.repeat(31), 'at least 32 characters (it has 31)'],
  ['JWT_ALGORITHM', 'none', 'HS256, ES256, RS256'],
  ['JWT_ALGORITHM', 'RS256', 'JWT_JWKS_URL or SUPABASE_URL'],
  ['JWT_JWKS_URL', 'file:///etc/passwd', 'http:// or https://'],
  ['JWT_EXPIRE_MINUTES', '1441', 'from 1 to 1440'],
  ['SUPABASE_URL', 'supabase', 'http:// or https://'],
  ['LITELLM_URL', 'ftp://proxy', 'http:// or https://'],
  ['OPENAI_BASE_URL', 'api.openai.com', 'http:// or https://'],
  ['MAX_CONTEXT_MESSAGES', '0', 'from 1 to 10000'],
  ['CONNECT_TIMEOUT', '0', 'from 1 to 3600'],
  ['FIRST_TOKEN_TIMEOUT', 'x', 'from 1 to 3600'],
  ['IDLE_TIMEOUT', '3601', 'from 1 to 3600'],
  ['STREAM_TIMEOUT', '86401', 'from 1 to 86400'],
])('refuses %s=%s and says what it takes', (name, value, hint) => {
  const found = problems({ [name]: value })
  expect(found).toHaveLength(1)
  expect(found[0]).toStartWith(name)
  expect(found[0]).toContain(hint)
})

test('reports everything that is wrong at once', () => {
  const env = { PORT: 'x', LOG_LEVEL: 'loud', REDIS_URL: 'x', JWT_SECRET_KEY: 'short', NODE_ENV: 'production' }
  const found = problems(env)
  expect(found.map((problem) => problem.split(' ')[0]).sort()).toEqual([
    'JWT_SECRET_KEY',
    'LOG_LEVEL',
    'PORT',
    'REDIS_URL',
  ])
  expect(() => load(env)).toThrow(/^Cannot start, 4 setting\(s\) need attention:\n( {2}- .+\n?){4}$/)
})

test('repeats no secret and no address that may hold one', () => {
  const secrets = {
    JWT_SECRET_KEY: 'hush-jwt',
    METRICS_TOKEN: 'hush-metrics',
    DATABASE_URL: 'http://user:hush-db@host/x',
    REDIS_URL: 'http://:hush-redis@host',
    LITELLM_URL: 'ftp://hush-proxy@host',
    OPENAI_BASE_URL: 'hush-openai',
    JWT_JWKS_URL: 'hush-jwks',
    SUPABASE_URL: 'hush-supabase',
  }
  const found = problems(secrets)
  expect(found).toHaveLength(Object.keys(secrets).length)
  expect(found.join()).not.toContain('hush')
})

describe('the secret', () => {
  test('must be given in production', () => {
    expect(problems({ NODE_ENV: 'production' })).toEqual([expect.stringContaining('JWT_SECRET_KEY is required')])
    expect(load({ NODE_ENV: 'Production', JWT_SECRET_KEY: SECRET }).production).toBe(true)
  })

  test('is made and kept in development, for its owner only, so that a restart signs nobody out', () => {
    const dataDir = join(newDir(), 'made/later')
    const { signingKey } = load({ DATA_DIR: dataDir }).auth
    const file = join(dataDir, 'jwt-secret')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(statSync(dataDir).mode & 0o777).toBe(0o700)
    expect(readFileSync(file, 'utf8')).toMatch(/^[0-9a-f]{64}\n$/)
    expect(load({ DATA_DIR: dataDir }).auth.signingKey).toEqual(signingKey)
    expect(load().auth.signingKey).not.toEqual(signingKey)
  })

  test.each(['', '\n', 'cut short'])('is not taken from a file that holds %j', (content) => {
    const dataDir = newDir()
    writeFileSync(join(dataDir, 'jwt-secret'), content)
    expect(problems({ DATA_DIR: dataDir })).toEqual([expect.stringContaining(join(dataDir, 'jwt-secret'))])
  })

  test('is not what our own tokens are signed with, but what that key follows from', () => {
    const { signingKey, external } = load({ JWT_SECRET_KEY: SECRET }).auth
    expect(external).toMatchObject({ secret: SECRET })
    expect(signingKey).toEqual(load({ JWT_SECRET_KEY: SECRET }).auth.signingKey)
    expect(Buffer.from(signingKey).equals(Buffer.from(SECRET))).toBe(false)
    expect(signingKey).not.toEqual(load({ JWT_SECRET_KEY: `${SECRET}!` }).auth.signingKey)
  })
})

test('knows where a Supabase project keeps its keys, and what it calls itself', () => {
  const supabase = { SUPABASE_URL: 'https://x.supabase.co/', JWT_ALGORITHM: 'ES256' }
  const external = {
    algorithm: 'ES256',
    jwksUrl: 'https://x.supabase.co/auth/v1/.well-known/jwks.json',
    issuer: 'https://x.supabase.co/auth/v1',
    audience: 'authenticated',
    tenantClaim: 'tenant_id',
  } as const
  expect(load(supabase).auth.external).toEqual(external)
  const own = {
    JWT_JWKS_URL: 'https://keys.example/jwks',
    JWT_ISSUER: 'me',
    JWT_AUDIENCE: 'you',
    JWT_TENANT_CLAIM: 'https://app.example/org',
  }
  expect(load({ ...supabase, ...own }).auth.external).toEqual({
    algorithm: 'ES256',
    jwksUrl: 'https://keys.example/jwks',
    issuer: 'me',
    audience: 'you',
    tenantClaim: 'https://app.example/org',
  })
})

test('.env.example names exactly the variables that are read', () => {
  const asked = new Set<string>()
  const supabase = {
    STORE: 'edge',
    ACCOUNTS: 'supabase',
    SUPABASE_URL: 'https://x.supabase.co',
    SUPABASE_ANON_KEY: 'anon',
  }
  for (const given of [{}, { ...supabase, JWT_SECRET_KEY: SECRET }] as Env[]) {
    const get = (_: object, name: string) => {
      asked.add(name)
      return name === 'DATA_DIR' ? newDir() : given[name]
    }
    loadConfig(new Proxy<Record<string, string | undefined>>({}, { get }))
  }
  const lines = readFileSync(join(import.meta.dir, '../.env.example'), 'utf8').split('\n')
  const named = lines.flatMap((line) => /^(?:# )?([A-Z][A-Z0-9_]*)=/.exec(line)?.[1] ?? [])
  expect(named.filter((name, i) => named.indexOf(name) !== i)).toEqual([])
  expect(named.sort()).toEqual([...asked].sort())
})

test('.env.example shows the defaults', () => {
  const lines = readFileSync(join(import.meta.dir, '../.env.example'), 'utf8').split('\n')
  const shown = lines.flatMap((line) => [/^(?:# )?([A-Z][A-Z0-9_]*)=(.+)$/.exec(line)?.slice(1) ?? []])
  const env = Object.fromEntries(shown.filter(([name]) => name))
  const dataDir = newDir()
  expect(Object.keys(env).length).toBeGreaterThan(10)
  expect(load({ ...env, DATA_DIR: dataDir })).toEqual(load({ DATA_DIR: dataDir }))
  expect(env.DATA_DIR).toBe('.data')
})

test('Azure OpenAI takes its settings together or not at all', () => {
  const whole = {
    AZURE_OPENAI_ENDPOINT: 'https://name.openai.azure.com',
    AZURE_OPENAI_API_KEY: 'key',
    AZURE_OPENAI_DEPLOYMENTS: 'gpt-4o, gpt-5',
  }
  expect(load(whole).llm.azure).toEqual({
    endpoint: 'https://name.openai.azure.com',
    apiKey: 'key',
    deployments: ['gpt-4o', 'gpt-5'],
    apiVersion: undefined,
  })
  for (const name of Object.keys(whole)) {
    expect(problems({ ...whole, [name]: undefined })).toEqual([
      expect.stringContaining('AZURE_OPENAI_DEPLOYMENTS together'),
    ])
  }
})

test('takes several workers on Postgres only, and with a port to share', () => {
  const DATABASE_URL = 'postgres://db/x'
  expect(problems({ WORKERS: '2' })).toEqual([
    'WORKERS needs DATABASE_URL: only Postgres takes several processes at once',
  ])
  expect(problems({ WORKERS: '2', DATABASE_URL, PORT: '0' })).toEqual([
    'WORKERS needs a PORT that all of them can share, not 0',
  ])
  expect(problems({ WORKERS: 'many', DATABASE_URL })).toEqual([
    'WORKERS must be a whole number from 1 to 256, not "many"',
  ])
  expect(load({ WORKERS: '3', DATABASE_URL }).server.workers).toBe(3)
  expect(load({ WORKERS: 'auto', DATABASE_URL }).server.workers).toBe(cores())
})
