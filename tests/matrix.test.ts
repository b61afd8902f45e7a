import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Pool } from 'pg'
import { accountId, DEFAULT_TENANT } from '../src/lib/ids'
import { hashToken } from '../src/lib/tokens'
import { type TestApp, testApp } from './support/app'
import { createDatabase } from './support/db'
import { forge, seconds } from './support/forge'

/**
 * Every route of the OpenAPI document, asked by everybody who might. New routes join by themselves, with the example of
 * their body; ids that stand in examples are replaced by the owner's.
 */

const SECRET = 'a secret that this server knows, and nobody else'

let app: TestApp
let pool: Pool
let drop: () => Promise<void>
let operations: { method: string; path: string; body: unknown; open: boolean }[]
let others: { name: string; token: string | undefined }[]

beforeAll(async () => {
  const database = await createDatabase()
  drop = database.drop
  app = await testApp({
    DATABASE_URL: database.url,
    JWT_SECRET_KEY: SECRET,
  })
  pool = new Pool({ connectionString: database.url, max: 2 })
  pool.on('error', () => {})
  operations = await allOperations()
  const [other, elsewhere, admin] = [newPerson(), newPerson(), newPerson()]
  for (const { token } of [elsewhere, admin]) await app.call('/api/v1/auth/me', { token })
  const tenant = crypto.randomUUID()
  await pool.query(`insert into tenants (id, name, created_at) values ($1, 'other', now())`, [tenant])
  await pool.query('update users set tenant_id = $2 where id = any($1)', [[elsewhere.userId, admin.userId], tenant])
  await pool.query(`update users set role = 'admin' where id = $1`, [admin.userId])
  // Until then they were believed to be what they had been.
  for (const { token } of [elsewhere, admin]) app.services.accounts.forget(hashToken(token))
  others = [
    { name: 'anonymous', token: undefined },
    { name: 'other user', token: other.token },
    { name: 'other tenant', token: elsewhere.token },
    { name: 'administrator of another tenant', token: admin.token },
  ]
})
afterAll(async () => {
  await app.close()
  await pool.end()
  await drop()
})

interface Media {
  schema?: { examples?: unknown[]; anyOf?: { examples?: unknown[] }[] }
}
interface Operation {
  security?: object[]
  requestBody?: { content?: Record<string, Media> }
}

async function allOperations() {
  const { paths } = (await (await app.call('/openapi.json')).json()) as {
    paths: Record<string, Record<string, Operation>>
  }
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { security, requestBody }]) => {
      const { schema } = requestBody?.content?.['application/json'] ?? {}
      const body = schema?.examples?.[0] ?? schema?.anyOf?.[0]?.examples?.[0]
      return { method: method.toUpperCase(), path, body, open: security?.length === 0 }
    }),
  )
}

interface Owned {
  userId: string
  token: string
  marker: string
  conversation: string
  branch: string
  message: string
  run: string
  key: string
  tenant: string
}

/** Somebody whom another issuer vouches for: signing up here is limited, and signing out would end it. */
function newPerson() {
  const userId = crypto.randomUUID()
  return { userId, token: forge({ alg: 'HS256', typ: 'JWT' }, { sub: userId, exp: seconds(3600) }, SECRET) }
}

/** Somebody with one of everything, each bearing a word that nobody else must ever see. */
async function newOwner(): Promise<Owned> {
  const me = newPerson()
  const marker = `marker${crypto.randomUUID().replaceAll('-', '')}`
  const json = { message: marker, stream: false }
  const chat = await (await app.call('/v1/chat/completions', { token: me.token, json })).json()
  const key = await (await app.call('/v1/keys', { token: me.token, json: { name: marker } })).json()
  return {
    ...me,
    marker,
    conversation: chat.conversation_id,
    branch: chat.branch_id,
    message: chat.message_id,
    run: chat.run_id,
    key: key.data.id,
    tenant: DEFAULT_TENANT,
  }
}

/** What an id in a path is, by the word before it. */
const KINDS: Record<string, (owner: Owned) => string | Promise<string>> = {
  conversations: ({ conversation }) => conversation,
  branches: ({ branch }) => branch,
  messages: ({ message }) => message,
  runs: ({ run }) => run,
  responses: ({ run }) => `resp_${run.replaceAll('-', '')}`,
  chat: ({ conversation }) => conversation,
  keys: ({ key }) => key,
  models: () => 'demo%2Feliza',
  tenants: ({ tenant }) => tenant,
  'provider-keys': () => 'demo',
  users: ({ userId }) => userId,
  ledger: ({ tenant, userId }) => accountId('user', tenant, userId),
  budgets: () => crypto.randomUUID(),
  export: async ({ token }) => {
    const answer = await app.call('/v1/export/conversations', { token, json: { format: 'json' } })
    await answer.text()
    return answer.headers.get('x-export-id') ?? ''
  },
}

