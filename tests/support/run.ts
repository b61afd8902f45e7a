/**
 * `bun run test`: starts a private Postgres and Redis, runs every test against them, stops them, and ends with one
 * line of totals. On a Debian machine as root it installs them, and a browser, first if they are missing.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { postgresBin, startPostgres, startRedis } from './servers'

const scratch = mkdtempSync(join(tmpdir(), 'orchestrator-test-'))
const report = join(scratch, 'junit.xml')
const stops: (() => Promise<void>)[] = []
let exitCode = 1

try {
  installIfMissing()
  const postgres = await startPostgres(scratch)
  stops.push(postgres.stop)
  const redis = await startRedis(scratch)
  stops.push(redis.stop)
  const tests = Bun.spawn(
    [
      process.execPath,
      'test',
      '--isolate',
      '--timeout',
      '30000',
      '--reporter=junit',
      `--reporter-outfile=${report}`,
      ...process.argv.slice(2),
    ],
    {
      env: {
        ...process.env,
        NODE_ENV: 'test',
        BUN_CONFIG_MAX_HTTP_REQUESTS: '65535',
        TEST_DATABASE_URL: postgres.url,
        TEST_REDIS_URL: redis.url,
      },
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  )
  stops.push(async () => tests.kill())
  exitCode = await tests.exited
  sayTotals()
} finally {
  for (const stop of stops.reverse()) await stop()
  rmSync(scratch, { recursive: true, force: true })
}
process.exit(exitCode)

function installIfMissing(): void {
  const missing = [
    ...(postgresBin() ? [] : ['postgresql']),
    ...(Bun.which('redis-server') ? [] : ['redis-server']),
    ...(Bun.which('chromium') ? [] : ['chromium']),
  ]
  if (missing.length === 0) return
  if (!existsSync('/etc/debian_version') || process.getuid?.() !== 0) {
    throw new Error(`The tests need ${missing.join(' and ')}: install it and run them again`)
  }
  for (const args of [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends', ...missing],
  ]) {
    const done = Bun.spawnSync(['apt-get', ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    if (done.exitCode !== 0) throw new Error(`apt-get ${args.join(' ')} failed`)
  }
}

/** One line that a machine can read: bun's own summary spreads over several. */
function sayTotals(): void {
  mkdirSync(scratch, { recursive: true })
  const xml = existsSync(report) ? readFileSync(report, 'utf8') : ''
  const number = (name: string) => Number(new RegExp(`<testsuites[^>]* ${name}="(\\d+)"`).exec(xml)?.[1] ?? 0)
  const failed = number('failures') + (exitCode !== 0 && number('failures') === 0 ? 1 : 0)
  process.stdout.write(`${number('tests') - number('failures') - number('skipped')} passed, ${failed} failed\n`)
}
