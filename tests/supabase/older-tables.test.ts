import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Pool, QueryResult } from 'pg'
import {
  applyMigration,
  createSupabaseDatabase,
  migrationFiles,
  type SupabaseDatabase,
} from '../support/supabase/database'
import { type RunningFunction, startFunction } from '../support/supabase/function'
import { call, PROJECT, SECRET, sign } from './client'

// A project that ran an older function: what is known of its tables, and much that may be on them.

const ISSUER = `${PROJECT}/auth/v1`
const id = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const at = (minute: number) => `2025-09-01T06:${String(minute).padStart(2, '0')}:51.432019+00:00`
const [ANN, BOB, GONE] = [id(1), id(2), id(3)]
/** Conversations: one in order, one broken, an empty one, one whose shown branch is a second name, one without branches, one of nobody. */
const [TRIP, BROKEN, EMPTY, TWICE, BARE, LOST] = [id(10), id(11), id(12), id(13), id(14), id(15)]
const [MAIN, OTHER, IDEA, COPY] = [id(20), id(21), id(22), id(23)]
const [BROKEN_MAIN, EMPTY_MAIN, TWICE_MAIN, TWICE_SHOWN, LOST_MAIN] = [id(24), id(25), id(26), id(27), id(28)]
const [Q1, A1, Q2, A2, Q3, A3, A1_AGAIN] = [id(40), id(41), id(42), id(43), id(44), id(45), id(46)]
const [SOUND, SOUND_ANSWER, ORPHAN, BELOW, ROUND, AND_ROUND] = [id(50), id(51), id(52), id(53), id(54), id(55)]
const [TWICE_Q, LOST_Q, NOWHERE] = [id(60), id(61), id(99)]
const TITLE = 'Поездка в Токио ✈️ “naïve”'
const TEXT = `日本語, emoji 👩‍👩‍👧, 'quotes', \\ and\nlines`

const OLDER = `
  create table user_profiles (
    id uuid primary key references auth.users (id) on delete cascade, litellm_key text, email text, name text,
    spend double precision default 0, max_budget numeric(12, 4), available_balance numeric generated always as (max_budget) stored,
    letta_agent_id text, agent_status text default 'none', created_at timestamptz default now());
  create table conversations (
    id uuid primary key default gen_random_uuid(), user_id uuid not null, title varchar(255), active_branch_id uuid, model text,
    created_at timestamptz default now(), updated_at timestamptz default now());
  create table branches (
    id uuid primary key default gen_random_uuid(), conversation_id uuid references conversations (id) on delete cascade,
    parent_message_id uuid, name text, created_at timestamptz default now());
  create table messages (
    id uuid primary key default gen_random_uuid(), conversation_id uuid references conversations (id) on delete cascade,
    branch_id uuid references branches (id), parent_id uuid, role text check (role in ('user', 'assistant', 'system')),
    content text, model text, tokens_count integer, created_at timestamptz default now());
  alter table conversations add foreign key (active_branch_id) references branches (id) deferrable initially deferred;
  create index conversations_recent on conversations (user_id, updated_at);
  create table ratings (id int primary key, message_id uuid references messages (id));
  create view latest as select max(created_at) from messages;

  create function touch() returns trigger language plpgsql as $$ begin new.updated_at := now(); return new; end $$;
  create trigger touch before update on conversations for each row execute function touch();
  create function handle_new_user() returns trigger language plpgsql security definer set search_path = public as $$
  begin
    INSERT INTO public.user_profiles (id, email) VALUES (new.id, new.email);
    return new;
  end $$;
  create trigger on_auth_user_created after insert on auth.users for each row execute function handle_new_user();
  create function audit() returns trigger language plpgsql as $$ begin return new; end $$;
  create trigger audited before insert on auth.users for each row execute function audit();

  alter table user_profiles enable row level security;
  alter table conversations enable row level security;
  alter table messages enable row level security;
  create policy own on user_profiles using (id = auth.uid());
  create policy own on conversations using (user_id = auth.uid());
  create policy own on messages using (exists (select 1 from conversations c where c.id = conversation_id and c.user_id = auth.uid()));
`

