import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Library, LibraryFiller } from '../../bench/lib/library'
import type { Owner, Store } from '../../src/store/port'
import { openPostgres } from '../../src/store/postgres'
import { sqlStore } from '../../src/store/sql'
import { createDatabase } from '../support/db'
import { type Explained, openExplained, workIn } from '../support/explained'
import { message, newTurn, newUser } from './contract/given'

// What Postgres does for each request, in its own words: `auto_explain` reports the plan of every statement as it was carried
// out, those inside functions included. In a database with enough rows none of them may read a whole table.

const GROWING = ['conversations', 'messages', 'branches', 'runs', 'deletions', 'feedback']
const SIZE = { people: 400, messagesEach: 4, listed: 100, long: 3000, exportMb: 1 }

let store: Store
let library: Library
let owner: Owner
let drop: () => Promise<void>
let explained: Explained

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

  explained = openExplained(database.url, { max: 4 })
  const { pool } = explained
  store = await sqlStore('postgres', { pool, close: () => pool.end() })
}, 120_000)
afterAll(async () => {
  await store?.close()
  await drop?.()
})

const work = (request: () => Promise<unknown>) => workIn(explained, GROWING, request)

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
