/**
 * `bun tests/store/bank-run.ts --minutes 10 [--seed 7]`: the bank for as long as you like, on a Postgres of its own, each
 * round on a new database and with a seed of its own. Stops at the first fault with exit code 1.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Pool } from 'pg'
import { migrateDb } from '../../src/store/sql/db'
import { createDatabase } from '../support/db'
import { startPostgres } from '../support/servers'
import { runBank } from './bank'

const ROUND_SECONDS = 20

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string' } } })
const end = Date.now() + Number(values.minutes) * 60_000
const scratch = mkdtempSync(join(tmpdir(), 'orchestrator-bank-'))
const postgres = await startPostgres(scratch)
process.env.TEST_DATABASE_URL = postgres.url
const totals = { rounds: 0, operations: 0, repeated: 0, killed: 0, checks: 0 }
let sound = true
try {
  let seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
  while (sound && Date.now() < end) {
    const report = await round(seed++)
    process.stdout.write(`${JSON.stringify(report)}\n`)
    sound = report.faults.length === 0
    totals.rounds++
    for (const key of ['operations', 'repeated', 'killed', 'checks'] as const) totals[key] += report[key]
  }
  process.stdout.write(`${sound ? 'clean' : 'BROKEN'} ${JSON.stringify(totals)}\n`)
} finally {
  // A connection that is just being closed would report the end of its server.
  await Bun.sleep(500)
  await postgres.stop()
  rmSync(scratch, { recursive: true, force: true })
}
process.exit(sound ? 0 : 1)

async function round(seed: number) {
  const { url, drop } = await createDatabase()
  const pool = new Pool({ connectionString: url, max: 1 })
  await migrateDb(pool)
  await pool.end()
  try {
    const seconds = Math.max(1, Math.min(ROUND_SECONDS, (end - Date.now()) / 1000))
    return await runBank({ url, seed, seconds })
  } finally {
    await drop()
  }
}