const ROWS = `
  insert into auth.users (id, email) values ('${ANN}', 'ann@example.com'), ('${BOB}', 'bob@example.com');
  update user_profiles set litellm_key = 'sk-ann', spend = 2.5, max_budget = 10, name = 'Änn 🙂', letta_agent_id = 'agent-1' where id = '${ANN}';
  set constraints all deferred;
  insert into conversations (id, user_id, title, active_branch_id, model, created_at, updated_at) values
    ('${TRIP}', '${ANN}', '${TITLE}', '${OTHER}', 'gpt', '${at(1)}', '${at(20)}'),
    ('${BROKEN}', '${ANN}', 'Broken', null, null, '${at(2)}', '${at(19)}'),
    ('${EMPTY}', '${ANN}', null, '${EMPTY_MAIN}', null, '${at(3)}', '${at(3)}'),
    ('${TWICE}', '${BOB}', 'Twice', '${TWICE_SHOWN}', 'gpt', '${at(4)}', '${at(4)}'),
    ('${BARE}', '${BOB}', 'Bare', null, null, '${at(5)}', '${at(5)}'),
    ('${LOST}', '${GONE}', 'Lost', '${LOST_MAIN}', null, '${at(6)}', '${at(6)}');
  insert into branches (id, conversation_id, parent_message_id, name, created_at) values
    ('${MAIN}', '${TRIP}', null, 'Main', '${at(1)}'), ('${OTHER}', '${TRIP}', '${A1}', 'Другая', '${at(10)}'),
    ('${IDEA}', '${TRIP}', '${A1}', 'Idea', '${at(12)}'), ('${COPY}', '${TRIP}', '${A2}', 'Copy', '${at(13)}'),
    ('${BROKEN_MAIN}', '${BROKEN}', null, 'Main', '${at(2)}'), ('${EMPTY_MAIN}', '${EMPTY}', null, 'Main', '${at(3)}'),
    ('${TWICE_MAIN}', '${TWICE}', null, 'Main', '${at(4)}'), ('${TWICE_SHOWN}', '${TWICE}', '${TWICE_Q}', 'Shown', '${at(5)}'),
    ('${LOST_MAIN}', '${LOST}', null, 'Main', '${at(6)}');
  insert into messages (id, conversation_id, branch_id, parent_id, role, content, model, tokens_count, created_at) values
    ('${Q1}', '${TRIP}', '${MAIN}', null, 'user', $t$${TEXT}$t$, null, null, '${at(1)}'),
    ('${A1}', '${TRIP}', '${MAIN}', '${Q1}', 'assistant', 'a1', 'gpt', 12, '${at(2)}'),
    ('${A1_AGAIN}', '${TRIP}', '${MAIN}', '${Q1}', 'assistant', 'a1 again', 'gpt', 13, '${at(3)}'),
    ('${Q2}', '${TRIP}', '${MAIN}', '${A1}', 'user', 'q2', null, null, '${at(4)}'),
    ('${A2}', '${TRIP}', '${MAIN}', '${Q2}', 'assistant', 'a2', 'gpt', 0, '${at(5)}'),
    ('${Q3}', '${TRIP}', '${OTHER}', '${A1}', 'user', 'q3', null, null, '${at(10)}'),
    ('${A3}', '${TRIP}', '${OTHER}', '${Q3}', 'assistant', 'a3', 'gpt', 14, '${at(11)}'),
    ('${SOUND}', '${BROKEN}', '${BROKEN_MAIN}', null, 'user', 'sound', null, null, '${at(2)}'),
    ('${SOUND_ANSWER}', '${BROKEN}', '${BROKEN_MAIN}', '${SOUND}', 'assistant', 'sound answer', null, null, '${at(3)}'),
    ('${ORPHAN}', '${BROKEN}', null, '${NOWHERE}', 'user', 'orphan', null, null, '${at(4)}'),
    ('${BELOW}', '${BROKEN}', null, '${ORPHAN}', 'assistant', 'below', null, null, '${at(5)}'),
    ('${ROUND}', '${BROKEN}', '${BROKEN_MAIN}', '${AND_ROUND}', 'user', 'round', null, null, '${at(6)}'),
    ('${AND_ROUND}', '${BROKEN}', '${BROKEN_MAIN}', '${ROUND}', 'assistant', 'and round', null, null, '${at(7)}'),
    ('${TWICE_Q}', '${TWICE}', '${TWICE_MAIN}', null, 'user', 'once', null, null, '${at(4)}'),
    ('${LOST_Q}', '${LOST}', '${LOST_MAIN}', null, 'user', 'lost', null, null, '${at(6)}');
  insert into ratings values (1, '${A1}');
`

