import { type CallInit, type TestApp, testApp } from './app'
import { createDatabase } from './db'
import { forge, seconds } from './forge'

export const SECRET = 'the secret that the outside issuer signs with'
export const OWNER = { email: 'owner@example.com', password: 'correct horse battery' }

export interface Someone {
  token: string
  userId: string
  tenantId: string
}

export interface Tenancy {
  app: TestApp
  url: string
  /** The owner of the installation, made at the start. */
  owner: Someone
  /** As the owner, for those who send no token. @returns the status and what the answer says. */
  ask: (path: string, init?: CallInit) => Promise<{ status: number; data: Json; error: Json; text: string }>
  /** A new tenant. */
  tenant: (fields?: object) => Promise<Json>
  /** Somebody new of a tenant, who comes with a token of the outside issuer. */
  person: (tenantId: string, role?: 'admin' | 'owner') => Promise<Someone>
  close: () => Promise<void>
}

// What answers hold is looked at by the tests themselves.
export type Json = ReturnType<typeof JSON.parse>

/** A server with tenants, on a Postgres of its own. */
export async function startTenancy(env: Record<string, string> = {}): Promise<Tenancy> {
  const { url, drop } = await createDatabase()
  const app = await testApp({
    DATABASE_URL: url,
    JWT_SECRET_KEY: SECRET,
    ADMIN_EMAIL: OWNER.email,
    ADMIN_PASSWORD: OWNER.password,
    ...env,
  })
  const login = await (await app.call('/api/v1/auth/login', { json: OWNER })).json()
  const owner: Someone = {
    token: login.tokens.access_token,
    userId: login.user.id,
    tenantId: '00000000-0000-0000-0000-000000000001',
  }
  const ask: Tenancy['ask'] = async (path, init = {}) => {
    const answer = await app.call(path, { token: owner.token, ...init })
    const text = await answer.text()
    const { data, error } = JSON.parse(text)
    return { status: answer.status, data, error, text }
  }
  return {
    app,
    url,
    owner,
    ask,
    tenant: async (fields = {}) => (await ask('/v1/admin/tenants', { json: { name: 'Acme', ...fields } })).data,
    async person(tenantId, role) {
      const userId = crypto.randomUUID()
      const token = tokenOf({ sub: userId, tenant_id: tenantId })
      await app.call('/api/v1/auth/me', { token })
      const json = { role }
      const path = `/v1/admin/users/${userId}?tenant_id=${tenantId}`
      if (role) await ask(path, { method: 'PATCH', json })
      return { token, userId, tenantId }
    },
    async close() {
      await app.close()
      await drop()
    },
  }
}

/** A token of the outside issuer. */
export const tokenOf = (claims: object) =>
  forge({ alg: 'HS256', typ: 'JWT' }, { exp: seconds(3600), ...claims }, SECRET)
