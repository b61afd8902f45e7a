/** A Redis for a phase, with nothing kept on disk. */
import { otherCpus } from './machine'
import { freePort, start, tempDir } from './process'

export interface RedisServer {
  readonly url: string
  stop(): Promise<void>
}

/**
 * @param cpus the cores it has.
 * @throws when `redis-server` is not installed.
 */
export async function openRedis(cpus = otherCpus): Promise<RedisServer> {
  const program = Bun.which('redis-server')
  if (program === null) throw new Error('no redis-server: install it')
  const port = freePort()
  const dir = tempDir('redis')
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir]
  const server = start({ command: [program, ...settings], env: {}, cpus, cwd: dir })
  await untilItListens(port)
  return { url: `redis://127.0.0.1:${port}`, stop: () => server.stop() }
}

async function untilItListens(port: number): Promise<void> {
  for (let left = 200; ; left--) {
    try {
      const socket = await Bun.connect({ hostname: '127.0.0.1', port, socket: { data() {} } })
      socket.end()
      return
    } catch (error) {
      if (left === 0) throw error
      await Bun.sleep(20)
    }
  }
}
