import type { Pool } from 'pg'
import type { Store } from '../port'
import { SqlAccounts } from './accounts'
import { SqlArchive } from './archive'
import { SqlBranches } from './branches'
import { SqlBudgets } from './budgets'
import { SqlBulk } from './bulk'
import { SqlConversations } from './conversations'
import { migrateDb, openDb } from './db'
import { SqlFeedback } from './feedback'
import { SqlIdempotency } from './idempotency'
import { SqlKeys } from './keys'
import { SqlLedger } from './ledger'
import { SqlMessages } from './messages'
import { SqlOutbox } from './outbox'
import { SqlPeople } from './people'
import { SqlRuns } from './runs'
import { SqlSearch } from './search'
import { SqlStats } from './stats'
import { SqlSync } from './sync'
import { SqlTenants } from './tenants'
import { SqlTurns } from './turns'
import { SqlUsage } from './usage'
import { SqlWallets } from './wallets'

/** The store on anything that speaks Postgres. Migrates first. */
export async function sqlStore(
  kind: Store['kind'],
  { pool, close }: { pool: Pool; close: () => Promise<void> },
): Promise<Store> {
  await migrateDb(pool)
  const db = openDb(pool)
  const ledger = new SqlLedger(db)
  return {
    kind,
    accounts: new SqlAccounts(db),
    keys: new SqlKeys(db),
    conversations: new SqlConversations(db),
    wallets: new SqlWallets(ledger),
    branches: new SqlBranches(db),
    messages: new SqlMessages(db),
    turns: new SqlTurns(db),
    runs: new SqlRuns(db),
    bulk: new SqlBulk(db),
    archive: new SqlArchive(db),
    feedback: new SqlFeedback(db),
    search: new SqlSearch(db),
    stats: new SqlStats(db),
    sync: new SqlSync(db),
    tenants: new SqlTenants(db),
    people: new SqlPeople(db),
    ledger,
    budgets: new SqlBudgets(db),
    usage: new SqlUsage(db),
    outbox: new SqlOutbox(db),
    idempotency: new SqlIdempotency(db),
    async ping() {
      await pool.query('select 1')
    },
    close,
  }
}
