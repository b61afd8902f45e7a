/** A database as large as a busy product's: conversations, messages and texts, written past the server. */
import { Client } from 'pg'

/** How much is written. Everything but `people` belongs to the bench's own account. */
export interface LibrarySize {
  /** Other people, with ten conversations each and `messagesEach` messages in every one of them. */
  readonly people: number
  readonly messagesEach: number
  /** Empty conversations, for the list. */
  readonly listed: number
  /** Messages of the one long conversation; the short one has ten. */
  readonly long: number
  /** MB of text, in messages of 1 kB, a hundred to a conversation. */
  readonly exportMb: number
}

export interface Library {
  readonly longId: string
  readonly shortId: string
  /** Of the conversations with the texts to export. */
  readonly exportTag: string
  readonly messages: number
}

/** Words as people use them: few often, many seldom. */
const VOCABULARY = 20_000

/** Fills the database at `url` for the account with the e-mail address `email`. Indexes on words are built at the end. */
export async function fillLibrary(url: string, email: string, size: LibrarySize): Promise<Library> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(SETUP)
    const { rows: indexes } = await client.query<{ indexname: string; indexdef: string }>(
      `select indexname, indexdef from pg_indexes where tablename in ('messages', 'conversations') and indexdef like '% USING gin %'`,
    )
    for (const { indexname } of indexes) await client.query(`drop index ${indexname}`)
    const { rows } = await client.query<{ id: string; tenant_id: string }>(
      'select id, tenant_id from users where email = $1',
      [email],
    )
    const [owner] = rows
    if (!owner) throw new Error(`no account ${email}`)
    await client.query('select bench_people($1, $2, 10, $3)', [owner.tenant_id, size.people, size.messagesEach])
    // The bench's account is like the others, and has more besides.
    await client.query('select bench_conversations($1, $2, 10, $3, $4, 60)', [
      owner.tenant_id,
      owner.id,
      size.messagesEach,
      '{}',
    ])
    await client.query('select bench_conversations($1, $2, $3, 2, $4, 20)', [
      owner.tenant_id,
      owner.id,
      size.listed,
      '{}',
    ])
    const one = async (messages: number) => {
      const made = await client.query<{ ids: string[] }>('select bench_conversations($1, $2, 1, $3, $4, 20) as ids', [
        owner.tenant_id,
        owner.id,
        messages,
        '{}',
      ])
      return made.rows[0]?.ids[0] ?? ''
    }
    const [longId, shortId] = [await one(size.long), await one(10)]
    const exportTag = 'bench-export'
    const archives = Math.ceil((size.exportMb * 10_000) / 1000)
    await client.query('select bench_conversations($1, $2, $3, 100, $4, 1000)', [
      owner.tenant_id,
      owner.id,
      archives,
      `{${exportTag}}`,
    ])
    for (const { indexdef } of indexes) await client.query(indexdef)
    await client.query('vacuum analyze')
    const { rows: total } = await client.query<{ n: string }>('select count(*) as n from messages')
    return { longId, shortId, exportTag, messages: Number(total[0]?.n) }
  } finally {
    await client.end()
  }
}

/** Texts of about `p_size` characters; conversations are chains, one branch each. */
const SETUP = `
set synchronous_commit = off;
-- No triggers: they would check a million times what is true by construction.
set session_replication_role = replica;
create or replace function bench_text(p_seed int, p_size int) returns text language sql immutable as $$
  select string_agg('w' || power(${VOCABULARY}::float8, mod(abs(hashint8(p_seed::bigint * 7919 + w)), 100000)::float8 / 100000)::int, ' ')
  from generate_series(1, greatest(p_size / 6, 1)) w
$$;
create or replace function bench_conversations(p_tenant uuid, p_user uuid, p_count int, p_messages int, p_tags text[], p_size int)
returns uuid[] language plpgsql as $$
declare
  v_ids uuid[];
begin
  create temp table made on commit drop as
    -- With c in it the list is made anew for each conversation.
    select gen_random_uuid() as id, c, now() - c * interval '1 minute' as at, array(
      select gen_random_uuid() from generate_series(1, p_messages + 0 * c)) as m
    from generate_series(1, p_count) c;
  insert into conversations (id, tenant_id, user_id, title, title_source, model, tags, active_leaf_id, rev, created_at, updated_at)
    select id, p_tenant, p_user, bench_text(c, 40), 'auto', 'bench', p_tags, null, 1, at, at from made;
  insert into messages (id, conversation_id, parent_id, depth, role, content, status, model, user_id, created_at, completed_at)
    select m[i], id, m[i - 1], i - 1, case when i % 2 = 1 then 'user' else 'assistant' end,
      bench_text(c * 100003 + i, p_size), 'complete', case when i % 2 = 0 then 'bench' end, p_user, at, at
    from made, generate_series(1, p_messages) i;
  insert into branches (id, conversation_id, name, parent_message_id, leaf_id, created_at, viewed_at)
    select gen_random_uuid(), id, 'Main', null, m[p_messages], at, at from made;
  update conversations c set active_leaf_id = m[p_messages] from made where made.id = c.id;
  select array_agg(id) into v_ids from made;
  drop table made;
  return v_ids;
end $$;
create or replace function bench_people(p_tenant uuid, p_people int, p_each int, p_messages int) returns void language plpgsql as $$
declare
  v_user uuid;
begin
  for n in 1..p_people loop
    insert into users (id, tenant_id, email, name, created_at, updated_at)
      values (gen_random_uuid(), p_tenant, 'person' || n || '@example.com', 'Person', now(), now()) returning id into v_user;
    perform bench_conversations(p_tenant, v_user, p_each, p_messages, '{}', 60);
  end loop;
end $$;
`
