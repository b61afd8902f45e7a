-- Copies what before.sql moved to `older` into the tables of the migrations, all of it or nothing. What was copied once is never
-- copied again, so to run it twice changes nothing, also not what people did in between. Ends with a table of counts.
--
-- It must be told who issues the project's tokens, as they name it (`iss`), in the same session:
--   set older.issuer = 'https://<ref>.supabase.co/auth/v1';

begin;
set local statement_timeout = 0;
set local timezone = 'UTC';
-- To fail beats to see fewer rows.
set local row_security = off;
set local search_path = pg_catalog, pg_temp;

do $$
declare
  v_missing text;
begin
  if to_regclass('older.stayed') is null then
    raise exception 'There is nothing in the schema older: run before.sql first.';
  end if;
  if to_regclass('public.user_profiles') is null
    or not exists (select from pg_constraint where conrelid = to_regclass('public.conversations') and conname = 'conversations_active_leaf') then
    raise exception 'The new tables are not there yet: push the migrations first.';
  end if;
  select string_agg(name, ', ') into v_missing from unnest('{conversations,branches,messages}'::text[]) name
  where to_regclass('older.' || name) is null;
  if v_missing not in ('', 'conversations, branches, messages') then
    raise exception 'In the schema older, % is missing. Nothing was copied.', v_missing;
  end if;
  if v_missing is null and coalesce(current_setting('older.issuer', true), '') = '' then
    raise exception 'Say first who issues the project''s tokens: set older.issuer = ''https://<ref>.supabase.co/auth/v1''; Nothing was copied.';
  end if;
end $$;

create table if not exists older.copied (kind text, id uuid, primary key (kind, id));

create temp table older_counts (n serial, what text, rows bigint) on commit drop;
create temp table older_profiles (id uuid primary key, was jsonb) on commit drop;
create temp table older_conversations (id uuid primary key, user_id uuid, active_branch_id uuid, was jsonb) on commit drop;
create temp table older_branches (id uuid primary key, conversation_id uuid, name text, parent_message_id uuid, created_at timestamptz,
  empty boolean, leaf_id uuid, kept_id uuid) on commit drop;
-- `n` is the order by time in the conversation. A depth means that there is a way up to a root.
create temp table older_tree (id uuid primary key, conversation_id uuid, parent_id uuid, branch_id uuid, at timestamptz, n bigint,
  depth int) on commit drop;

-- Rows are read as JSON: columns that an older table lacks are null, and types do not matter.

do $$
declare
  v_left bigint;
  v_count bigint;
begin
  if to_regclass('older.user_profiles') is null then return; end if;
  insert into older_profiles select (old->>'id')::uuid, old from older.user_profiles o cross join lateral to_jsonb(o) old
  where not exists (select from older.copied c where c.kind = 'profile' and c.id = (old->>'id')::uuid);
  delete from older_profiles o where not exists (select from auth.users u where u.id = o.id);
  get diagnostics v_left = row_count;

  insert into public.user_profiles as p (id, litellm_key, email, name, spend, max_budget, created_at)
  select id, was->>'litellm_key', was->>'email', was->>'name', coalesce((was->>'spend')::numeric, 0), (was->>'max_budget')::numeric,
    coalesce((was->>'created_at')::timestamptz, now())
  from older_profiles
  on conflict (id) do update set
    litellm_key = coalesce(excluded.litellm_key, p.litellm_key), email = coalesce(excluded.email, p.email),
    name = coalesce(excluded.name, p.name), spend = excluded.spend, max_budget = coalesce(excluded.max_budget, p.max_budget),
    created_at = excluded.created_at;
  get diagnostics v_count = row_count;
  insert into older.copied select 'profile', id from older_profiles;
  insert into older_counts (what, rows) values ('profiles copied', v_count), ('profiles left out, their accounts are gone', v_left);
end $$;

do $$
declare
  v_left bigint;
