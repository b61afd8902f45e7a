/**
 * A Supabase project with the shipped Edge Function, a real LiteLLM, and this server in front of both with nothing but the
 * `.env` of the Python orchestrator.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../support/servers'
import { type Supabase, startSupabase } from '../support/supabase'
import { type Child, plainEnv, startChild, waitUntilReady } from './children'
import { type Curl, curlAt } from './curl'
import { MASTER_KEY } from './litellm'
import { type Journal, startTap, type Tap } from './tap'

const ROOT = join(import.meta.dir, '../..')
const START_LIMIT_MS = 60_000

/** As the README of the Python orchestrator prints it. */
const ENV_EXAMPLE = `# Supabase Configuration
SUPABASE_URL=https://your-project.supabase.co
SUPABASE_ANON_KEY=your_anon_key
SUPABASE_SERVICE_KEY=your_service_key  # Optional
EDGE_FUNCTION_URL=https://your-project.supabase.co/functions/v1/conversation-manager

# LiteLLM Configuration
LITELLM_URL=https://your-litellm-instance.railway.app
LITELLM_MASTER_KEY=your_master_key  # Optional

# Security
JWT_SECRET_KEY=your_supabase_jwt_secret
JWT_ALGORITHM=HS256

# Performance Tuning
MAX_CONTEXT_MESSAGES=100
STREAM_TIMEOUT=120
CONNECTION_POOL_SIZE=100

# Monitoring
ENABLE_METRICS=true
LOG_LEVEL=INFO
DEBUG=false
`

export type Person = { id: string; email: string; token: string; litellmKey: string | null }

export type Project = {
  curl: Curl
  origin: string
  server: Child
  supabase: Supabase
  /** In front of the Edge Function and of LiteLLM. */
  edge: Tap
  litellm: Tap
  /** What the taps have seen since the last `clear`. */
  journal: Journal
  /** Somebody with an account, and the profile that is given. `refused`: LiteLLM does not know the key. */
  person(profile?: { litellmKey?: string | null; refused?: boolean; budget?: number; spend?: number }): Promise<Person>
  close(): Promise<void>
}

export type ProjectOptions = {
  litellmUrl: string
  databaseUrl: string
  folder: string
  /** `full`: every setting of the example. `bare`: without those it calls optional. `older`: and with an older function. */
  kind?: 'full' | 'bare' | 'older'
}

export async function startProject(options: ProjectOptions): Promise<Project> {
  process.env.TEST_DATABASE_URL = options.databaseUrl
  const supabase = await startSupabase()
  const journal: Journal = []
  const personal = new Set<string>()
  // LiteLLM without a database of its own has one key. A person's key stands for it here, and any other is refused there.
  const trade = (key: string) => (personal.has(key) ? MASTER_KEY : key)
  const litellm = startTap({ name: 'litellm', target: options.litellmUrl, journal, trade })
  const target = new URL(supabase.functionUrl).origin
  const edge = startTap({ name: 'function', target, journal, ...(options.kind === 'older' ? { rewrite: OLDER } : {}) })
  try {
    const { origin, server, folder } = await startServer(options, { supabase, edge, litellm })
    return {
      curl: await curlAt(origin, folder),
      origin,
      server,
      supabase,
      edge,
      litellm,
      journal,
      async person({ litellmKey = `sk-${crypto.randomUUID()}`, refused = false, budget = 10, spend = 0 } = {}) {
        const { id, email, token } = await supabase.api.user()
        if (litellmKey && !refused) personal.add(litellmKey)
        await supabase.pool.query(
          'update user_profiles set litellm_key = $2, max_budget = $3, spend = $4 where id = $1',
          [id, litellmKey, budget, spend],
        )
        return { id, email, token, litellmKey }
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }

  async function close() {
    await Promise.all([edge.stop(), litellm.stop()])
    await supabase.close()
  }
}

type Parts = Pick<Project, 'supabase' | 'edge' | 'litellm'>

async function startServer({ kind = 'full', ...options }: ProjectOptions, { supabase, edge, litellm }: Parts) {
  const folder = join(options.folder, `supabase-${kind}`)
  mkdirSync(folder)
  const port = await freePort()
  const { api } = supabase
  // The longer address first: the shorter one is its beginning.
  const values: [string, string][] = [
    ['https://your-project.supabase.co/functions/v1/conversation-manager', `${edge.url}/conversation-manager`],
    ['https://your-project.supabase.co', api.url],
    ['your_anon_key', api.anonKey],
    ['your_service_key', api.serviceKey],
    ['https://your-litellm-instance.railway.app', litellm.url],
    ['your_master_key', MASTER_KEY],
    ['your_supabase_jwt_secret', api.jwtSecret],
  ]
  let env = ENV_EXAMPLE
  for (const [placeholder, value] of values) env = env.replace(placeholder, value)
  if (kind !== 'full') env = env.replace(/^LITELLM_MASTER_KEY.*$/m, '').replace(/^SUPABASE_SERVICE_KEY.*$/m, '')
  await Bun.write(join(folder, '.env'), env)
  const server = startChild({
    name: `server-${kind}`,
    command: [process.execPath, join(ROOT, 'src/index.ts')],
    // What `bun start` sets, and what a platform sets.
    env: plainEnv({ PORT: String(port), BUN_CONFIG_MAX_HTTP_REQUESTS: '65535' }),
    cwd: folder,
    logDir: folder,
  })
  const origin = `http://127.0.0.1:${port}`
  await waitUntilReady(server, `${origin}/ready`, START_LIMIT_MS)
  return { origin, server, folder }
}

/** What the contract of older functions does not have. */
const EXTENSION =
  'turn title_source system_prompt active_leaf_id rev leaf_id viewed_at depth extra status finish_reason usage cost_nanos completed_at'
const NEW_KEYS = new Set(EXTENSION.split(' '))

/** Makes an older function of ours: it hears nothing of the extension, and tells nothing of it. */
const OLDER = {
  body(text: string): string {
    const { turn, rev, at, ...documented } = JSON.parse(text)
    return JSON.stringify(documented)
  },
  async answer(response: Response): Promise<Response> {
    const text = JSON.stringify(await response.json(), (key, value) => (NEW_KEYS.has(key) ? undefined : value))
    return new Response(text, { status: response.status, headers: { 'content-type': 'application/json' } })
  },
}
