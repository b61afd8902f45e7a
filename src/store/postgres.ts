import { Pool } from 'pg'

export interface PostgresOptions {
  url: string
  /** Connections at most. */
  poolSize: number
  /** Called when an idle connection breaks; the pool replaces it. */
  onError: (error: Error) => void
}

/** Opens a pool on a real Postgres. Connections are made on demand. */
export function openPostgres({ url, poolSize, onError }: PostgresOptions): {
  pool: Pool
  close: () => Promise<void>
} {
  const pool = new Pool({
    connectionString: url,
    max: poolSize,
    connectionTimeoutMillis: 5000,
    // A statement that takes longer than this is a fault, and would hold a connection that chats need.
    statement_timeout: 30_000,
    application_name: 'ai-chat-orchestrator',
  })
  pool.on('error', onError)
  // A connection that is lost in the middle of a transaction tells its client, not the pool; unheard, it ends the process.
  pool.on('connect', (client) => client.on('error', onError))
  return { pool, close: () => pool.end() }
}