const script = (name: string) => readFileSync(join(import.meta.dir, '../../supabase/older-tables', name), 'utf8')

/** What a script says, and the rows it ends with. */
async function run(pool: Pool, name: string, issuer = ISSUER) {
  const connection = await pool.connect()
  const notices: string[] = []
  const listen = ({ message }: { message?: string | undefined }) => notices.push(message ?? '')
  connection.on('notice', listen)
  try {
    await connection.query(`set older.issuer = '${issuer}'`)
    const results = (await connection.query(script(name))) as unknown as QueryResult[]
    const counts = results.flatMap(({ rows }) => rows as { what: string; rows: string }[])
    return { notices, counts: Object.fromEntries(counts.map(({ what, rows }) => [what, Number(rows)])) }
  } finally {
    connection.off('notice', listen)
    await connection.query('rollback')
    connection.release()
  }
}

const push = async (pool: Pool) => {
  for (const file of migrationFiles()) await applyMigration(pool, file)
}

async function olderProject() {
  const database = await createSupabaseDatabase({ files: [] })
  await database.pool.query(OLDER)
  await database.pool.query(ROWS)
  return database
}

/** Every row of ours, to be compared. */
const everything = async (pool: Pool) => {
  const tables = ['user_profiles', 'users', 'conversations', 'branches', 'messages']
  const rows = (table: string) => `(select json_agg(t order by t.id) from public.${table} t)`
  return (await pool.query(`select json_build_array(${tables.map(rows).join(', ')})::text as all`)).rows[0].all
}

/** All that there is in these schemas, with who may do what. */
const inventory = async (pool: Pool) =>
  (
    await pool.query(`
      select oid::regclass::text as name, relacl::text as acl, relrowsecurity::text as more from pg_class
        where relnamespace = 'public'::regnamespace
      union all select oid::regprocedure::text, proacl::text, prosrc from pg_proc p where pronamespace = 'public'::regnamespace
        and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
      union all select tgrelid::regclass || ' ' || tgname, tgenabled::text, tgfoid::regprocedure::text from pg_trigger
        where tgrelid = 'auth.users'::regclass and not tgisinternal
      union all select nspname, null, null from pg_namespace where nspname in ('older')
      order by 1, 2, 3`)
  ).rows

