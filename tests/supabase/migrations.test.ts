import { afterAll, beforeAll, expect, test } from 'bun:test'
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Pool } from 'pg'
import { sqlStore } from '../../src/store/sql'
import { migrateDb } from '../../src/store/sql/db'
import { FOLDER, supabaseMigrations } from '../../supabase/generate'
import { newTurn, newUser } from '../store/contract/given'
import { createDatabase } from '../support/db'
import { createSupabaseDatabase, migrationFiles, type SupabaseDatabase } from '../support/supabase/database'

let database: SupabaseDatabase
beforeAll(async () => {
  database = await createSupabaseDatabase()
})
afterAll(() => database.drop())

test("has the server's migrations as `bun run supabase:migrations` writes them", () => {
  const files = migrationFiles()
  const generated = [...supabaseMigrations()]
  for (const [file, text] of generated) expect({ file, text: read(file) }).toEqual({ file, text })
  const byHand = files.filter((file) => !supabaseMigrations().has(file))
  expect(byHand.filter((file) => read(file).includes('Do not edit.'))).toEqual([])
  expect(files.filter((file) => !/^\d{14}_\w+\.sql$/.test(file))).toEqual([])
})

const read = (file: string) => readFileSync(join(FOLDER, file), 'utf8')

test('leaves nothing for the server to migrate when it comes to the same database', async () => {
  const journal = 'select hash, created_at from drizzle.__drizzle_migrations order by id'
  const before = (await database.pool.query(journal)).rows
  await migrateDb(database.pool)
  expect((await database.pool.query(journal)).rows).toEqual(before)
  // And its journal is what the server itself would have written.
  const { url, drop } = await createDatabase()
  const pool = new Pool({ connectionString: url, max: 1 })
  try {
    await migrateDb(pool)
    expect((await pool.query(journal)).rows).toEqual(before)
    expect((await pool.query(JOURNAL_COLUMNS)).rows).toEqual((await database.pool.query(JOURNAL_COLUMNS)).rows)
  } finally {
    await pool.end()
    await drop()
  }
})

const JOURNAL_COLUMNS = `select column_name, data_type, is_nullable, column_default from information_schema.columns
  where table_schema = 'drizzle' order by ordinal_position`

test('leaves a database on which the server works', async () => {
  const pool = new Pool({ connectionString: database.url, max: 2 })
  const store = await sqlStore('postgres', { pool, close: () => pool.end() })
  const user = await store.accounts.create(newUser())
  const turn = newTurn()
  expect(await store.turns.begin(user, turn)).toMatchObject({ outcome: 'begun' })
  expect(await store.conversations.list(user, { page: 1, limit: 10 })).toMatchObject({ total: 1 })
  await store.close()
})

test('lets the server find what its people have said through the function', async () => {
  const pool = new Pool({ connectionString: database.url, max: 2 })
  const store = await sqlStore('postgres', { pool, close: () => pool.end() })
  const { id, ...person } = newUser({ issuer: ISSUER, subject: NEW, passwordHash: null })
  const turn = newTurnOf(randomUUID())
  await pool.query(DOOR, [{ sub: NEW, email: person.email, iss: ISSUER }, { turn }])
  const user = await store.accounts.adopt({ ...person, id: NEW })
  expect(user).toMatchObject({ userId: NEW, email: person.email })
  const owner = { userId: NEW, tenantId: person.tenantId }
  expect(await store.conversations.list(owner, { page: 1, limit: 10 })).toMatchObject({ total: 1 })
  await store.close()
})

const DOOR = `select conversation_manager($1, 'init_conversation', $2) as data`
const newTurnOf = (id: string) => ({
  is_new: true,
  conversation: { id, title: 'T' },
  messages: [],
  branch_id: id,
  max_context: 1,
  at: new Date(),
})

test('gives everybody a profile who signed up before or after, and takes everything with the account', async () => {
  const files = migrationFiles()
  const before = files.filter((file) => file < '20261121160000')
  const early = await createSupabaseDatabase({ files: before })
  try {
    const sql = async (text: string, values: unknown[] = []) => (await early.pool.query(text, values)).rows
    await sql(
      `insert into auth.users (id, email, raw_user_meta_data) values ($1, 'old@example.com', '{"name": "Old"}')`,
      [OLD],
    )
    for (const file of files.slice(before.length)) await early.pool.query(read(file))
    await sql(`insert into auth.users (id, email) values ($1, 'new@example.com')`, [NEW])
    expect(
      await sql('select id, email, name, spend, max_budget, available_balance from user_profiles order by id'),
    ).toEqual([
      { id: OLD, email: 'old@example.com', name: 'Old', spend: '0', max_budget: null, available_balance: null },
      { id: NEW, email: 'new@example.com', name: null, spend: '0', max_budget: null, available_balance: null },
    ])
    await sql('update user_profiles set max_budget = 10, spend = 2.5 where id = $1', [OLD])
    expect(await sql('select available_balance from user_profiles where id = $1', [OLD])).toEqual([
      { available_balance: '7.5' },
    ])
    // A profile that is gone is no reason not to talk.
    await sql('delete from user_profiles')
    await sql(DOOR, [{ sub: OLD, email: 'old@example.com', iss: ISSUER }, { turn: newTurnOf(OLD) }])
    expect(await sql('select id, email, name, issuer, subject from users')).toEqual([
      { id: OLD, email: 'old@example.com', name: 'old', issuer: ISSUER, subject: OLD },
    ])
    await sql('delete from auth.users')
    expect(await sql('select id from users union all select id from conversations')).toEqual([])
  } finally {
    await early.drop()
  }
})

const ISSUER = 'https://project.example/auth/v1'
const OLD = '00000000-0000-4000-8000-000000000001'
const NEW = '00000000-0000-4000-8000-000000000002'
