import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { randomUUID } from 'node:crypto'
import { escapeIdentifier } from 'pg'
import { type Rows, TENANT } from './rows'
import { TwoPeople } from './two-people'

// Whoever has a project's public key and a token can send any statement that PostgREST knows. What it may do to the rows of
// others is asked here in SQL, of every table that the catalogue knows, so that new ones join by themselves.

let two: TwoPeople
let a: Rows
let b: Rows
beforeAll(async () => {
  two = await TwoPeople.open()
  ;({ a, b } = two)
})
afterAll(() => two.database.drop())

/** How many rows of their own B may read; of every other table nothing, not even that it is empty. */
const READABLE: Record<string, number> = { user_profiles: 1, conversations: 1, branches: 1, messages: 2 }

describe('every table', () => {
  test('has Row Level Security on, and rows here to be guarded', async () => {
    const { rows } = await two.database.pool.query(
      `select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relrowsecurity`,
    )
    expect(rows).toEqual([])
    const empty: string[] = []
    for (const table of two.tables) {
      const { rowCount } = await two.database.pool.query(`select 1 from ${escapeIdentifier(table)} limit 1`)
      if (!rowCount) empty.push(table)
    }
    expect(empty).toEqual([])
    const { rows: views } = await two.database.pool.query(`select viewname from pg_views where schemaname = 'public'`)
    expect(views).toEqual([])
  })

  test("shows a person their own rows of what is theirs, and of nobody else's", async () => {
    const seen = await two.asB(async (run) => {
      const counts: [string, unknown][] = []
      for (const table of two.tables) {
        const found = await run(`select t::text as row from ${escapeIdentifier(table)} t`)
        if (typeof found !== 'string') expect(JSON.stringify(found.rows)).not.toContain(a.user)
        counts.push([table, typeof found === 'string' ? found : found.count])
      }
      return Object.fromEntries(counts)
    })
    expect(seen).toEqual(Object.fromEntries(two.tables.map((table) => [table, READABLE[table] ?? '42501'])))
  })

  test('keeps the rows of others from being changed or deleted, column by column', async () => {
    for (const table of two.tables) {
      const name = escapeIdentifier(table)
      const columns = (await two.columnsOf(table)).map(escapeIdentifier)
      const statements = [...columns.map((column) => `update ${name} set ${column} = ${column}`), `delete from ${name}`]
      for (const statement of statements) {
        await two.asB(async (run, owner) => {
          const before = await two.rowsOfA(owner)
          const said = await run(statement)
          if (said !== '42501')
            expect({ statement, said }).toMatchObject({ statement, said: { count: READABLE[table] } })
          expect({ statement, now: await two.rowsOfA(owner) }).toEqual({ statement, now: before })
        })
      }
    }
  })

  test("takes no row that belongs to somebody else's", async () => {
    for (const table of two.tables) {
      const name = escapeIdentifier(table)
      const columns = (await two.columnsOf(table)).map(escapeIdentifier).join(', ')
      const { rows } = await two.database.pool.query(`select to_jsonb(t) as row from ${name} t where t::text like $1`, [
        `%${a.user}%`,
      ])
      for (const { row } of rows) {
        const copy = {
          ...row,
          ...('id' in row && row.id !== a.user ? { id: randomUUID() } : {}),
          leaf_id: null,
          active_leaf_id: null,
        }
        const insert = `insert into ${name} (${columns}) select ${columns} from jsonb_populate_record(null::${name}, $1)`
        expect({ table, said: await two.try(insert, [copy]) }).toEqual({ table, said: '42501' })
      }
    }
  })

  test('says nothing to strangers', async () => {
    const said = await two.as('anon', undefined, async (run) => {
      const found: unknown[] = []
      for (const table of two.tables) {
        const name = escapeIdentifier(table)
        const [column = ''] = await two.columnsOf(table)
        found.push(await run(`select 1 from ${name}`), await run(`delete from ${name}`))
        found.push(await run(`insert into ${name} default values`))
        found.push(await run(`update ${name} set ${escapeIdentifier(column)} = null`))
      }
      return found
    })
    expect([...new Set(said)]).toEqual(['42501'])
  })

  test('serves the service role', async () => {
    await two.as('service_role', undefined, async (run, owner) => {
      for (const table of two.tables) {
        const sql = `select count(*) from ${escapeIdentifier(table)}`
        expect(await run(sql)).toMatchObject({ rows: (await owner.query(sql)).rows })
      }
      expect(await run(`update user_profiles set litellm_key = 'sk-x', max_budget = 5`)).toMatchObject({ count: 2 })
    })
  })

  test('that a later migration makes starts closed', async () => {
    await two.asB(async (run, owner) => {
      await owner.query('create table public.later (id int generated always as identity, secret text)')
      expect(await run('select * from later')).toBe('42501')
      expect(await run(`insert into later (secret) values ('x')`)).toBe('42501')
    })
  })
})