describe('the tables of an older function', () => {
  let database: SupabaseDatabase
  let pool: Pool
  let edge: RunningFunction
  let before: Awaited<ReturnType<typeof run>>
  let after: Awaited<ReturnType<typeof run>>
  beforeAll(async () => {
    database = await olderProject()
    pool = database.pool
    before = await run(pool, 'before.sql')
    expect((await run(pool, 'before.sql')).notices).toEqual([
      'The tables are in the schema older already. Push the migrations next.',
    ])
    await expect(run(pool, 'after.sql')).rejects.toThrow('push the migrations first')
    await push(pool)
    await expect(run(pool, 'after.sql', '')).rejects.toThrow('who issues')
    after = await run(pool, 'after.sql')
    edge = await startFunction({ databaseUrl: database.url, supabaseUrl: PROJECT, jwtSecret: SECRET })
  })
  afterAll(async () => {
    await edge?.stop()
    await database.drop()
  })

  const as = async (sub: string, method: string, path: string, body?: unknown) => {
    const said = await call(edge, await sign({ sub, email: 'x@example.com' }), method, path, body)
    return said.success ? said.data : said.status
  }
  const rows = async (sql: string) => (await pool.query(sql)).rows

  test('move away with all that is on them, and the operator hears what depends on them', async () => {
    const said = before.notices.join('\n')
    expect(said).toContain('Switched off: the trigger on_auth_user_created on auth.users')
    expect(said).not.toContain('audit')
    expect(said).toContain('Still means the older table: constraint ratings_message_id_fkey on table public.ratings')
    expect(said).toContain('Still means the older table: rule _RETURN on view public.latest')
    expect(before.notices.filter((notice) => notice.startsWith('Still'))).toHaveLength(2)
    expect(await rows(`select tablename, policyname from pg_policies where schemaname = 'older' order by 1`)).toEqual(
      ['conversations', 'messages', 'user_profiles'].map((tablename) => ({ tablename, policyname: 'own' })),
    )
    expect(await rows('select count(*)::int as n from older.messages')).toEqual([{ n: 15 }])
    const closed = `select has_schema_privilege('authenticated', 'older', 'usage') or has_schema_privilege('anon', 'older', 'usage') as open`
    expect(await rows(closed)).toEqual([{ open: false }])
  })

  test('are copied, and counted', () => {
    expect(after.counts).toEqual({
      'profiles copied': 2,
      'profiles left out, their accounts are gone': 0,
      'conversations left out, their accounts are gone': 1,
      'branches and messages left out, in no conversation': 0,
      'messages repaired, their parents were gone': 1,
      'circles of messages repaired': 1,
      'branches merged, they ended where another does': 2,
      'branches made, for ends of the tree that had none': 1,
      'users made': 2,
      'conversations copied': 5,
      'messages copied': 14,
      'branches copied': 8,
    })
    expect(after.notices).toEqual([
      'Repaired: 1 messages without their parent, 1 circles of messages. Each hangs below the last sound message before it now.',
      'Only in the schema older, as the new tables have no such columns: user_profiles.letta_agent_id, user_profiles.agent_status',
    ])
  })

  test('are copied once: again, nothing changes, nor does what was deleted come back', async () => {
    const copied = await everything(pool)
    const again = await run(pool, 'after.sql')
    expect(Object.entries(again.counts).filter(([what, n]) => n > 0 && !what.includes('left out'))).toEqual([])
    expect(await everything(pool)).toBe(copied)
    const other = await olderProject()
    try {
      await run(other.pool, 'before.sql')
      await push(other.pool)
      await run(other.pool, 'after.sql')
      await other.pool.query(
        `delete from conversations where id = '${TRIP}'; update user_profiles set litellm_key = null, spend = 9`,
      )
      const changed = await everything(other.pool)
      await run(other.pool, 'after.sql')
      expect(await everything(other.pool)).toBe(changed)
    } finally {
      await other.drop()
    }
  })

  test('give people their profiles, and the server the people', async () => {
    expect(
      await rows(
        'select id, litellm_key, email, name, spend, max_budget, available_balance from user_profiles order by id',
      ),
    ).toEqual([
      {
        id: ANN,
        litellm_key: 'sk-ann',
        email: 'ann@example.com',
        name: 'Änn 🙂',
        spend: '2.5',
        max_budget: '10.0000',
        available_balance: '7.5000',
      },
      {
        id: BOB,
        litellm_key: null,
        email: 'bob@example.com',
        name: null,
        spend: '0',
        max_budget: null,
        available_balance: null,
      },
    ])
    expect(await rows('select id, email, name, issuer, subject from users order by id')).toEqual([
      { id: ANN, email: 'ann@example.com', name: 'Änn 🙂', issuer: ISSUER, subject: ANN },
      { id: BOB, email: 'bob@example.com', name: 'bob', issuer: ISSUER, subject: BOB },
    ])
  })

  test('are listed by the function', async () => {
    const conversation = (id: string, title: string, minute: number) =>
      expect.objectContaining({
        id,
        title,
        title_source: 'auto',
        rev: 1,
        updated_at: `${at(minute).slice(0, 23)}+00:00`,
      })
    expect(await as(ANN, 'GET', '/conversations')).toEqual({
      conversations: [
        conversation(TRIP, TITLE, 20),
        conversation(BROKEN, 'Broken', 19),
        conversation(EMPTY, 'New conversation', 3),
      ],
      total: 3,
      page: 1,
      limit: 20,
    } as never)
  })

  test('keep tree, branches and what is shown', async () => {
    const full = (await as(ANN, 'GET', `/conversations/${TRIP}/full`)) as unknown as Record<string, unknown[]>
    expect(full).toMatchObject({
      conversation: { id: TRIP, model: 'gpt', active_branch_id: OTHER, active_leaf_id: A3 },
      branches: [
        { id: MAIN, name: 'Main', parent_message_id: null, leaf_id: A2 },
        { name: 'Branch 4', parent_message_id: Q1, leaf_id: A1_AGAIN },
        { id: OTHER, name: 'Другая', parent_message_id: A1, leaf_id: A3 },
        { id: IDEA, name: 'Idea', parent_message_id: A1, leaf_id: A1 },
      ],
      messages: [
        {
          id: Q1,
          parent_id: null,
          depth: 0,
          branch_id: MAIN,
          role: 'user',
          content: TEXT,
          tokens_count: null,
          usage: null,
        },
        { id: A1, parent_id: Q1, depth: 1, role: 'assistant', model: 'gpt', tokens_count: 12, status: 'complete' },
        { id: A1_AGAIN, parent_id: Q1, depth: 1 },
        { id: Q2, parent_id: A1, depth: 2 },
        { id: A2, parent_id: Q2, depth: 3, tokens_count: 0, usage: { completion_tokens: 0 } },
        { id: Q3, parent_id: A1, depth: 2, branch_id: OTHER },
        { id: A3, parent_id: Q3, depth: 3, branch_id: OTHER },
      ],
    })
    expect(full.messages).toHaveLength(7)
    expect(full.branches).toHaveLength(4)
    const twice = await as(BOB, 'GET', `/conversations/${TWICE}/full`)
    expect(twice).toMatchObject({
      conversation: { active_branch_id: TWICE_SHOWN, active_leaf_id: TWICE_Q },
      branches: [{ id: TWICE_SHOWN, name: 'Shown', leaf_id: TWICE_Q }],
      messages: [{ branch_id: TWICE_SHOWN }],
    })
    for (const [who, conversation] of [
      [ANN, EMPTY],
      [BOB, BARE],
    ] as const) {
      expect(await as(who, 'GET', `/conversations/${conversation}/full`)).toMatchObject({
        conversation: { active_leaf_id: null },
        branches: [{ name: 'Main', leaf_id: null }],
        messages: [],
      })
    }
  })

  test('are repaired where parents were gone or went in a circle', async () => {
    const chain = [SOUND, SOUND_ANSWER, ORPHAN, BELOW, ROUND, AND_ROUND]
    expect(await as(ANN, 'GET', `/conversations/${BROKEN}/full`)).toMatchObject({
      conversation: { active_branch_id: BROKEN_MAIN, active_leaf_id: AND_ROUND },
      branches: [{ id: BROKEN_MAIN, leaf_id: AND_ROUND }],
      messages: chain.map((id, depth) => ({ id, depth, parent_id: chain[depth - 1] ?? null, branch_id: BROKEN_MAIN })),
    })
  })

  test('are the context of what comes next, which goes on in the same branch', async () => {
    const context = async (conversation: string, branch = '') =>
      as(
        ANN,
        'GET',
        `/build-context?conversation_id=${conversation}&max_messages=10${branch && `&branch_id=${branch}`}`,
      )
    const texts = (messages: string[]) => ({
      messages: messages.map((content) => expect.objectContaining({ content })),
    })
    expect(await context(TRIP)).toMatchObject(texts([TEXT, 'a1', 'q3', 'a3']))
    expect(await context(TRIP, MAIN)).toMatchObject(texts([TEXT, 'a1', 'q2', 'a2']))
    expect(await context(TRIP, IDEA)).toMatchObject(texts([TEXT, 'a1']))
    expect(await context(EMPTY)).toMatchObject(texts([]))

    const add = (conversation_id: string) =>
      as(ANN, 'POST', '/add-message', { conversation_id, role: 'user', content: 'on' })
    expect(await add(TRIP)).toMatchObject({ branch_id: OTHER, parent_id: A3 })
    expect(await add(BROKEN)).toMatchObject({ branch_id: BROKEN_MAIN, parent_id: AND_ROUND })
    expect(await add(EMPTY)).toMatchObject({ branch_id: EMPTY_MAIN, parent_id: null })
    expect(await as(ANN, 'POST', '/switch-branch', { conversation_id: TRIP, branch_id: MAIN })).toMatchObject({
      active_leaf_id: A2,
    })
    expect(await context(TRIP)).toMatchObject(texts([TEXT, 'a1', 'q2', 'a2']))
  })

  test('stay with their owners', async () => {
    expect(await as(BOB, 'GET', `/conversations/${TRIP}/full`)).toBe(404)
    expect(await as(BOB, 'GET', `/messages/${A1}`)).toBe(404)
    const connection = await pool.connect()
    try {
      await connection.query('begin')
      await connection.query(
        `select set_config('request.jwt.claims', '{"sub": "${BOB}"}', true), set_config('role', 'authenticated', true)`,
      )
      const seen = `select (select array_agg(distinct user_id::text) from conversations) as conversations,
        (select array_agg(distinct conversation_id::text) from messages) as messages,
        (select array_agg(distinct conversation_id::text order by conversation_id::text) from branches) as branches,
        (select array_agg(id::text) from user_profiles) as profiles`
      expect((await connection.query(seen)).rows).toEqual([
        { conversations: [BOB], messages: [TWICE], branches: [TWICE, BARE], profiles: [BOB] },
      ])
      await expect(connection.query('select * from older.messages')).rejects.toThrow(
        'permission denied for schema older',
      )
    } finally {
      await connection.query('rollback')
      connection.release()
    }
  })

  test('do not keep anybody from signing up or from leaving', async () => {
    await pool.query(`insert into auth.users (id, email) values ('${id(4)}', 'new@example.com')`)
    expect(await rows(`select email from user_profiles where id = '${id(4)}'`)).toEqual([{ email: 'new@example.com' }])
    await pool.query(`delete from auth.users where id = '${id(4)}'`)
    expect(await rows(`select email from user_profiles where id = '${id(4)}'`)).toEqual([])
  })

  test('are left alone when the tables in public are those of the migrations', async () => {
    const there = await inventory(pool)
    await expect(run(pool, 'before.sql')).rejects.toThrow(
      'Nothing to move: user_profiles, conversations, branches, messages in public come from the migrations',
    )
    expect(await inventory(pool)).toEqual(there)
  })
})

