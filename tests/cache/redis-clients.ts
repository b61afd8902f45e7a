import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Redis from 'ioredis'
import { KeptCache } from '../../src/cache/kept'
import type { CacheOutcome } from '../../src/cache/port'
import { RedisShelf } from '../../src/cache/redis'
import { freePort, until } from '../support/servers'

export interface TestServer {
  cache: KeptCache
  redis: Redis
  outcomes: CacheOutcome[]
  faults: string[]
  /** Whether Redis serves, each time that it changed. */
  changes: boolean[]
  serves: () => Promise<void>
  close: () => void
}

/** A server's cache, with a connection as the product makes it. */
export function openServer(url: string, { waitMs = 5000 } = {}): TestServer {
  const redis = new Redis(url, {
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    connectTimeout: 1000,
    commandTimeout: 5000,
    retryStrategy: () => 50,
  })
  redis.on('error', () => {})
  const faults: string[] = []
  const outcomes: CacheOutcome[] = []
  const changes: boolean[] = []
  const onFault = (message: string) => faults.push(message)
  const shelf = new RedisShelf(redis, { waitMs, restMs: 50, onChange: (serves) => changes.push(serves), onFault })
  const cache = new KeptCache(shelf, { onAsked: (_, outcome) => outcomes.push(outcome), onFault })
  return {
    cache,
    redis,
    faults,
    outcomes,
    changes,
    serves: () => until(() => cache.mode() === 'redis'),
    close() {
      cache.close()
      redis.disconnect()
    },
  }
}

/** A Redis of its own that can be stopped and started again at the same address. */
export async function ownRedis() {
  const port = await freePort()
  const dir = mkdtempSync(join(tmpdir(), 'orchestrator-redis-'))
  let server: Bun.Subprocess | undefined
  const control = new Redis(port, '127.0.0.1', {
    lazyConnect: true,
    retryStrategy: () => 50,
    maxRetriesPerRequest: 200,
  })
  control.on('error', () => {})
  const start = async () => {
    const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', dir]
    server = Bun.spawn(['redis-server', ...settings], { stdio: ['ignore', 'ignore', 'ignore'] })
    await control.ping()
  }
  const stop = async () => {
    server?.kill('SIGKILL')
    await server?.exited
  }
  await start()
  return {
    url: `redis://127.0.0.1:${port}`,
    control,
    start,
    stop,
    async close() {
      control.disconnect()
      await stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** Something at Redis' address that says this to whatever it is told, or nothing. */
export async function fakeRedis(answer: string | undefined) {
  const sockets = new Set<Socket>()
  let heard = 0
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', () => {
      heard++
      if (answer !== undefined) socket.write(answer)
    })
  })
  const port = await freePort()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    url: `redis://127.0.0.1:${port}`,
    heard: () => heard,
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