begin
  if to_regclass('older.conversations') is null then return; end if;
  insert into older_conversations select (old->>'id')::uuid, (old->>'user_id')::uuid, (old->>'active_branch_id')::uuid, old
  from older.conversations o cross join lateral to_jsonb(o) old
  where not exists (select from older.copied c where c.kind = 'conversation' and c.id = (old->>'id')::uuid);
  delete from older_conversations o where not exists (select from auth.users u where u.id = o.user_id);
  get diagnostics v_left = row_count;

  insert into older_branches (id, conversation_id, name, parent_message_id, created_at)
  select (old->>'id')::uuid, c.id, coalesce(old->>'name', 'Branch'), (old->>'parent_message_id')::uuid,
    coalesce((old->>'created_at')::timestamptz, (c.was->>'created_at')::timestamptz, now())
  from older.branches o cross join lateral to_jsonb(o) old join older_conversations c on c.id = (old->>'conversation_id')::uuid;

  insert into older_tree
  select id, conversation_id, parent_id, branch_id, at, row_number() over (partition by conversation_id order by at, id)
  from (
    select (old->>'id')::uuid as id, c.id as conversation_id, (old->>'parent_id')::uuid as parent_id, (old->>'branch_id')::uuid as branch_id,
      coalesce((old->>'created_at')::timestamptz, (c.was->>'created_at')::timestamptz, now()) as at
    from older.messages o cross join lateral to_jsonb(o) old join older_conversations c on c.id = (old->>'conversation_id')::uuid
  ) m;

  insert into older_counts (what, rows) values
    ('conversations left out, their accounts are gone', v_left),
    ('branches and messages left out, in no conversation', (
      select count(*) from (select conversation_id::text from older.branches union all select conversation_id::text from older.messages) m
      where not exists (select from older.conversations c where c.id::text = m.conversation_id)));
end $$;

create index on older_tree (conversation_id, n);
create index on older_tree (parent_id);
create index on older_branches (conversation_id);
analyze older_tree;
analyze older_branches;

-- The tree. Whatever has no way up to a root hangs on a message whose parent is not there, or on a circle. That one message (of a
-- circle the first) goes below the last message before it that has such a way, and takes along what is below it.
do $$
declare
  v_head older_tree;
  v_next older_tree;
  v_way uuid[];
  v_orphans bigint := 0;
  v_circles bigint := 0;
begin
  with recursive down as (
    select id, conversation_id, 0 as depth from older_tree where parent_id is null
    union all
    select t.id, t.conversation_id, down.depth + 1 from down
    join older_tree t on t.parent_id = down.id and t.conversation_id = down.conversation_id
  )
  update older_tree t set depth = down.depth from down where down.id = t.id;

  for v_head in select * from older_tree where depth is null order by conversation_id, n loop
    -- One before it may have taken it along.
    continue when (select depth from older_tree where id = v_head.id) is not null;
    v_way := array[v_head.id];
    loop
      select * into v_next from older_tree where id = v_head.parent_id and conversation_id = v_head.conversation_id;
      exit when not found or v_next.id = any (v_way);
      v_head := v_next;
      v_way := v_way || v_head.id;
    end loop;
    if v_next.id is null then
      v_orphans := v_orphans + 1;
    else
      v_circles := v_circles + 1;
      select * into v_head from older_tree where id = any (v_way[array_position(v_way, v_next.id):]) order by n limit 1;
    end if;
    select * into v_next from older_tree
    where conversation_id = v_head.conversation_id and n < v_head.n and depth is not null order by n desc limit 1;
    update older_tree set parent_id = v_next.id where id = v_head.id;
    with recursive down as (
      select v_head.id as id, coalesce(v_next.depth + 1, 0) as depth
      union all
      select t.id, down.depth + 1 from down join older_tree t on t.parent_id = down.id and t.conversation_id = v_head.conversation_id
    )
    update older_tree t set depth = down.depth from down where down.id = t.id;
  end loop;
  raise notice 'Repaired: % messages without their parent, % circles of messages. Each hangs below the last sound message before it now.',
    v_orphans, v_circles;
  insert into older_counts (what, rows) values ('messages repaired, their parents were gone', v_orphans), ('circles of messages repaired', v_circles);
