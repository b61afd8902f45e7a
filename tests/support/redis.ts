/** Redis as tests need it: the shared one of `bun run test`, and ones of their own that may be stopped. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Redis from 'ioredis'
import { startRedis, until } from './servers'

export function testRedisUrl(): string {
  const url = process.env.TEST_REDIS_URL
  if (!url) throw new Error('These tests need Redis: run them with `bun run test`')
  return url
}

/** A connection as the server opens it, ready to be used. Whoever opened it disconnects it. */
export async function connectRedis(url = testRedisUrl()): Promise<Redis> {
  const redis = new Redis(url, {
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    connectTimeout: 1000,
    commandTimeout: 1000,
    retryStrategy: () => 50,
  })
  redis.on('error', () => {})
  await until(() => redis.status === 'ready')
  return redis
}

export interface OwnRedis {
  url: string
  /** Ends it as a crash would: nothing is kept. */
  kill: () => Promise<void>
  /** Starts it again, empty, at the same address. */
  start: () => Promise<void>
  close: () => Promise<void>
}

/** A Redis that nobody else uses. */
export async function ownRedis(): Promise<OwnRedis> {
  const scratch = mkdtempSync(join(tmpdir(), 'orchestrator-redis-'))
  const first = await startRedis(scratch)
  let stop = first.stop
  return {
    url: first.url,
    kill: () => stop(),
    async start() {
      const { port } = new URL(first.url)
      const server = Bun.spawn(['redis-server', join(scratch, 'redis', 'redis.conf')], {
        stdio: ['ignore', 'ignore', 'ignore'],
      })
      stop = async () => {
        server.kill('SIGKILL')
        await server.exited
      }
      const ping = () => Bun.spawn(['redis-cli', '-p', port, 'ping'], { stdio: ['ignore', 'ignore', 'ignore'] }).exited
      await until(async () => (await ping()) === 0)
    },
    async close() {
      await stop()
      rmSync(scratch, { recursive: true, force: true })
    },
  }
}
