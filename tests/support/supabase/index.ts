import type { Pool } from 'pg'
import { type Algorithm, type SupabaseApi, startSupabaseApi } from './api'
import { createSupabaseDatabase } from './database'
import { startFunction } from './function'

export interface Supabase {
  /** What `SUPABASE_URL` is. */
  url: string
  /** What `EDGE_FUNCTION_URL` is. */
  functionUrl: string
  api: SupabaseApi
  /** As the owner of the tables: for looking behind Row Level Security. */
  pool: Pool
  databaseUrl: string
  close: () => Promise<void>
}

/** A whole project: a database with our migrations, the stand-in for Auth and PostgREST, and the Edge Function in Deno. */
export async function startSupabase({ algorithm = 'HS256' }: { algorithm?: Algorithm } = {}): Promise<Supabase> {
  const closing: (() => Promise<unknown>)[] = []
  const close = async () => {
    for (const end of closing.splice(0).reverse()) await end()
  }
  try {
    const database = await createSupabaseDatabase()
    closing.push(database.drop)
    const api = await startSupabaseApi({ databaseUrl: database.url, algorithm })
    closing.push(api.stop)
    const signing = algorithm === 'HS256' ? { jwtSecret: api.jwtSecret } : { algorithm }
    const edge = await startFunction({ databaseUrl: database.url, supabaseUrl: api.url, ...signing })
    closing.push(edge.stop)
    return { url: api.url, functionUrl: edge.url, api, pool: database.pool, databaseUrl: database.url, close }
  } catch (error) {
    await close()
    throw error
  }
}
