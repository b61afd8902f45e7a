import { ChatServer, type Upstream } from '../hosts'
import type { RemoteResult } from '../lib/job'
import { openRedis } from '../lib/redis'
import { postgresUrl, type Target } from '../targets'
import type { Context } from './context'

export interface RemoteRow extends RemoteResult {
  readonly streams: number
  readonly tokensPerSecond: number
}

/** One of several servers of an installation: they share a database, a Redis and a secret. */
class Instance extends ChatServer {
  readonly #shared: Readonly<Record<string, string>>

  constructor(upstream: Upstream, name: string, shared: Readonly<Record<string, string>>) {
    super(upstream, shared.DATABASE_URL, name)
    this.#shared = shared
  }

  protected override env(): Record<string, string> {
    return { ...super.env(), ...this.#shared }
  }
}

/** What it takes a token to reach somebody who reads it from another server than the one that makes the answer. */
export async function remotePhase(context: Context, targets: readonly Target[]): Promise<RemoteRow[]> {
  const url = postgresUrl(targets)
  if (url === undefined) return []
  const { seconds, rampSeconds } = context.plan.remote
  context.say('a reader at another server')
  const row = await context.attempt('remote', 10 + rampSeconds + seconds * 1.5, () => measure(context, url))
  return row === undefined ? [] : [row]
}

async function measure(context: Context, url: string): Promise<RemoteRow> {
  const { streams, seconds, rampSeconds, tokensPerSecond } = context.plan.remote
  const redis = await openRedis()
  const shared = { DATABASE_URL: url, REDIS_URL: redis.url, JWT_SECRET_KEY: crypto.randomUUID() }
  const [maker, other] = ['maker', 'other'].map((name) => new Instance(context.upstream, name, shared))
  if (!maker || !other) throw new Error('no servers')
  try {
    for (const server of [maker, other]) await server.start()
    await maker.prepare()
    const tokens = Math.round(seconds * tokensPerSecond)
    const model = `bench:${tokens}x${tokensPerSecond}`
    const aim = { port: maker.port, key: maker.key, pid: maker.pid, model, tokens, shape: 'stored' } as const
    const counts = { streams, seconds, rampSeconds, readerPort: other.port, readerPid: other.pid }
    const result = await context.load.run({ mode: 'remote', aim, ...counts })
    context.check('where the answer is made', result.local)
    context.check('at the other server', result.remote)
    return { ...result, streams, tokensPerSecond }
  } finally {
    for (const server of [maker, other]) await server.stop()
    await redis.stop()
  }
}
