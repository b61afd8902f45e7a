import type { Pool } from 'pg'
import type { Store } from '../port'
import { SqlAccounts } from './accounts'
import { SqlArchive } from './archive'
import { SqlBranches } from './branches'
import { SqlBulk } from './bulk'
import { SqlConversations } from './conversations'
import { migrateDb, openDb } from './db'
import { SqlFeedback } from './feedback'
import { SqlIdempotency } from './idempotency'
import { SqlKeys } from './keys'
import { SqlMessages } from './messages'
import { SqlRuns } from './runs'
import { SqlSearch } from './search'
import { SqlStats } from './stats'
import { SqlSync } from './sync'
import { SqlTurns } from './turns'

/** The store on anything that speaks Postgres. Migrates first. */
export async function sqlStore(
  kind: Store['kind'],
  { pool, close }: { pool: Pool; close: () => Promise<void> },
): Promise<Store> {
  await migrateDb(pool)
  const db = openDb(pool)
  return {
    kind,
    accounts: new SqlAccounts(db),
    keys: new SqlKeys(db),
    conversations: new SqlConversations(db),
    // Until there is a ledger, nothing limits anybody here.
    wallets: { of: async ({ litellmKey }) => ({ available: null, litellmKey, serverKey: true }) },
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
    idempotency: new SqlIdempotency(db),
    async ping() {
      await pool.query('select 1')
    },
    close,
  }
}