end $$;

-- Branches. Each ends at the last message that was written in it, an empty one where it forked off.

update older_branches b set parent_message_id = null
where not exists (select from older_tree t where t.id = b.parent_message_id and t.conversation_id = b.conversation_id);
insert into older_branches (id, conversation_id, name, created_at)
select gen_random_uuid(), id, 'Main', coalesce((was->>'created_at')::timestamptz, now()) from older_conversations c
where not exists (select from older_branches b where b.conversation_id = c.id);

-- A message of no known branch is in its parent's, a root in the first.
update older_tree t set branch_id = null
where not exists (select from older_branches b where b.id = t.branch_id and b.conversation_id = t.conversation_id);
update older_tree t set branch_id = (
  select id from older_branches b where b.conversation_id = t.conversation_id order by b.created_at, b.id limit 1)
where branch_id is null and parent_id is null;
with recursive down as (
  select id, branch_id from older_tree where branch_id is not null
  union all
  select t.id, down.branch_id from down join older_tree t on t.parent_id = down.id where t.branch_id is null
)
update older_tree t set branch_id = down.branch_id from down where t.id = down.id and t.branch_id is null;

update older_branches b set empty = leaf.id is null, leaf_id = coalesce(leaf.id, b.parent_message_id)
from older_branches self left join (
  select distinct on (branch_id) branch_id, id from older_tree order by branch_id, at desc, depth desc, id desc) leaf on leaf.branch_id = self.id
where self.id = b.id;

-- Where several end at one message, one stays: the shown one, else one in which something was said, else the first.
update older_branches b set kept_id = merged.kept_id
from (
  select b.id, first_value(b.id) over (partition by b.conversation_id, b.leaf_id
    order by (b.id = c.active_branch_id) is true desc, b.empty, b.created_at, b.id) as kept_id
  from older_branches b join older_conversations c on c.id = b.conversation_id) merged
where merged.id = b.id;
update older_tree t set branch_id = b.kept_id from older_branches b where b.id = t.branch_id and b.kept_id <> b.id;
with merged as (select count(*) as n from older_branches where kept_id <> id)
insert into older_counts (what, rows) select 'branches merged, they ended where another does', n from merged;

-- Every end of the tree has a branch. It forks off where something else goes on beside it, or ends.
with recursive ends as (
  select t.id, t.conversation_id, t.at from older_tree t
  where not exists (select from older_tree c where c.parent_id = t.id)
    and not exists (select from older_branches b where b.conversation_id = t.conversation_id and b.leaf_id = t.id)
), up as (
  select e.id as leaf_id, t.id, t.parent_id, 0 as step from ends e join older_tree t on t.id = e.id
  union all
  select up.leaf_id, t.id, t.parent_id, up.step + 1 from up join older_tree t on t.id = up.parent_id
  where not exists (select from older_tree c where c.parent_id = t.id and c.id <> up.id)
    and not exists (select from older_branches b where b.conversation_id = t.conversation_id and b.leaf_id = t.id)
), forks as (
  select distinct on (leaf_id) leaf_id, parent_id from up order by leaf_id, step desc
), made as (
  insert into older_branches (id, conversation_id, name, parent_message_id, created_at, leaf_id)
  select gen_random_uuid(), conversation_id,
    'Branch ' || (select count(*) from older_branches b where b.conversation_id = e.conversation_id and b.id = b.kept_id)
      + row_number() over (partition by conversation_id order by at, e.id),
    f.parent_id, at, e.id
  from ends e join forks f on f.leaf_id = e.id
  returning id
)
insert into older_counts (what, rows) select 'branches made, for ends of the tree that had none', count(*) from made;
update older_branches set kept_id = id where kept_id is null;

-- Into the new tables.

