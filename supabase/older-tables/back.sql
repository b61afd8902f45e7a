-- Undoes before.sql: what the migrations made goes to the schema `newer`, and the older tables, triggers and functions are again
-- what they were. Drops no row; what was said since stays in `newer`.

begin;
set local search_path = pg_catalog;
set local lock_timeout = '10s';

do $$
declare
  v_new record;
  v_name text;
  v_definition text;
begin
  if to_regclass('older.stayed') is null then
    raise exception 'There is nothing to bring back: the schema older is not there, or not by before.sql.';
  elsif to_regnamespace('newer') is not null then
    raise exception 'There is a schema newer, perhaps from going back before: rename or drop it. Nothing was changed.';
  end if;

  create schema newer;
  for v_new in
    select oid, oid::regclass::text as name from pg_class c
    where relnamespace in (to_regnamespace('public'), to_regnamespace('drizzle')) and relkind in ('r', 'p', 'v', 'm')
      and not exists (select from older.stayed s where s.kind = 'table' and s.oid = c.oid)
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
    order by 2
  loop
    execute format('alter table %s set schema newer', v_new.name);
    raise notice 'Moved to the schema newer: %', v_new.name;
  end loop;
  for v_new in
    select oid, oid::regprocedure::text as name,
      exists (select from pg_trigger t where t.tgfoid = p.oid and t.tgrelid = to_regclass('auth.users')) as on_accounts
    from pg_proc p
    where pronamespace = to_regnamespace('public') and prokind in ('f', 'p')
      and not exists (select from older.stayed s where s.kind = 'function' and s.oid = p.oid)
      and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
  loop
    -- The trigger goes with its function: only the owner of auth.users might drop it by name.
    if v_new.on_accounts then
      execute format('drop function %s cascade', v_new.name);
    else
      execute format('alter routine %s set schema newer', v_new.name);
    end if;
  end loop;

  foreach v_name in array '{user_profiles,conversations,branches,messages}'::text[] loop
    if to_regclass('older.' || v_name) is not null then
      execute format('alter table older.%I set schema public', v_name);
    end if;
  end loop;
  for v_definition in select definition from older.functions loop
    execute v_definition;
  end loop;
  drop table if exists older.stayed, older.functions, older.copied;
  -- Fails when somebody has put something else there.
  drop schema older;
end $$;

commit;
