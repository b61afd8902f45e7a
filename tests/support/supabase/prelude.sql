-- What a Supabase project has before any migration of ours, as far as ours touch it.

do $$
declare
  role record;
begin
  -- Roles are shared by all databases of the server, and several tests may begin at once.
  perform pg_advisory_xact_lock(7406111);
  for role in select * from (values
    ('anon', 'nologin noinherit'),
    ('authenticated', 'nologin noinherit'),
    ('service_role', 'nologin noinherit bypassrls'),
    -- Supabase's `postgres`, which is no superuser.
    ('project_owner', 'login createrole createdb bypassrls')) as r(name, options)
  loop
    if not exists (select 1 from pg_roles where rolname = role.name) then
      execute format('create role %I %s', role.name, role.options);
    end if;
  end loop;
  grant anon, authenticated, service_role to project_owner;
end $$;

grant usage on schema public to anon, authenticated, service_role;
grant all on schema public to project_owner;
do $$ begin execute format('grant create on database %I to project_owner', current_database()); end $$;

create schema auth;
grant usage on schema auth to anon, authenticated, service_role, project_owner;
create table auth.users (
  id uuid primary key,
  email text unique,
  encrypted_password text,
  raw_user_meta_data jsonb,
  created_at timestamptz not null default now()
);
grant all on auth.users to project_owner;

create function auth.uid() returns uuid language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
  )::uuid
$$;
create function auth.jwt() returns jsonb language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')
  )::jsonb
$$;

alter default privileges for role project_owner in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges for role project_owner in schema public grant all on sequences to anon, authenticated, service_role;
alter default privileges for role project_owner in schema public grant all on functions to anon, authenticated, service_role;