async function concrete(path: string, owner: Owned): Promise<string> {
  let made = path
  for (const [whole, kind = ''] of path.matchAll(/([\w-]+)\/\{\w+\}/g)) {
    const make = KINDS[kind]
    if (!make) throw new Error(`${path}: say in KINDS how to make one of ${kind}`)
    made = made.replace(whole, `${kind}/${await make(owner)}`)
  }
  return made
}

/** The example with this owner's ids in it. */
const bodyFor = (body: unknown, owner: Owned): unknown =>
  JSON.parse(
    JSON.stringify(body ?? {}).replaceAll(
      /0199c0de-0000-7000-8000-00000000000([0-9a-f])/g,
      (id, digit: string) => ({ 1: owner.conversation, 2: owner.branch, 3: owner.message, 4: owner.run })[digit] ?? id,
    ),
  )

/** Everything an owner has, as the database sees it. */
async function rowsOf({ userId }: Owned): Promise<string> {
  const { rows } = await pool.query(
    `select 'c' as kind, to_jsonb(c) as row from conversations c where user_id = $1
     union all select 'm', to_jsonb(m) from messages m join conversations c on c.id = m.conversation_id where c.user_id = $1
     union all select 'b', to_jsonb(b) from branches b join conversations c on c.id = b.conversation_id where c.user_id = $1
     union all select 'r', to_jsonb(r) from runs r where user_id = $1
     union all select 'k', to_jsonb(k) - 'last_used_at' from api_keys k where user_id = $1
     union all select 'f', to_jsonb(f) from feedback f where user_id = $1
     union all select 'u', to_jsonb(u) from users u where id = $1
     union all select 'a', to_jsonb(a) from accounts a where owner_id = $1
     union all select 'd', to_jsonb(d) from budgets d join accounts a on a.id = d.account_id where a.owner_id = $1
     order by 1, 2`,
    [userId],
  )
  return JSON.stringify(rows)
}

/** What some addresses must say besides. */
const QUERIES: Record<string, (owner: Owned) => string> = {
  search: ({ marker }) => `?q=${marker}`,
  stream: () => '?message=hello',
  compare: ({ branch }) => `?a=${branch}&b=${branch}`,
}

async function ask({ method, path, body }: (typeof operations)[number], owner: Owned, token: string | undefined) {
  const json = method === 'GET' ? undefined : bodyFor(body, owner)
  const query = QUERIES[path.split('/').at(-1) ?? '']?.(owner) ?? ''
  const answer = await app.call((await concrete(path, owner)) + query, { method, token, json })
  return { status: answer.status, text: await answer.text(), ok: answer.ok }
}

test('every route serves the owner of what it is asked for', async () => {
  for (const operation of operations.filter(({ open }) => !open)) {
    const owner = await newOwner()
    const { status, text } = await ask(operation, owner, owner.token)
    if (operation.path.startsWith('/v1/admin/')) {
      expect([operation.path, status]).toEqual([operation.path, 403])
      continue
    }
    const refused = [401, 403, 404].includes(status) || status >= 500
    expect([operation.method, operation.path, refused && `${status} ${text}`]).toEqual([
      operation.method,
      operation.path,
      false,
    ])
  }
}, 120_000)

test('no route shows or changes anything for anybody else', async () => {
  for (const operation of operations.filter(({ open }) => !open)) {
    const owner = await newOwner()
    const before = await rowsOf(owner)
    for (const { name, token } of others) {
      const where = `${operation.method} ${operation.path} by ${name}`
      const { status, text, ok } = await ask(operation, owner, token)
      // A batch may answer 200 with a refusal for each item; what is named in the path is not found as a whole.
      // A chat's id is the asker's own word: the same word is another chat, with nothing in it.
      // Models are nobody's own.
      const open = operation.path.startsWith('/v1/models/') || operation.path === '/api/chat/{id}/stop'
      const nothing = open ? 200 : operation.path.startsWith('/api/chat/') ? 204 : 404
      const forAdmins = operation.path.startsWith('/v1/admin/')
      // What is for administrators is not even looked for by others.
      const expected = !forAdmins ? [nothing] : name.startsWith('administrator') ? [403, 404] : [403]
      if (operation.path.includes('{') && token)
        expect([where, expected.includes(status), status]).toEqual([where, true, status])
      else if (forAdmins && token && !name.startsWith('administrator')) expect([where, status]).toEqual([where, 403])
      if (!token) expect([where, status]).toEqual([where, 401])
      if (ok)
        expect([where, text.replaceAll(`"q":"${owner.marker}"`, '').includes(owner.marker)]).toEqual([where, false])
    }
    expect([operation.path, await rowsOf(owner)]).toEqual([operation.path, before])
  }
}, 120_000)

test('there are routes, with ids in them and without', () => {
  expect(operations.filter(({ open, path }) => !open && path.includes('{')).length).toBeGreaterThan(5)
  expect(operations.filter(({ open }) => !open).length).toBeGreaterThan(12)
})
