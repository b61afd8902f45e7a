import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DEFAULT_TENANT, newId } from '../../../src/lib/ids'
import { type EdgeFunctionOptions, edgeStore } from '../../../src/store/edge-function'
import type { User } from '../../../src/store/port'
import type { TestStore } from '../db'
import { type Supabase, startSupabase } from './index'

/** The Edge Function store against the shipped function in Deno, on a real Postgres with Row Level Security. */
export async function openTestEdge(): Promise<TestStore> {
  const supabase = await startSupabase()
  const opened = openEdgeStore(supabase)
  await opened.store.ping()
  return {
    store: opened.store,
    pool: supabase.pool,
    user: () => personOf(supabase),
    async close() {
      await opened.close()
      await supabase.close()
    },
  }
}

/** A store with a data folder of its own, or the given one. */
export function openEdgeStore(supabase: Supabase, options: Partial<EdgeFunctionOptions> = {}) {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'orchestrator-edge-'))
  const faults: string[] = []
  const store = edgeStore({
    functionUrl: supabase.functionUrl,
    supabaseUrl: supabase.url,
    anonKey: supabase.api.anonKey,
    timeoutMs: 10_000,
    concurrency: 100,
    minBalance: 0n,
    onCall: () => {},
    onWaiting: () => {},
    onFault: (message) => faults.push(message),
    ...options,
    dataDir,
  })
  const close = async () => {
    await store.close()
    if (!options.dataDir) rmSync(dataDir, { recursive: true, force: true })
  }
  return { store, faults, dataDir, close }
}

/** A new person of the project, as a request of theirs would arrive. */
export async function personOf({ api }: Pick<Supabase, 'api'>): Promise<User> {
  const { id, email, token } = await api.user()
  const caller = { token, requestId: newId() }
  return {
    userId: id,
    tenantId: DEFAULT_TENANT,
    email,
    name: 'Test',
    role: 'user',
    litellmKey: null,
    createdAt: new Date(),
    caller,
  }
}
