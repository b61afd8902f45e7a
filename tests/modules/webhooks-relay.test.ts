import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import type { Pool } from 'pg'
import { Webhook } from 'standardwebhooks'
import { loadConfig } from '../../src/config'
import { DEFAULT_TENANT, newId } from '../../src/lib/ids'
import { Sender } from '../../src/modules/webhooks/sender'
import { Webhooks } from '../../src/modules/webhooks/service'
import type { Store } from '../../src/store/port'
import { testApp } from '../support/app'
import { call, endChildren, newDir, PASSWORD, start } from '../support/child'
import { openTestPostgres, type TestStore } from '../support/db'
import { until } from '../support/servers'
import { startReceiver, type WebhookReceiver } from '../support/webhook-receiver'
import { FAST } from '../support/webhook-relay'

const SECRET = Buffer.from('canary-webhook-secret-of-32-bytes').toString('base64')

let db: TestStore
const receivers: WebhookReceiver[] = []
beforeAll(async () => {
  db = await openTestPostgres()
})
afterEach(async () => {
  for (const receiver of receivers.splice(0)) await receiver.stop()
})
afterAll(async () => {
  await endChildren()
  await db.close()
})

const receiver: typeof startReceiver = (answer) => {
  const made = startReceiver(answer)
  receivers.push(made)
  return made
}

/** As the database writes it when somebody's balance falls. */
async function write(pool: Pool, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, newId)
  await pool.query(
    `insert into outbox (id, tenant_id, type, data, next_at, created_at)
     select id, $2, 'balance.low', '{"balance_nanos": "500"}', now() - interval '1 minute', now() - interval '1 minute'
     from unnest($1::uuid[]) id`,
    [ids, DEFAULT_TENANT],
  )
  return ids
}
const left = async () => (await db.pool.query('select id, attempts, error from outbox')).rows

const relay = (store: Store, url: string) => {
  const now = () => new Date()
  const webhooks = new Webhooks({
    outbox: store.outbox,
    sender: new Sender({ url, secret: SECRET, now }),
    watcher: { webhookTried: () => {}, outboxWaiting: () => {} },
    log: () => {},
    now,
    pace: FAST,
  })
  webhooks.start()
  return webhooks
}

test('shares the work between two relays, and none tells what the other does', async () => {
  const { url, deliveries, most } = receiver(async () => {
    await Bun.sleep(2)
    return new Response()
  })
  const ids = await write(db.pool, 300)
  const relays = [relay(db.store, url), relay(db.store, url)]
  await until(async () => (await left()).length === 0)
  await Promise.all(relays.map((one) => one.close()))
  expect(deliveries.map(({ body }) => body.id).sort()).toEqual(ids.sort())
  expect(most()).toBeLessThanOrEqual(16)
})

test('keeps what went wrong, and tells again what was due later', async () => {
  const { url, deliveries } = receiver((_, nth) => new Response(null, { status: nth === 1 ? 500 : 200 }))
  const [id] = await write(db.pool, 1)
  const one = relay(db.store, url)
  await until(async () => (await left())[0]?.error !== null)
  expect(await left()).toEqual([{ id, attempts: 1, error: 'The receiver answered HTTP 500' }])
  await db.pool.query('update outbox set next_at = now()')
  await until(async () => (await left()).length === 0)
  await one.close()
  expect(deliveries.map(({ body }) => body.id)).toEqual([String(id), String(id)])
})

test('tells again, under the same id, what it was killed over, and logs no secret', async () => {
  const env = (url: string) => ({
    DATA_DIR: newDir(),
    DATABASE_URL: String(db.url),
    WEBHOOK_URL: `${url}canary-path`,
    WEBHOOK_SECRET: SECRET,
    LOG_LEVEL: 'trace',
    ADMIN_EMAIL: 'owner@example.com',
    ADMIN_PASSWORD: PASSWORD,
  })
  const { promise: asked, resolve: ask } = Promise.withResolvers<void>()
  const { url, deliveries } = receiver((_, nth) => {
    if (nth > 1) return new Response(null, { status: 410 })
    ask()
    return new Promise(() => {})
  })
  const first = await start(env(url))
  const [id] = await write(db.pool, 1)
  await asked
  first.kill('SIGKILL')
  await first.exited
  expect(await left()).toMatchObject([{ id }])
  const second = await start(env(url))
  // As if the lease were over.
  await db.pool.query('update outbox set next_at = now()')
  await until(async () => (await left()).length === 0)
  expect(deliveries.map(({ headers }) => headers['webhook-id'])).toEqual([String(id), String(id)])
  for (const { text, headers } of deliveries) expect(new Webhook(SECRET).verify(text, headers)).toMatchObject({ id })

  const login = { email: 'owner@example.com', password: PASSWORD }
  const { tokens } = await (await call(second, '/api/v1/auth/login', { json: login })).json()
  const { data } = await (await call(second, '/v1/admin/webhooks', { token: tokens.access_token })).json()
  expect(data).toEqual({
    configured: true,
    waiting: 0,
    oldest: null,
    last_delivered_at: null,
    last_error: {
      at: expect.any(String),
      event_id: id,
      type: 'balance.low',
      tries: 2,
      message: 'The receiver answered HTTP 410',
    },
  })
  const metrics = await (await call(second, '/metrics')).text()
  expect(metrics).toContain('webhook_deliveries_total{type="balance.low",outcome="dropped"} 1')
  const texts = [first.out(), first.err(), second.out(), second.err(), JSON.stringify(data), metrics].join('\n')
  expect(texts).toContain('an event is given up')
  expect(texts).not.toContain(SECRET)
  expect(texts).not.toContain('canary')
}, 60_000)

