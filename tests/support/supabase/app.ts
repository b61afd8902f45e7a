import { type TestApp, testApp } from '../app'
import { type FakeProvider, startFakeProvider } from '../fake-provider'
import { type FunctionProxy, startFunctionProxy } from './function-proxy'
import { type Supabase, startSupabase } from './index'

export interface EdgeApp {
  app: TestApp
  supabase: Supabase
  function: FunctionProxy
  provider: FakeProvider
  /** A new person with a LiteLLM key and, unless said otherwise, ten dollars. */
  person: (profile?: { balance?: number | null; key?: string | null }) => Promise<{ id: string; token: string }>
  /** One more server in front of the same project: it has seen no failure yet. */
  another: () => Promise<TestApp>
  close: () => Promise<void>
}

/** The whole server in front of a whole Supabase project, with the variables of the system it replaces. */
export async function edgeApp(env: Record<string, string> = {}, { older = false } = {}): Promise<EdgeApp> {
  const supabase = await startSupabase()
  const proxy = startFunctionProxy(supabase.functionUrl, { older })
  const provider = startFakeProvider()
  const start = () =>
    testApp({
      SUPABASE_URL: supabase.url,
      SUPABASE_ANON_KEY: supabase.api.anonKey,
      EDGE_FUNCTION_URL: proxy.url,
      JWT_SECRET_KEY: supabase.api.jwtSecret,
      LITELLM_URL: provider.url,
      DEFAULT_MODEL: 'echo',
      SUPABASE_SERVICE_KEY: supabase.api.serviceKey,
      ...env,
    })
  const app = await start()
  return {
    app,
    another: start,
    supabase,
    function: proxy,
    provider,
    async person({ balance = 10, key = `sk-person-${crypto.randomUUID()}` } = {}) {
      const { id, token } = await supabase.api.user()
      await supabase.pool.query('update user_profiles set litellm_key = $2, max_budget = $3 where id = $1', [
        id,
        key,
        balance,
      ])
      return { id, token }
    },
    async close() {
      await app.close()
      await proxy.stop()
      await provider.stop()
      await supabase.close()
    },
  }
}
