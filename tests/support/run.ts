/**
 * `bun run test`: starts a private Postgres and Redis, runs every test against them, stops them, and ends with one
 * line of totals. On a Debian machine as root it installs them, nginx and a browser first if they are missing.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installIfMissing } from './install'
import { startPostgres, startRedis } from './servers'

const scratch = mkdtempSync(join(tmpdir(), 'orchestrator-test-'))
const report = join(scratch, 'junit.xml')
const stops: (() => Promise<void>)[] = []
const chosen = process.argv.slice(2)
let exitCode = 1

try {
  installIfMissing('postgresql', 'redis-server', 'nginx', 'chromium')
  const postgres = await startPostgres(scratch)
  stops.push(postgres.stop)
  const redis = await startRedis(scratch)
  stops.push(redis.stop)
  const tests = Bun.spawn(
    [
      process.execPath,
      'test',
      // Each file in a world of its own; where nothing is chosen, two at a time: many wait more than they work.
      ...(chosen.length > 0 ? ['--isolate'] : ['--parallel=2']),
      '--timeout',
      '30000',
      '--reporter=junit',
      `--reporter-outfile=${report}`,
      ...chosen,
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
  // Whoever interrupts the tests does not mean to leave their servers behind.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => tests.kill())
  exitCode = await tests.exited
  sayTotals()
} finally {
  for (const stop of stops.reverse()) await stop()
  rmSync(scratch, { recursive: true, force: true })
}
process.exit(exitCode)

/** One line that a machine can read: bun's own summary spreads over several. */
function sayTotals(): void {
  mkdirSync(scratch, { recursive: true })
  const xml = existsSync(report) ? readFileSync(report, 'utf8') : ''
  const number = (name: string) => Number(new RegExp(`<testsuites[^>]* ${name}="(\\d+)"`).exec(xml)?.[1] ?? 0)
  const failed = number('failures') + (exitCode !== 0 && number('failures') === 0 ? 1 : 0)
  process.stdout.write(`${number('tests') - number('failures') - number('skipped')} passed, ${failed} failed\n`)
}
