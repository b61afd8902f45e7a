import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type App, createApp } from '../../src/app'
import { loadConfig } from '../../src/config'
import { openLog } from '../../src/log'
import { type Services, wire } from '../../src/wire'

export interface TestApp {
  app: App
  services: Services
  /** Through the front door, without a socket. Paths begin with `/`. */
  call: (path: string, init?: CallInit) => Promise<Response>
  /** A new account's access token. */
  signUp: (email?: string) => Promise<Account>
  /** Listens on a free port; for what needs a real socket. @returns the base URL */
  listen: () => string
  close: () => Promise<void>
}

export interface CallInit {
  method?: string
  token?: string | undefined
  /** Sent as JSON. */
  json?: unknown
  headers?: Record<string, string>
  body?: BodyInit
  signal?: AbortSignal
}

export interface Account {
  token: string
  refreshToken: string
  userId: string
  email: string
}

/** The whole server with an embedded database in a folder of its own, or whatever `env` says instead. */
export async function testApp(env: Record<string, string> = {}): Promise<TestApp> {
  const dir = mkdtempSync(join(tmpdir(), 'orchestrator-app-'))
  const config = loadConfig({
    NODE_ENV: 'test',
    DATA_DIR: dir,
    LOG_LEVEL: 'silent',
    ...env,
  })
  const services = await wire(config, openLog(config.logLevel), {
    onFatal(error) {
      throw error
    },
  })
  const app = createApp(services)

  const call: TestApp['call'] = async (path, { method, token, json, headers = {}, body, signal } = {}) => {
    const sent = json === undefined ? body : JSON.stringify(json)
    return app.handle(
      new Request(`http://localhost${path}`, {
        method: method ?? (sent === undefined ? 'GET' : 'POST'),
        headers: {
          ...(token ? { authorization: `Bearer ${token}` } : {}),
          ...(json === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(sent === undefined ? {} : { body: sent }),
        ...(signal ? { signal } : {}),
      }),
    )
  }

  return {
    app,
    services,
    call,
    async signUp(email = `${crypto.randomUUID()}@example.com`) {
      const answer = await call('/api/v1/auth/register', {
        json: { email, password: 'password123', name: 'Test' },
      })
      if (answer.status !== 201) throw new Error(`Signing up failed: ${await answer.text()}`)
      const { user, tokens } = (await answer.json()) as {
        user: { id: string }
        tokens: Record<string, string>
      }
      return {
        token: tokens.access_token ?? '',
        refreshToken: tokens.refresh_token ?? '',
        userId: user.id,
        email,
      }
    },
    listen() {
      if (!app.server) app.listen({ hostname: '127.0.0.1', port: 0, reusePort: false })
      return `http://127.0.0.1:${app.server?.port}`
    },
    async close() {
      await services.runs.close(0)
      await app.server?.stop(true)
      await services.close()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