test('tells of an answer when it is done, and nothing of what was said', async () => {
  const { url, deliveries } = receiver()
  const app = await testApp({ WEBHOOK_URL: url, WEBHOOK_SECRET: SECRET })
  const { token, userId } = await app.signUp()
  const said = await app.call('/v1/chat/completions', { token, json: { message: 'canary-question', stream: false } })
  const answer = await said.json()
  await until(() => deliveries.length === 1)
  const [{ headers, text, body }] = deliveries as [(typeof deliveries)[0]]
  expect(new Webhook(SECRET).verify(text, headers)).toEqual(body)
  expect(body).toMatchObject({
    type: 'message.completed',
    data: {
      tenant_id: DEFAULT_TENANT,
      user_id: userId,
      conversation_id: answer.conversation_id,
      message_id: answer.message_id,
      run_id: answer.run_id,
      key_id: null,
      model: 'demo/eliza',
      status: 'completed',
      finish_reason: 'stop',
      usage: { total_tokens: answer.usage.total_tokens },
      cost_usd: 0,
    },
  })
  expect(text).not.toContain('canary')
  expect(text).not.toContain(answer.choices[0].message.content)
  await until(async () => (await app.services.store.outbox.waiting()).count === 0)
  await app.close()
})

test('is shown to the owner of the installation only', async () => {
  const app = await testApp({ ADMIN_EMAIL: 'owner@example.com', ADMIN_PASSWORD: PASSWORD })
  const { token, userId } = await app.signUp()
  const status = async (as?: string) => (await app.call('/v1/admin/webhooks', { token: as })).status
  expect(await status()).toBe(401)
  expect(await status(token)).toBe(403)
  await app.services.store.accounts.setRole(userId, 'admin')
  const admin = await app.call('/api/v1/auth/login', {
    json: { email: (await me(token)).email, password: 'password123' },
  })
  expect(await status((await admin.json()).tokens.access_token)).toBe(403)
  const owner = await app.call('/api/v1/auth/login', { json: { email: 'owner@example.com', password: PASSWORD } })
  const answer = await app.call('/v1/admin/webhooks', { token: (await owner.json()).tokens.access_token })
  expect(await answer.json()).toEqual({
    success: true,
    data: { configured: false, waiting: 0, oldest: null, last_delivered_at: null, last_error: null },
  })
  await app.close()

  async function me(as: string) {
    return (await app.call('/api/v1/auth/me', { token: as })).json()
  }
})

const problems = (env: Record<string, string>): string => {
  try {
    loadConfig({ JWT_SECRET_KEY: 'x'.repeat(32), ...env })
    return ''
  } catch (error) {
    return String(error)
  }
}

const REFUSED: [string, Record<string, string>, string][] = [
  [
    'an empty secret',
    { WEBHOOK_URL: 'https://x.example/hook', WEBHOOK_SECRET: '' },
    'WEBHOOK_SECRET must have at least 32',
  ],
  ['an empty secret alone', { WEBHOOK_SECRET: '' }, 'WEBHOOK_SECRET must have at least 32'],
  [
    'a short secret',
    { WEBHOOK_URL: 'https://x.example', WEBHOOK_SECRET: 'c2hvcnQ=' },
    'WEBHOOK_SECRET must have at least 32',
  ],
  [
    'a secret that no library takes',
    { WEBHOOK_URL: 'https://x.example', WEBHOOK_SECRET: 'not base64!'.repeat(4) },
    'base64',
  ],
  [
    'a prefix instead of a secret',
    { WEBHOOK_URL: 'https://x.example', WEBHOOK_SECRET: `whsec_${'A'.repeat(28)}` },
    'base64',
  ],
  ['an address without a secret', { WEBHOOK_URL: 'https://x.example' }, 'need each other'],
  ['a secret without an address', { WEBHOOK_SECRET: SECRET }, 'need each other'],
  ['an address that is none', { WEBHOOK_URL: 'x.example', WEBHOOK_SECRET: SECRET }, 'WEBHOOK_URL must be a URL'],
  ['a user name', { WEBHOOK_URL: 'https://a:b@x.example', WEBHOOK_SECRET: SECRET }, 'must not hold a user name'],
  [
    'a store without an outbox',
    {
      ...{ WEBHOOK_URL: 'https://x.example', WEBHOOK_SECRET: SECRET, STORE: 'edge' },
      ...{ SUPABASE_URL: 'https://abc.supabase.co', SUPABASE_ANON_KEY: 'anon' },
    },
    'WEBHOOK_URL needs a database of this server',
  ],
]
test.each(REFUSED)('does not start with %s', (_, env, sentence) => {
  const said = problems(env)
  expect(said).toContain(sentence)
  if (env.WEBHOOK_SECRET) expect(said).not.toContain(env.WEBHOOK_SECRET)
})

test.each([
  'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  '3f0c6d9a5b2e8f714c0d9e6a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e',
])('takes the secret %s the way every library does, and the address as it is', (secret) => {
  const url = 'https://x.example/hook/'
  expect(loadConfig({ WEBHOOK_URL: url, WEBHOOK_SECRET: secret, JWT_SECRET_KEY: SECRET }).webhook).toEqual({
    url,
    secret,
  })
  const at = new Date()
  const headers = {
    'webhook-id': 'msg_1',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(secret).sign('msg_1', at, '{}'),
  }
  expect(new Webhook(secret).verify('{}', headers)).toEqual({})
})