describe("somebody else's conversation", () => {
  const message = (conversation: string, parent: string | null) => [randomUUID(), conversation, parent, b.branch]
  const INSERT = `insert into messages (id, conversation_id, parent_id, branch_id, depth, role, content, status, created_at)
    values ($1, $2, $3, $4, 1, 'user', 'x', 'complete', now())`

  test('takes no message and no branch, and cannot be told from one there is not', async () => {
    const branch = `insert into branches (id, conversation_id, name, leaf_id, created_at, viewed_at) values ($1, $2, 'x', null, now(), now())`
    for (const conversation of [a.conversation, randomUUID()]) {
      expect(await two.try(INSERT, message(conversation, null))).toBe('42501')
      expect(await two.try(branch, [randomUUID(), conversation])).toBe('42501')
    }
    expect(await two.try(INSERT, message(b.conversation, b.question))).toMatchObject({ count: 1 })
  })

  test('lends no parent, no leaf and no active leaf to mine', async () => {
    const [outside, unknown] = [a.question, randomUUID()]
    for (const id of [outside, unknown]) {
      expect(await two.try(INSERT, message(b.conversation, id))).toBe('23503')
      expect(await two.try('update branches set leaf_id = $1 where id = $2', [id, b.branch])).toBe('23503')
      expect(await two.try('update conversations set active_leaf_id = $1', [id])).toBe('23503')
    }
  })

  test('gets none of my rows, nor does its owner', async () => {
    expect(await two.try('update messages set conversation_id = $1', [a.conversation])).toBe('42501')
    expect(await two.try('update branches set conversation_id = $1', [a.conversation])).toBe('42501')
    expect(await two.try('update conversations set id = $1', [a.conversation])).toBe('42501')
    expect(await two.try('update conversations set user_id = $1', [a.user])).toBe('42501')
    expect(await two.try('update conversations set tenant_id = $1', [randomUUID()])).toBe('42501')
    const make = `insert into conversations (id, tenant_id, user_id, title, title_source, rev, created_at, updated_at)
      values ($1, $2, $3, 'x', 'auto', 1, now(), now())`
    expect(await two.try(make, [randomUUID(), TENANT, a.user])).toBe('42501')
    expect(await two.try(make, [randomUUID(), randomUUID(), b.user])).toBe('42501')
    expect(await two.try(make, [randomUUID(), TENANT, b.user])).toMatchObject({ count: 1 })
  })

  test('stays when mine is deleted, which takes all that is in it', async () => {
    await two.asB(async (run, owner) => {
      expect(await run('delete from conversations where id = $1', [a.conversation])).toMatchObject({ count: 0 })
      expect(await run('delete from conversations where id = $1', [b.conversation])).toMatchObject({ count: 1 })
      const left = await owner.query('select conversation_id from messages union select conversation_id from branches')
      expect(left.rows).toEqual([{ conversation_id: a.conversation }])
    })
  })
})

describe('a profile', () => {
  test('shows its owner the key of the model proxy, and lets them change their name only', async () => {
    const read = await two.try('select id, litellm_key from user_profiles')
    expect(read).toMatchObject({ rows: [{ id: b.user, litellm_key: expect.stringContaining('sk-') }] })
    expect(await two.try(`update user_profiles set name = 'New'`)).toMatchObject({ count: 1 })
    for (const column of ['spend', 'max_budget', 'litellm_key', 'email', 'id']) {
      expect({ column, said: await two.try(`update user_profiles set ${column} = null`) }).toEqual({
        column,
        said: '42501',
      })
    }
  })

  test('may be made by its owner where there is none, and comes without money', async () => {
    await two.asB(async (run, owner) => {
      await owner.query('delete from user_profiles')
      const rich = 'insert into user_profiles (id, max_budget) values ($1, 100)'
      expect(await run(rich, [b.user])).toBe('42501')
      const plain =
        'insert into user_profiles (id, email, name) values ($1, $2, $3) on conflict (id) do nothing returning *'
      expect(await run(plain, [a.user, 'x', 'x'])).toBe('42501')
      expect(await run(plain, [b.user, 'b@example.com', null])).toMatchObject({
        rows: [{ id: b.user, spend: '0', max_budget: null }],
      })
    })
  })
})
