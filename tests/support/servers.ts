import { chownSync, existsSync, mkdirSync, readdirSync, realpathSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { Client } from 'pg'

export interface TestServer {
  url: string
  stop: () => Promise<void>
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}

/** A Postgres cluster of its own below `scratch`, gone when stopped. Commits are not synced: the tests need speed. */
export async function startPostgres(scratch: string, { fsync = false } = {}): Promise<TestServer> {
  const bin = postgresBin()
  if (!bin) throw new Error('PostgreSQL is not installed')
  const dir = join(scratch, 'pg')
  mkdirSync(dir, { mode: 0o700 })
  const asRoot = process.getuid?.() === 0
  if (asRoot) {
    // Postgres refuses to run as root. The whole way down must be passable for its user.
    const { uid, gid } = userIds('postgres')
    chownSync(dir, uid, gid)
    Bun.spawnSync(['chmod', '711', scratch])
  }
  const as = (command: string[]) =>
    asRoot ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', ...command] : command
  const data = join(dir, 'data')
  const init = Bun.spawnSync(
    as([
      join(bin, 'initdb'),
      '-D',
      data,
      '-U',
      'postgres',
      '-A',
      'trust',
      '-E',
      'UTF8',
      '--locale=C.UTF-8',
      '--no-sync',
    ]),
    { cwd: dir },
  )
  if (init.exitCode !== 0) throw new Error(`initdb failed: ${init.stderr}`)
  const port = await freePort()
  const server = Bun.spawn(
    as([
      join(bin, 'postgres'),
      '-D',
      data,
      '-p',
      String(port),
      '-k',
      dir,
      '-c',
      'listen_addresses=127.0.0.1',
      '-c',
      `fsync=${fsync ? 'on' : 'off'}`,
      '-c',
      'max_connections=200',
    ]),
    {
      cwd: dir,
      stdio: ['ignore', 'ignore', Bun.file(join(scratch, 'postgres.log'))],
    },
  )
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  await until(() => answers(url))
  return { url, stop: () => end(server, 'SIGINT') }
}

async function answers(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url })
  try {
    await client.connect()
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => {})
  }
}

export async function startRedis(scratch: string): Promise<TestServer> {
  const dir = join(scratch, 'redis')
  mkdirSync(dir)
  const port = await freePort()
  const config = join(dir, 'redis.conf')
  writeFileSync(config, `port ${port}\nbind 127.0.0.1\nsave ""\nappendonly no\ndir ${dir}\n`)
  const server = Bun.spawn(['redis-server', config], {
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  await until(
    async () =>
      (await Bun.spawn(['redis-cli', '-p', String(port), 'ping'], {
        stdout: 'ignore',
        stderr: 'ignore',
      }).exited) === 0,
  )
  return {
    url: `redis://127.0.0.1:${port}`,
    stop: () => end(server, 'SIGTERM'),
  }
}

/** Waits until something is so, at most `ms`. */
export async function until(check: () => boolean | Promise<boolean>, ms = 20_000): Promise<void> {
  const deadline = Date.now() + ms
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`Still not so after ${ms} ms: ${check}`)
    await Bun.sleep(25)
  }
}

async function end(server: Bun.Subprocess, signal: NodeJS.Signals): Promise<void> {
  server.kill(signal)
  await Promise.race([server.exited, Bun.sleep(10_000)])
  server.kill('SIGKILL')
  await server.exited
}

/** Where Postgres' programs are: Debian keeps them off the PATH, one folder a version. */
export function postgresBin(): string | undefined {
  const debian = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : []
  const onPath = Bun.which('initdb')
  const folders = [
    ...debian.map((version) => `${DEBIAN}/${version}/bin`),
    ...(onPath ? [dirname(realpathSync(onPath))] : []),
  ]
  return folders.find((folder) => existsSync(join(folder, 'postgres')) && existsSync(join(folder, 'initdb')))
}

const DEBIAN = '/usr/lib/postgresql'

function userIds(name: string): { uid: number; gid: number } {
  const id = (flag: string) => Number(Bun.spawnSync(['id', flag, name]).stdout.toString())
  return { uid: id('-u'), gid: id('-g') }
}
