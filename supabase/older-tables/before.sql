-- Moves the tables of an older function from `public` to the schema `older`, with everything on them, so that the migrations can
-- make theirs. Drops nothing; to run it again changes nothing. The way there and back is in ../README.md.

begin;
set local search_path = pg_catalog;
-- Whoever still uses the tables would make this wait, and everybody else behind it.
set local lock_timeout = '10s';

do $$
declare
  v_theirs text[] := '{}';
  v_ours text[] := '{}';
  v_moved oid[] := '{}';
  v_name text;
  v_line text;
  v_function record;
begin
  foreach v_name in array '{user_profiles,conversations,branches,messages}'::text[] loop
    continue when to_regclass('public.' || v_name) is null;
    -- By what the migrations give no other names to, whatever columns the older tables have.
    if exists (select from pg_constraint where conrelid = to_regclass('public.' || v_name)
        and conname in ('conversations_active_leaf', 'branches_one_per_leaf', 'messages_in_conversation'))
      or exists (select from pg_trigger where tgrelid = to_regclass('public.' || v_name) and tgname = 'touch_profile') then
      v_ours := v_ours || v_name;
    else
      v_theirs := v_theirs || v_name;
    end if;
  end loop;

  if v_theirs = '{}' and v_ours <> '{}' then
    raise exception 'Nothing to move: % in public come from the migrations of this function already. Nothing was changed.',
      array_to_string(v_ours, ', ');
  elsif v_theirs = '{}' then
    raise notice '%', case when to_regnamespace('older') is null then 'There are no tables of an older function in public: just push the migrations.'
      else 'The tables are in the schema older already. Push the migrations next.' end;
    return;
  end if;
  foreach v_name in array v_theirs loop
    if to_regclass('older.' || v_name) is not null then
      raise exception 'There is a table % in public and another in older: rename one of them. Nothing was changed.', v_name;
    elsif (select relkind from pg_class where oid = to_regclass('public.' || v_name)) not in ('r', 'p') then
      raise exception 'public.% is not a table: move it away yourself. Nothing was changed.', v_name;
    end if;
  end loop;

  -- Not among the schemas that the API offers, and nobody but the owner may look into it.
  create schema if not exists older;
  foreach v_name in array v_theirs loop
    v_moved := v_moved || to_regclass('public.' || v_name)::oid;
    execute format('alter table public.%I set schema older', v_name);
  end loop;

  -- For back.sql: what there is besides, and functions as they were.
  create table if not exists older.stayed as
    select 'table' as kind, oid from pg_class where relnamespace in (to_regnamespace('public'), to_regnamespace('drizzle'))
    union all select 'function', oid from pg_proc where pronamespace = to_regnamespace('public');
  create table if not exists older.functions (name text primary key, definition text not null);

  -- The migrations bring a trigger that makes profiles. The older one beside it would fail, and sign-up with it. Only the owner of
  -- auth.users can disable a trigger there, and at Supabase that is nobody; but its function is the project's.
  for v_function in
    select p.oid, p.oid::regprocedure::text as name, p.proowner, string_agg(t.tgname, ', ') as triggers
    from pg_trigger t join pg_proc p on p.oid = t.tgfoid
    where t.tgrelid = to_regclass('auth.users') and not t.tgisinternal and to_regclass('older.user_profiles')::oid = any (v_moved)
      and p.prosrc ~* '\m(insert\s+into|update|delete\s+from|merge\s+into)\s+(only\s+)?("?public"?\s*\.\s*)?"?user_profiles\M'
    group by p.oid, p.proowner
  loop
    if not pg_has_role(v_function.proowner, 'usage') then
      raise exception 'The trigger % on auth.users writes into user_profiles, and its function % is not yours: ask its owner, %, to drop the trigger. Nothing was changed.',
        v_function.triggers, v_function.name, v_function.proowner::regrole;
    end if;
    insert into older.functions values (v_function.name, pg_get_functiondef(v_function.oid));
    execute format('create or replace function %s returns trigger language plpgsql as $f$ begin return coalesce(new, old); end $f$',
      v_function.name);
    raise notice 'Switched off: the trigger % on auth.users, by a function % that does nothing. What the function was is in older.functions. If it did more than write profiles, put the rest into another trigger.',
      v_function.triggers, v_function.name;
  end loop;

  for v_line in
    select distinct pg_describe_object(d.classid, d.objid, 0)
    from pg_depend d
    left join pg_constraint k on d.classid = 'pg_constraint'::regclass and k.oid = d.objid
    left join pg_attrdef a on d.classid = 'pg_attrdef'::regclass and a.oid = d.objid
    left join pg_policy p on d.classid = 'pg_policy'::regclass and p.oid = d.objid
    where d.refclassid = 'pg_class'::regclass and d.refobjid = any (v_moved) and d.deptype = 'n'
      and coalesce(k.conrelid, a.adrelid, p.polrelid, 0) <> all (v_moved)
    order by 1
  loop
    raise notice 'Still means the older table: %', v_line;
  end loop;
  for v_line in
    select oid::regprocedure::text from pg_proc
    where pronamespace = to_regnamespace('public') and prosrc ~* format('\m(%s)\M', array_to_string(v_theirs, '|')) order by 1
  loop
    raise notice 'May mean the table by its name, which will be the new one: function %', v_line;
  end loop;
  raise notice 'Moved to the schema older: %. Push the migrations next.', array_to_string(v_theirs, ', ');
end $$;

commit;
