/** This server as a child process, with one person signed up and one API key. */
import { join } from 'node:path'
import type { FakeProvider } from '../support/fake-provider'
import { freePort } from '../support/servers'
import { plainEnv, startChild, waitUntilReady } from './children'
import { MASTER_KEY } from './litellm'

const ROOT = join(import.meta.dir, '../..')
const START_LIMIT_MS = 60_000

export type Target = { origin: string; baseURL: string; apiKey: string }

export type Setup = {
  target: Target
  provider: FakeProvider
  /** The target is LiteLLM itself: what only this server promises cannot be checked. */
  proxyOnly: boolean
}

/** On the database of `databaseUrl`, with LiteLLM as its provider: nothing but settings. */
export const startServer = (litellmUrl: string, databaseUrl: string, folder: string): Promise<Target> =>
  startServerWith({ DATABASE_URL: databaseUrl, LITELLM_URL: litellmUrl, LITELLM_MASTER_KEY: MASTER_KEY }, folder)

/** @param folder for its data and its log, one server each. */
export async function startServerWith(settings: Record<string, string>, folder: string): Promise<Target> {
  const port = await freePort()
  const child = startChild({
    name: 'server',
    command: [process.execPath, 'src/index.ts'],
    env: plainEnv({
      PORT: String(port),
      DATA_DIR: join(folder, 'data'),
      NODE_ENV: 'test',
      LOG_LEVEL: 'warn',
      BUN_CONFIG_MAX_HTTP_REQUESTS: '65535',
      ...settings,
    }),
    cwd: ROOT,
    logDir: folder,
  })
  const origin = `http://127.0.0.1:${port}`
  await waitUntilReady(child, `${origin}/ready`, START_LIMIT_MS)
  return { origin, baseURL: `${origin}/v1`, apiKey: await createKey(origin) }
}

async function createKey(origin: string): Promise<string> {
  const person = {
    email: `interop-${crypto.randomUUID()}@example.com`,
    password: 'Interop-pass-42!',
    name: 'Interop',
  }
  const signedUp = await post<{ tokens?: { access_token: string } }>(`${origin}/api/v1/auth/register`, person)
  if (!signedUp.tokens) throw new Error(`register answers ${JSON.stringify(signedUp)}`)
  const key = await post<{ data: { key: string } }>(
    `${origin}/v1/keys`,
    { name: 'interop' },
    { authorization: `Bearer ${signedUp.tokens.access_token}` },
  )
  return key.data.key
}

export async function post<T>(url: string, body: unknown, headers: Record<string, string> = {}): Promise<T> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(15_000),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`POST ${new URL(url).pathname} answers ${response.status}: ${text.slice(0, 500)}`)
  return JSON.parse(text) as T
}
