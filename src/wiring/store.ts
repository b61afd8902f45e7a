import type { Config } from '../config'
import type { Log } from '../log'
import type { Metrics } from '../plugins/metrics'
import type { Store } from '../store/port'
import { sqlStore } from '../store/sql'
import { type Embedded, openEmbedded } from './embedded'

/** What whoever starts a server has to do with its database. */
export interface EmbeddedOptions {
  /** The embedded database, where somebody has begun to open it. */
  embedded?: Promise<Embedded> | undefined
  /** Called when the process cannot go on: the embedded database died, and only a new process can open it. */
  onFatal: (error: Error) => void
}

interface Opening extends EmbeddedOptions {
  log: Log
  metrics: Metrics
}

export async function openStore(
  { store, minBalance }: Config,
  { log, metrics, embedded, onFatal }: Opening,
): Promise<Store> {
  if (store.edge) {
    const { edgeStore } = await import('../store/edge-function')
    const { supabase, functionUrl, timeout } = store.edge
    return edgeStore({
      functionUrl,
      supabaseUrl: supabase.url,
      anonKey: supabase.anonKey,
      dataDir: store.dataDir,
      timeoutMs: timeout,
      concurrency: store.poolSize,
      minBalance,
      onCall: (line) => {
        metrics.upstreamCall(line)
        log.debug(line, 'call')
      },
      onWaiting: (count) => metrics.answersWaiting(count),
      onFault: (message, err) => log.warn({ err }, message),
    })
  }
  if (store.kind === 'postgres' && store.databaseUrl) {
    const { openPostgres } = await import('../store/postgres')
    const onError = (err: Error) => log.warn({ err }, 'a database connection broke')
    return sqlStore(
      'postgres',
      openPostgres({
        url: store.databaseUrl,
        poolSize: store.poolSize,
        onError,
      }),
    )
  }
  return sqlStore('pglite', await (embedded ?? openEmbedded(store, onFatal)))
}

/** Imported conversations that are written at once: the embedded database has one connection, a server others to serve. */
export const writersOf = ({ store: { kind, poolSize } }: Config) =>
  kind === 'pglite' ? 1 : Math.max(1, Math.min(4, Math.floor(poolSize / 3)))
