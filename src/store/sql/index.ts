import type { Pool } from 'pg'
import type { Store } from '../port'
import { SqlAccounts } from './accounts'
import { SqlConversations } from './conversations'
import { migrateDb, openDb } from './db'
import { SqlKeys } from './keys'
import { SqlRuns } from './runs'
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
    turns: new SqlTurns(db),
    runs: new SqlRuns(db),
    async ping() {
      await pool.query('select 1')
    },
    close,
  }
}
