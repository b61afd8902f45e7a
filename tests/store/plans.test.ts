import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Pool } from 'pg'
import { type Library, LibraryFiller } from '../../bench/lib/library'
import type { Owner, Store } from '../../src/store/port'
import { openPostgres } from '../../src/store/postgres'
import { sqlStore } from '../../src/store/sql'
import { createDatabase } from '../support/db'
import { message, newTurn, newUser } from './contract/given'

// What Postgres does for each request, in its own words: `auto_explain` reports the plan of every statement as it was carried
// out, those inside functions included. In a database with enough rows none of them may read a whole table.

interface Plan {
  'Node Type': string
  'Relation Name'?: string
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  Plans?: Plan[]
}

const GROWING = ['conversations', 'messages', 'branches', 'runs', 'deletions', 'feedback']
const SIZE = { people: 400, messagesEach: 4, listed: 100, long: 3000, exportMb: 1 }

let store: Store
let library: Library
let owner: Owner
let drop: () => Promise<void>
/** Plans reported since the last look. */
let reported: Plan[] = []

beforeAll(async () => {
  const database = await createDatabase()
  ;({ drop } = database)
  const admin = openPostgres({ url: database.url, poolSize: 2, onError: () => {} })
  const first = await sqlStore('postgres', admin)
  owner = await first.accounts.create(newUser({ email: 'plans@example.com' }))
  const filler = new LibraryFiller(database.url, SIZE)
  await filler.open('plans@example.com')
  await filler.people()
  library = await filler.own()
  await filler.close()
  await first.close()

  const options = Object.entries({
    session_preload_libraries: 'auto_explain',
    'auto_explain.log_min_duration': 0,
    'auto_explain.log_nested_statements': 'on',
    'auto_explain.log_analyze': 'on',
    'auto_explain.log_timing': 'off',
    'auto_explain.log_format': 'json',
    'auto_explain.log_level': 'notice',
    // A plan that depends on the machine's mood would be no test.
    jit: 'off',
    max_parallel_workers_per_gather: 0,
  }).map(([name, value]) => `-c ${name}=${value}`)
  const pool = new Pool({ connectionString: database.url, max: 4, options: options.join(' ') })
  pool.on('connect', (client) => {
    client.on('notice', ({ message: text }) => {
      if (text?.startsWith('duration: ')) {
        reported.push((JSON.parse(text.slice(text.indexOf('{'))) as { Plan: Plan }).Plan)
      }
    })
  })
  store = await sqlStore('postgres', { pool, close: () => pool.end() })
}, 120_000)
afterAll(async () => {
  await store?.close()
  await drop?.()
})

/** Everything a request makes Postgres do: rows it looked at in tables that grow, and tables it read whole. */
async function work(request: () => Promise<unknown>): Promise<{ rows: number; whole: string[] }> {
  reported = []
  await request()
  const nodes = reported.flatMap(all).filter((node) => GROWING.includes(node['Relation Name'] ?? ''))
  expect(nodes.length).toBeGreaterThan(0)
  return {
    rows: nodes.reduce((sum, node) => sum + rowsOf(node), 0),
    // Of a handful of rows Postgres rightly uses no index.
    whole: nodes.flatMap((node) =>
      node['Node Type'] === 'Seq Scan' && rowsOf(node) > 50 ? [String(node['Relation Name'])] : [],
    ),
  }
}

const rowsOf = (node: Plan) => (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops']

const all = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(all)]

describe('no table is read whole, and no more rows than needed', () => {
  const page = { page: 1, limit: 20 }

  test('to open a conversation of thousands of messages', async () => {
    const long = await work(() => store.conversations.path(owner, library.longId, { page: 1, limit: 50 }))
    const short = await work(() => store.conversations.path(owner, library.shortId, { page: 1, limit: 50 }))
    expect([long.whole, short.whole]).toEqual([[], []])
    expect(long.rows).toBeLessThan(300)
  })

  test('to send into one', async () => {
    const turn = newTurn({ in: library.longId, messages: [message('hi')] })
    const { rows, whole } = await work(() => store.turns.begin(owner, { ...turn, maxContext: 20 }))
    expect(whole).toEqual([])
    expect(rows).toBeLessThan(300)
  })

  test('to search', async () => {
    for (const q of ['w7', '"w3 w5"', 'w15000', 'nowhere', 'w43*']) {
      const { whole } = await work(() => store.search.find(owner, { q }, page))
      expect({ q, whole }).toEqual({ q, whole: [] })
    }
  })

  test('to take a conversation away, page by page', async () => {
    const { whole, rows } = await work(async () => {
      await store.archive.find(owner, library.longId)
      const outline = await store.archive.outline(owner, library.longId)
      await store.archive.messages(
        owner,
        library.longId,
        outline.slice(0, 100).map(({ id }) => id),
      )
    })
    expect(whole).toEqual([])
    expect(rows).toBeLessThan(2 * SIZE.long)
  })

  test('to tell what changed', async () => {
    const first = await store.sync.changes(owner, { cursor: undefined, limit: 100 })
    if (first === 'reset') throw new Error('no changes')
    const { whole } = await work(() => store.sync.changes(owner, { cursor: first.cursor, limit: 100 }))
    expect(whole).toEqual([])
  })

  test('to list the first of hundreds of conversations', async () => {
    const { whole } = await work(() => store.conversations.list(owner, page))
    expect(whole).toEqual([])
  })
})
