/** A database as large as a busy product's: conversations, messages and texts, written past the server. */
import { Client } from 'pg'

/** How much is written. Everything but `people` belongs to one account. */
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

/** Fills a database for one account. The indexes on words are away meanwhile, and built again at the end of each step. */
export class LibraryFiller {
  private readonly client: Client
  private owner = { id: '', tenant_id: '' }

  constructor(
    url: string,
    private readonly size: LibrarySize,
  ) {
    this.client = new Client({ connectionString: url })
  }

  /** @param email of the account. */
  async open(email: string): Promise<void> {
    await this.client.connect()
    await this.client.query(SETUP)
    const { rows } = await this.client.query('select id, tenant_id from users where email = $1', [email])
    this.owner = rows[0]
  }

  /** Everybody, the account among them: as many conversations and messages as the others have. */
  people(): Promise<number> {
    return this.unindexed(async () => {
      const { people, messagesEach } = this.size
      await this.client.query('select bench_people($1, $2, 10, $3)', [this.owner.tenant_id, people, messagesEach])
      await this.conversations(10, messagesEach)
    })
  }

  /** What the account has besides. */
  async own(): Promise<Library> {
    const { listed, long, exportMb } = this.size
    let ids: string[] = []
    const exportTag = 'bench-export'
    const messages = await this.unindexed(async () => {
      await this.conversations(listed, 2)
      ids = [...(await this.conversations(1, long)), ...(await this.conversations(1, 10))]
      await this.conversations(exportMb * 10, 100, { size: 1000, tag: exportTag })
    })
    return { longId: String(ids[0]), shortId: String(ids[1]), exportTag, messages }
  }

  close(): Promise<void> {
    return this.client.end()
  }

  private async conversations(count: number, messages: number, { size = 60, tag = '' } = {}): Promise<string[]> {
    const values = [this.owner.tenant_id, this.owner.id, count, messages, tag ? `{${tag}}` : '{}', size]
    const { rows } = await this.client.query('select bench_conversations($1, $2, $3, $4, $5, $6) as ids', values)
    return rows[0].ids
  }

  /** @returns how many messages there are afterwards. */
  private async unindexed(fill: () => Promise<void>): Promise<number> {
    const { rows: indexes } = await this.client.query<{ indexname: string; indexdef: string }>(
      `select indexname, indexdef from pg_indexes where tablename in ('messages', 'conversations') and indexdef like '% USING gin %'`,
    )
    for (const { indexname } of indexes) await this.client.query(`drop index ${indexname}`)
    await fill()
    for (const { indexdef } of indexes) await this.client.query(indexdef)
    await this.client.query('vacuum analyze')
    const { rows } = await this.client.query<{ n: string }>('select count(*) as n from messages')
    return Number(rows[0]?.n)
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
