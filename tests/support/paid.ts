/** A server whose models cost round sums, for looking at what is charged. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Pool } from 'pg'
import { DEFAULT_TENANT, newId } from '../../src/lib/ids'
import { personAccount } from '../../src/modules/billing/account-ids'
import type { LedgerStore } from '../../src/store/port-money'
import { type Account, type TestApp, testApp } from './app'
import { type CountingProvider, startCountingProvider } from './counting-provider'
import { createDatabase } from './db'

/** Nano-dollars for a token of the model `paid`. */
export const INPUT = 1000n
export const OUTPUT = 2000n

export interface Paid {
  app: TestApp
  provider: CountingProvider
  pool: Pool
  env: Record<string, string>
  /** A person with so much money. */
  person: (nanos?: bigint) => Promise<Account>
  give: (userId: string, nanos: bigint) => Promise<void>
  account: (userId: string) => ReturnType<LedgerStore['balance']>
  /** All records of usage, the oldest first, as the database has them. */
  records: (userId: string) => Promise<Record<string, unknown>[]>
  close: () => Promise<void>
}

const modelsFile = (url: string) => `
providers:
  counting:
    kind: openai
    base_url: ${url}
    api_key: \${COUNTING_KEY}
  draining:
    kind: openai
    base_url: ${url}
    api_key: \${COUNTING_KEY}
    cancelled: drain
models:
  paid: { deployments: [{ provider: counting, model: gpt-4o-a, info: { prices: { input: 1, output: 2 } } }] }
  drained: { deployments: [{ provider: draining, model: gpt-4o-b, info: { prices: { input: 1, output: 2 } } }] }
  gratis: { deployments: [{ provider: counting, model: gpt-4o-c, info: { prices: { input: 0, output: 0 } } }] }
  unknown: { deployments: [{ provider: counting, model: gpt-4o-d }] }
`

/** @param through gives the database another address. */
export async function paidApp(
  env: Record<string, string> = {},
  through: (url: string) => Promise<string> | string = (url) => url,
): Promise<Paid> {
  const database = await createDatabase()
  const provider = startCountingProvider()
  // Its vocabulary takes a while to load: longer than a server waits for a word behind the last one.
  await provider.promptTokens('')
  const dir = mkdtempSync(join(tmpdir(), 'orchestrator-paid-'))
  const file = join(dir, 'models.yaml')
  writeFileSync(file, modelsFile(provider.url))
  const whole = {
    DATABASE_URL: await through(database.url),
    JWT_SECRET_KEY: 'a secret that all servers of these tests know',
    MODELS_FILE: file,
    COUNTING_KEY: 'sk-counting',
    BILLING: 'prepaid',
    ...env,
  }
  const app = await testApp(whole)
  const pool = new Pool({ connectionString: database.url, max: 2 })
  // Its last connections may still be closing when the database is dropped.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  const { ledger } = app.services.store
  const give = async (userId: string, amount: bigint) => {
    const accountId = personAccount(DEFAULT_TENANT, userId)
    const at = new Date()
    await ledger.open({ id: accountId, tenantId: DEFAULT_TENANT, kind: 'user', ownerId: userId, limited: true, at })
    const credit = { kind: 'topup' as const, reason: 'test', actorId: null, idempotencyKey: newId() }
    await ledger.credit({ id: newId(), accountId, amount, ...credit, at })
  }
  return {
    app,
    provider,
    pool,
    env: whole,
    give,
    async person(nanos = 1_000_000_000n) {
      const account = await app.signUp()
      await give(account.userId, nanos)
      return account
    },
    account: (userId) => ledger.balance(personAccount(DEFAULT_TENANT, userId)),
    records: async (userId) =>
      (await pool.query('select * from usage_records where user_id = $1 order by id', [userId])).rows,
    async close() {
      await app.close()
      await pool.end()
      provider.stop()
      await database.drop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
