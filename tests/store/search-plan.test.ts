import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Owner, SearchResult, Store } from '../../src/store/port'
import { openPostgres } from '../../src/store/postgres'
import { sqlStore } from '../../src/store/sql'
import { createDatabase } from '../support/db'
import { type Explained, openExplained } from '../support/explained'
import { newUser } from './contract/given'

// Which indexes a search goes by, in a database that is full enough for the planner to care. `auto_explain` tells the plan of
// every statement as it was carried out.

const PEOPLE = 100
const CONVERSATIONS = 10
const MESSAGES = 20

const FILL = [
  `insert into users (id, tenant_id, email, name, created_at, updated_at)
    select gen_random_uuid(), tenant_id, i || '@example.org', 'x', now(), now() from users, generate_series(1, ${PEOPLE}) i`,
  `insert into conversations (id, tenant_id, user_id, title, title_source, rev, created_at, updated_at)
    select gen_random_uuid(), tenant_id, id, 'topic' || i, 'auto', 1, now(), now() from users, generate_series(1, ${CONVERSATIONS}) i`,
  `insert into messages (id, conversation_id, depth, role, content, status, created_at)
    select gen_random_uuid(), id, i, 'user', 'everybody says word' || i || ' and number' || (random() * 1000)::int, 'complete', now()
    from conversations, generate_series(1, ${MESSAGES}) i`,
  'vacuum analyze messages',
  'vacuum analyze conversations',
]

let store: Store
let owner: Owner
let explained: Explained
let drop: () => Promise<void>

beforeAll(async () => {
  const database = await createDatabase()
  ;({ drop } = database)
  const admin = openPostgres({ url: database.url, poolSize: 2, onError: () => {} })
  const first = await sqlStore('postgres', admin)
  owner = await first.accounts.create(newUser())
  for (const statement of FILL) await admin.pool.query(statement)
  await first.close()

  explained = openExplained(database.url, { max: 2 })
  const { pool } = explained
  store = await sqlStore('postgres', { pool, close: () => pool.end() })
}, 120_000)
afterAll(async () => {
  await store?.close()
  await drop?.()
})

/** What a search made Postgres do with messages: the indexes, the rows, and whether it read them all. */
async function work(q: string) {
  let found: SearchResult | undefined
  const nodes = await explained.nodesOf(async () => {
    found = await store.search.find(owner, { q }, { page: 1, limit: 20 })
  })
  const ofMessages = nodes.filter((node) => node['Relation Name'] === 'messages')
  return {
    method: found?.method,
    total: found?.total,
    indexes: nodes.flatMap((node) => node['Index Name'] ?? []),
    rows: ofMessages.reduce((sum, node) => sum + node['Actual Rows'] * node['Actual Loops'], 0),
    whole: ofMessages.filter((node) => node['Node Type'] === 'Seq Scan').length,
  }
}

const OWN = CONVERSATIONS * MESSAGES

test("words that everybody uses cost one person's messages, found by the index of words", async () => {
  const { indexes, rows, ...found } = await work('everybody says')
  expect(found).toEqual({ method: 'words', total: CONVERSATIONS, whole: 0 })
  expect(indexes).toContain('messages_search')
  expect(rows).toBeLessThan(2 * OWN)
})

test('words that few use cost only these messages', async () => {
  const { indexes, rows, ...found } = await work('word7')
  expect(found).toEqual({ method: 'words', total: CONVERSATIONS, whole: 0 })
  expect(indexes).toContain('messages_search')
  expect(rows).toBeLessThan(4 * CONVERSATIONS)
})

test.each([
  ['verybod', 'substring'],
  ['evrybody', 'similar'],
  ['qqqqqqqq', 'words'],
])("what is no word of anybody (%s) costs no more than one person's messages", async (q, method) => {
  const work1 = await work(q)
  expect(work1).toMatchObject({ method, whole: 0 })
  expect(work1.indexes).toContain('messages_search')
  expect(work1.rows).toBeLessThan(4 * OWN)
})

test('gives up after two seconds, with a sentence', async () => {
  const blocker = await explained.pool.connect()
  await blocker.query('begin')
  await blocker.query('lock table messages in access exclusive mode')
  const search = store.search.find(owner, { q: 'everybody' }, { page: 1, limit: 20 })
  const refused = await search.then(
    () => undefined,
    (error) => error,
  )
  await blocker.query('rollback')
  blocker.release()
  expect(refused).toMatchObject({ code: 'UPSTREAM_UNAVAILABLE', message: expect.stringContaining('took too long') })
  expect((await work('everybody')).total).toBe(CONVERSATIONS)
})
