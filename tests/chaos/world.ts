/** A whole installation on this machine: Postgres, Redis, a provider, three servers, nginx, and bad lines between them. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Pool } from 'pg'
import { createDatabase } from '../support/db'
import { FaultProxy } from '../support/fault-proxy'
import { startNginx } from '../support/nginx'
import { type OwnRedis, ownRedis } from '../support/redis'
import { freePort } from '../support/servers'
import { Instance } from './instance'
import { type MarkingProvider, startMarkingProvider } from './marking-provider'

/** Gives a process a clock of its own. Where Debian's package keeps it. */
const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1'
export const SECRET = 'a secret that all servers of this installation know'

export interface World {
  /** What clients talk to. */
  url: string
  instances: Instance[]
  redis: OwnRedis
  provider: MarkingProvider
  pool: Pool
  /** Between the servers and what they depend on; absent when they talk to it directly. */
  proxies: Record<'redis' | 'postgres' | 'provider', FaultProxy> | undefined
  /** A line to nginx that is as thin as a bad telephone's. */
  thin: FaultProxy
  /** Whether one of the servers has a clock that is five seconds ahead. */
  skewed: boolean
  close: () => Promise<void>
}

export interface WorldOptions {
  throughProxies?: boolean | undefined
  /** More settings for the servers. */
  env?: Record<string, string>
}

/** The Postgres that TEST_DATABASE_URL names gets a database more; all else is new. */
export async function openWorld({ throughProxies = false, env = {} }: WorldOptions = {}): Promise<World> {
  const scratch = mkdtempSync(join(tmpdir(), 'orchestrator-chaos-'))
  const closes: (() => Promise<void> | void)[] = [() => rmSync(scratch, { recursive: true, force: true })]
  const close = async () => {
    for (const end of closes.reverse()) await end()
  }
  try {
    const database = await createDatabase()
    closes.push(database.drop)
    const redis = await ownRedis()
    closes.push(redis.close)
    const provider = startMarkingProvider()
    closes.push(provider.stop)
    const direct = { redis: redis.url, postgres: database.url, provider: provider.url }
    const proxies = throughProxies ? await openProxies(direct) : undefined
    for (const proxy of Object.values(proxies ?? {})) closes.push(() => proxy.close())
    const urls = proxies ? mapped(direct, (url, name) => proxies[name].through(url)) : direct
    const instances = await openInstances(scratch, urls, env)
    closes.push(async () => void (await Promise.all(instances.map((instance) => instance.kill()))))
    await Promise.all(instances.map((instance) => instance.start()))
    const nginx = await startNginx(
      scratch,
      instances.map(({ base }) => Number(new URL(base).port)),
    )
    closes.push(nginx.stop)
    const thin = await FaultProxy.open(nginx.url)
    thin.set({ bytesPerSecond: 60_000, sliceBytes: 3000 }, 'down')
    closes.push(() => thin.close())
    const pool = new Pool({ connectionString: database.url, max: 4 })
    pool.on('error', () => {})
    closes.push(() => pool.end())
    const skewed = existsSync(FAKETIME)
    return { url: nginx.url, instances, redis, provider, pool, proxies, thin, skewed, close }
  } catch (error) {
    await close()
    throw error
  }
}

type Urls = Record<'redis' | 'postgres' | 'provider', string>

const mapped = (urls: Urls, change: (url: string, name: keyof Urls) => string): Urls => ({
  redis: change(urls.redis, 'redis'),
  postgres: change(urls.postgres, 'postgres'),
  provider: change(urls.provider, 'provider'),
})

const openProxies = async ({ redis, postgres, provider }: Urls) => ({
  redis: await FaultProxy.open(redis),
  postgres: await FaultProxy.open(postgres),
  provider: await FaultProxy.open(provider),
})

async function openInstances(scratch: string, { redis, postgres, provider }: Urls, env: Record<string, string>) {
  const models = join(scratch, 'models.yaml')
  writeFileSync(models, modelsFile(provider))
  const ports = [await freePort(), await freePort(), await freePort()]
  return ports.map((port, i) => {
    const name = `server-${i + 1}`
    const data = join(scratch, name)
    mkdirSync(data)
    return new Instance(name, {
      DATABASE_URL: postgres,
      REDIS_URL: redis,
      MODELS_FILE: models,
      CHAOS_KEY: 'sk-chaos',
      JWT_SECRET_KEY: SECRET,
      BILLING: 'prepaid',
      SIGNUP_CREDIT: '1000',
      DRAIN_TIMEOUT: '3',
      STREAM_TIMEOUT: '120',
      TRUST_PROXY: 'true',
      LOG_LEVEL: 'warn',
      DATA_DIR: data,
      PORT: String(port),
      ...env,
      ...(i === 2 && existsSync(FAKETIME) ? FIVE_SECONDS_AHEAD : {}),
    })
  })
}

/** Only what a calendar says: timers go by another clock. */
const FIVE_SECONDS_AHEAD = { LD_PRELOAD: FAKETIME, FAKETIME: '+5s', FAKETIME_DONT_FAKE_MONOTONIC: '1' }

const modelsFile = (url: string) => `
providers:
  marking:
    kind: openai
    base_url: ${url}
    api_key: \${CHAOS_KEY}
models:
  paid: { deployments: [{ provider: marking, model: gpt-4o-a, info: { prices: { input: 1, output: 2 } } }] }
`
