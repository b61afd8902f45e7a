/** A Postgres for the run: the one in BENCH_DATABASE_URL, or a private cluster that is removed afterwards. */
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Subprocess } from 'bun'
import { Client } from 'pg'
import { otherCpus } from './machine'
import { atEnd, freePort, pin, tempDir } from './process'

interface Cluster {
  readonly url: string
  stop(): Promise<void>
}

export interface Postgres extends Cluster {
  readonly version: string
}

const isRoot = process.getuid?.() === 0
const DEBIAN = '/usr/lib/postgresql'

/** @throws when there is neither a URL nor Postgres's own programs. */
export async function openPostgres(): Promise<Postgres> {
  const given = process.env.BENCH_DATABASE_URL
  const cluster = given === undefined ? await privateCluster() : { url: given, stop: async () => {} }
  const version = (await query(cluster.url, 'show server_version'))[0]?.server_version ?? 'unknown'
  return { ...cluster, version }
}

/** Settings stay Postgres's own, fsync included: a figure without durability would not be honest. */
async function privateCluster(): Promise<Cluster> {
  const bin = binaries()
  const dir = tempDir('postgres')
  const data = join(dir, 'data')
  const port = freePort()
  if (isRoot) await run(['chown', 'postgres', dir])
  await run(
    asPostgres([join(bin, 'initdb'), '-D', data, '-U', 'bench', '-A', 'trust', '-E', 'UTF8', '--locale=C', '-N']),
  )
  const settings = ['-c', 'listen_addresses=127.0.0.1', '-p', String(port), '-k', dir]
  const cmd = pin(otherCpus, asPostgres([join(bin, 'postgres'), '-D', data, ...settings]))
  const child = Bun.spawn({
    cmd,
    cwd: '/',
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: Bun.file(join(dir, 'log')),
  })
  atEnd(() => {
    if (child.exitCode === null) Bun.spawnSync(asPostgres([join(bin, 'pg_ctl'), '-D', data, 'stop', '-m', 'immediate']))
    rmSync(dir, { recursive: true, force: true })
  })
  const server = `postgres://bench@127.0.0.1:${port}`
  await untilItAnswers(`${server}/postgres`)
  await query(`${server}/postgres`, 'create database bench')
  return { url: `${server}/bench`, stop: () => stopFast(child) }
}

/** SIGINT is Postgres's fast shutdown, SIGQUIT its immediate one. */
async function stopFast(child: Subprocess): Promise<void> {
  child.kill('SIGINT')
  const impatience = setTimeout(() => child.kill('SIGQUIT'), 5_000)
  await child.exited
  clearTimeout(impatience)
}

async function untilItAnswers(url: string): Promise<void> {
  for (let left = 200; ; left--) {
    try {
      return void (await query(url, 'select 1'))
    } catch (error) {
      if (left === 0) throw error
      await Bun.sleep(50)
    }
  }
}

function binaries(): string {
  const onPath = Bun.which('initdb')
  try {
    const newest = readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a))[0]
    if (newest !== undefined) return join(DEBIAN, newest, 'bin')
  } catch {
    // Not a Debian: the path is asked instead.
  }
  if (onPath !== null) return join(onPath, '..')
  throw new Error('no Postgres: set BENCH_DATABASE_URL or install it')
}

/** Postgres refuses to run as root. */
function asPostgres(command: string[]): string[] {
  if (!isRoot) return command
  return ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', ...command]
}

async function run(cmd: string[]): Promise<void> {
  const child = Bun.spawn({
    cmd,
    cwd: '/',
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
    timeout: 30_000,
  })
  const [code, errors] = await Promise.all([child.exited, new Response(child.stderr).text()])
  if (code !== 0) throw new Error(`${cmd.join(' ')}: ${errors.trim()}`)
}

async function query(url: string, sql: string): Promise<Record<string, string>[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Record<string, string>>(sql)).rows
  } finally {
    await client.end()
  }
}