do $$
declare
  v_users bigint;
  v_conversations bigint;
  v_messages bigint;
  v_branches bigint;
begin
  if to_regclass('older.conversations') is null then return; end if;

  -- As the server makes them from a token, so that it finds them when it comes to this database itself.
  insert into public.users (id, tenant_id, email, name, issuer, subject, created_at, updated_at)
  select u.id, '00000000-0000-0000-0000-000000000001', lower(u.email),
    left(coalesce(p.name, u.raw_user_meta_data->>'name', nullif(split_part(u.email, '@', 1), ''), 'User'), 100),
    current_setting('older.issuer'), u.id::text, coalesce(u.created_at, now()), now()
  from auth.users u left join public.user_profiles p on p.id = u.id
  where u.id in (select user_id from older_conversations)
  on conflict do nothing;
  get diagnostics v_users = row_count;

  insert into public.conversations (id, tenant_id, user_id, title, title_source, model, active_leaf_id, rev, created_at, updated_at)
  select c.id, '00000000-0000-0000-0000-000000000001', c.user_id, coalesce(was->>'title', 'New conversation'), 'auto', was->>'model',
    -- Where no branch is shown, or one of nothing, it is the latest.
    coalesce(active.leaf_id, (
      select t.id from older_branches b join older_tree t on t.id = b.leaf_id
      where b.conversation_id = c.id order by t.at desc, t.depth desc limit 1)),
    1, coalesce((was->>'created_at')::timestamptz, now()), coalesce((was->>'updated_at')::timestamptz, (was->>'created_at')::timestamptz, now())
  from older_conversations c
  left join older_branches active on active.conversation_id = c.id and active.id = c.active_branch_id;
  get diagnostics v_conversations = row_count;

  insert into public.messages (id, conversation_id, parent_id, branch_id, depth, role, content, status, model, usage, created_at, completed_at)
  select t.id, t.conversation_id, t.parent_id, t.branch_id, t.depth, old->>'role', coalesce(old->>'content', ''), 'complete', old->>'model',
    case when old->>'tokens_count' is not null then jsonb_build_object('completion_tokens', old->'tokens_count') end, t.at, t.at
  from older_tree t join older.messages o on o.id::uuid = t.id cross join lateral to_jsonb(o) old
  order by t.conversation_id, t.n;
  get diagnostics v_messages = row_count;

  insert into public.branches (id, conversation_id, name, parent_message_id, leaf_id, created_at, viewed_at)
  select b.id, b.conversation_id, b.name, b.parent_message_id, b.leaf_id, b.created_at, coalesce(t.at, b.created_at)
  from older_branches b left join older_tree t on t.id = b.leaf_id where b.id = b.kept_id;
  get diagnostics v_branches = row_count;

  insert into older.copied select 'conversation', id from older_conversations;
  insert into older_counts (what, rows) values ('users made', v_users), ('conversations copied', v_conversations),
    ('messages copied', v_messages), ('branches copied', v_branches);
end $$;

do $$
declare
  v_columns text;
begin
  select string_agg(format('%s.%s', t.name, a.attname), ', ' order by t.name, a.attnum) into v_columns
  from (values
    ('user_profiles', '{id,litellm_key,email,name,spend,max_budget,available_balance,created_at,updated_at}'::text[]),
    ('conversations', '{id,user_id,title,active_branch_id,model,created_at,updated_at}'),
    ('branches', '{id,conversation_id,parent_message_id,name,created_at}'),
    ('messages', '{id,conversation_id,branch_id,parent_id,role,content,model,tokens_count,created_at}')) as t(name, known)
  join pg_attribute a on a.attrelid = to_regclass('older.' || t.name) and a.attnum > 0 and not a.attisdropped and a.attname <> all (t.known);
  if v_columns is not null then
    raise notice 'Only in the schema older, as the new tables have no such columns: %', v_columns;
  end if;
end $$;

select what, rows from older_counts order by n;
commit;
