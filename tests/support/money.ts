import { accountId, DEFAULT_TENANT, newId } from '../../src/lib/ids'
import type { NewUsage } from '../../src/store/port-money'
import type { Role } from '../../src/store/schema'
import type { TestApp } from './app'
import { forge, seconds } from './forge'

const OWNER = { email: 'owner@example.com', password: 'correct horse battery' }

const WITH_OWNER = { ADMIN_EMAIL: OWNER.email, ADMIN_PASSWORD: OWNER.password }

export async function ownerToken(app: TestApp): Promise<string> {
  const { tokens } = await (await app.call('/api/v1/auth/login', { json: OWNER })).json()
  return tokens.access_token
}

const SECRET = 'a secret that this server knows, and nobody else'

/** For `testApp`: there is an owner of the installation, and people whom another issuer vouches for. */
export const WITH_EVERYBODY = { ...WITH_OWNER, JWT_SECRET_KEY: SECRET }

export interface Somebody {
  userId: string
  tenantId: string
  token: string
}

/** Somebody in a tenant: the default one, or a new one. */
export async function newPerson(
  app: TestApp,
  { role = 'user', elsewhere = false }: { role?: Role; elsewhere?: boolean } = {},
): Promise<Somebody> {
  const { store, accounts } = app.services
  const tenantId = elsewhere ? newId() : DEFAULT_TENANT
  if (elsewhere) await store.tenants.create({ id: tenantId, name: 'Elsewhere', at: new Date() })
  const claims = { sub: newId(), exp: seconds(3600), ...(elsewhere ? { tenant_id: tenantId } : {}) }
  const token = forge({ alg: 'HS256', typ: 'JWT' }, claims, SECRET)
  const { id: userId } = await (await app.call('/api/v1/auth/me', { token })).json()
  await store.accounts.setRole(userId, role)
  accounts.forgetUser(userId)
  return { userId, tenantId, token }
}

export type Spent = Partial<Omit<NewUsage, 'id'>> & { userId: string }

/** One answer, reserved for and settled, past the server: as if somebody had asked. @returns the id of its record. */
export async function spent(app: TestApp, given: Spent): Promise<string> {
  const { ledger } = app.services.store
  const usage = usageOf(given)
  const { tenantId, userId, completedAt: at, chargeNanos: amount } = usage
  const id = accountId('user', tenantId, userId)
  await ledger.open({ id, tenantId, kind: 'user', ownerId: userId, limited: false, at })
  const reservation = { id: usage.id, accountIds: [id], amount: amount > 0n ? amount : 1n, runId: null, at }
  const [reserved] = await ledger.reserve([{ ...reservation, expiresAt: new Date(at.getTime() + 60_000) }])
  const [settled] = await ledger.settle([{ id: usage.id, amount, usage, at }])
  if (reserved?.outcome !== 'reserved' || settled?.outcome !== 'settled') {
    throw new Error(`Nothing was spent: ${reserved?.outcome}, ${settled?.outcome}`)
  }
  return usage.id
}

const usageOf = (given: Spent): NewUsage => {
  const completedAt = given.completedAt ?? new Date()
  const cost = given.costNanos === undefined ? 3_000_000n : given.costNanos
  return {
    id: newId(),
    tenantId: DEFAULT_TENANT,
    keyId: null,
    conversationId: null,
    messageId: null,
    runId: null,
    model: 'echo',
    provider: 'openai',
    providerModel: 'echo',
    status: 'completed',
    finishReason: 'stop',
    promptTokens: 10,
    completionTokens: 5,
    cachedTokens: 4,
    reasoningTokens: 0,
    usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
    chargeNanos: cost ?? 0n,
    reportedNanos: null,
    savedNanos: 1000n,
    parts: null,
    costBasis: 'provider',
    priceVersion: 'test#1',
    firstTokenMs: 12,
    latencyMs: 90,
    createdAt: completedAt,
    completedAt,
    ...given,
    costNanos: cost,
  }
}

/** What an answer holds. */
export const dataOf = async (answer: Response | Promise<Response>) => (await (await answer).json()).data