test('a project without an older function has nothing to move, before the migrations and after', async () => {
  const { pool, drop } = await createSupabaseDatabase({ files: [] })
  try {
    expect((await run(pool, 'before.sql')).notices).toEqual([
      'There are no tables of an older function in public: just push the migrations.',
    ])
    await push(pool)
    await expect(run(pool, 'before.sql')).rejects.toThrow('Nothing to move')
    await expect(run(pool, 'after.sql')).rejects.toThrow('run before.sql first')
    await expect(run(pool, 'back.sql')).rejects.toThrow('nothing to bring back')
  } finally {
    await drop()
  }
})

test('there is a way back, and one there again', async () => {
  const { pool, drop } = await olderProject()
  try {
    const there = await inventory(pool)
    await run(pool, 'before.sql')
    await push(pool)
    await run(pool, 'after.sql')
    const copied = (await pool.query(COPIED)).rows
    expect(copied).toHaveLength(14)
    await run(pool, 'back.sql')
    expect(await inventory(pool)).toEqual(there)
    expect((await pool.query('select count(*)::int as n from newer.messages')).rows).toEqual([{ n: 14 }])
    // People sign up as they used to.
    await pool.query(`insert into auth.users (id, email) values ('${id(4)}', 'new@example.com')`)
    expect((await pool.query(`select agent_status from user_profiles where id = '${id(4)}'`)).rows).toEqual([
      { agent_status: 'none' },
    ])
    await pool.query(`delete from auth.users where id = '${id(4)}'`)

    await run(pool, 'before.sql')
    await push(pool)
    await run(pool, 'after.sql')
    expect((await pool.query(COPIED)).rows).toEqual(copied)
    await expect(run(pool, 'back.sql')).rejects.toThrow('There is a schema newer')
  } finally {
    await drop()
  }
})

const COPIED = `select m.id, m.parent_id, m.depth, m.content, c.active_leaf_id from messages m join conversations c on c.id = m.conversation_id
  order by m.id`
